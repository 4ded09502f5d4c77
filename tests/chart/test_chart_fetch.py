"""The init container's script, as the chart renders it, against a real MLflow store: a model comes whole or not at all."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from sense import records
from sense.registry.values import chart_values
from tests import mlflow_server
from tests.chart.rendering import fetch_command, find, render, vllm_command
from tests.chart.rendering import pod as pod_spec
from tests.mlflow_store import fresh

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 64, "sub/vocab.txt": b"a\nb\n"}
REFUSED = 3  # the exit code on which the Job before an upgrade gives up at once
MODEL_INFO = {"prompt": {"schema_style": "ddl", "sample_values": 2, "target": "linked"}}


def model(folder):
    """A model folder as `sense publish` stores it; returns its digest as it was before its card joined it."""
    for name, content in FILES.items():
        (folder / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "model" / name).write_bytes(content)
    records.write_json(folder / "model" / "sense.json", MODEL_INFO)
    digest = records.digest(folder / "model")
    (folder / "model" / "README.md").write_text("# card\n")
    (folder / "MLmodel").write_text("flavors: {}\n")
    return digest


def register(client, folder):
    """sense version 1, champion; and an adapter below a run's folder as version 1 of `extra`."""
    digest = model(folder / "model-1")
    client.create_registered_model("sense")
    client.create_model_version("sense", str(folder / "model-1"), tags={"sense.digest.sense": digest})
    client.set_registered_model_alias("sense", "champion", "1")
    adapter = folder / "adapter-1" / "peft"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"w")
    (adapter.parent / "MLmodel").write_text("flavors: {}\n")
    client.create_registered_model("extra")
    client.create_model_version("extra", str(adapter.parent))
    return digest


@pytest.fixture
def digest(tmp_path, monkeypatch):
    """Of version 1 of `sense` in a store that the environment names."""
    return register(fresh(tmp_path, monkeypatch), tmp_path / "stored")


class Pod:
    """A pod's init container on the volume `models`."""

    def __init__(self, models, name="pod-a", **options):
        self.models, self.name = Path(models), name
        champion = {"model": {"name": "sense", "version": "1", "digest": "", "previous": None}}
        self.manifests = render("values-cpu.yaml", set=champion | options)
        command, env = fetch_command(self.manifests, {"/models": models})
        self.command = [sys.executable if argument == "python" else argument for argument in command]
        self.env = {**os.environ, **env, "POD_NAME": name, "MLFLOW_TRACKING_URI": os.environ["MLFLOW_TRACKING_URI"]}

    def start(self):
        return subprocess.Popen(
            self.command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def run(self):
        """Exit code and output."""
        process = self.start()
        output = process.communicate(timeout=900)[0]
        return process.returncode, output

    @property
    def served(self):
        """The folder that vLLM loads the model from."""
        command, _ = vllm_command(self.manifests, {"/models": self.models})
        return Path(command[command.index("--model") + 1])


def file_contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def leftovers(models):
    return [path.name for path in Path(models).rglob(".*") if path.name != ".whole"]


def test_a_model_is_downloaded_completely_and_once(tmp_path, digest):
    pod = Pod(tmp_path / "models", **{"model.digest": digest})
    code, output = pod.run()
    assert code == 0, output
    assert file_contents(pod.served) == {
        **FILES,
        "sense.json": (tmp_path / "stored/model-1/model/sense.json").read_bytes(),
        "README.md": b"# card\n",
    }
    assert pod.served == tmp_path / "models" / "sense" / f"1-{digest[:12]}" / "model"
    assert leftovers(pod.models) == []
    shutil.rmtree(tmp_path / "stored")  # nothing is fetched again
    code, output = pod.run()
    assert (code, output) == (0, f"models:/sense/1: {pod.served.parent} is there\n")


def test_a_changed_model_is_refused(tmp_path, digest):
    (tmp_path / "stored/model-1/model/model.safetensors").write_bytes(b"other weights")
    pod = Pod(tmp_path / "models", **{"model.digest": digest})
    code, output = pod.run()
    assert code == REFUSED
    assert f"not {digest}: it was changed since it was published" in output
    assert not pod.served.exists()
    assert leftovers(pod.models) == []


@pytest.mark.parametrize(
    ("options", "expected", "message"),
    [
        ({"model.version": "7"}, 1, "models:/sense/7: the download failed (see above)"),
        ({"model.name": "extra"}, REFUSED, "models:/extra/1: there must be one model/config.json in it"),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path, digest, options, expected, message):
    pod = Pod(tmp_path / "models", **options)
    code, output = pod.run()
    assert (code, message in output) == (expected, True), output
    assert leftovers(pod.models) == []
    assert file_contents(pod.models) == {}


def test_a_server_that_cannot_be_reached_may_be_there_at_the_next_try(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    pod = Pod(tmp_path / "models", **{"mlflow.env": [{"name": "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "value": "0"}]})
    code, output = pod.run()
    assert (code, "models:/sense/1: the download failed (see above)" in output) == (1, True), output
    assert leftovers(pod.models) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 KiB, less than the model takes."""
    disk = tmp_path / "models"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_told_and_not_tried_again(small_disk, digest):
    pod = Pod(small_disk)
    code, output = pod.run()
    assert (code, f"the disk of {small_disk}/sense is full (0Mi left): enlarge the volume" in output) == (REFUSED, True), output
    assert leftovers(small_disk) == []


def test_the_job_before_an_upgrade_downloads_as_a_pod_does():
    manifests = render("values-full.yaml")
    job, deployment = find(manifests, "Job"), find(manifests, "Deployment", "-vllm")
    (container,) = pod_spec(job)["containers"]
    assert container == pod_spec(deployment)["initContainers"][0]
    (rule,) = [one["onExitCodes"] for one in job["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in one]
    assert rule == {"containerName": container["name"], "operator": "In", "values": [REFUSED]}


def write_partial(folder, days):
    """A download that a lost pod has left, last written `days` ago."""
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"w")
    for path in (folder / "weights", folder):
        os.utime(path, (time.time() - days * 86_400,) * 2)


def start_download(pod):
    """Starts the pod and returns its process once its download has begun."""
    process = pod.start()
    while not list(pod.models.glob("sense/.*.partial")):
        assert process.poll() is None, process.communicate()[0]
        select.select([], [], [], 0.01)
    return process


def test_a_killed_download_is_done_again(tmp_path, digest):
    pod = Pod(tmp_path / "models")
    process = start_download(pod)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not pod.served.exists()
    (partial,) = pod.models.glob("sense/.*.partial")
    (partial / "model").mkdir(exist_ok=True)
    (partial / "model" / "config.json").write_bytes(b"ha")  # what it might have left
    write_partial(pod.models / "sense" / ".9.pod-x.partial", 3)
    write_partial(pod.models / "sense" / ".9.pod-y.partial", 0)  # of a pod that may be at it
    code, output = pod.run()
    assert code == 0, output
    assert file_contents(pod.served)["config.json"] == b"{}"
    assert leftovers(pod.models) == [".9.pod-y.partial"]


def test_a_pod_that_is_deleted_during_the_download_leaves_nothing(tmp_path, digest):
    """As the kubelet does it: SIGTERM, to the container's first process alone."""
    pod = Pod(tmp_path / "models")
    process = start_download(pod)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (child := children.read_text().strip()):
        assert process.poll() is None, process.communicate()[0]
        select.select([], [], [], 0.01)
    download = os.pidfd_open(int(child))
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert select.select([download], [], [], 30)[0]  # readable once it has ended, which may be some moments after its output
    os.close(download)
    assert file_contents(pod.models) == {}
    assert leftovers(pod.models) == []


def test_a_folder_without_the_mark_is_downloaded_again(tmp_path, digest):
    pod = Pod(tmp_path / "models")
    pod.served.mkdir(parents=True)
    (pod.served / "config.json").write_bytes(b"{}")
    code, output = pod.run()
    assert code == 0, output
    assert file_contents(pod.served).keys() == {*FILES, "sense.json", "README.md"}
    assert (pod.served.parent / ".whole").is_file()


def test_several_pods_on_one_volume_do_not_collide(tmp_path, digest):
    pods = [Pod(tmp_path / "models", f"pod-{number}") for number in range(2)]
    processes = [pod.start() for pod in pods]
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert file_contents(pods[0].served)["model.safetensors"] == FILES["model.safetensors"]
    assert leftovers(tmp_path / "models") == []


def test_the_first_finished_download_is_not_replaced(tmp_path, digest):
    """Its vLLM may read it already."""
    pod = Pod(tmp_path / "models")
    assert pod.run()[0] == 0
    first = (pod.served / "model.safetensors").stat().st_ino
    (pod.served.parent / ".whole").unlink()  # it has renamed, and not yet marked
    code, output = pod.run()
    assert code == 0, output
    assert (pod.served / "model.safetensors").stat().st_ino == first
    assert (pod.served.parent / ".whole").is_file()


def test_the_champions_values_lead_to_the_champions_files(tmp_path, digest):
    """What `sense models values` writes, rendered, downloaded, with an adapter: the gateway reads prompts as the files say."""
    champion_values = yaml.safe_load(chart_values("sense", "champion"))
    pod = Pod(tmp_path / "models", **champion_values, **{"vllm.lora.adapters": [{"name": "extra", "version": "1"}]})
    code, output = pod.run()
    assert code == 0, output
    assert json.loads((pod.served / "sense.json").read_text()) == MODEL_INFO
    command, _ = vllm_command(pod.manifests, {"/models": pod.models})
    assert command[command.index("--served-model-name") + 1] == "sense-1"
    (config,) = [one["data"]["serve.yaml"] for one in pod.manifests if one["kind"] == "ConfigMap"]
    assert yaml.safe_load(config)["backend"]["vllm"]["models"] == {
        "sense-1": {"name": "sense", "version": "1", "digest": digest, "prompt": MODEL_INFO["prompt"]}
    }
    name, _, folder = command[command.index("--lora-modules") + 1].partition("=")
    assert name == "extra-1"
    assert file_contents(Path(folder)) == {"adapter_config.json": b"{}", "adapter_model.safetensors": b"w", ".whole": b""}
    assert leftovers(pod.models) == []


@pytest.mark.slow
def test_from_a_real_server(tmp_path, monkeypatch):
    """The files come over HTTP, from where the server keeps them."""
    (tmp_path / "server").mkdir()
    fresh(tmp_path / "server", monkeypatch)
    digest = model(tmp_path / "published")
    with mlflow_server.running(tmp_path / "server") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        client = MlflowClient(url, url)
        run = client.create_run(client.create_experiment("sense")).info
        client.log_artifacts(run.run_id, str(tmp_path / "published"), "sense")
        client.create_registered_model("sense")
        client.create_model_version("sense", f"{run.artifact_uri}/sense", run.run_id)
        assert run.artifact_uri.startswith("mlflow-artifacts:")
        pod = Pod(tmp_path / "models", **{"model.digest": digest})
        code, output = pod.run()
    assert code == 0, output
    assert records.digest(pod.served) == records.digest(tmp_path / "published" / "model")
