"""The tiny pipeline in containers of the image, beside a real MLflow server and a real S3 API."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from sense import data_versions, records
from tests import mlflow_server
from tests.object_store import BUCKET, ObjectStore

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tracking(tmp_path_factory):
    """The URL of an MLflow server on this machine, with its store and files in a folder of its own."""
    with mlflow_server.running(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture(scope="module")
def store():
    with ObjectStore() as object_store:
        yield object_store


@pytest.fixture(scope="module")
def run(image, tracking, store, tmp_path_factory):
    """The folder of a run's outputs."""
    folder = tmp_path_factory.mktemp("docker")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # pytest's folders are for their owner alone, and the containers have another user
    text = (ROOT / "configs" / "tiny.yaml").read_text()
    cluster = f"cluster:\n  image: {image}\n  remote: s3://{BUCKET}/dvc\n"
    (folder / "params.yaml").write_text(text.replace("cluster:\n", cluster))
    command = [sys.executable, "-m", "sense", "pipeline", "run", "--runner", "docker", "--root", "out"]
    environment = {**os.environ, **store.environment, "MLFLOW_TRACKING_URI": tracking}
    process = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200)
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-4000:]
    shutil.copy(folder / "params.yaml", tmp_path_factory.getbasetemp() / "params.yaml")
    (outputs,) = (folder / "out").iterdir()
    return outputs


def test_the_model_is_in_the_registry_of_the_server(run, tracking):
    client = MlflowClient(tracking_uri=tracking, registry_uri=tracking)
    record = records.read_json(run / "publish" / "record")
    version = client.get_model_version_by_alias("sense", "champion")
    assert record["uri"] == f"models:/sense/{version.version}"
    files = [item.path for item in client.list_logged_model_artifacts(record["model_id"], "model")]
    assert "model/model.safetensors" in files


def test_data_is_pulled_from_s3_by_its_md5(run, store, tmp_path, monkeypatch):
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    lock = yaml.safe_load((run / "version" / "lock").read_text())
    digests = {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}
    data_versions.pull(f"s3://{BUCKET}/dvc", digests["data/strong"], tmp_path / "strong")
    assert records.digest(tmp_path / "strong") == records.digest(run / "synthesize" / "strong")


def test_tasks_run_as_the_user_of_the_image(run):
    user = os.getuid() or 1000
    assert (run / "report" / "report").stat().st_uid == user
    assert (run / "sft" / "model" / "model.safetensors").stat().st_uid == user
