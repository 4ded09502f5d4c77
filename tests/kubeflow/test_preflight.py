"""What is looked at before a run: real stores, folders and servers, and what each failure says."""

import os
import socket
import tempfile
from pathlib import Path

import pytest
import yaml

from sense import object_store
from sense.errors import UserError
from sense.kubeflow import preflight, teachers
from sense.kubeflow.preflight import Surroundings
from sense.tracking import store
from tests.mlflow_store import fresh
from tests.object_store import BUCKET, SECRET, ObjectStore
from tests.pipeline import TINY

NAMES = [
    *("parameters", "MLflow", "data remote", "seeds", "base models", "weights", "teacher's key", "teacher", "GPUs"),
    *("shared memory", "disk", "claims", "checkpoint store", "Kubeflow Trainer"),
]


@pytest.fixture
def params():
    return yaml.safe_load(TINY.read_text())


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A machine on which everything is as it must be, and which reaches no LLM."""
    monkeypatch.setattr(teachers, "call", lambda llm, name="": f"{llm.model} answers")
    fresh(tmp_path, monkeypatch)
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "new" / "work"))
    for name in ("SENSE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "remote").mkdir()
    return tmp_path


def run_checks(params, root, gpus=0, disk_gb=0.001, remote="remote"):
    """The findings by name; no look leaves a file in the remote or the work folder."""
    url = str(root / remote) if "://" not in remote else remote
    results = preflight.run_checks(params, Surroundings(gpus, disk_gb, url))
    assert [result.name for result in results] == NAMES
    for folder in (root / "remote", root / "new" / "work"):
        assert not folder.is_dir() or list(folder.iterdir()) == []
    return {result.name: result for result in results}


def error_message(results):
    with pytest.raises(UserError) as caught:
        preflight.require_all(list(results.values()))
    return str(caught.value)


def test_all_is_well(params, root):
    results = run_checks(params, root)
    assert {name: result.ok for name, result in results.items()} == dict.fromkeys(NAMES, True)
    assert results["MLflow"].detail == f"sqlite:///{root}/mlflow.db can be read and written"
    assert store.open_store().client.get_experiment_by_name("sense").tags == {}
    assert results["data remote"].detail == f"{root}/remote can be read and written"
    assert {name for name, result in results.items() if result.state == "skipped"} == {
        *("weights", "teacher's key", "teacher", "GPUs", "claims", "checkpoint store", "Kubeflow Trainer")
    }
    assert results["GPUs"].detail == "none asked for: not looked at"
    assert results["seeds"].detail == "the built-in ones"
    assert results["base models"].detail == "sft.model: nano, made of random weights; weak.model: nano, made of random weights"
    assert f"GB free in {root}/new/work" in results["disk"].detail
    assert f"GB free in {Path(tempfile.gettempdir()).absolute()}" in results["disk"].detail
    preflight.require_all(list(results.values()))


def test_everything_that_fails_is_listed_with_its_fix(params, root, monkeypatch):
    params["sample"] |= {"k": 0}
    params["dpo"] |= {"betta": 0.2}
    params["synthesize"] |= {"teacher": "llm", "llm": {"model": "m"}}
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, so that nobody else takes it, and nobody listens
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{SECRET}@{address}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
        results = run_checks(params, root, gpus=1_000, disk_gb=1e9, remote="nowhere")
    assert [name for name, result in results.items() if result.state == "ok"] == []
    assert results["teacher"].detail == "the parameters are wrong: mend them first"
    message = error_message(results)
    assert message.startswith("6 of 14 checks failed; nothing has been run\n")
    for expected in (
        "parameters: params.yaml: 2 errors",
        "sample.k = 0",
        "dpo.betta = 0.2: unknown key",
        f"MLflow: MLflow (http://{address})",
        "check MLFLOW_TRACKING_URI",
        f"data remote: the data remote {root}/nowhere: no such folder",
        "GPUs: ",
        "visible, 1000 asked for; check gpus and accelerator",
        "disk: 1e+09 GB must be free",
        f"{root}/new/work, the work folder (SENSE_WORK)",
        "teacher's key: none set for api.openai.com",
        "set SENSE_API_KEY",
    ):
        assert expected in message
    assert SECRET not in message
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "9"


def test_only_what_fails_is_listed(params, root):
    message = error_message(run_checks(params, root, disk_gb=1e9))
    assert message.startswith("1 of 14 checks failed; nothing has been run\ndisk: ")


def test_the_checkpoint_store_is_looked_at_where_there_is_one(params, root, monkeypatch):
    monkeypatch.setenv("SENSE_CHECKPOINTS", f"s3://{BUCKET}/work")
    with ObjectStore() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        results = [preflight.run_checks(params, Surroundings(disk_gb=0.001))[-2]]
        running.client.delete_bucket(Bucket=BUCKET)
        results += [preflight.run_checks(params, Surroundings(disk_gb=0.001))[-2]]
    assert [(result.name, result.ok) for result in results] == [("checkpoint store", True), ("checkpoint store", False)]
    assert results[0].detail == f"s3://{BUCKET}/work can be written"
    assert "NoSuchBucket" in results[1].detail


@pytest.mark.parametrize("number", range(3))
def test_a_remote_that_cannot_be_written_is_told(params, root, number):
    if number == 0:
        folder = Path("/sys/kernel")  # where not even root can make a file
        if not folder.is_dir():
            pytest.skip("needs Linux's /sys")
    elif number == 1:
        folder = root / "read-only"
        folder.mkdir(mode=0o500)
        if os.access(folder, os.W_OK):
            pytest.skip("root may write anywhere")
    else:
        folder = root / "file"
        folder.write_text("")
    result = run_checks(params, root, remote=str(folder))["data remote"]
    assert not result.ok
    assert f"the data remote {folder}: " in result.detail
    assert ("cannot be written" in result.detail) == (number < 2)


def test_a_bucket_is_written_and_left_as_it_was(params, root, monkeypatch):
    with ObjectStore() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        result = run_checks(params, root, remote=f"s3://{BUCKET}/team")["data remote"]
        assert result == ("data remote", "ok", f"s3://{BUCKET}/team can be read and written")
        assert store.objects() == {}
        result = run_checks(params, root, remote="s3://another-bucket/team")["data remote"]
        assert not result.ok
        assert "NoSuchBucket" in result.detail


def test_no_remote_is_no_failure(params, root):
    results = {result.name: result for result in preflight.run_checks(params, Surroundings(disk_gb=0.001))}
    assert results["data remote"].state == "skipped"
    assert "none given" in results["data remote"].detail


def test_a_work_folder_that_cannot_be_made_is_told(params, root, monkeypatch):
    (root / "file").write_text("")
    monkeypatch.setenv("SENSE_WORK", str(root / "file" / "work"))
    result = run_checks(params, root)["disk"]
    assert not result.ok
    assert f"{root}/file/work, the work folder (SENSE_WORK): cannot be written" in result.detail


@pytest.mark.parametrize(
    ("url", "key", "ok", "expected"),
    [
        ("https://api.example.com/v1", "", False, "none set for api.example.com"),
        ("https://api.example.com/v1", SECRET, True, "set, for api.example.com"),
        ("http://localhost:8000/v1", "", True, "not set, and localhost is near"),
        ("http://10.1.2.3/v1", "", True, "near"),
        ("http://teacher.models.svc:8000/v1", "", True, "near"),
        ("http://[::1", "", False, "no address"),
    ],
)
def test_a_teacher_far_away_needs_a_key(params, root, monkeypatch, url, key, ok, expected):
    monkeypatch.setenv("SENSE_API_KEY", key)
    params["synthesize"] |= {"teacher": "llm", "llm": {"model": "m", "base_url": url}}
    result = run_checks(params, root)["teacher's key"]
    assert result.ok == ok
    assert expected in result.detail
    assert SECRET not in result.detail


def test_a_teacher_without_an_llm_needs_none(params, root):
    assert run_checks(params, root)["teacher's key"] == ("teacher's key", "skipped", "no LLM is asked: none needed")


def test_each_of_several_llms_needs_its_own_key(params, root, monkeypatch):
    monkeypatch.setenv("SENSE_API_KEY", SECRET)
    llms = {"gpt": "https://api.example.com/v1", "near-by": "http://localhost:8000/v1"}
    teachers = {name: {"share": 1, "llm": {"model": "m", "base_url": url}} for name, url in llms.items()}
    params["synthesize"] |= {"teachers": {"grammar": {"share": 2}} | teachers}
    result = run_checks(params, root)["teacher's key"]
    assert not result.ok
    assert "set SENSE_API_KEY_GPT" in result.detail
    monkeypatch.setenv("SENSE_API_KEY_GPT", SECRET)
    result = run_checks(params, root)["teacher's key"]
    assert result.ok
    assert "set, for api.example.com; not set, and localhost is near" in result.detail


def test_a_server_that_never_answers_is_not_waited_for(params, root, monkeypatch):
    monkeypatch.setitem(store._SHORT_TIMEOUTS, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # both wait 5 seconds, twice
    short = {**object_store.PROBE_TIMEOUTS, "connect_timeout": 1, "read_timeout": 1}
    monkeypatch.setattr(object_store, "PROBE_TIMEOUTS", short)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, SECRET)
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        results = run_checks(params, root, remote=f"s3://{BUCKET}/team")
    assert not results["MLflow"].ok
    assert "check MLFLOW_TRACKING_URI" in results["MLflow"].detail
    assert not results["data remote"].ok
    assert "check AWS_ENDPOINT_URL" in results["data remote"].detail


@pytest.mark.parametrize("broken", [{}, {"synthesize": "much"}, {"synthesize": {"teacher": "llm", "llm": 3}}])
def test_params_of_no_shape_fail_one_check_alone(root, broken):
    results = run_checks(broken, root)
    assert [name for name, result in results.items() if not result.ok] == ["parameters"]


def test_what_tasks_ask_of_shared_memory_must_make_sense(params, root):
    params["resources"] = {"defaults": {"memory": "8Gi"}, "sft": {"shm": "8192Mi"}, "dpo": {"gpus": 4}}
    result = run_checks(params, root)["shared memory"]
    assert not result.ok
    assert "resources.sft.shm = 8192Mi counts as memory of the pod, which has 8Gi; raise resources.sft.memory" in result.detail
    assert "resources.dpo.gpus = 4 and no shm" in result.detail
    params["resources"] = {"sft": {"shm": "1Gi", "gpus": 2}}
    assert run_checks(params, root)["shared memory"].detail == "asked for by sft 1Gi: each within its memory"
    results = preflight.run_checks(params, Surroundings(disk_gb=0.001, shm="9Ei"))
    assert "resources.check.shm asks for 9Ei" in {result.name: result for result in results}["shared memory"].detail


@pytest.mark.parametrize(("text", "value"), [("500m", 0.5), ("2", 2), ("64Gi", 64 * 2**30), ("1.5k", 1500), ("3E", 3e18)])
def test_quantities_of_kubernetes(text, value):
    assert float(preflight.quantity(text)) == value


def test_seeds_must_be_where_the_task_will_look_for_them(params, root):
    revision = "0" * 32 + ".dir"
    params["cluster"] |= {"remote": str(root / "remote"), "seeds": revision}
    result = run_checks(params, root)["seeds"]
    assert f"lacks {revision}" in result.detail
    file = root / "remote" / "files" / "md5" / "00" / ("0" * 30 + ".dir")
    file.parent.mkdir(parents=True)
    file.touch()
    results = preflight.run_checks(params, Surroundings(disk_gb=0.001, remote=str(root / "remote")))
    assert {result.name: result for result in results}["seeds"].detail == f"{revision} can be read"
    params["cluster"] = {}
    params["data"] = {"seeds": str(root / "none")}
    results = preflight.run_checks(params, Surroundings(disk_gb=0.001))
    assert f"data.seeds = {root}/none: no folder" in {result.name: result for result in results}["seeds"].detail
