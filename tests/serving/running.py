"""A real gateway under uvicorn, on a port of its own, in a thread of the test's process.

with Running(settings(model.url, folder)) as gateway:
    gateway.ask("How many?", "shop")
"""

import http.client
import socket
import threading
from pathlib import Path
from typing import Any

import httpx

from sense.config import ServeConfig
from sense.serving.app import create_app
from sense.serving.backend import Backend
from sense.serving.databases import Catalog
from sense.serving.http_server import create_server
from sense.serving.vllm import VllmBackend

CHECK_TIMEOUT_S = 30.0  # of a test's client; no request should take so long


def settings(model_url: str, databases: Path, /, names: tuple[str, ...] = ("sense-1",), **changes: Any) -> ServeConfig:
    """The configuration of a gateway before a model server; a name is NAME-VERSION."""
    versions = {name: {"name": name.rpartition("-")[0], "version": name.rpartition("-")[2]} for name in names}
    value: dict[str, Any] = {
        "port": 0,
        "backend": {"vllm": {"url": model_url, "models": versions}},
        "databases": {"folders": [str(databases)]},
        "feedback": None,
        "data": None,
    }
    return ServeConfig.model_validate(value | changes)


def until_closed(port: int) -> None:
    """Waits until nothing listens on the port any more."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass


class Running:
    """A gateway and a client of it; `app` is its ASGI application."""

    def __init__(self, config: ServeConfig, backend: Backend | None = None, headers: dict[str, str] | None = None) -> None:
        vllm = config.backend.vllm
        if backend is None:
            assert vllm is not None
            backend = VllmBackend(vllm, config.generation, config.limits.model_s)
        self.config = config
        self.app = create_app(config, backend, Catalog(config.databases, config.limits))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = create_server(self.app, grace_s=5)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name="gateway")
        self.client = self.new_client(headers)

    def new_client(self, headers: dict[str, str] | None = None) -> httpx.Client:
        """A client with connections of its own; the caller closes it."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        return httpx.Client(base_url=self.url, headers=headers, timeout=CHECK_TIMEOUT_S, limits=limits, trust_env=False)

    def __enter__(self) -> "Running":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.stop()
        self._thread.join()
        self._socket.close()

    def stop(self) -> None:
        """Asks the server to stop, as a signal does."""
        self._server.should_exit = True

    def ask(self, question: str = "How many items?", database: str = "shop", **fields: Any) -> httpx.Response:
        return self.client.post("/v1/sql", json={"question": question, "database": database, **fields})

    def metric(self, name: str) -> float:
        """A metric's value by its name with labels, 0 if it has none yet."""
        for line in self.client.get("/metrics").text.splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def raw(self, *parts: bytes) -> tuple[int, dict[str, str], bytes] | None:
        """Status, headers (lower case) and body of the first response to these bytes; None if the connection is closed."""
        with socket.create_connection(("127.0.0.1", self.port), CHECK_TIMEOUT_S) as connection:
            for part in parts:
                try:
                    connection.sendall(part)
                except (ConnectionResetError, BrokenPipeError):
                    break  # the server has closed already, and may have sent a response before
            response = http.client.HTTPResponse(connection)
            try:
                response.begin()
                return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            except (http.client.RemoteDisconnected, ConnectionResetError):
                return None
            finally:
                response.close()
