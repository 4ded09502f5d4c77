"""The gateway's ASGI middleware: what happens to every request before and after its route.

`RequestMiddleware`, the outermost, gives a request its id, its log line and its metrics, adds security headers and
turns exceptions into problems. `AccessMiddleware` checks API keys or host names, and reads bodies: JSON, complete, small and in
time.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sense.errors import StorageError, UserError
from sense.serving import observability, problems, tracing
from sense.serving.admission import ClientGoneError
from sense.serving.observability import Metrics
from sense.serving.problems import ApiError

# These paths need no key, and successful requests for them are logged at debug level only.
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/metrics", "/openapi.json"})
_SCOPE_KEY = "sense.request"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLIENT_CLOSED_REQUEST = 499  # never sent; nginx's status for the log when the client has left
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass
class RequestInfo:
    """A request's id, the template of its route, whether that reads a body, and further fields for its log line."""

    id: str
    route: str
    body: bool
    fields: dict[str, Any] = field(default_factory=dict)


def request_info(scope: Scope) -> RequestInfo:
    """The RequestInfo of a request, which `RequestMiddleware` has set."""
    info: RequestInfo = scope[_SCOPE_KEY]
    return info


class RouteTemplates:
    """The path templates of an OpenAPI document, and which operations have a body."""

    def __init__(self, openapi: Mapping[str, Any]) -> None:
        paths = {"/openapi.json": {}, **openapi["paths"]}
        self._templates = [
            (
                compile_path(path)[0],
                path,
                frozenset(method.upper() for method, operation in operations.items() if "requestBody" in operation),
            )
            for path, operations in paths.items()
        ]

    def find(self, method: str, path: str) -> tuple[str, bool]:
        """The template of `path`, 'other' if it has none, and whether the operation reads a body."""
        for pattern, template, methods_with_body in self._templates:
            if pattern.match(path):
                return template, method in methods_with_body
        return "other", False


def choose_request_id(headers: Headers) -> str:
    """The caller's X-Request-Id if it is short and plain, else a new one."""
    proposed = headers.get("x-request-id", "")
    return proposed if _REQUEST_ID.fullmatch(proposed) else uuid.uuid4().hex


class RequestMiddleware:
    """The outermost ASGI middleware. Exceptions end here, as the response of a Problem."""

    def __init__(self, app: ASGIApp, routes: RouteTemplates, metrics: Metrics) -> None:
        self._app, self._routes, self._metrics = app, routes, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request = RequestInfo(choose_request_id(headers), *self._routes.find(scope["method"], scope["path"]))
        scope[_SCOPE_KEY] = request
        if request.route in OPEN_PATHS:  # probes would be most of the traces
            await self._handle(scope, receive, send, request)
            return
        with tracing.request_span(headers, {"sense.request_id": request.id}) as span:
            status = await self._handle(scope, receive, send, request)
            method = _method(scope)
            span.update_name(f"{method} {request.route}")
            span.set_attributes({"http.request.method": method, "http.route": request.route, "http.response.status_code": status})
            if status >= 500:
                tracing.fail(span, str(request.fields.get("error", status)))

    async def _handle(self, scope: Scope, receive: Receive, send: Send, request: RequestInfo) -> int:
        """Responds; returns the status."""
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request.id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientGoneError:
            pass
        except asyncio.CancelledError:
            # the server is stopping, and the grace period of this request is over
            if not status:
                await problems.response(_STOPPING, request.id)(scope, receive, send_with_headers)
        except Exception as error:
            problem = problems.api_error(error)
            request.fields["error"] = problem.error
            if isinstance(error, StorageError):
                request.fields["reason"] = str(error)  # for the operator; the caller does not see it
            if problem.status == 500 or status:
                observability.log_event(logging.ERROR, "failed", error, request_id=request.id, route=request.route)
            if status:
                raise
            await problems.response(problem, request.id)(scope, receive, send_with_headers)
        finally:
            status = status or _CLIENT_CLOSED_REQUEST
            self._log(scope, request, status, time.perf_counter() - started)
        return status

    def _log(self, scope: Scope, request: RequestInfo, status: int, seconds: float) -> None:
        if request.route == "other":  # a path parameter holds a slash
            request.route = getattr(scope.get("route"), "path_format", "other")
        self._metrics.request(request.route, status, seconds)
        routine = request.route in OPEN_PATHS and status < 400
        observability.log_event(
            logging.DEBUG if routine else logging.INFO,
            "request",
            request_id=request.id,
            method=_method(scope),
            route=request.route,
            status=status,
            ms=round(seconds * 1000, 1),
            **request.fields,
        )


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"


_STOPPING = problems.ApiError(503, "stopping", "the gateway is being stopped", "send it again", retry_after_s=1)


BODY_S = 10.0  # seconds in which a body, which is small, must arrive
_MAX_HEADER_BYTES = 16_384
_KEY = re.compile(r"[!-~]+")


def is_loopback(host: str) -> bool:
    """Whether `host` is a loopback name or address, which only this machine itself can reach."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse_keys(text: str) -> tuple[str, ...]:
    """The API keys of a comma-separated list; UserError, without any of the text, if a part of it cannot be a key."""
    keys = tuple(key for key in (part.strip() for part in text.split(",")) if key)
    if text and not keys:
        raise UserError("the environment variable of API keys is set and holds none; put keys into it, or unset it")
    if not all(_KEY.fullmatch(key) for key in keys):
        raise UserError(
            "the environment variable of API keys holds a character that no header can carry; make keys of letters, digits and "
            "punctuation, without blanks, as `openssl rand -hex 24` does"
        )
    return keys


class AccessMiddleware:
    """ASGI middleware that admits requests with a valid API key or, without keys, to a loopback host name; it reads their bodies.

    The check of the host name prevents DNS rebinding: a web page could otherwise reach a gateway without keys by a name of its
    own that resolves to this machine. `OPEN_PATHS` need no key. `capacity_checks` maps a path to a function that raises ApiError
    while no request can be admitted there: in an overload, a refusal then costs little.
    """

    def __init__(
        self, app: ASGIApp, keys: Sequence[str], body_bytes: int, capacity_checks: Mapping[str, Callable[[], None]]
    ) -> None:
        self._app, self._body_bytes, self._capacity_checks = app, body_bytes, capacity_checks
        self._key_digests = [_digest(key.encode()) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request; raises ApiError if it is not admitted or its body cannot be read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in headers.raw) > _MAX_HEADER_BYTES:
            raise ApiError(
                431, "headers_too_large", "the headers are too large", f"send at most {_MAX_HEADER_BYTES} bytes of them"
            )
        if self._key_digests:
            if scope["path"] not in OPEN_PATHS:
                self._check_key(headers)
        else:
            _check_host(headers)
        if (check_capacity := self._capacity_checks.get(scope["path"])) is not None:
            check_capacity()
        # h11 has checked that there is one length, and that it is digits
        if int(headers.get("content-length", "0")) > self._body_bytes:
            self._raise_too_large()
        if request_info(scope).body:
            _check_type(headers)
            body = await self._read_body(receive)
            _check_json(body)
            receive = _replay(body, receive)
        await self._app(scope, receive, send)

    def _check_key(self, headers: Headers) -> None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        digest = _digest(key.strip().encode("latin-1"))
        equal = [hmac.compare_digest(digest, valid) for valid in self._key_digests]  # always all of them: constant time
        if scheme.lower() != "bearer" or not any(equal):
            raise ApiError(
                401,
                "unauthorized",
                "no valid API key",
                "send the header Authorization: Bearer KEY",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def _read_body(self, receive: Receive) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_S):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    body += message.get("body", b"")
                    if len(body) > self._body_bytes:
                        self._raise_too_large()
                    more = message.get("more_body", False)
        except TimeoutError:
            raise ApiError(
                408, "body_timeout", "the body did not arrive in time", "send it at once", headers={"Connection": "close"}
            ) from None
        return bytes(body)

    def _raise_too_large(self) -> NoReturn:
        raise ApiError(413, "body_too_large", "the body is too large", f"send at most {self._body_bytes} bytes")


def _digest(key: bytes) -> bytes:
    """Of the same length for all keys, so that comparing reveals nothing about them."""
    return hashlib.sha256(key).digest()


def _check_host(headers: Headers) -> None:
    host = headers.get("host", "localhost")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if not is_loopback(name.lower()):
        fix = "call it as localhost or 127.0.0.1, or let its operator set API keys"
        raise ApiError(403, "host", "without API keys the gateway answers to loopback names only", fix)


def _check_type(headers: Headers) -> None:
    # not by the standard library's parser, which raises on some malformed values
    media_type, *parameters = headers.get("content-type", "").lower().split(";")
    pairs = [parameter.partition("=") for parameter in parameters]
    charsets = {value.strip(' "') for name, _, value in pairs if name.strip().startswith("charset")}
    encoding = headers.get("content-encoding", "identity").lower()
    if media_type.strip() != "application/json" or not charsets <= {"utf-8", "utf8"} or encoding != "identity":
        raise ApiError(
            415, "unsupported_media_type", "the body must be JSON in UTF-8", "send it with Content-Type: application/json"
        )


def _check_json(body: bytes) -> None:
    """Refuses JSON that parsers disagree on: repeated keys, NaN, lone surrogates, other encodings, endless nesting."""
    try:
        text = body.decode()
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
        if "\\ud" in text.lower():  # a lone surrogate can only be written as an escape
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ApiError(
            400, "malformed_json", "the body is no valid JSON", "send one JSON object in UTF-8, each key once"
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key occurs twice")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive channel that returns a body that has been read already, and then what `receive` returns."""
    replayed = False

    async def channel() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return channel
