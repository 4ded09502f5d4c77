"""The champion of the demo's registry, fetched and served as the chart's pod does it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from sense import records
from tests.chart import rendering
from tests.served.vllm_process import MODULE, ROOT, Vllm, free_port, insisted, missing

VALUES = {"vllm.command": MODULE, "vllm.extraArgs": ["--host", "127.0.0.1"]}
StartVllm = Callable[..., Vllm]


def _skip_for(reason: str) -> None:
    if reason:
        (pytest.fail if insisted() else pytest.skip)(reason)


class Cluster:
    """What Kubernetes would do with the chart: values of a promotion in, a fetched model and a running vLLM out."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.mounts = {"/models": folder / "models", "/cache": folder / "cache"}
        for mount in self.mounts.values():
            mount.mkdir()
        self.registry = f"sqlite:///{ROOT / 'mlflow.db'}"
        self.champion = folder / "values.champion.yaml"
        command = [sys.executable, "-m", "sense", "models", "values", "sense@champion"]
        self.champion.write_text(self._run(command, {"MLFLOW_TRACKING_URI": self.registry}))

    def fetch(self) -> None:
        """The init container: the champion's files, from the registry."""
        command, env = rendering.fetch_command(self._rendered({}), self.mounts)
        python, *rest = command
        assert python == "python"
        self._run(
            [sys.executable, *rest], env | {"MLFLOW_TRACKING_URI": self.registry, "POD_NAME": "pod-1", "HOME": str(self.folder)}
        )

    def promote(self, model: Path) -> dict[str, Any]:
        """The values by which `model` follows the champion as version 2; its files are there already."""
        old = yaml.safe_load(self.champion.read_text())["model"]
        new = {
            "version": "2",
            "digest": records.digest(model),
            "previous": {name: old[name] for name in ("version", "digest", "prompt")},
        }
        target = self.mounts["/models"] / old["name"] / f"2-{new['digest'][:12]}"
        target.mkdir(parents=True)
        (target / "model").symlink_to(model.resolve())
        return {f"model.{name}": value for name, value in new.items()}

    def vllm(self, values: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        """The command and environment of vLLM's container."""
        return rendering.vllm_command(self._rendered(values), self.mounts)

    def models(self, values: dict[str, Any]) -> dict[str, Any]:
        """The versions that the gateway is configured for."""
        config_map = rendering.find(self._rendered(values), "ConfigMap", "-gateway")
        (text,) = config_map["data"].values()
        models: dict[str, Any] = yaml.safe_load(text)["backend"]["vllm"]["models"]
        return models

    def _rendered(self, values: dict[str, Any]) -> list[rendering.Manifest]:
        more = VALUES | {"vllm.port": self.port} | values
        return rendering.render("values-cpu.yaml", self.champion, set=more)

    def _run(self, command: list[str], env: dict[str, str]) -> str:
        result = subprocess.run(command, env=os.environ | env, cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster with the champion's files; the test is skipped where there is no vLLM or no demo run."""
    _skip_for(missing())
    _skip_for("" if (ROOT / "mlflow.db").is_file() and (ROOT / "data/predictions").is_dir() else "no finished demo: make demo")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    published = yaml.safe_load(cluster.champion.read_text())["model"]["digest"]
    _skip_for("" if published == records.digest(ROOT / "models/sense") else "the champion is not the model of the last demo run")
    cluster.fetch()
    return cluster


@pytest.fixture(scope="module")
def start_vllm(cluster: Cluster) -> Iterator[StartVllm]:
    """Starts vLLM with values over those of the champion; waits until it is ready."""
    with ExitStack() as stack:

        def start(values: dict[str, Any] | None = None) -> Vllm:
            command, env = cluster.vllm(values or {})
            return stack.enter_context(Vllm(command, env, cluster.port, cluster.folder / "vllm.log")).ready()

        yield start
