"""Who may come in, and with what: host names, API keys, and bodies that are JSON, whole, small and on time."""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sense.errors import UserError
from sense.serving.admission import GoneAwayError
from sense.serving.envelope import OPEN, seen
from sense.serving.problems import Refusal

BODY_S = 10.0  # for a body to arrive: it is small
_HEAD_BYTES = 16_384
_KEY = re.compile(r"[!-~]+")


def loopback(host: str) -> bool:
    """Whether `host` names this machine for itself alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def keys(text: str) -> tuple[str, ...]:
    """The API keys of a comma-separated list; UserError, which shows none of it, if it holds what can be no key."""
    found = tuple(key for key in (part.strip() for part in text.split(",")) if key)
    if text and not found:
        raise UserError("the environment variable of API keys is set and holds none; put keys into it, or unset it")
    if not all(_KEY.fullmatch(key) for key in found):
        raise UserError(
            "the environment variable of API keys holds a character that no header can carry; make keys of letters, digits and "
            "punctuation, without blanks, as `openssl rand -hex 24` does"
        )
    return found


class Access:
    """ASGI middleware: lets in who has a key or, without keys, calls by a loopback name, and reads their bodies.

    Without keys a web page elsewhere could reach the gateway by a name of its own that resolves to this machine, and read
    everything; hence the look at the name. `OPEN` paths need no key. `doors`: path -> raises Refusal while it is full there,
    so that in an overload what is refused costs little.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str], body_bytes: int, doors: Mapping[str, Callable[[], None]]) -> None:
        self._app, self._body_bytes, self._doors = app, body_bytes, doors
        self._keys = [_digest(key.encode()) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request; raises Refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in headers.raw) > _HEAD_BYTES:
            raise Refusal(431, "headers_too_large", "the headers are too large", f"send at most {_HEAD_BYTES} bytes of them")
        if self._keys:
            if scope["path"] not in OPEN:
                self._check_key(headers)
        else:
            _check_host(headers)
        if (door := self._doors.get(scope["path"])) is not None:
            door()
        # h11 lets nothing through but digits, and one length
        if int(headers.get("content-length", "0")) > self._body_bytes:
            self._too_large()
        if seen(scope).body:
            _check_type(headers)
            body = await self._body(receive)
            _check_json(body)
            receive = _again(body, receive)
        await self._app(scope, receive, send)

    def _check_key(self, headers: Headers) -> None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = _digest(key.strip().encode("latin-1"))
        right = [hmac.compare_digest(given, known) for known in self._keys]  # all of them, always
        if scheme.lower() != "bearer" or not any(right):
            raise Refusal(
                401,
                "unauthorized",
                "no valid API key",
                "send the header Authorization: Bearer KEY",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def _body(self, receive: Receive) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_S):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise GoneAwayError
                    body += message.get("body", b"")
                    if len(body) > self._body_bytes:
                        self._too_large()
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Refusal(
                408, "body_timeout", "the body did not arrive in time", "send it at once", headers={"Connection": "close"}
            ) from None
        return bytes(body)

    def _too_large(self) -> NoReturn:
        raise Refusal(413, "body_too_large", "the body is too large", f"send at most {self._body_bytes} bytes")


def _digest(key: bytes) -> bytes:
    """Of one length for all keys, so that comparing tells nothing of theirs."""
    return hashlib.sha256(key).digest()


def _check_host(headers: Headers) -> None:
    host = headers.get("host", "localhost")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if not loopback(name.lower()):
        fix = "call it as localhost or 127.0.0.1, or let its operator set API keys"
        raise Refusal(403, "host", "without API keys the gateway answers to loopback names only", fix)


def _check_type(headers: Headers) -> None:
    # by hand: the standard library's reader fails on some nonsense
    kind, *parameters = headers.get("content-type", "").lower().split(";")
    named = [parameter.partition("=") for parameter in parameters]
    charsets = {value.strip(' "') for name, _, value in named if name.strip().startswith("charset")}
    encoding = headers.get("content-encoding", "identity").lower()
    if kind.strip() != "application/json" or not charsets <= {"utf-8", "utf8"} or encoding != "identity":
        raise Refusal(
            415, "unsupported_media_type", "the body must be JSON in UTF-8", "send it with Content-Type: application/json"
        )


def _check_json(body: bytes) -> None:
    """Refuses what JSON readers disagree on: repeated keys, NaN, halves of characters, other encodings, nesting without end."""
    try:
        text = body.decode()
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant)
        if "\\ud" in text.lower():  # half of a surrogate pair can come by an escape alone
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Refusal(
            400, "malformed_json", "the body is no valid JSON", "send one JSON object in UTF-8, each key once"
        ) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _again(body: bytes, receive: Receive) -> Receive:
    """A channel that gives a body that has been read, and then what `receive` gives."""
    given = False

    async def channel() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return channel
