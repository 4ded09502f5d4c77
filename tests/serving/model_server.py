"""The one fake of the gateway's tests: a vLLM server on 127.0.0.1, real down to the socket, with vLLM 0.32's own error bodies.

    with ModelServer(["sense-1"]) as server:
        VllmConfig(url=server.url, models={"sense-1": ...})
        server.names = ["sense-2"]            # another version from now on: the old name gives 404
        server.replicas = [["sense-1"], ["sense-2"]]   # connections go to the replicas in turn
        server.stall(); server.resume()       # completions get no answer meanwhile
        server.fail(500, b"..."); server.heal()   # every route answers this
        server.die(); server.live()           # every connection is cut and a new one refused; the same port again
        server.until(lambda: server.in_flight == 2)   # instead of sleeping

A completion is `write(body, index)`: body is the JSON of the request, index the number of the choice. By default all choices of
a version are ` SELECT '<model name>'`, so that an answer names its version. As a process of its own, to be killed or measured:

    python tests/serving/model_server.py --name sense-1 --port 0 --delay 0.05     (prints its URL)
"""

import argparse
import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

Body = dict[str, Any]
Reply = tuple[int, bytes]


@dataclass(frozen=True)
class CompletionRequest:
    """A request to /v1/completions; header names in lower case."""

    headers: dict[str, str]
    body: Body


def name_as_sql(body: Body, _: int) -> str:
    """SQL that returns the name of the model."""
    return f" SELECT '{body['model']}'"


class ModelServer:
    """Serves `names` (all of them the same model, as `--served-model-name A B` does). `context` is counted in words."""

    def __init__(
        self,
        names: Sequence[str] = ("sense-1",),
        write: Callable[[Body, int], str] = name_as_sql,
        key: str = "",
        delay_s: float = 0.0,
        context: int = 1024,
        port: int = 0,
    ) -> None:
        self.write, self.key, self.delay_s, self.context, self.port = write, key, delay_s, context, port
        self.replicas = [list(names)]
        self.requests: list[CompletionRequest] = []
        self.accepted = 0  # connections so far
        self.connections = 0  # open now
        self.most_connections = 0  # at any time
        self.in_flight = 0  # completions in progress
        self.aborted = 0  # completions whose client went away before the answer
        self.model_lists = 0  # requests to /v1/models
        self._failure: Reply | None = None
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model-server")
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._free = asyncio.Event()
        self._free.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def names(self) -> list[str]:
        return self.replicas[0]

    @names.setter
    def names(self, names: Sequence[str]) -> None:
        self.replicas = [list(names)]

    def __enter__(self) -> "ModelServer":
        self._thread.start()
        self.live()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def live(self) -> None:
        """Listens, again on the port it had."""
        self._do(self._listen())

    def die(self) -> None:
        """Stops listening and cuts every connection, as a killed process does."""
        self._do(self._cut())

    def stall(self) -> None:
        self._loop.call_soon_threadsafe(self._free.clear)

    def resume(self) -> None:
        self._loop.call_soon_threadsafe(self._free.set)

    def fail(self, status: int, content: bytes = b"Internal Server Error") -> None:
        self._failure = (status, content)

    def heal(self) -> None:
        self._failure = None

    def until(self, check: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Waits until `check` holds of the counters; AssertionError after `timeout_s`."""
        with self._changed:
            assert self._changed.wait_for(check, timeout_s), "the condition was never true at the model server"

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def _count(self, name: str, by: int) -> None:
        with self._changed:
            setattr(self, name, getattr(self, name) + by)
            self._changed.notify_all()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=4_000_000)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: requests one after the other, HTTP/1.1 with keep-alive."""
        self._open.add(writer)
        connection = self.accepted  # its number selects the replica
        self._count("accepted", 1)
        self._count("connections", 1)
        self.most_connections = max(self.most_connections, self.connections)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
                content = await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = head[0].split(" ")
                reply = await self._answer(method, path, headers, content, reader, connection)
                if reply is None:
                    return
                status, body = reply
                last = headers.get("connection", "").lower() == "close"
                lines = (
                    f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
                    "Content-Type: application/json",
                    f"Content-Length: {len(body)}",
                    *(["Connection: close"] if last else []),
                )
                writer.write("\r\n".join([*lines, "", ""]).encode() + body)
                await writer.drain()
                if last:
                    writer.close()
                    await writer.wait_closed()
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()
            self._count("connections", -1)

    async def _answer(
        self, method: str, path: str, headers: dict[str, str], content: bytes, reader: asyncio.StreamReader, connection: int
    ) -> Reply | None:
        """None if the client has gone."""
        if path == "/v1/models":
            self._count("model_lists", 1)
        if self._failure is not None:
            return self._failure
        if path in ("/health", "/ping"):
            return 200, b""
        if path == "/version":
            return 200, b'{"version":"0.32.0"}'
        if path.startswith("/v1") and self.key and headers.get("authorization") != f"Bearer {self.key}":
            return 401, b'{"error":"Unauthorized"}'
        if (method, path) == ("GET", "/v1/models"):
            models = [
                {"id": name, "object": "model", "owned_by": "vllm", "max_model_len": self.context}
                for name in self._names(connection)
            ]
            return 200, json.dumps({"object": "list", "data": models}).encode()
        if (method, path) == ("POST", "/v1/completions"):
            return await self._complete(CompletionRequest(headers, json.loads(content)), reader, connection)
        return 404, b'{"detail":"Not Found"}'

    async def _complete(self, request: CompletionRequest, reader: asyncio.StreamReader, connection: int) -> Reply | None:
        self.requests.append(request)
        self._count("in_flight", 1)
        try:
            gone = asyncio.ensure_future(reader.read(1))  # a client that waits sends nothing: this ends when it leaves
            ready = asyncio.ensure_future(self._ready())
            try:
                await asyncio.wait((gone, ready), return_when=asyncio.FIRST_COMPLETED)
                client_left = gone.done()
            finally:
                gone.cancel()
                ready.cancel()
                await asyncio.gather(gone, ready, return_exceptions=True)
            if client_left:
                self._count("aborted", 1)
                return None
            return self._failure or self._completion(request.body, self._names(connection))
        finally:
            self._count("in_flight", -1)

    async def _ready(self) -> None:
        await self._free.wait()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)  # the time a model takes

    def _names(self, connection: int) -> list[str]:
        return self.replicas[connection % len(self.replicas)]

    def _completion(self, body: Body, names: Sequence[str]) -> Reply:
        model, prompt, n = body.get("model"), body["prompt"], body.get("n", 1)
        if model not in names:
            aliases = ", ".join(names)
            return _error(404, "NotFoundError", "model", f"The model `{model}` does not exist. Valid aliases: {aliases}.")
        if len(prompt.split()) > self.context:
            return _error(
                400,
                "BadRequestError",
                "input_tokens",
                f"This model's maximum context length is {self.context} tokens. However, your prompt contains at least "
                f"{self.context + 1} input tokens, which exceeds this limit even without any output tokens. Please reduce the "
                f"length of the input prompt. (parameter=input_tokens, value={self.context + 1})",
            )
        if n > 1 and not body.get("temperature", 1.0):
            return _error(400, "BadRequestError", None, f"n must be 1 when using greedy sampling, got {n}.")
        texts = [self.write(body, index) for index in range(n)]
        choices = [{"index": index, "text": text, "logprobs": None, "finish_reason": "stop"} for index, text in enumerate(texts)]
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": sum(len(text.split()) for text in texts)}
        answer = {"id": "cmpl-1", "object": "text_completion", "model": model, "choices": choices, "usage": usage}
        return 200, json.dumps(answer).encode()


def _error(status: int, kind: str, param: str | None, message: str) -> Reply:
    return status, json.dumps({"error": {"message": message, "type": kind, "param": param, "code": status}}).encode()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", action="append")
    parser.add_argument("--sql", help="what every completion is; else the name of the model")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds a completion takes")
    options = parser.parse_args()
    write = name_as_sql if options.sql is None else (lambda _body, _index: f" {options.sql}")
    with ModelServer(options.name or ["sense-1"], write, delay_s=options.delay, port=options.port) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
