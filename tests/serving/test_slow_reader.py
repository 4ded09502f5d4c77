"""Clients that do not read what they asked for: their connections are cut, and nothing is kept for them."""

import asyncio
import socket

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from sense.serving import wire

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


def served(visit):
    """Runs a server and `visit(server, connection)` on one loop."""

    async def scenario():
        listening = socket.create_server(("127.0.0.1", 0))
        ready = asyncio.Event()
        server = wire.server(application(), 5, ready.set)
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
def test_who_reads_nothing_is_cut_off(monkeypatch, path, header):
    monkeypatch.setattr(wire, "WRITE_S", 0.2)

    async def visit(state, connection):
        await ask(connection, path, header)
        assert await asyncio.get_running_loop().sock_recv(connection, 1) == b"H"
        assert state.connections
        while state.connections or state.tasks:
            await asyncio.sleep(0)

    served(visit)


def test_who_reads_keeps_the_connection(monkeypatch):
    monkeypatch.setattr(wire, "WRITE_S", 5.0)

    async def visit(state, connection):
        for _ in range(2):
            await ask(connection, "/whole")
            received = b""
            while not received.endswith(PART) or len(received) < len(PART) * PARTS:
                received += await asyncio.get_running_loop().sock_recv(connection, 1_000_000)
            assert received.startswith(b"HTTP/1.1 200 OK")
        assert len(state.connections) == 1

    served(visit)
