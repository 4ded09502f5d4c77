"""Unfinished work in object storage: a real S3 API, trainings that are killed, and another node that goes on."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from sense import checkpoint_store, object_store, records
from sense.errors import EndpointError, UserError
from tests.object_store import BUCKET, SECRET, ObjectStore
from tests.pipeline import ROOT

URI = f"s3://{BUCKET}/work"


@pytest.fixture
def store(monkeypatch):
    with ObjectStore() as running:
        for name, value in (running.environment | {"SENSE_CHECKPOINTS": URI}).items():
            monkeypatch.setenv(name, value)
        yield running


class Killed(BaseException):
    """What ends a stage in the place of SIGKILL."""


def checkpoint(work, step, content=b""):
    folder = work / "checkpoints" / f"checkpoint-{step}"
    records.write_text(folder / "state.json", json.dumps({"step": step}))
    (folder / "weights").write_bytes(content or bytes([step]) * 100)


def files(work):
    return {file.relative_to(work).as_posix(): file.read_bytes() for file in work.rglob("*") if file.is_file()}


def copied(work, *steps):
    """Runs a stage on `work` that is killed after it has copied a checkpoint for each step; returns the files at the last."""
    with pytest.raises(Killed), checkpoint_store.mirror(work):
        for step in steps:
            checkpoint_store.wait()
            records.remove(work / "checkpoints")
            checkpoint(work, step)
            checkpoint_store.save()
        checkpoint_store.wait()
        raise Killed
    return files(work)


def fetched(work):
    """The files that a stage on another node begins with; it is killed at once."""
    with pytest.raises(Killed), checkpoint_store.mirror(work):
        present = files(work)
        raise Killed
    return present


def test_another_node_goes_on_from_the_last_copy_and_old_checkpoints_go(store, tmp_path):
    last = copied(tmp_path / "node-1" / "sft-1", 2, 4)
    assert fetched(tmp_path / "node-2" / "sft-1") == last
    assert [name for name in last if "checkpoint-2" in name] == []
    stored = store.objects("work/sft-1/")
    assert {name.rpartition("/")[2] for name in stored} == {
        "manifest.json",
        *(file["sha256"] for file in json.loads(stored["work/sft-1/manifest.json"])["files"]),
    }
    assert fetched(tmp_path / "node-2" / "sft-2") == {}  # another work directory


def test_a_stage_that_is_done_leaves_nothing(store, tmp_path):
    copied(tmp_path / "node-1" / "sft-1", 2)
    with checkpoint_store.mirror(tmp_path / "node-2" / "sft-1"):
        assert store.objects() != {}
    assert store.objects() == {}


def test_the_same_node_keeps_what_it_has_and_an_older_one_takes_the_copy(store, tmp_path):
    first, second = tmp_path / "node-1" / "sft-1", tmp_path / "node-2" / "sft-1"
    copied(first, 2)
    (first / "since").write_text("the copy")
    assert "since" in fetched(first)
    last = copied(second, 4)
    assert fetched(first) == last


def test_a_log_is_copied_up_to_its_end_at_that_time_and_neither_merged_models_nor_halves(store, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_store, "_INTERVAL_S", 0.0)
    work = tmp_path / "node-1" / "sample-1"
    read = checkpoint_store._Beginning.read

    def grow(self, amount=-1):
        with (work / "chunks.jsonl").open("ab") as stream:
            stream.write(b'{"row": 2}\n')
        return read(self, amount)

    with pytest.raises(Killed), checkpoint_store.mirror(work):
        (work / "whole-sense").mkdir(parents=True)
        for name in ("whole-sense/model.safetensors", ".metrics.partial", "chunks.jsonl"):
            (work / name).write_text('{"row": 1}\n')
        monkeypatch.setattr(checkpoint_store._Beginning, "read", grow)
        checkpoint_store.save(soon=False)
        checkpoint_store.wait()
        raise Killed
    present = fetched(tmp_path / "node-2" / "sample-1")
    assert present.pop("stored.json")
    assert present == {"chunks.jsonl": b'{"row": 1}\n'}


def test_logs_are_not_copied_at_every_line(store, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_store, "_INTERVAL_S", 1e9)
    with checkpoint_store.mirror(tmp_path / "sample-1"):
        checkpoint(tmp_path / "sample-1", 1)
        checkpoint_store.save(soon=False)
        checkpoint_store.wait()
        assert store.objects() == {}


class DyingClient:
    """A client of the store that is killed just before its n-th request."""

    def __init__(self, client, requests):
        self._client, self._left = client, requests

    def __getattr__(self, name):
        member = getattr(self._client, name)
        if name not in ("upload_fileobj", "put_object", "delete_object", "get_paginator"):
            return member

        def call(*arguments, **options):
            self._left -= 1
            if self._left < 0:
                raise Killed
            return member(*arguments, **options)

        return call


def test_killed_before_any_request_of_a_copy_there_is_a_whole_one(store, tmp_path, monkeypatch):
    before = copied(tmp_path / "before" / "sft-1", 2)
    real, states = object_store.client, []
    for requests in range(20):
        work = tmp_path / f"{requests}" / "sft-1"
        fetched(work)
        records.remove(work / "checkpoints")
        checkpoint(work, 4)
        present_files = sorted(file for file in work.rglob("*") if file.is_file() and file.name != "stored.json")

        @contextmanager
        def client(*arguments, requests=requests):
            with real(*arguments) as s3:
                yield DyingClient(s3, requests)

        monkeypatch.setattr(object_store, "client", client)
        copies = checkpoint_store._Copies(checkpoint_store._folder(URI, "sft-1"), work)
        try:
            copies._save(present_files)
            finished = True
        except Killed:
            finished = False
        monkeypatch.setattr(object_store, "client", real)
        present = fetched(tmp_path / f"{requests}-other" / "sft-1")
        states.append(sorted(present))
        if present.keys() == before.keys():
            assert present == before
        else:
            assert present == files(work) | {"stored.json": present["stored.json"]}
        if finished:
            break
    assert finished
    assert len({tuple(state) for state in states}) == 2  # the old copy, then the new one


@pytest.mark.parametrize("change", ["damaged", "missing", "no manifest of SENSE's", "a path outside"])
def test_a_damaged_copy_is_told_and_left_out(store, tmp_path, change, capsys):
    copied(tmp_path / "node-1" / "sft-1", 2)
    manifest = json.loads(store.objects()["work/sft-1/manifest.json"])
    key = f"work/sft-1/objects/{manifest['files'][0]['sha256']}"
    if change == "damaged":
        store.client.put_object(Bucket=BUCKET, Key=key, Body=b"other")
    elif change == "missing":
        store.client.delete_object(Bucket=BUCKET, Key=key)
    else:
        manifest["files"][0] |= {"path": "../outside"} if change == "a path outside" else {"size": "much"}
        store.client.put_object(Bucket=BUCKET, Key="work/sft-1/manifest.json", Body=json.dumps(manifest).encode())
    assert fetched(tmp_path / "node-2" / "sft-1") == {}
    assert [path.name for path in (tmp_path / "node-2").iterdir() if not path.name.startswith(".")] == []
    assert "left out, and this starts without it" in " ".join(capsys.readouterr().err.split())


def test_a_store_that_fails_ends_no_stage_but_begins_none(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint_store, "_PATIENCE", object_store.PROBE_TIMEOUTS)
    work = tmp_path / "node-1" / "sft-1"
    with pytest.raises(Killed), checkpoint_store.mirror(work):
        checkpoint(work, 2)
        store.client.delete_bucket(Bucket=BUCKET)
        checkpoint_store.save()
        checkpoint_store.wait()
        message = " ".join(capsys.readouterr().err.split())
        assert f"the checkpoint store {URI}/sft-1 cannot be written (NoSuchBucket" in message
        assert "the stage goes on" in message
        store.client.create_bucket(Bucket=BUCKET)
        checkpoint_store.save()
        raise Killed
    assert len(store.objects("work/sft-1/")) == 3
    store.client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in store.objects()]})
    store.client.delete_bucket(Bucket=BUCKET)
    with pytest.raises(EndpointError, match="NoSuchBucket"), checkpoint_store.mirror(tmp_path / "node-2" / "sft-1"):
        pass
    with pytest.raises(EndpointError, match="NoSuchBucket"):
        checkpoint_store.check(URI)


def test_a_store_can_be_looked_at_without_a_trace(store):
    checkpoint_store.check(URI)
    assert store.objects() == {}


@pytest.mark.parametrize("uri", ["bucket/prefix", "gs://bucket", f"s3://key:{SECRET}@bucket/a", "s3:///a"])
def test_what_is_no_bucket_is_refused(uri, monkeypatch, tmp_path):
    monkeypatch.setenv("SENSE_CHECKPOINTS", uri)
    with pytest.raises(UserError, match="s3://bucket/prefix, without credentials") as caught, checkpoint_store.mirror(tmp_path):
        pass
    assert SECRET not in str(caught.value)


KILLED_TRAINING = """
import os, signal, sys
from pathlib import Path
from sense import checkpoint_store
from tests.training import test_fit

def kill(step, values):
    if step == 5:
        os.kill(os.getpid(), signal.SIGKILL)

work = Path(sys.argv[1])
with checkpoint_store.mirror(work):
    test_fit.trained_sft(work, kill)
"""


@pytest.mark.slow
def test_a_training_killed_on_one_node_ends_on_another_with_the_same_weights(store, tmp_path, capsys):
    from tests.training import test_fit

    command = [sys.executable, "-c", KILLED_TRAINING, str(tmp_path / "node-1" / "sft-1")]
    process = subprocess.run(command, cwd=ROOT, env=dict(os.environ) | {"OMP_NUM_THREADS": "1"}, check=False)
    assert process.returncode == -signal.SIGKILL
    steps = []
    work = tmp_path / "node-2" / "sft-1"
    with checkpoint_store.mirror(work):
        model, curve = test_fit.trained_sft(work, lambda step, values: steps.append(step))
        resumed = test_fit.weights(model)
    assert steps[0] in (3, 5)  # the copy of step 4 may have been on its way
    whole, whole_curve = test_fit.trained_sft(tmp_path / "whole")
    assert (resumed, curve) == (test_fit.weights(whole), whole_curve)
    assert store.objects() == {}
    assert "sft-1: goes on from the copy" in " ".join(capsys.readouterr().err.split())
