"""A fresh MLflow store on SQLite for a test: migrated once, copied for each (a migration takes seconds)."""

import functools
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run


@functools.cache
def migrated() -> bytes:
    """The file of an empty store."""
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(folder) / "mlflow.db"
        uri = f"sqlite:///{file}"
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments()
        client.search_registered_models()
        return file.read_bytes()


def opened(file: Path) -> MlflowClient:
    """A client of the store in `file`; MLflow's own warnings while it opens are not ours."""
    uri = f"sqlite:///{file}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_registered_models()
        return client


def fresh(folder: Path, patch: pytest.MonkeyPatch, content: bytes | None = None) -> MlflowClient:
    """Makes `folder` the home of the store that sense uses, empty or with `content`; returns a client that looks at it."""
    file = folder / "mlflow.db"
    file.write_bytes(migrated() if content is None else content)
    uri = f"sqlite:///{file}"
    patch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def sense_runs(client: MlflowClient) -> list[Run]:
    """The runs of the experiment `sense`."""
    return client.search_runs([client.get_experiment_by_name("sense").experiment_id])
