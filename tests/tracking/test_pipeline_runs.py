"""The tree of a pipeline run in MLflow: one run for the whole, one for each task whatever is retried, against a real store."""

import pytest

from sense import tracking
from sense.errors import EndpointError, InputError
from tests.mlflow_store import fresh, sense_runs

RUN = "0c7e-run"


@pytest.fixture
def client(tmp_path, monkeypatch):
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return fresh(tmp_path, monkeypatch)


@pytest.fixture
def task(client, monkeypatch):
    """Makes this process the task that it is called with."""

    def become(name):
        values = {"run_id": RUN, "workflow": "sense-abc12", "version": "1f0e", "host": "http://kfp.test/", "image": "i@sha256:0"}
        for field, value in {**values, "name": name}.items():
            monkeypatch.setenv(f"SENSE_PIPELINE_{field.upper()}", value)

    return become


def tree(client):
    """The run of the whole, and the others by their names."""
    (whole,) = [run for run in sense_runs(client) if "mlflow.parentRunId" not in run.data.tags]
    rows = [run for run in sense_runs(client) if run.info.run_id != whole.info.run_id]
    children = {run.info.run_name: run for run in rows}
    assert len(children) == len(rows)
    return whole, children


def test_tasks_share_one_tree_that_names_the_pipeline_run(client, task, tmp_path):
    task("check")
    with tracking.task_run({"seed": 1}, {}):
        assert tree(client)[0].info.status == "RUNNING"
    task("sft")
    with tracking.task_run({}, {"sense.data_rev": "d1"}), tracking.training_run("sft", {"a": 2}, tmp_path / "run.json") as run:
        run.finish({"loss": 1.0})
    task("publish")
    with tracking.task_run({}, {}), tracking.runs.open_run("registration", "content", {}, {}) as version_run:
        version_run.finish({})
    whole, children = tree(client)
    assert (whole.info.run_name, whole.info.status) == ("sense-abc12", "FINISHED")
    page = f"http://kfp.test/#/runs/details/{RUN}"
    for one in (whole, children["check"], children["sft"]):
        assert one.data.tags["kfp.pipeline_run_id"] == RUN
        assert one.data.tags["kfp.pipeline_run_url"] == page
        assert one.data.tags["sense.pipeline_version"] == "1f0e"
        assert one.data.tags["sense.image"] == "i@sha256:0"
        assert one.data.tags["sense.code_rev"]
    parents = {name: run.data.tags["mlflow.parentRunId"] for name, run in children.items()}
    assert parents.pop("registration") == children["publish"].info.run_id
    assert parents == dict.fromkeys(("check", "sft", "publish"), whole.info.run_id)


def test_a_retry_elsewhere_continues_the_run_of_the_try_before(client, task, tmp_path):
    task("sft")
    with pytest.raises(ValueError, match="lost"), tracking.task_run({}, {}):
        tracking.training_run("sft", {"a": 1}, tmp_path / "one" / "run.json").log(1, {"loss": 2.0})
        raise ValueError("lost")
    whole, children = tree(client)
    assert (whole.info.status, children["sft"].info.status) == ("FAILED", "FAILED")
    with tracking.task_run({}, {}):
        assert tree(client)[0].info.status == "RUNNING"
        with tracking.training_run("sft", {"a": 1}, tmp_path / "two" / "run.json") as run:
            run.log(2, {"loss": 1.0})
            run.finish({"loss": 1.0})
    whole, children = tree(client)
    assert children["sft"].info.run_id == run.id
    assert (whole.info.status, children["sft"].info.status) == ("RUNNING", "FINISHED")  # publish has yet to come
    assert [point.step for point in client.get_metric_history(run.id, "loss")] == [1, 2]
    assert len(client.get_metric_history(run.id, "final.loss")) == 1


def test_shards_are_runs_of_their_own(client, task):
    task("sample")
    for number in ("0", "1", "0"):
        with tracking.task_run({}, {}, number):
            pass
    assert set(tree(client)[1]) == {"sample-0", "sample-1"}


def test_the_versions_of_the_data_are_on_the_task_and_on_the_whole(client, task):
    task("version")
    with tracking.task_run({}, {}):
        run_id = tracking.record_data("key", {"strong": "abc.dir"}, "s3://b/p", "lock")
    whole, children = tree(client)
    assert children["version"].info.run_id == run_id
    assert whole.data.tags["sense.data.strong"] == children["version"].data.tags["sense.data.strong"] == "abc.dir"
    assert [reference.revisions for reference in tracking.data_references(0)] == [{"strong": "abc.dir"}]


def test_the_run_of_mlflows_variable_is_the_parent_and_stays_as_it_is(client, task, tmp_path, monkeypatch):
    experiment = client.create_experiment("of-the-platform")
    parent = client.create_run(experiment, run_name="kfp", tags={"kfp.pipeline_run_id": RUN})
    monkeypatch.setenv("MLFLOW_RUN_ID", parent.info.run_id)
    task("dpo")
    with pytest.raises(KeyError), tracking.task_run({}, {}):
        raise KeyError
    rows = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert set(rows) == {"kfp", "dpo"}
    assert rows["dpo"].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (rows["kfp"].info.status, rows["kfp"].data.tags) == ("RUNNING", parent.data.tags)


def test_outside_of_a_pipeline_mlflows_variables_hold_too(client, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    with tracking.task_run({}, {}) as nothing:
        assert nothing is None
    parent = tracking.training_run("sweep", {}, tmp_path / "a.json")
    monkeypatch.setenv("MLFLOW_RUN_ID", parent.id)
    child = client.get_run(tracking.training_run("sft", {}, tmp_path / "b.json").id)
    assert child.data.tags["mlflow.parentRunId"] == parent.id
    assert child.info.experiment_id == client.get_experiment_by_name("mine").experiment_id
    assert client.get_experiment_by_name("sense") is None


@pytest.mark.parametrize(("variable", "noun"), [("MLFLOW_RUN_ID", "run"), ("MLFLOW_EXPERIMENT_ID", "experiment")])
def test_a_variable_that_names_nothing_is_told(client, tmp_path, monkeypatch, variable, noun):
    monkeypatch.setenv(variable, "777")
    with pytest.raises(InputError, match=f"{variable} = 777: .* has no such {noun}; correct the variable or unset it"):
        tracking.training_run("sft", {}, tmp_path / "run.json")


def test_a_store_that_is_gone_is_an_endpoint_error(task, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    task("merge")
    with pytest.raises(EndpointError, match="MLFLOW_TRACKING_URI"), tracking.task_run({}, {}):
        pass
