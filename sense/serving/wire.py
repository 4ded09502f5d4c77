"""The server under the gateway: uvicorn with limits on connections and slow heads, and a Problem where a request is no HTTP."""

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

from sense.serving import logs
from sense.serving.problems import Refusal, response

HEAD_S = 10.0  # for the head of a request to arrive, or the rest of a body that nobody reads
WRITE_S = 30.0  # in which a client must have read what it was sent, or _LEAST_BYTES of it
_HEAD_BYTES = 16_384
_LEAST_BYTES = 65_536
_KEEP_ALIVE_S = 75  # longer than the minute after which load balancers let go of a connection
_UNREAD_BYTES = 100_000_000  # of a body that comes after its answer: a client that is cut off while it sends may miss that
_CONNECTIONS = 2_000  # at a time
_BACKLOG = 256  # connections that the kernel may hold, and that may be taken before the first of them is counted
_FILES = 2 * _BACKLOG  # descriptors that connections leave: for those, and for workers, vLLM, database servers, feedback
_NO_HTTP = Refusal(400, "malformed_http", "the request is no valid HTTP", "send HTTP/1.1 as RFC 9112 has it")


class Wire(H11Protocol):
    """A connection that is closed if a request's head takes longer than HEAD_S, and cut if its client does not read.

    Closing waits until all is sent, for ever where nobody reads: so a clock runs whenever something is left to send. Beyond
    `most` connections, the one that has been idle for longest makes room for a new one.
    """

    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _idle_since = 0.0
    _spare = 0  # bytes that have come of a body whose request has been answered

    def __init__(self, *given: Any, most: int, **named: Any) -> None:
        super().__init__(*given, **named)
        self._most = most

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock for the first request."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        if len(self.connections) > self._most:
            self._make_room()
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            # head and body are written one after the other: without this the body waits for a delayed ACK, 40 ms; asyncio sets it
            # only for sockets that were made with their protocol's number
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clocks."""
        self._stop()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Starts the clock for what is left to send."""
        self._idle_since = self.loop.time()
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Starts it anew: much is left."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Starts it anew: the client reads."""
        super().resume_writing()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stops it when a head is whole; starts it when bytes come that no request at work has asked for."""
        before = self.cycle
        with suppress(h11.LocalProtocolError):  # nonsense after an answer has begun: the connection is closing
            super().data_received(data)
        if self.cycle is not before:
            self._spare = 0
            self._stop()
        elif self.idle:
            self._spare += len(data)
            if self._spare > _UNREAD_BYTES:
                self.transport.abort()
            if self._head is None:
                self._wait()

    @property
    def idle(self) -> bool:
        """Whether no request is at work."""
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self) -> None:
        wires = [one for one in self.connections if isinstance(one, Wire) and one.idle and not one.transport.is_closing()]
        unused = [one for one in wires if not one.transport.get_write_buffer_size()]  # this one is among them
        min(unused, key=lambda one: one._idle_since).transport.abort()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  (uvicorn's words, in its form)
        """Says so in the gateway's form, if nothing has been said, and closes."""
        request_id = uuid.uuid4().hex
        problem = response(_NO_HTTP, request_id)
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
        self._watch()

    def _watch(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
        left = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(WRITE_S, self._read, left) if left else None

    def _read(self, before: int) -> None:
        """Goes on if the client has read enough, else cuts the connection, with what it has not read."""
        left = self.transport.get_write_buffer_size()
        if left and before - left < _LEAST_BYTES:
            self.transport.abort()
        else:
            self._watch()

    def _wait(self) -> None:
        self._head = self.loop.call_later(HEAD_S, self.timeout_keep_alive_handler)

    def _stop(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


class Server(uvicorn.Server):
    """Calls `announce` once it takes requests."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the application, then listens."""
        await super().startup(sockets)
        gc.freeze()  # looking through all that was imported takes some 40 ms, in which no request goes on, and finds nothing
        self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Says so, for it can take as long as a request or a model's loading, and ends."""
        logs.event(logging.INFO, "stopping")
        await super().shutdown(sockets)


def server(app: FastAPI, grace_s: float, announce: Callable[[], None] = lambda: None) -> Server:
    """A server of `app` that, told to stop, gives requests at work `grace_s` seconds."""
    config = uvicorn.Config(
        app,
        http=partial(Wire, most=_connections()),  # type: ignore[arg-type]  # it is called, and no more
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(grace_s),
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )
    return Server(config, announce)


def _connections() -> int:
    """How many connections the process can hold, once its limit on open files is as high as it may be and that takes."""
    wanted = _CONNECTIONS + _FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):  # macOS has a limit below the one it tells
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _CONNECTIONS if soft == resource.RLIM_INFINITY else max(_CONNECTIONS // 100, min(_CONNECTIONS, soft - _FILES))
