"""A training on several nodes: the task creates a TrainJob, waits for it, takes its outputs, and leaves nothing behind."""

import json
import os
import signal
import sys
import threading

import pytest

from sense import config, records
from sense.cost import record
from sense.errors import EndpointError, SenseError, UserError
from sense.kubeflow import nodes, preflight, train_job
from tests import mlflow_store, pipeline
from tests.dataset_folder import write_dataset
from tests.kubeflow.trainer import Trainer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ends processes through /proc")

CLUSTER = """
cluster:
  checkpoints: {claim: shared, path: PATH}
resources:
  sft: {nodes: 2}
"""
START = "import json, os, sys; from pathlib import Path; folder = Path(sys.argv[1]); first = os.environ['PET_NODE_RANK'] == '0'\n"
WAIT = "print('waits', flush=True); sys.stdin.read()\n"
FINISH = """
order = json.loads((folder / "order.json").read_text())
if first:
    print("step 1 of 1", flush=True)
    (folder / "outputs").mkdir()
    for port, path in order["outputs"].items():
        Path(path).write_text(f"{port} from {Path(order['inputs']['strong']).read_text()}")
    (folder / "result.json").write_text(json.dumps({"metrics": {"steps": 1, "section": order["section"]}}))
"""
MISTAKE = """
(folder / "new").write_text(json.dumps({"error": "no example fits", "exit_code": 2}))
(folder / "new").rename(folder / "error.json")  # whole at once, as the real program writes it
sys.exit(2)
"""


class Killed(BaseException):
    """What ends a task in the place of SIGKILL."""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A claim and a way to a cluster: call it with what `Trainer` takes."""
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "claim" / "work"))
    monkeypatch.setenv("SENSE_PIPELINE_RUN_ID", "run-1")
    monkeypatch.setattr(nodes, "_POLL_S", 0.02)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    running = []

    def start(*programs, **options):
        program = [sys.executable, "-c", "".join(programs)] if programs else None
        running.append(Trainer(program, **options))
        running[-1].__enter__()
        running[-1].kubeconfig(tmp_path / "kubeconfig")
        return running[-1]

    yield start
    for trainer in running:
        trainer.__exit__()


def job(tmp_path, cluster=CLUSTER):
    text = pipeline.TINY.read_text().partition("\ncluster:")[0] + cluster.replace("PATH", str(tmp_path / "claim"))
    params = config.validate(config.Params, config.parse(text, "params.yaml"), "params.yaml")
    return json.dumps(train_job.manifests("sft", params))


def train(tmp_path):
    """The task `sft` on files that are no data: its metrics."""
    for name in ("strong", "seed"):
        (tmp_path / name).write_text(name)
    inputs = {name: tmp_path / name for name in ("strong", "seed")}
    outputs = {name: tmp_path / "out" / name for name in ("model", "curve", "metrics")}
    return nodes.run(job(tmp_path), "sft", {"a": 1}, inputs, outputs)


def train_until_killed(tmp_path, monkeypatch, where="wait"):
    """A try that ends as by SIGKILL once its job is there: nothing is cleaned up."""

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(nodes._Job, where, kill)
        patch.setattr(nodes._Job, "delete", kill)
        train(tmp_path)


def left(tmp_path, trainer):
    """What a task has left in the cluster and on the claim."""
    return [*trainer.objects, *(tmp_path / "claim" / "jobs").glob("*")]


def test_outputs_metrics_and_log_arrive_and_the_job_goes(cluster, tmp_path, capsys):
    trainer = cluster(START, FINISH)
    assert train(tmp_path) == {"steps": 1, "section": {"a": 1}}
    for name in ("model", "curve", "metrics"):
        assert (tmp_path / "out" / name).read_text() == f"{name} from strong"
    assert "step 1 of 1\n" in capsys.readouterr().out
    assert [pod.index for pod in trainer.pods] == [0, 1]
    assert left(tmp_path, trainer) == []


def test_a_retried_task_waits_for_the_job_that_its_last_try_has_left(cluster, tmp_path, monkeypatch, capsys):
    trainer = cluster(START, WAIT, FINISH)
    train_until_killed(tmp_path, monkeypatch)
    (left_job,) = trainer.jobs()
    assert left_job["metadata"]["labels"]["pipeline/runid"] == "run-1"
    assert left_job["metadata"]["labels"]["app.kubernetes.io/component"] == "sft"

    def say(text):
        if "earlier try" in text:
            trainer.release()

    monkeypatch.setattr(nodes.console, "say", say)
    assert train(tmp_path)["steps"] == 1
    assert trainer.requests.count("POST trainjobs") == 1
    assert "waits\nstep 1 of 1\n" in capsys.readouterr().out
    assert left(tmp_path, trainer) == []


def test_the_result_of_a_job_that_ended_while_nobody_waited_is_taken(cluster, tmp_path, monkeypatch):
    trainer = cluster(START, FINISH)
    train_until_killed(tmp_path, monkeypatch, where="delete")  # killed once it had the result
    assert len(left(tmp_path, trainer)) == 3
    assert train(tmp_path)["steps"] == 1
    assert trainer.requests.count("POST trainjobs") == 1
    assert left(tmp_path, trainer) == []


def test_another_run_has_a_job_of_its_own(cluster, tmp_path, monkeypatch):
    trainer = cluster(START, WAIT, FINISH)
    train_until_killed(tmp_path, monkeypatch)
    monkeypatch.setenv("SENSE_PIPELINE_RUN_ID", "run-2")
    train_until_killed(tmp_path, monkeypatch)
    assert len({document["metadata"]["name"] for document in trainer.jobs()}) == 2


def test_a_job_that_fails_has_its_restarts_and_the_next_try_a_new_one(cluster, tmp_path, monkeypatch):
    trainer = cluster(START, "print('it fails'); sys.exit(3)")
    train_until_killed(tmp_path, monkeypatch)
    for controller in trainer._controllers:
        controller.join()
    assert len(trainer.pods) == 2 * 4
    with pytest.raises(SenseError, match=r"TrainJob sense-sft-\w{12} ended as Failed \(jobset\); the reason is in the log above"):
        train(tmp_path)
    assert trainer.requests.count("POST trainjobs") == 2  # the one that had failed was deleted
    assert left(tmp_path, trainer) == []


def test_what_the_user_can_mend_is_told_at_once(cluster, tmp_path):
    trainer = cluster(START, "if not first: sys.stdin.read()\n", MISTAKE)
    with pytest.raises(UserError, match=r"^no example fits$"):
        train(tmp_path)
    assert left(tmp_path, trainer) == []
    assert trainer.running() == []


def test_a_task_that_is_cancelled_deletes_its_job(cluster, tmp_path, monkeypatch, capsys):
    trainer = cluster(START, WAIT)
    before = signal.getsignal(signal.SIGTERM)

    def cancel():
        while not (trainer.pods and trainer.pods[0].lines):
            assert not ended.wait(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    ended = threading.Event()
    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        with pytest.raises(SystemExit) as caught:
            train(tmp_path)
    finally:
        ended.set()
        thread.join()
    assert caught.value.code == 143
    assert left(tmp_path, trainer) == []
    assert trainer.running() == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_job_that_somebody_deletes_is_told(cluster, tmp_path, monkeypatch):
    trainer = cluster(START, WAIT)
    wait = nodes._Job.wait

    def delete_and_wait(self, folder):
        nodes._Job.delete(self)
        wait(self, folder)

    monkeypatch.setattr(nodes._Job, "wait", delete_and_wait)
    with pytest.raises(UserError, match="was deleted; run the task again, it goes on from its last checkpoint"):
        train(tmp_path)
    assert left(tmp_path, trainer) == []


def test_an_api_server_that_fails_for_a_while_is_asked_again(cluster, tmp_path):
    cluster(START, FINISH, trouble=[503, 500, 429])
    assert train(tmp_path)["steps"] == 1


def test_a_missing_role_is_named(cluster, tmp_path):
    trainer = cluster(START, FINISH, forbidden=["POST trainingruntimes"])
    with pytest.raises(EndpointError, match="not let this task create trainingruntimes in the namespace research; give"):
        train(tmp_path)
    assert left(tmp_path, trainer) == []


def checked(tmp_path):
    """What is looked at before a run whose SFT is to train on two nodes."""
    text = pipeline.TINY.read_text().partition("\ncluster:")[0] + CLUSTER.replace("PATH", str(tmp_path / "claim"))
    result = preflight.run_checks(config.parse(text, "params.yaml"), preflight.Surroundings())[-1]
    assert result.name == "Kubeflow Trainer"
    return result


@pytest.mark.parametrize(
    ("forbidden", "expected"),
    [
        ([], "v1alpha1 answers, and the namespace research may be used"),
        (["GET trainjobs"], "not let this task list trainjobs"),
        (["create trainingruntimes"], "not let this task create trainingruntimes"),
        (["get pods/log"], "not let this task get pods/log in the namespace research; give its service account the role"),
        (["trainjobs"], "is Kubeflow Trainer 2 installed?"),
    ],
)
def test_trainer_and_the_role_are_looked_at_before_a_run(cluster, tmp_path, monkeypatch, forbidden, expected):
    mlflow_store.fresh(tmp_path, monkeypatch)
    cluster(forbidden=forbidden)
    result = checked(tmp_path)
    assert result.state == ("FAIL" if forbidden else "ok")
    assert expected in result.detail


def test_without_a_cluster_the_fix_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "gone"))
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "claim" / "work"))
    with pytest.raises(UserError, match="needs a cluster"):
        train(tmp_path)


@pytest.mark.slow
def test_sft_on_two_nodes_resumes_after_a_kill_and_ends(cluster, tmp_path, monkeypatch, capsys):
    questions = {f"q{n}": (f"How many dogs weigh {n} kilos?", f"SELECT count(*) FROM dog WHERE weight = {n}") for n in range(12)}
    statements = "CREATE TABLE dog (name TEXT, weight INT); INSERT INTO dog VALUES ('a', 1), ('b', 2);"
    inputs = {name: write_dataset(tmp_path / name, "dogs", statements, questions) for name in ("strong", "seed")}
    outputs = {name: tmp_path / "out" / name for name in ("model", "curve", "metrics")}
    section = pipeline.sections()["sft"]
    section["train"] |= {"max_steps": 8, "batch_size": 2}  # a checkpoint after each step
    environment = f"  env: {{OMP_NUM_THREADS: '1', MLFLOW_TRACKING_URI: 'sqlite:///{tmp_path}/mlflow.db'}}\nresources:"
    trainer = cluster()

    def kill():
        while not list((tmp_path / "claim" / "work").glob("sft-*/checkpoints/checkpoint-*/whole")):
            assert not ended.wait(0.05)
        for pod in trainer.running():
            pod.kill()

    ended = threading.Event()
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        metrics = nodes.run(job(tmp_path, CLUSTER.replace("resources:", environment)), "sft", section, inputs, outputs)
    finally:
        ended.set()
        thread.join()
    assert (metrics["steps"], metrics["examples"]) == (8, 12)
    assert metrics == records.read_json(outputs["metrics"])
    assert (outputs["model"] / "model.safetensors").is_file()
    assert [pod.index for pod in trainer.pods] == [0, 1, 0, 1]
    assert record.read("sft", outputs["metrics"]).tries == 2
    assert [path.name for path in (tmp_path / "claim" / "work").iterdir()] == ["cost"]
    assert left(tmp_path, trainer) == []
