"""A registry with two versions of a model, and `sense models` run on it."""

import shutil

import pytest

from tests.mlflow_store import fresh
from tests.registered_models import publish_two


@pytest.fixture
def client(tmp_path, monkeypatch):
    """An empty registry."""
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    return fresh(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def published_store(tmp_path_factory):
    """The folder of a store with two versions, to be copied; the copies share its artifacts."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        fresh(folder, patch)
        publish_two(folder)
    return folder


@pytest.fixture
def two_versions(published_store, client, tmp_path):
    """A registry in which version 1 is champion, and version 2 challenger and better by two questions of 20."""
    shutil.copy(published_store / "mlflow.db", tmp_path / "mlflow.db")
    return client
