"""The connection to MLflow's store: opened once a process, and alone where two at once would collide."""

import fcntl
import functools
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from sense import config, records
from sense.errors import EndpointError, InputError

EXPERIMENT = "sense"
# Every run, logged model and version of SENSE carries this tag; what is found by it is continued, not made again.
KEY = "sense.key"
_UNREACHED = re.compile(r"""\(Caused by \w+\(["'](?:\w+\([^()]*\): )?(.*?)["'](?:, .*)?\)\)$""")
# MLflow would show a traceback of what it raises anyway
logging.getLogger("mlflow.store.db.utils").addFilter(lambda record: not record.exc_info)


@dataclass(frozen=True)
class Store:
    """An open store and the id of the experiment `sense` in it."""

    client: Any
    experiment: str


@contextmanager
def reported() -> Iterator[None]:
    """Turns MLflow's failures into an EndpointError that names the store and the fix; also usable as a decorator."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        problem = f"MLflow ({config.tracking_uri()}): {_brief(error)}"
        raise EndpointError(
            f"{shown(problem)}; check MLFLOW_TRACKING_URI and that the server runs, then run the same command again"
        ) from None


def _brief(error: Exception) -> str:
    """The first line of what MLflow says; where a server was not reached, the reason alone, which requests puts at the end."""
    first = str(error).strip().splitlines()[0]
    reason = _UNREACHED.search(first)
    return first if reason is None else f"the server cannot be reached: {reason[1]}"


def shown(text: str | None = None, uri: str | None = None) -> str:
    """The store's address or `uri`, or a text that repeats it, without the user and password that may stand in it."""
    uri = uri or config.tracking_uri()
    # not by urlsplit: a password with an unquoted # or / would end the address for it
    hidden = "" if uri.startswith(("sqlite:", "file:")) else uri.partition("://")[2].rpartition("@")[0]
    text = uri if text is None else text
    return text.replace(f"{hidden}@", "") if hidden else text


def registry() -> Any:
    """A client for those who only look, opened at its first use; InputError if a SQLite store is not there yet."""
    database = _sqlite(config.tracking_uri())
    if database is not None and not database.is_file():
        raise InputError(f"{database}: no such MLflow store; publish a model first (dvc repro), or set MLFLOW_TRACKING_URI")
    return _client(config.tracking_uri(), Path.cwd())


def current() -> Store:
    """The store that config.tracking_uri() names, opened at its first use."""
    return _open(config.tracking_uri(), Path.cwd())  # a relative sqlite path means another file in another folder


@functools.cache
def _open(uri: str, folder: Path) -> Store:
    client = _client(uri, folder)
    with _alone(uri), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Store(client, _experiment(client, uri))


@functools.cache
def _client(uri: str, _folder: Path) -> Any:
    with _alone(uri), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own deprecations, which only MLflow can mend
        try:
            urlsplit(uri)
        except ValueError:
            raise InputError(f"MLFLOW_TRACKING_URI: {shown()} is no URL; percent-encode the signs of its password") from None
        database = _sqlite(uri)
        if database is not None and not database.exists():
            _make(database)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_registered_models(max_results=1)  # makes the registry's tables
        if database is not None:
            client.search_experiments(max_results=1)  # and this tracking's
        return client


def _make(database: Path) -> None:
    """A fresh SQLite store, under its name only when it is whole: MLflow cannot mend one whose first migration was killed."""
    growing = database.with_name(f".{database.name}.partial") / database.name  # a folder: SQLite lays a journal beside it
    records.remove(growing.parent)
    growing.parent.mkdir()
    uri = f"sqlite:///{growing}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_registered_models(max_results=1)
    growing.replace(database)
    records.remove(growing.parent)


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Holds a lock beside a SQLite store: two processes that both migrate a fresh file break it for good."""
    database = _sqlite(uri)
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f".{database.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _experiment(client: Any, uri: str) -> str:
    """The experiment's id; it is made at first use, and brought back if somebody deleted it."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        database = _sqlite(uri)
        # MLflow would take the folder the process happens to run in; beside the database they stay together.
        place = str(database.resolve().parent / "mlruns") if database else None
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=place))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(EXPERIMENT)  # another process was faster, on a server
    if found.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def find_run(store: Store, key: str) -> Any | None:
    """The run that carries `key`, unless it was deleted."""
    condition = f"tags.`{KEY}` = '{key}'"
    runs = store.client.search_runs([store.experiment], condition, run_view_type=ViewType.ACTIVE_ONLY, max_results=1)
    return runs[0] if runs else None


def _sqlite(uri: str) -> Path | None:
    """The file of a SQLite store, or None for any other."""
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(name) if uri.startswith("sqlite:///") and name not in ("", ":memory:") else None
