"""Whether MLflow's store can be used, found out in seconds: its own client would try for minutes."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sense.tracking import store

_BRIEFLY = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1"}
_ONE = threading.RLock()


@store.reported()
def reach() -> str:
    """The store's address, without credentials, once it has answered; makes the experiment. EndpointError if it does not."""
    with briefly():
        opened = store.current()
        opened.client.get_experiment(opened.experiment)  # asked again: `current` may remember an answer
    return store.shown()


@store.reported()
def look() -> str:
    """As `reach`, for those who only look: makes nothing. InputError if a SQLite store is not there."""
    with briefly():
        store.registry().search_registered_models(max_results=1)
    return store.shown()


@contextmanager
def briefly() -> Iterator[None]:
    """Short timeouts for MLflow's requests; it reads them from the environment at each, so one thread at a time."""
    with _ONE:
        before = {name: os.environ.get(name) for name in _BRIEFLY}
        os.environ.update(_BRIEFLY)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
