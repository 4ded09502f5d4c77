"""The connection to MLflow's store: opened once a process, checked within seconds, its failures turned into EndpointErrors."""

import fcntl
import functools
import logging
import re
import threading
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
KEY_TAG = "sense.key"
_PROBE_TAG = "sense.probe"
_SHORT_TIMEOUTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
_ENVIRONMENT_LOCK = threading.RLock()
_CONNECTION_FAILURE = re.compile(r"""\(Caused by \w+\(["'](?:\w+\([^()]*\): )?(.*?)["'](?:, .*)?\)\)$""")  # as requests writes it
# MLflow would log a traceback of what it raises anyway
logging.getLogger("mlflow.store.db.utils").addFilter(lambda record: not record.exc_info)


@dataclass(frozen=True)
class TrackingStore:
    """An open store and the id of the experiment in it that runs go into: `sense`, unless MLflow's variables name another."""

    client: Any
    experiment: str


@contextmanager
def endpoint_errors() -> Iterator[None]:
    """Turns MLflow's failures into an EndpointError that names the store and the fix; also usable as a decorator."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        problem, fix = _first_line(error), "check MLFLOW_TRACKING_URI and that the server runs"
        if "CERTIFICATE_VERIFY_FAILED" in problem:
            problem = "its certificate is not that of an authority trusted here"
            fix = "set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to the certificate of the authority that signed it"
        message = hide_credentials(f"MLflow ({config.tracking_uri()}): {problem}", config.tracking_uri())
        raise EndpointError(f"{message}; {fix}, then run the same command again") from None


def _first_line(error: Exception) -> str:
    """The first line of MLflow's message; where a server was not reached only the cause, which requests puts at the end."""
    line = str(error).strip().splitlines()[0]
    cause = _CONNECTION_FAILURE.search(line)
    return line if cause is None else f"the server cannot be reached: {cause[1]}"


def address() -> str:
    """The store's address, without the user and password that may stand in it."""
    return hide_credentials(config.tracking_uri(), config.tracking_uri())


def hide_credentials(text: str, uri: str) -> str:
    """`text` without the user and password of `uri`, wherever it repeats them."""
    # not by urlsplit: a password with an unquoted # or / would end the address for it
    credentials = "" if uri.startswith(("sqlite:", "file:")) else uri.partition("://")[2].rpartition("@")[0]
    return text.replace(f"{credentials}@", "") if credentials else text


@contextmanager
def short_timeouts() -> Iterator[None]:
    """Timeouts of seconds for MLflow's requests, in place of minutes of retries.

    MLflow reads them from the environment at each request, so one thread at a time.
    """
    with _ENVIRONMENT_LOCK, config.with_variables(_SHORT_TIMEOUTS):
        yield


@endpoint_errors()
def check_store() -> str:
    """The store's address, without credentials, once it has answered; makes the experiment. EndpointError if it does not."""
    with short_timeouts():
        store = open_store()
        store.client.get_experiment(store.experiment)  # a request in any case: `open_store` may remember an answer
    return address()


@endpoint_errors()
def check_writable() -> str:
    """As `check_store`, once the experiment has taken a tag, which is removed again: what needs the right to log runs."""
    address = check_store()
    with short_timeouts():
        store = open_store()
        store.client.set_experiment_tag(store.experiment, _PROBE_TAG, "written to see whether runs can be logged")
        try:
            store.client.delete_experiment_tag(store.experiment, _PROBE_TAG)
        except MlflowException as error:
            if error.error_code not in ("ENDPOINT_NOT_FOUND", "RESOURCE_DOES_NOT_EXIST"):  # an older server, or another check
                raise
    return address


@endpoint_errors()
def check_registry() -> str:
    """As `check_store`, for commands that only read: makes nothing. InputError if a SQLite store does not exist."""
    with short_timeouts():
        read_client().search_registered_models(max_results=1)
    return address()


def read_client() -> Any:
    """A client that makes no store and no experiment; InputError if a SQLite store does not exist."""
    database = _sqlite_file(config.tracking_uri())
    if database is not None and not database.is_file():
        raise InputError(f"{database}: no such MLflow store; publish a model first (dvc repro), or set MLFLOW_TRACKING_URI")
    return _client(config.tracking_uri(), Path.cwd())


def open_store() -> TrackingStore:
    """The store that config.tracking_uri() names, made at its first use."""
    # a relative sqlite path means another file in another folder
    return _open(config.tracking_uri(), Path.cwd(), config.tracking_target())


def find_run(store: TrackingStore, key: str) -> Any | None:
    """The run that carries `key`, unless it was deleted."""
    condition = f"tags.`{KEY_TAG}` = '{key}'"
    runs = store.client.search_runs([store.experiment], condition, run_view_type=ViewType.ACTIVE_ONLY, max_results=1)
    return runs[0] if runs else None


@functools.cache
def _open(uri: str, folder: Path, target: config.TrackingTarget) -> TrackingStore:
    client = _client(uri, folder)
    with _locked(uri), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TrackingStore(client, _target_experiment(client, uri, target))


def _target_experiment(client: Any, uri: str, target: config.TrackingTarget) -> str:
    """The id of the experiment for new runs; InputError if one of MLflow's variables names what is not there."""
    try:
        if target.parent_run:  # MLflow nests only runs of one experiment
            return str(client.get_run(target.parent_run).info.experiment_id)
        if target.experiment_id:
            return str(client.get_experiment(target.experiment_id).experiment_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        variable = "MLFLOW_RUN_ID" if target.parent_run else "MLFLOW_EXPERIMENT_ID"
        value = target.parent_run or target.experiment_id
        noun = "run" if target.parent_run else "experiment"
        raise InputError(
            f"{variable} = {value}: MLflow ({address()}) has no such {noun}; correct the variable or unset it"
        ) from None
    return _experiment_id(client, uri, target.experiment or EXPERIMENT)


@functools.cache
def _client(uri: str, _folder: Path) -> Any:
    with _locked(uri), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own deprecations, which only MLflow can mend
        try:
            urlsplit(uri)
        except ValueError:
            raise InputError(f"MLFLOW_TRACKING_URI: {address()} is no URL; percent-encode the signs of its password") from None
        database = _sqlite_file(uri)
        if database is not None and not database.exists():
            _create(database)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_registered_models(max_results=1)  # makes the registry's tables
        if database is not None:
            client.search_experiments(max_results=1)  # and this tracking's
        return client


def _create(database: Path) -> None:
    """A new SQLite store, under its name only when it is whole: MLflow cannot repair one whose first migration was killed."""
    partial = database.with_name(f".{database.name}.partial") / database.name  # in a folder: SQLite puts a journal beside it
    records.remove(partial.parent)
    partial.parent.mkdir()
    uri = f"sqlite:///{partial}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_registered_models(max_results=1)
    partial.replace(database)
    records.remove(partial.parent)


@contextmanager
def _locked(uri: str) -> Iterator[None]:
    """Holds a lock beside a SQLite store: two processes that both migrate a new file break it for good."""
    database = _sqlite_file(uri)
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f".{database.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _experiment_id(client: Any, uri: str, name: str) -> str:
    """The experiment's id; it is created at first use, and restored if somebody deleted it."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        database = _sqlite_file(uri)
        # MLflow would take the folder the process happens to run in; beside the database they stay together.
        artifacts = str(database.resolve().parent / "mlruns") if database else None
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # another process was faster, on a server
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def _sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite store, or None for any other."""
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(name) if uri.startswith("sqlite:///") and name not in ("", ":memory:") else None
