"""The HTTP server of the gateway: uvicorn with limits on connections, slow requests and slow readers.

uvicorn's settings limit the size of a request's head and the idle time between requests. They do not limit the time in which the
head of a first request must arrive, the time a client takes to read a response, the body that a client sends after its response,
or the number of idle connections (`limit_concurrency` counts idle connections too, and answers 503 to all). A gateway without an
ingress needs these limits, so `LimitedH11Protocol` adds them to uvicorn's own protocol class. That class is not public:
pyproject.toml pins uvicorn to the minor version that tests/serving passed with.
"""

import asyncio
import gc
import logging
import math
import resource
import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from sense.serving import observability
from sense.serving.problems import ApiError, response

HEAD_S = 10.0  # seconds in which the head of a request must arrive, or the rest of a body that no route reads
WRITE_S = 30.0  # seconds in which a client must read what it was sent, or _MIN_READ_BYTES of it
_MAX_HEAD_BYTES = 16_384
_MIN_READ_BYTES = 65_536
_KEEP_ALIVE_S = 75  # longer than the 60 s after which load balancers usually close a connection
_MAX_BODY_AFTER_RESPONSE = 100_000_000  # bytes; a client that is cut off while it still sends may miss its response
_MAX_CONNECTIONS = 2_000
_BACKLOG = 256  # connections in the kernel's queue, all of which may be accepted before the first is counted
_RESERVED_FILES = 2 * _BACKLOG  # descriptors kept free of connections: for the backlog, workers, vLLM, databases, feedback
_MALFORMED = ApiError(400, "malformed_http", "the request is no valid HTTP", "send HTTP/1.1 as RFC 9112 has it")


class LimitedH11Protocol(H11Protocol):
    """A connection that is closed if a request's head takes longer than HEAD_S, and aborted if its client does not read.

    Closing a connection waits until everything is sent, forever if the client does not read; so a timer runs whenever something
    is left to send. Beyond `max_connections`, the connection that has been idle for longest is aborted for a new one.
    """

    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _idle_since = 0.0
    _body_after_response = 0  # bytes of a body received after the response to its request

    def __init__(self, *arguments: Any, max_connections: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._max_connections = max_connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the timer for the first request."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        if len(self.connections) > self._max_connections:
            self._make_room()
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            # head and body are two writes: without this the body waits 40 ms for a delayed ACK. asyncio sets it only for sockets
            # that were created with their protocol number
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the timers."""
        self._stop_head_timer()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Starts the timer for what is left to send."""
        self._idle_since = self.loop.time()
        super().on_response_complete()
        self._restart_write_timer()

    def pause_writing(self) -> None:
        """Restarts the timer: much is left to send."""
        super().pause_writing()
        self._restart_write_timer()

    def resume_writing(self) -> None:
        """Restarts the timer: the client reads."""
        super().resume_writing()
        self._restart_write_timer()

    def data_received(self, data: bytes) -> None:
        """Stops the head timer when a head is complete; starts it when bytes arrive while no request is at work."""
        before = self.cycle
        with suppress(h11.LocalProtocolError):  # malformed bytes after a response has begun: the connection is closing
            super().data_received(data)
        if self.cycle is not before:
            self._body_after_response = 0
            self._stop_head_timer()
        elif self.idle:
            self._body_after_response += len(data)
            if self._body_after_response > _MAX_BODY_AFTER_RESPONSE:
                self.transport.abort()
            if self._head is None:
                self._start_head_timer()

    @property
    def idle(self) -> bool:
        """Whether no request is at work."""
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self) -> None:
        """Aborts the connection that has been idle for longest; this one is among those it may be."""
        idle = [
            connection
            for connection in self.connections
            if isinstance(connection, LimitedH11Protocol)
            and connection.idle
            and not connection.transport.is_closing()
            and not connection.transport.get_write_buffer_size()
        ]
        min(idle, key=lambda connection: connection._idle_since).transport.abort()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  (uvicorn's plain text)
        """Sends a Problem, unless a response has begun, and closes the connection."""
        request_id = uuid.uuid4().hex
        problem = response(_MALFORMED, request_id)
        headers = [*problem.raw_headers, (b"x-request-id", request_id.encode()), (b"connection", b"close")]
        events = (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(problem.body)),
            h11.EndOfMessage(),
        )
        with suppress(h11.LocalProtocolError):
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
        self._restart_write_timer()

    def _restart_write_timer(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
        left = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(WRITE_S, self._check_progress, left) if left else None

    def _check_progress(self, before: int) -> None:
        """Waits on if the client has read enough, else aborts the connection."""
        left = self.transport.get_write_buffer_size()
        if left and before - left < _MIN_READ_BYTES:
            self.transport.abort()
        else:
            self._restart_write_timer()

    def _start_head_timer(self) -> None:
        self._head = self.loop.call_later(HEAD_S, self.timeout_keep_alive_handler)

    def _stop_head_timer(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


class GatewayServer(uvicorn.Server):
    """Calls `announce` once it accepts requests."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the application, then listens."""
        await super().startup(sockets)
        gc.freeze()  # a full collection over all imported modules would stop requests for some 40 ms, and free nothing
        self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Logs that it is stopping, which can take as long as a request or the loading of a model, and stops."""
        observability.log_event(logging.INFO, "stopping")
        await super().shutdown(sockets)


def create_server(app: FastAPI, grace_s: float, announce: Callable[[], None] = lambda: None) -> GatewayServer:
    """A server of `app`; when it is stopped, requests at work have `grace_s` seconds to finish."""
    config = uvicorn.Config(
        app,
        http=partial(LimitedH11Protocol, max_connections=_max_connections()),  # type: ignore[arg-type]  # uvicorn only calls it
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(grace_s),
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
    )
    return GatewayServer(config, announce)


def _max_connections() -> int:
    """The number of connections the process can hold, after its limit on open files is raised as far as needed and allowed."""
    needed = _MAX_CONNECTIONS + _RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):  # macOS enforces a lower limit than it reports
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        _MAX_CONNECTIONS
        if soft == resource.RLIM_INFINITY
        else max(_MAX_CONNECTIONS // 100, min(_MAX_CONNECTIONS, soft - _RESERVED_FILES))
    )
