"""A real `mlflow server` on 127.0.0.1, its store on SQLite and its files in a folder."""

import os
import select
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests import mlflow_store
from tests.certificates import Certificates


@contextmanager
def running(folder: Path, certificates: Certificates | None = None) -> Iterator[str]:
    """The address of a server that answers, on the store in `folder`/mlflow.db, empty if it is not there yet.

    With `certificates` it speaks TLS. It ends with the block, workers too.
    """
    if not (folder / "mlflow.db").exists():
        (folder / "mlflow.db").write_bytes(mlflow_store.migrated())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "files")]
    scheme, trusted = "http", True
    if certificates:
        scheme, trusted = "https", ssl.create_default_context(cafile=certificates.authority)
        command += ["--uvicorn-opts", f"--ssl-certfile {certificates.server} --ssl-keyfile {certificates.key}"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        while not _answers(f"{scheme}://127.0.0.1:{port}/health", trusted):
            assert server.poll() is None, (folder / "log").read_text()
            select.select([], [], [], 0.1)
        yield f"{scheme}://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(url: str, trusted: ssl.SSLContext | bool) -> bool:
    try:
        return httpx.get(url, verify=trusted).text == "OK"
    except httpx.TransportError:
        return False
