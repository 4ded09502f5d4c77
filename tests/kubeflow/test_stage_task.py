"""A task's run in MLflow and the links between it and Kubeflow; a task that needs no MLflow does without."""

from types import SimpleNamespace

import pytest

from sense.errors import EndpointError
from sense.kubeflow import stage_task
from sense.tracking import runs
from tests.mlflow_store import fresh, sense_runs


@pytest.fixture
def client(tmp_path, monkeypatch):
    for name, value in {"RUN_ID": "r1", "NAME": "merge"}.items():
        monkeypatch.setenv(f"SENSE_PIPELINE_{name}", value)
    return fresh(tmp_path, monkeypatch)


@pytest.fixture
def summary(tmp_path):
    return SimpleNamespace(path=str(tmp_path / "summary"), metadata={})


def test_the_summary_names_the_run_and_the_run_has_the_metrics(client, summary, tmp_path, capsys):
    with stage_task.tracked(summary, {"k": 2}, {"data_rev": "d1"}) as run:
        stage_task.write_summary(summary, "| a |\n")
        stage_task.finish(run, {"samples": 4})
    (task,) = [row for row in sense_runs(client) if row.data.tags.get("sense.task") == "merge"]
    assert task.info.status == "FINISHED"
    assert (task.data.params, task.data.metrics["final.samples"]) == ({"k": "2"}, 4)
    assert task.data.tags["sense.data_rev"] == "d1"
    assert summary.metadata == {"mlflow_run_id": task.info.run_id, "mlflow_experiment_id": task.info.experiment_id}
    assert (tmp_path / "summary").read_text() == f"| a |\n\nMLflow run: {task.info.run_id}\n"
    assert f"MLflow run: {task.info.run_id}" in capsys.readouterr().err


def test_a_page_of_mlflow_is_linked(summary, tmp_path):
    summary.metadata |= {"mlflow_run_id": "7c", "mlflow_run_url": "http://mlflow/#/experiments/1/runs/7c"}
    stage_task.write_summary(summary, "text\n")
    assert (tmp_path / "summary").read_text().endswith("MLflow run: [7c](http://mlflow/#/experiments/1/runs/7c)\n")


def test_without_mlflow_the_task_goes_on(client, summary, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with stage_task.tracked(summary) as run:
        stage_task.finish(run, {"samples": 4})
    assert (run, summary.metadata) == (None, {})
    assert "the task goes on without a run in MLflow" in capsys.readouterr().err


def test_mlflow_that_is_gone_at_the_end_ends_no_task_that_is_done(client, summary, monkeypatch, capsys):
    def refuse(*_):
        raise EndpointError("MLflow is gone")

    with stage_task.tracked(summary) as run:
        monkeypatch.setattr(runs.TrackedRun, "finish", refuse)
        stage_task.finish(run, {})
    assert "MLflow is gone\nthe task has ended well" in capsys.readouterr().err


def test_outside_of_a_pipeline_nothing_is_tracked(client, summary, monkeypatch):
    monkeypatch.delenv("SENSE_PIPELINE_RUN_ID")
    with stage_task.tracked(summary) as run:
        assert run is None
    assert summary.metadata == {}
