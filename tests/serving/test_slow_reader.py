"""Connections are cut of clients that do not read, that send too large a body, or that are too many."""

import asyncio
import socket

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from sense.serving import http_server

PART = b"x" * 100_000
PARTS = 100  # far more than the kernel's buffers take


def application():
    app = FastAPI()

    @app.get("/whole")
    async def whole():
        return Response(PART * PARTS)

    @app.get("/parts")
    async def parts():
        return StreamingResponse(iter([PART] * PARTS))

    return app


def run_with_server(visit):
    """Runs a server and `visit(server, connection)` on one loop."""

    async def scenario():
        listening = socket.create_server(("127.0.0.1", 0))
        ready = asyncio.Event()
        server = http_server.create_server(application(), 5, ready.set)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        await ready.wait()
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, listening.getsockname())
            await visit(server.server_state, connection)
        server.should_exit = True
        await running

    asyncio.run(asyncio.wait_for(scenario(), 30))


async def ask(connection, path, *headers):
    head = "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""])
    await asyncio.get_running_loop().sock_sendall(connection, head.encode())


@pytest.mark.parametrize("path", ["/whole", "/parts"])
@pytest.mark.parametrize("header", ["Connection: keep-alive", "Connection: close"])
def test_a_client_that_reads_nothing_is_cut_off(monkeypatch, path, header):
    monkeypatch.setattr(http_server, "WRITE_S", 0.2)

    async def visit(state, connection):
        await ask(connection, path, header)
        assert await asyncio.get_running_loop().sock_recv(connection, 1) == b"H"
        assert state.connections
        while state.connections or state.tasks:
            await asyncio.sleep(0)

    run_with_server(visit)


def test_a_client_that_reads_keeps_its_connection(monkeypatch):
    monkeypatch.setattr(http_server, "WRITE_S", 5.0)

    async def visit(state, connection):
        for _ in range(2):
            await ask(connection, "/whole")
            received = b""
            while not received.endswith(PART) or len(received) < len(PART) * PARTS:
                received += await asyncio.get_running_loop().sock_recv(connection, 1_000_000)
            assert received.startswith(b"HTTP/1.1 200 OK")
        assert len(state.connections) == 1

    run_with_server(visit)


def test_a_client_that_goes_on_sending_after_the_response_is_cut_off(monkeypatch):
    monkeypatch.setattr(http_server, "_MAX_BODY_AFTER_RESPONSE", 10_000_000)  # else it takes ten times as long
    sent = 0

    async def visit(state, connection):
        nonlocal sent
        loop = asyncio.get_running_loop()
        await ask(connection, "/nothing", "Transfer-Encoding: chunked")
        assert await loop.sock_recv(connection, 12) == b"HTTP/1.1 404"
        with pytest.raises(ConnectionError):
            while sent < 1_000_000_000:
                await loop.sock_sendall(connection, b"186a0\r\n" + PART + b"\r\n")
                sent += len(PART)

    run_with_server(visit)
    assert sent > 5_000_000  # a client may still be sending its body when the error arrives


def test_the_connection_that_was_idle_longest_is_closed_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(http_server, "_max_connections", lambda: 3)

    async def visit(state, busy):
        loop, opened = asyncio.get_running_loop(), []
        await ask(busy, "/whole")  # it does not read the response: its request is in progress
        assert await loop.sock_recv(busy, 1) == b"H"

        async def connect_another():
            opened.append(socket.socket())
            opened[-1].setblocking(False)
            await loop.sock_connect(opened[-1], busy.getpeername())
            await ask(opened[-1], "/nothing")
            return await loop.sock_recv(opened[-1], 12)

        for _ in range(5):
            assert await connect_another() == b"HTTP/1.1 404"
        assert len(state.connections) == 3
        for number, connection in enumerate(opened):
            if number < 3:
                await loop.sock_recv(connection, 4096)
                with pytest.raises(ConnectionError):
                    assert await loop.sock_recv(connection, 1) == b""
                    raise ConnectionResetError  # it was closed without a reset
            connection.close()
        assert await loop.sock_recv(busy, 100)

    run_with_server(visit)


def test_a_client_that_sends_a_refused_body_gets_the_response():
    async def visit(_, connection):
        loop = asyncio.get_running_loop()
        await ask(connection, "/nothing", f"Content-Length: {80 * len(PART)}")
        for _ in range(80):
            await loop.sock_sendall(connection, PART)
        assert await loop.sock_recv(connection, 12) == b"HTTP/1.1 404"

    run_with_server(visit)
