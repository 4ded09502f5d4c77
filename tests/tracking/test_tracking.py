"""Runs that survive a kill, models registered once: against a real MLflow store on SQLite."""

import json
import os
import subprocess
import sys

import mlflow
import pytest

from sense import tracking
from sense.errors import EndpointError
from sense.tracking import runs, store
from tests.mlflow_store import fresh, sense_runs


@pytest.fixture
def client(tmp_path, monkeypatch):
    return fresh(tmp_path, monkeypatch)


def points(client, run, key):
    return sorted((point.step, point.value) for point in client.get_metric_history(run.id, key))


def test_a_run_holds_nested_params_its_curve_and_its_last_numbers(client, tmp_path):
    params = {"seed": 0, "model": {"name": None, "nano": {"hidden": 64}}, "long": "x" * 7000}
    with tracking.training_run("sft", params, tmp_path / "run.json") as run:
        run.log(10, {"loss": 2.5, "rewards/chosen": -1.0, "note": "no number"})
        run.log(20, {"loss": 1.5})
        run.finish({"steps": 20, "loss": 1.5, "dropped": {"longer (max_length)": 3}})
    stored = client.get_run(run.id)
    assert stored.info.run_name == "sft"
    assert stored.info.status == "FINISHED"
    assert stored.data.params == {"seed": "0", "model.name": "None", "model.nano.hidden": "64", "long": "x" * 6000}
    assert points(client, run, "loss") == [(10, 2.5), (20, 1.5)]
    assert {k: v for k, v in stored.data.metrics.items() if k.startswith("final.")} == {
        "final.steps": 20.0,
        "final.loss": 1.5,
        "final.dropped.longer _max_length_": 3.0,
    }


def test_a_killed_stage_continues_its_run_and_repeats_no_step(client, tmp_path):
    first = tracking.training_run("sft", {"seed": 0}, tmp_path / "run.json")
    first.log(10, {"loss": 3.0})
    first.log(20, {"loss": 2.0})
    again = tracking.training_run("sft", {"seed": 0}, tmp_path / "run.json")  # resumes from its checkpoint at step 10
    again.log(20, {"loss": 2.0})
    again.log(30, {"loss": 1.0})
    again.finish({})
    assert again.id == first.id
    assert len(sense_runs(client)) == 1
    assert points(client, again, "loss") == [(10, 3.0), (20, 2.0), (30, 1.0)]


def test_killed_before_the_run_was_made(client, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"key": "abc"}))
    run = tracking.training_run("sft", {}, tmp_path / "run.json")
    assert client.get_run(run.id).data.tags["sense.key"] == "abc"


def test_a_deleted_run_is_made_anew(client, tmp_path):
    first = tracking.training_run("sft", {}, tmp_path / "run.json")
    client.delete_run(first.id)
    second = tracking.training_run("sft", {}, tmp_path / "run.json")
    assert second.id != first.id
    assert [run.info.run_id for run in sense_runs(client)] == [second.id]


def test_another_work_directory_is_another_run(client, tmp_path):
    names = [tracking.training_run("sft", {}, tmp_path / name / "run.json").id for name in ("a", "b")]
    assert names[0] != names[1]


def test_a_deleted_experiment_comes_back(client, tmp_path):
    tracking.training_run("sft", {}, tmp_path / "run.json")
    client.delete_experiment(client.get_experiment_by_name("sense").experiment_id)
    store._open.cache_clear()
    assert tracking.training_run("sft", {}, tmp_path / "b.json").id


@pytest.mark.parametrize(("problem", "status"), [(ValueError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_what_ends_the_stage_is_told(client, tmp_path, problem, status):
    with pytest.raises(type(problem)), tracking.training_run("sft", {}, tmp_path / "run.json") as run:
        raise problem
    assert client.get_run(run.id).info.status == status


def test_hundreds_of_params_and_nothing_of_the_environment(client, tmp_path, monkeypatch):
    monkeypatch.setenv("SENSE_API_KEY", "do-not-tell")
    run = tracking.training_run("sft", {f"p{n}": n for n in range(230)}, tmp_path / "run.json")
    stored = client.get_run(run.id)
    assert len(stored.data.params) == 230
    assert "do-not-tell" not in str(stored.to_dictionary())
    assert set(stored.data.tags) == {"sense.key", "sense.code_rev", "mlflow.runName"}


def test_artifacts_lie_beside_the_database(client, tmp_path):
    tracking.training_run("sft", {}, tmp_path / "run.json")
    assert client.get_experiment_by_name("sense").artifact_location == str(tmp_path / "mlruns")


def test_a_store_that_cannot_be_reached_is_named_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:9.*MLFLOW_TRACKING_URI") as caught:
        tracking.training_run("sft", {}, tmp_path / "run.json")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("NewConnectionError('HTTPConnection(host=..., port=9): Connection refused')", "Connection refused"),
        ("ProtocolError('Connection aborted.', ConnectionResetError(104, 'reset by peer'))", "Connection aborted."),
    ],
)
def test_why_a_server_was_not_reached_is_told_without_what_requests_wraps_it_in(cause, reason):
    assert store._first_line(OSError(f"API request to x failed (Caused by {cause})")) == f"the server cannot be reached: {reason}"


RACE = """
from pathlib import Path
from sense import tracking
import sys
with tracking.training_run("sft", {}, Path(sys.argv[1])) as run:
    run.finish({"loss": 1.0})
"""


@pytest.mark.slow
def test_two_stages_at_once_on_a_store_that_is_not_there_yet(tmp_path):
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri}
    started = [
        subprocess.Popen([sys.executable, "-c", RACE, str(tmp_path / name)], env=environment, stderr=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    outputs = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert outputs == ["", ""]  # MLflow's migrations and deprecations are not for our users
    assert len(sense_runs(mlflow.MlflowClient(uri, uri))) == 2


# --- the code's revision


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_revision_is_the_commit_and_says_when_the_package_differs(tmp_path):
    code = tmp_path / "sense"
    code.mkdir()
    (code / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "dvc.lock").write_text("changes with every run")
    assert runs.code_revision(code) == commit
    (code / "__init__.py").write_text("x = 1")
    assert runs.code_revision(code) == f"{commit}-dirty"


def test_without_git_the_image_says_the_revision(tmp_path, monkeypatch):
    monkeypatch.delenv("SENSE_CODE_REV", raising=False)
    assert runs.code_revision(tmp_path) == "unknown"
    monkeypatch.setenv("SENSE_CODE_REV", "v1.2")
    assert runs.code_revision(tmp_path) == "v1.2"
