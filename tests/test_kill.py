"""`kill -9` in the middle of each stage: the same command again ends as if nothing had happened."""

import itertools
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL

import pytest

from sense import cli
from sense.cost import record
from sense.stages import STAGES
from tests import mlflow_store, pipeline
from tests.pipeline import Finished, RunDirs, StageRun

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="watches processes through /proc")]

PARAMS = pipeline.sections()
STRIDES = {"ingest": 3, "synthesize": 7, "sft": 9, "dpo": 9, "evaluate": 3, "publish": 3}  # of a delivery's moments; else each
MIDDLE_OF_A_CHECKPOINT = 5  # files: each has twice as many


@dataclass(frozen=True)
class UndisturbedRun:
    """The pipeline, run from end to end without a kill: its files, and what each section's run counted."""

    dirs: RunDirs
    finished: Mapping[str, Finished]

    def outputs(self, section: str) -> dict[str, Path]:
        return pipeline.outputs(section, self.dirs.out)


@pytest.fixture(scope="module")
def environment():
    """For the processes to come: the machine may be small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("TQDM_DISABLE", "1")
        yield patch


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, environment):
    dirs = RunDirs(tmp_path_factory.mktemp("whole"))
    _store(dirs, environment)
    finished = {}
    for section in pipeline.SECTIONS:
        stage_run = StageRun(
            section, PARAMS[section], pipeline.inputs(section, dirs.out), pipeline.outputs(section, dirs.out), dirs
        )
        finished[section] = pipeline.run(stage_run)
        assert finished[section].code == 0, section
    return UndisturbedRun(dirs, finished)


@pytest.mark.parametrize("section", STAGES)
def test_killed_again_and_again_a_stage_ends_as_if_it_had_not_been(section, undisturbed, tmp_path, monkeypatch):
    dirs = RunDirs(tmp_path)
    client = _store(dirs, monkeypatch)
    stage_run = _make_run(section, undisturbed, dirs)
    old = _lay_old(stage_run, undisturbed)
    new = pipeline.digests(undisturbed.outputs(section))
    processes, deliveries = 0, 0
    for moment in _moments(section, undisturbed.finished[section].counts["any"]):
        finished = pipeline.run(replace(stage_run, kill=moment))
        if finished.code == 0:  # the delivery has fewer changes than that
            break
        assert finished.code == -SIGKILL, moment
        processes += finished.processes
        deliveries += finished.counts.get("delivery", 0) > 1
        for name, digest in pipeline.digests(stage_run.outputs).items():
            assert digest == old[name] or _is_new(section, stage_run.outputs[name], digest, new[name]), (moment, name)
    assert deliveries > 0
    assert processes > 0 or section not in ("synthesize", "evaluate")  # their SQL workers, gone by now
    _check_same(section, stage_run, undisturbed)
    _check_store(section, client)
    monkeypatch.setenv("SENSE_WORK", str(dirs.work))
    cost = record.read(section, record.result(stage_run.outputs))
    assert cost.tries > 1  # all of them together, of which killed ones have used more than they could note
    assert not cost.complete


@pytest.mark.parametrize("section", STAGES)
def test_killed_while_it_cleans_up_a_stage_can_run_again(section, undisturbed, tmp_path, monkeypatch):
    dirs = RunDirs(tmp_path)
    client = _store(dirs, monkeypatch)
    stage_run = _make_run(section, undisturbed, dirs)
    half = undisturbed.finished[section].counts["clean-up"] // 2 + 1
    assert pipeline.run(replace(stage_run, kill={"clean-up": half})).code == -SIGKILL
    _check_same(section, stage_run, undisturbed, clean=False)
    assert pipeline.run(stage_run).code == 0
    if section == "publish":
        _check_store(section, client)
    else:
        _check_same(section, stage_run, undisturbed)


def test_killed_while_mlflow_makes_its_store_the_first_training_can_run_again(undisturbed, tmp_path):
    dirs = RunDirs(tmp_path)
    dirs.store.mkdir()
    stage_run = _make_run("sft", undisturbed, dirs)
    assert pipeline.run(replace(stage_run, kill={"store": 40})).code == -SIGKILL  # of some seventy migrations
    assert pipeline.run(stage_run).code == 0
    _check_same("sft", stage_run, undisturbed)


def test_the_command_and_its_whole_process_group_killed_from_outside(undisturbed, tmp_path, monkeypatch):
    dirs = RunDirs(tmp_path)
    _store(dirs, monkeypatch)
    stage_run = _make_run("sample", undisturbed, dirs)
    params = tmp_path / "params.yaml"
    params.write_text(json.dumps(PARAMS))
    flags = [word for name, path in (*stage_run.inputs.items(), *stage_run.outputs.items()) for word in (f"--{name}", str(path))]
    command = ["sample", *flags, "--params", str(params), "--json"]
    started = time.monotonic()
    assert _command(command, dirs, seconds=None) == 0
    usual = time.monotonic() - started
    for path in stage_run.outputs.values():
        path.unlink()
    for share in (0.3, 0.6, 0.8):
        assert _command(command, dirs, seconds=share * usual) in (0, -SIGKILL)
    assert _command(command, dirs, seconds=None) == 0
    _check_same("sample", stage_run, undisturbed)


def _moments(section, changes):
    """When to kill the runs, one after the other: all over the work, then all over the delivery."""
    if section in ("sft", "dpo"):  # at the start, then in each run after its next checkpoint, while the one before is deleted
        yield {"any": changes // 20, "delivery": 1}
        yield from [{"removal": MIDDLE_OF_A_CHECKPOINT, "delivery": 1}] * 3
    else:
        yield from ({"any": max(1, int(share * changes)), "delivery": 1} for share in (0.05, 0.35, 0.7))
    yield from ({"delivery": number} for number in itertools.count(2, STRIDES.get(section, 1)))


def _store(dirs, patch):
    dirs.store.mkdir(parents=True)
    return mlflow_store.fresh(dirs.store, patch)


def _make_run(section, undisturbed, dirs):
    """The section's run on the undisturbed pipeline's inputs, with outputs of its own."""
    input_ports = pipeline.inputs(section, undisturbed.dirs.out)
    return StageRun(section, PARAMS[section], input_ports, pipeline.outputs(section, dirs.out), dirs)


def _lay_old(stage_run, undisturbed):
    """Puts an older edition under each final name, a folder where a folder will come; returns the digests."""
    for name, path in stage_run.outputs.items():
        files = [path / "a.txt", path / "inner" / "b.txt"] if undisturbed.outputs(stage_run.section)[name].is_dir() else [path]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("old")
    return pipeline.digests(stage_run.outputs)


def _is_new(section, path, digest, new):
    """Whether `path` is the new edition, whole."""
    return json.loads(path.read_text())["version"] == "1" if section == "publish" else digest == new


def _check_same(section, stage_run, undisturbed, clean=True):
    """The outputs are those of the undisturbed run, byte for byte, but for the ids that MLflow draws; nothing else is left."""
    if section == "publish":
        mine, others = (_without_ids(places) for places in (stage_run.outputs, undisturbed.outputs(section)))
    else:
        mine, others = (pipeline.digests(places) for places in (stage_run.outputs, undisturbed.outputs(section)))
    assert mine == others
    assert list(stage_run.dirs.out.rglob(".*")) == []
    if clean:
        assert [path.name for path in stage_run.dirs.work.iterdir()] == ["cost"]


def _without_ids(places):
    documents = {name: json.loads(path.read_text()) for name, path in places.items()}
    return {
        name: {key: value for key, value in row.items() if key not in ("run_id", "model_id")} for name, row in documents.items()
    }


def _check_store(section, client):
    """One run, finished, its curve without gaps or repetitions; publish: one version, both aliases on it, its model whole."""
    if section not in ("sft", "dpo", "publish"):
        return
    experiment = client.get_experiment_by_name("sense")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    if section == "publish":
        (version,) = client.search_model_versions("name = 'sense'")
        assert dict(client.get_registered_model("sense").aliases) == {"challenger": 1, "champion": 1}
        (model,) = client.search_logged_models([experiment.experiment_id])
        assert (version.source, version.run_id, str(model.status)) == (f"models:/{model.model_id}", run.info.run_id, "READY")
        assert (Path(model.artifact_location) / "model" / "model.safetensors").is_file()
    else:
        history = client.get_metric_history(run.info.run_id, "loss")
        steps = PARAMS[section]["train"]["max_steps"]
        assert [point.step for point in history] == list(range(1, steps + 1))
        assert run.data.params["train.max_steps"] == str(steps)


def _command(arguments, dirs, seconds):
    """Runs the command in a process group of its own, killed after `seconds`; returns the exit code, or what killed it."""
    process = pipeline.FORKS.Process(target=_in_a_group, args=(arguments, dirs))
    process.start()
    process.join(seconds)
    if process.is_alive():
        try:
            os.killpg(process.pid, SIGKILL)
        except ProcessLookupError:  # so early that it has no group of its own yet
            process.kill()
        process.join()
    return process.exitcode


def _in_a_group(arguments, dirs):
    os.setsid()
    pipeline.environment(dirs)
    raise SystemExit(cli.main(arguments))
