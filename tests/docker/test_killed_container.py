"""A training container killed in the middle and started again, as Kubernetes does on a retry: the same weights in the end."""

import os
import select
import shutil
import subprocess
from pathlib import Path

import pytest

from sense import records
from tests import mlflow_store
from tests.docker.container import docker, run

pytestmark = [pytest.mark.docker, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
CONTAINER = f"sense-test-kill-{os.getpid()}"


def sft_command(work: str, model: str) -> list[str]:
    """`sense sft` with a work directory and a database of MLflow of its own."""
    inputs = "--strong /run/sense/strong --seed /run/sense/seed"
    outputs = f"--model /run/sense/{model} --curve /run/sense/{model}.csv --metrics /run/sense/{model}.json"
    variables = f"SENSE_WORK=/run/sense/{work} MLFLOW_TRACKING_URI=sqlite:////run/sense/{work}.db"
    return ["sh", "-ec", f"{variables} exec sense sft --params /run/sense/params.yaml {inputs} {outputs}"]


@pytest.fixture
def folder(image, tmp_path):
    """A folder that containers of any user share, with the data to train on."""
    tmp_path.chmod(0o777)
    shutil.copy(ROOT / "configs" / "tiny.yaml", tmp_path / "params.yaml")
    for work in ("undisturbed", "work"):
        (tmp_path / f"{work}.db").write_bytes(mlflow_store.migrated())
        (tmp_path / f"{work}.db").chmod(0o666)
    stages = (
        "cd /run/sense && "
        "sense ingest --seeds /opt/sense/sense/seeds --seed seed --dev dev --metrics ingest.json && "
        "sense synthesize --seed seed --dev dev --strong strong --unseen unseen --heldout heldout "
        "--decontamination decontamination.json --metrics synthesize.json"
    )
    run(image, "sh", "-ec", stages, mounts={tmp_path: "/run/sense"})
    return tmp_path


def test_a_killed_training_resumes_and_ends_with_the_same_weights(image, folder):
    options = ["--network", "none", "--read-only", "--tmpfs", "/tmp"]
    options += ["--env", "OMP_NUM_THREADS", "--volume", f"{folder}:/run/sense"]
    docker("run", "--rm", *options, image, *sft_command("undisturbed", "whole"))
    docker("run", "--detach", "--name", CONTAINER, *options, image, *sft_command("work", "model"))
    try:
        while not list(folder.glob("work/sft-*/**/checkpoint-*/trainer_state.json")):
            assert docker("inspect", "-f", "{{.State.Running}}", CONTAINER) == "true", docker("logs", CONTAINER)
            select.select([], [], [], 0.05)
        subprocess.run(["docker", "kill", "--signal", "KILL", CONTAINER], capture_output=True, check=False)
        assert docker("wait", CONTAINER) == "137"
        assert not (folder / "model").exists()
        checkpoints = {path.name for path in folder.glob("work/sft-*/**/checkpoint-*")}
        docker("run", "--rm", *options, image, *sft_command("work", "model"))
    finally:
        subprocess.run(["docker", "rm", "--force", CONTAINER], capture_output=True, check=False)
    assert checkpoints
    assert not list(folder.glob("work/sft-*"))
    assert records.digest(folder / "model") == records.digest(folder / "whole")
    assert (folder / "model.csv").read_bytes() == (folder / "whole.csv").read_bytes()
