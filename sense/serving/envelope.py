"""The gateway's outermost layer: every request gets an id, a line in the log, a place in the metrics, safe headers, an answer."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sense.errors import StorageError
from sense.serving import logs, problems
from sense.serving.admission import GoneAwayError
from sense.serving.meters import Meters

OPEN = frozenset({"/", "/healthz", "/readyz", "/metrics", "/openapi.json"})  # no key, and little in the log
_SEEN = "sense.seen"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLIENT_LEFT = 499  # never sent; what proxies log when nobody is left to answer
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass
class Seen:
    """What is known of a request: its id, its route's template, whether that reads a body, and more for its line in the log."""

    id: str
    route: str
    body: bool
    fields: dict[str, Any] = field(default_factory=dict)


def seen(scope: Scope) -> Seen:
    """That of a request that has come through the envelope."""
    found: Seen = scope[_SEEN]
    return found


class Routes:
    """The templates of an OpenAPI document, and which operations have a body."""

    def __init__(self, openapi: Mapping[str, Any]) -> None:
        paths = {"/openapi.json": {}, **openapi["paths"]}
        self._known = [
            (compile_path(path)[0], path, frozenset(method.upper() for method, way in ways.items() if "requestBody" in way))
            for path, ways in paths.items()
        ]

    def find(self, method: str, path: str) -> tuple[str, bool]:
        """The template of `path`, 'other' if it has none, and whether the operation reads a body."""
        for pattern, template, with_body in self._known:
            if pattern.match(path):
                return template, method in with_body
        return "other", False


def problem_id(headers: Headers) -> str:
    """The caller's X-Request-Id if it is a harmless one, else one of our own."""
    given = headers.get("x-request-id", "")
    return given if _ID.fullmatch(given) else uuid.uuid4().hex


class Envelope:
    """ASGI middleware around everything else. Exceptions end here as a Problem."""

    def __init__(self, app: ASGIApp, routes: Routes, meters: Meters) -> None:
        self._app, self._routes, self._meters = app, routes, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        request = Seen(problem_id(Headers(scope=scope)), *self._routes.find(scope["method"], scope["path"]))
        scope[_SEEN] = request

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request.id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, marked)
        except GoneAwayError:
            pass
        except asyncio.CancelledError:
            # the server ends, and this request has had its time of grace
            if not status:
                await problems.response(_STOPPING, request.id)(scope, receive, marked)
        except Exception as error:
            problem = problems.refusal(error)
            request.fields["error"] = problem.error
            if isinstance(error, StorageError):
                request.fields["reason"] = str(error)  # the operator's to mend; the caller is not told
            if problem.status == 500 or status:
                logs.event(logging.ERROR, "failed", error, request_id=request.id, route=request.route)
            if status:
                raise
            await problems.response(problem, request.id)(scope, receive, marked)
        finally:
            self._done(scope, request, status or _CLIENT_LEFT, time.perf_counter() - started)

    def _done(self, scope: Scope, request: Seen, status: int, seconds: float) -> None:
        if request.route == "other":  # a parameter with a slash in it
            request.route = getattr(scope.get("route"), "path_format", "other")
        self._meters.request(request.route, status, seconds)
        quiet = request.route in OPEN and status < 400
        method = scope["method"] if scope["method"] in _METHODS else "other"
        logs.event(
            logging.DEBUG if quiet else logging.INFO,
            "request",
            request_id=request.id,
            method=method,
            route=request.route,
            status=status,
            ms=round(seconds * 1000, 1),
            **request.fields,
        )


_STOPPING = problems.Refusal(503, "stopping", "the gateway is being stopped", "send it again", retry_after_s=1)
