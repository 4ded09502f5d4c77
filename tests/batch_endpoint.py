"""A server with a batch API on 127.0.0.1: the stand-in's, whose answers come from an Answerer of `tests.endpoint`."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from aiohttp import web

from sense.stand_in.command import create_app
from sense.stand_in.stand_in import StandInReply
from tests.endpoint import Answerer

Disturbance = Callable[[str, str], int | None]  # method and path -> the status in place of the answer, if any


class _Answers:
    """What the stand-in's desk wants of a stand-in; the first `expiring` batches expire.

    `bodies` are the requests answered, `in_batches` those of them in batches, as JSON.
    """

    seed = 0

    def __init__(self, answer: Answerer, expiring: int) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.in_batches: list[str] = []
        self.batches = 0
        self._answer, self._expiring = answer, expiring

    def reply(self, request: Any, limited: bool = True) -> StandInReply:
        status, headers, body = self._answer(request)
        if status == 200:
            self.bodies.append(request)
            if not limited:
                self.in_batches.append(json.dumps(request, sort_keys=True))
        return StandInReply(status, body, headers)

    def draw(self, _: object, __: Random) -> str:
        self.batches += 1
        return "batch-expired" if self.batches <= self._expiring else ""


class BatchEndpoint:
    """A running server. `before` and `after` may put a status in place of an answer, before or after the request has its effect.

    Larger batches than `most` fail for the limit on waiting tokens. `calls` has method and path of each call.
    """

    def __init__(
        self,
        answer: Answerer,
        expiring: int = 0,
        before: Disturbance = lambda *_: None,
        after: Disturbance = lambda *_: None,
        batches: bool = True,
        most: int = 50_000,
    ) -> None:
        self.calls: list[tuple[str, str]] = []
        self._answers = _Answers(answer, expiring)
        self._before, self._after, self._has_batches, self._most = before, after, batches, most
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self.base_url = ""

    def disturb(self, before: Disturbance) -> None:
        """Replaces `before`."""
        self._before = before

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The requests answered, in their order."""
        return self._answers.bodies

    @property
    def seeds(self) -> list[int]:
        """Their random seeds."""
        return [body["seed"] for body in self.bodies]

    @property
    def answered_in_batches(self) -> list[str]:
        """The requests answered in batches, as JSON."""
        return self._answers.in_batches

    @property
    def batches(self) -> int:
        """How many batches were ordered."""
        return self._answers.batches

    def __enter__(self) -> "BatchEndpoint":
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        runner = web.AppRunner(self._app(), access_log=None)
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def _app(self) -> web.Application:
        @web.middleware
        async def disturb(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            path = request.path.removeprefix("/v1")
            self.calls.append((request.method, path))
            if not self._has_batches and path.startswith(("/files", "/batches")):
                return web.Response(status=404)
            status = self._before(request.method, path)
            response = web.Response(status=status) if status else await handler(request)
            status = None if status else self._after(request.method, path)
            return web.Response(status=status) if status else response

        app = create_app(self._answers, most_in_batch=self._most)  # type: ignore[arg-type]
        app.middlewares.append(disturb)
        return app
