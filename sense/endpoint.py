"""Calls to an OpenAI-compatible server: the key in its header, JSON there and back, tries with growing pauses, what errors say.

What a good response holds is the caller's to read. The API key travels in a header only: no message, log or repr contains it,
nor the password and the query's values of the URL.
"""

import json
import random
import re
import weakref
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any, TypeVar
from urllib.parse import quote_plus

import httpx

from sense.config import proxy_url
from sense.errors import EndpointError

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0
MAX_BODY_BYTES = 16_000_000
MAX_RETRY_AFTER_S = 600  # when a server asks for a longer wait by Retry-After, the client gives up instead
EXCERPT_CHARS = 300  # of a response body, in an error message
_MAX_DEPTH = 5  # of an error within an error
_SHORTEST_SECRET = 4  # characters
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": "sense"}
_ONE_CONNECTION = httpx.Limits(max_connections=1, max_keepalive_connections=1)

_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True)
class CallFailure:
    """Why a call gave no completion.

    `reason` is a short text to count by if the failure is that of this exchange alone, and empty if every other would fail too.
    `retry` if the same call may succeed later, after at least `wait_s` seconds.
    """

    message: str
    fix: str
    reason: str = ""
    retry: bool = False
    wait_s: float = 0.0


@dataclass(frozen=True)
class ErrorBody:
    """What the body of an error says, in whichever of the usual forms: its message, its codes and types, the parameter."""

    message: str
    codes: str = ""
    parameter: str = ""


@dataclass(frozen=True)
class Settings:
    """Where a server is and how it is called, with the names under which the user set that, which messages repeat."""

    url: str
    url_key: str
    section: str
    key_variable: str
    timeout_s: float


class _Connections:
    """Connections that one request at a time uses, the last used first: there are as many as requests at the same time, at most.

    Each is a transport of its own: a pool of many connections looks at all of them for each of them before every request
    (httpcore 1.0), which took several times as long as the request with 64. An httpx.Client around it, for the redirects and
    cookies that nothing here uses, takes half as much processor time again as the transport.
    """

    def __init__(self, url: httpx.URL) -> None:
        self._context = httpx.create_ssl_context()  # reading the certificates takes long
        self._proxy = proxy_url(url.scheme, url.host)
        self._idle: deque[httpx.HTTPTransport] = deque()

    @contextmanager
    def transport(self) -> Iterator[httpx.HTTPTransport]:
        """A connection that nothing else uses meanwhile."""
        try:
            transport = self._idle.pop()
        except IndexError:
            transport = httpx.HTTPTransport(verify=self._context, limits=_ONE_CONNECTION, proxy=self._proxy)
        try:
            yield transport
        finally:
            self._idle.append(transport)

    def close(self) -> None:
        """Closes the connections; none may be in use."""
        while self._idle:
            self._idle.pop().close()


class HttpEndpoint:
    """One server; thread-safe. `path` is what is called below its URL, such as `/completions`."""

    def __init__(self, settings: Settings, path: str, api_key: str) -> None:
        """Raises EndpointError if URL or key cannot be used at all; opens no connection yet."""
        self._settings, self._key, key_name = settings, api_key.strip(), settings.url_key
        if not (self._key.isascii() and self._key.isprintable()):  # httpx would quote the key in its own error
            raise EndpointError(
                f"the API key holds characters that no HTTP header can carry; set {settings.key_variable} to the key alone"
            )
        try:
            url = _url_of(settings.url, path)
        except httpx.InvalidURL as error:
            raise EndpointError(f"{key_name}: {error}; write it like https://host/v1") from None
        self.name = f"{url.copy_with(userinfo=b'', query=None)}"
        if url.scheme not in ("http", "https") or not url.host:
            raise EndpointError(f"{key_name} leads to {self.name}: no http(s) address; write it like https://host/v1")
        self._url = url
        self._headers = httpx.Headers({**_HEADERS, **_key_header(self._key, url)})
        self._secrets = _secrets_of(self._key, url)
        self._extensions = {"timeout": httpx.Timeout(settings.timeout_s).as_dict()}
        self._connections = _Connections(url)
        weakref.finalize(self, self._connections.close)  # those who hold one have no close method

    def call(
        self, body: Mapping[str, Any] | None, below: str = "", parameters: Mapping[str, str] | None = None
    ) -> tuple[httpx.Response, bytes] | CallFailure:
        """Posts `body` as JSON, or gets where it is None; the response, of any status, with its body, or why there is none.

        `below` is what stands after the path, such as `/batch_1`, and `parameters` go into the query.
        """
        return self._send("GET" if body is None else "POST", below, _read_body, parameters or {}, json=body)

    def upload(self, file: IO[bytes], name: str, fields: Mapping[str, str]) -> tuple[httpx.Response, bytes] | CallFailure:
        """Posts a form with these fields and a file under this name; else as `call`."""
        return self._send("POST", "", _read_body, {}, files={"file": (name, file)}, data=fields)

    def download(self, below: str, target: IO[bytes]) -> tuple[httpx.Response, bytes] | CallFailure:
        """Gets a file of any size and writes it to `target`; the body is empty then, and that of the error where it is one."""

        def write(response: httpx.Response) -> bytes:
            if response.status_code != httpx.codes.OK:
                return _read_body(response)
            for chunk in response.iter_bytes():
                target.write(chunk)
            return b""

        return self._send("GET", below, write, {})

    def _send(
        self,
        method: str,
        below: str,
        read: Callable[[httpx.Response], bytes],
        parameters: Mapping[str, str],
        **content: Any,
    ) -> tuple[httpx.Response, bytes] | CallFailure:
        url = self._url.copy_with(path=self._url.path + below) if below else self._url
        url = url.copy_merge_params(parameters) if parameters else url
        request = httpx.Request(method, url, headers=self._headers, extensions=self._extensions, **content)
        try:
            with self._connections.transport() as transport, closing(transport.handle_request(request)) as response:
                return response, read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            return self._explain_no_connection(error)
        except httpx.TimeoutException as error:
            message = f"no answer within {self._settings.timeout_s:g} s ({type(error).__name__})"
            section = self._settings.section
            return CallFailure(
                message, f"raise {section}.timeout_s or lower {section}.concurrency", "no answer in time", retry=True
            )
        except httpx.HTTPError as error:
            message = f"the connection broke off ({type(error).__name__}: {error})"
            fix = f"check {self._settings.url_key} and the server's log"
            return CallFailure(message, fix, "connection lost", retry=True)

    def describe(self, failure: CallFailure, tries: int) -> str:
        """A failure in one line: the address, what happened, after how many tries, and the fix."""
        count = f" ({tries} tries)" if tries > 1 else ""
        return f"{self.name}: {self._excerpt(failure.message)}{count}; {failure.fix}"

    def _explain_no_connection(self, error: httpx.HTTPError) -> CallFailure:
        """Why there is no connection; one that is refused may be accepted later, a certificate or protocol stays wrong."""
        message, key_name = f"cannot be reached ({type(error).__name__}: {error})", self._settings.url_key
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            fix = "set SSL_CERT_FILE to a file with the certificate of the authority that signed the server's"
            return CallFailure(message, fix)
        if "SSL" in str(error):
            return CallFailure(message, f"check {key_name}: does the server speak https, or http alone?")
        return CallFailure(message, f"check {key_name} and that the server runs", retry=True)

    def _excerpt(self, text: str) -> str:
        """The start of `text` on one line, without the key and the URL's secrets, which some servers repeat in their errors."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return line if len(line) <= EXCERPT_CHARS else line[:EXCERPT_CHARS] + "..."


def repeat(
    call: Callable[[], _Outcome | CallFailure], retries: int, pause: Callable[[float], object], jitter: random.Random
) -> tuple[_Outcome | CallFailure, int]:
    """The outcome of `call`, made again up to `retries` times while its failure may go away, and how often it was made.

    `pause` sleeps the given number of seconds between tries, at least as many as the server asks for.
    """
    tries = 0
    while True:
        outcome = call()
        tries += 1
        if not (isinstance(outcome, CallFailure) and outcome.retry and tries <= retries):
            return outcome, tries
        pause(max(outcome.wait_s, backoff(tries, jitter)))


def parse_error(body: bytes) -> ErrorBody:
    """The fields of an error's body; all of it is the message where it has none of the usual forms."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    fields = error_fields(value)
    return fields if fields.message else replace(fields, message=body[:4096].decode("utf-8", "replace"))


def error_fields(value: Any, depth: int = 0) -> ErrorBody:
    """The fields of an error as OpenAI, vLLM, Google (a list of one), FastAPI (`detail`) or OpenRouter (`metadata`) write it."""
    if isinstance(value, list) and depth <= _MAX_DEPTH:
        fields = [error_fields(item, depth + 1) for item in value[:5]]
        parameter = next((field.parameter for field in fields if field.parameter), "")
        return ErrorBody("; ".join(field.message for field in fields), " ".join(field.codes for field in fields), parameter)
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        return ErrorBody(value if isinstance(value, str) else "")
    for name in ("error", "detail"):
        if value.get(name) and not isinstance(value[name], bool):
            return error_fields(value[name], depth + 1)
    message = value.get("message", value.get("msg"))
    inner = error_fields(message, depth + 1)
    location = value.get("loc")
    metadata = value.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    parameter = value.get("param") or (location[-1] if isinstance(location, list) and location else "") or inner.parameter
    text = ": ".join(str(part) for part in ([parameter] if location else []) + [inner.message, raw or ""] if part)
    codes = [str(value[name]) for name in ("code", "type", "status") if isinstance(value.get(name), str | int)]
    return ErrorBody(text, " ".join([*codes, inner.codes]).strip(), str(parameter))


def redirection(status: int, headers: Mapping[str, str], url_key: str, path: str = "") -> CallFailure:
    """The failure of an HTTP 3xx: where it leads, without `path`, and without name, password and query, which may be secret."""
    location = re.sub(r"//[^/]*@", "//", headers.get("location", "").partition("?")[0]).removesuffix(path)
    if not location:
        return CallFailure(f"HTTP {status}: redirected, without a Location", f"check {url_key}")
    return CallFailure(f"HTTP {status}: redirected to {location}", f"set {url_key} to that address")


def retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0 if it cannot be read."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value.strip()):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (date.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _url_of(base_url: str, path: str) -> httpx.URL:
    """The URL of `path` below `base_url`, whose query (Azure's `?api-version=...`) stays at the end."""
    address, mark, query = base_url.strip().partition("#")[0].partition("?")
    return httpx.URL(address.rstrip("/").removesuffix(path) + path + mark + query)


def _secrets_of(key: str, url: httpx.URL) -> list[str]:
    """What no message may contain, longest first: the key, and what the URL has of secrets, decoded and as it is sent.

    A value of the query that is shorter than any secret stays: numbers such as 1 stand in many a message.
    """
    name, _, password = url.userinfo.decode("ascii").partition(":")
    user = {password or name, url.password or url.username, _basic(url)} if url.userinfo else set()
    raw = [pair.partition("=") for pair in url.query.decode("ascii").split("&")]
    pairs = [*url.params.multi_items(), *((parameter, value) for parameter, _, value in raw)]
    values = {value for parameter, value in pairs if parameter != "api-version" and len(value) >= _SHORTEST_SECRET}
    return sorted({key, *user, *values, *map(quote_plus, values)} - {""}, key=len, reverse=True)


def _basic(url: httpx.URL) -> str:
    """The name and password of the URL as the Authorization header has them."""
    return b64encode(f"{url.username}:{url.password}".encode()).decode()


def _key_header(key: str, url: httpx.URL) -> dict[str, str]:
    """The header that carries the key: Azure, whose URLs have an api-version, wants it in one of its own.

    Azure takes Microsoft Entra's tokens, which are JWTs and so begin with eyJ, as everybody takes keys. A name and a password in
    the URL are what the server wants instead.
    """
    if url.userinfo:
        return {"Authorization": f"Basic {_basic(url)}"}
    if not key:
        return {}
    if "api-version" in url.params and not key.startswith("eyJ"):
        return {"api-key": key}
    return {"Authorization": f"Bearer {key}"}


def backoff(tries: int, jitter: random.Random) -> float:
    """Seconds to wait after failure number `tries`: 1, 2, 4 and so on, each times a number drawn from [0.5, 1)."""
    return min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (tries - 1)) * (0.5 + jitter.random() / 2)


def _read_body(response: httpx.Response) -> bytes:
    """The body, up to about MAX_BODY_BYTES: an endless one must not fill the memory."""
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            break
    return bytes(body)
