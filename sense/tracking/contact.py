"""Whether MLflow's store can be used, found out in seconds: its own client would try for minutes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from sense import config
from sense.tracking import store

_BRIEFLY = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1"}


@store.reported()
def reach() -> str:
    """The store's address, without credentials, once it has answered; makes the experiment. EndpointError if it does not."""
    uri = config.tracking_uri()
    hidden = urlsplit(uri).netloc.rpartition("@")[0]
    with _briefly():
        opened = store.current()
        opened.client.get_experiment(opened.experiment)  # asked again: `current` may remember an answer
    return uri.replace(f"{hidden}@", "") if hidden else uri


@contextmanager
def _briefly() -> Iterator[None]:
    """Short timeouts for MLflow's requests; it reads them from the environment at each."""
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
