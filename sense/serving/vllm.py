"""Candidates from a vLLM server, by its OpenAI-compatible completions.

Every request names the version it wants. During a rollout, replicas of two versions answer behind one address; a replica that has
another version answers 404, and another replica is tried, so that nothing is ever written by another version than the request's.
"""

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

import aiohttp
from opentelemetry.trace import SpanKind
from yarl import URL

from sense.config import GenerationConfig, PromptConfig, ServedConfig, VllmConfig, environment
from sense.errors import UserError
from sense.serving import tracing
from sense.serving.backend import BackendError, ServedVersion, VersionGoneError

MAX_AGE_S = 1.0  # seconds for which the list of served models is used again
CONNECT_S = 5.0
RENEW_AFTER = 50  # every so many requests, one closes its connection, so that a replica that has joined gets some
OTHER_REPLICAS = 4  # tries on new connections after a replica has answered that it has another version
MAX_BODY_BYTES = 16_000_000

_NONE: Mapping[str, str] = {}

# What a request does not say, vLLM takes from the generation_config.json of the model that it serves, whoever wrote that.
_NO_DEFAULTS = {
    "add_special_tokens": True,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}

_QUOTED = r"""'[^']*'|"[^"]*"|`[^`]*`"""
# One statement that begins with SELECT or WITH; a semicolon inside quotes is text, outside it is the end. The last quote may stay
# open, so that the constraint changes no text that `extract.extract` would take whole.
SELECT = (
    r"[ \n]{0,2}(SELECT|WITH|select|with|Select|With)"
    rf"([^A-Za-z0-9_;'\"`]|{_QUOTED})([^;'\"`]|{_QUOTED})*"
    r"""(;[ \n]{0,2}|'[^']*|"[^"]*|`[^`]*)?"""
)
# The same behind the linking line of a model that was trained to write one.
LINKED_SELECT = r"[ \n]{0,2}-- tables:[^\n]*\n" + SELECT


@dataclass(frozen=True)
class Reply:
    """A response of the server, read completely."""

    status: int
    headers: Mapping[str, str]  # names in any case
    body: bytes

    def json(self) -> Any:
        """The body as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def error(self) -> Mapping[str, Any]:
        """vLLM's description of an error; empty if there is none."""
        value = self.json()
        error = value.get("error") if isinstance(value, dict) else None
        return error if isinstance(error, dict) else {}


@dataclass(frozen=True)
class VllmModel:
    """A version that the server had when it was last asked (a `ServedModel`)."""

    backend: "VllmBackend"
    name: str
    config: ServedConfig

    @property
    def version(self) -> ServedVersion:
        """The version."""
        return ServedVersion(self.config.name, self.config.version, self.config.digest)

    @property
    def prompt(self) -> PromptConfig:
        """How its prompts are written."""
        return self.config.prompt

    async def complete(self, prompt: str, *, n: int, temperature: float) -> Sequence[str]:
        """`n` completions; VersionGoneError if no replica serves this version any more, UserError if the prompt is too long."""
        select = LINKED_SELECT if self.prompt.target == "linked" else SELECT
        return await self.backend.complete(self.name, prompt, n=n, temperature=temperature, select=select)


class VllmBackend:
    """A `Backend` on one vLLM address. No error message shows the address or the key."""

    def __init__(self, config: VllmConfig, generation: GenerationConfig, timeout_s: float) -> None:
        """A completion may take `timeout_s` seconds. UserError if URL or key cannot be used; opens no connection yet.

        Proxies that the environment names are not used: the server is assumed to be in the same network.
        """
        key = environment("VLLM_API_KEY").strip()
        if not (key.isascii() and key.isprintable()):
            raise UserError("VLLM_API_KEY holds characters that no HTTP header can carry; set it to the key alone")
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._root = _address(config.url)
        self._config, self._generation, self._timeout_s = config, generation, timeout_s
        self._keep_alive: aiohttp.ClientSession | None = None
        self._one_shot: aiohttp.ClientSession | None = None
        self._current: tuple[float, VllmModel] | None = None  # the time of the last list, and its model
        self._listing: asyncio.Task[VllmModel] | None = None
        self._calls = 0

    async def start(self) -> None:
        """Creates the sessions. They open no connection before the first request."""
        self._sessions()

    def _sessions(self) -> tuple[aiohttp.ClientSession, aiohttp.ClientSession]:
        """One session that keeps connections alive and one that opens a new one for each request; created in the event loop."""
        if self._keep_alive is None or self._one_shot is None:
            self._keep_alive, self._one_shot = self._session(), self._session(force_close=True)
        return self._keep_alive, self._one_shot

    def _session(self, **options: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=self._config.connections, use_dns_cache=False, **options),
            timeout=aiohttp.ClientTimeout(sock_connect=min(CONNECT_S, self._timeout_s)),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Closes the connections."""
        if self._listing is not None:
            self._listing.cancel()
            await asyncio.gather(self._listing, return_exceptions=True)
        for session in (self._keep_alive, self._one_shot):
            if session is not None:
                await session.close()

    async def current(self) -> VllmModel:
        """The server's model, as of a second ago at most; concurrent callers share one request."""
        if self._current is not None and time.monotonic() - self._current[0] < MAX_AGE_S:
            return self._current[1]
        if self._listing is None or self._listing.done():
            self._listing = asyncio.create_task(self._list_models())
            # read the exception, so that asyncio does not report it as never retrieved if all callers have left
            self._listing.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._listing)

    async def _list_models(self) -> VllmModel:
        self._current = None
        reply = await self._call("GET", "v1/models", None, min(CONNECT_S, self._timeout_s))
        if reply.status != HTTPStatus.OK:
            raise_for_status(reply)
        value = reply.json()
        entries = value.get("data") if isinstance(value, dict) else None
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and isinstance(entry.get("id"), str) for entry in entries
        ):
            raise BackendError("the model server's list of models is none", 5.0)
        names = [entry["id"] for entry in entries]
        for name, served_config in self._config.models.items():  # the first is the newest
            if name in names:
                served = VllmModel(self, name, served_config)
                self._current = time.monotonic(), served
                return served
        raise BackendError(
            f"the model server has {_join(names)}, the gateway is configured for {_join(self._config.models)}", 5.0
        )

    async def complete(self, model: str, prompt: str, *, n: int, temperature: float, select: str) -> Sequence[str]:
        """`n` completions of `prompt` by the version served as `model`; `select` is what structured output is to match."""
        body: dict[str, Any] = {"model": model, "prompt": prompt, "n": n, "max_tokens": self._generation.max_new_tokens}
        body |= _NO_DEFAULTS | {"temperature": temperature}
        if temperature > 0:
            body |= {"top_p": self._generation.top_p, "seed": self._generation.seed}
        if self._config.structured:
            body["structured_outputs"] = {"regex": select}
        attributes = _span_attributes(model, n)
        with tracing.span("POST /v1/completions", attributes, SpanKind.CLIENT) as span:
            reply = await self._call("POST", "v1/completions", body, self._timeout_s, tracing.headers())
            span.set_attribute("http.response.status_code", reply.status)
            if reply.status >= HTTPStatus.BAD_REQUEST:
                tracing.fail(span, str(reply.status))
        if reply.status != HTTPStatus.OK:
            if reply.status == HTTPStatus.NOT_FOUND:
                self._current = None
            raise_for_status(reply)
        return completion_texts(reply, model, n)

    async def _call(self, method: str, path: str, body: Any, timeout_s: float, headers: Mapping[str, str] = _NONE) -> Reply:
        """The server's response, whatever its status; BackendError if there is none in time."""
        keep_alive, one_shot = self._sessions()
        self._calls += 1
        renewing = {"Connection": "close"} if self._calls % RENEW_AFTER == 0 else {}
        url, content = self._root / path, json.dumps(body).encode() if body is not None else None
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    reply = await _send(keep_alive, method, url, content, {**headers, **renewing})
                except aiohttp.ClientError as error:  # the server may have closed the idle connection: try a new one
                    if isinstance(error, TimeoutError):
                        raise
                    reply = await _send(one_shot, method, url, content, headers)
                tries = 0
                while has_other_version(reply) and tries < OTHER_REPLICAS:  # a new connection may lead to another replica
                    reply = await _send(one_shot, method, url, content, headers)
                    tries += 1
                return reply
        except TimeoutError:
            self._current = None
            raise BackendError(f"the model server does not answer within {timeout_s:g} s", 5.0) from None
        except aiohttp.ClientError as error:
            self._current = None
            raise BackendError(f"the model server cannot be reached ({type(error).__name__})") from None


async def _send(
    session: aiohttp.ClientSession, method: str, url: URL, content: bytes | None, headers: Mapping[str, str]
) -> Reply:
    body = bytearray()
    async with session.request(method, url, data=content, headers=headers, allow_redirects=False) as response:
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                response.close()
                raise BackendError("the model server's answer has no end", 5.0)
        return Reply(response.status, response.headers, bytes(body))


def _address(url: str) -> URL:
    """The server's root URL; UserError, which does not quote it, if it is not valid."""
    try:
        parsed = URL(url)
    except ValueError:
        raise UserError("backend.vllm.url is no URL; write it like http://host:8000") from None
    if not parsed.host:
        raise UserError("backend.vllm.url has no host; write it like http://host:8000")
    if parsed.user or parsed.password:
        raise UserError(
            "backend.vllm.url holds a user or password; put the key into VLLM_API_KEY, the URL is like http://host:8000"
        )
    return parsed.with_path(parsed.raw_path.rstrip("/").removesuffix("/v1"), encoded=True)


def _join(names: Any) -> str:
    return ", ".join(name[:100] for name in sorted(names)[:10]) or "nothing"


def has_other_version(reply: Reply) -> bool:
    """Whether the response says that the server has another version than the one asked for."""
    return reply.status == HTTPStatus.NOT_FOUND and reply.error().get("param") == "model"


def raise_for_status(reply: Reply) -> NoReturn:
    """Raises the error that a status other than 200 means."""
    if has_other_version(reply):
        raise VersionGoneError("the model server has another version now")
    error = reply.error()
    if reply.status == HTTPStatus.BAD_REQUEST and error.get("param") in ("input_tokens", "input_text"):
        match = re.search(r"length is (\d+) tokens.*? (\d+) (input tokens|characters)", str(error.get("message")), re.DOTALL)
        size = f"{match[2]} {match[3]}".replace("input tokens", "tokens or more") if match else ""
        numbers = f": {size}, and it reads {match[1]} tokens" if match else ""
        raise UserError(f"question and schema are longer than the model reads{numbers}; ask a smaller database, or more briefly")
    if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise BackendError("the gateway's key for the model server is refused", 30.0)
    if reply.status == HTTPStatus.NOT_FOUND:
        raise BackendError("what answers at the model server's address is no vLLM server (HTTP 404)", 30.0)
    wait = reply.headers.get("retry-after", "")
    raise BackendError(f"the model server answers HTTP {reply.status}", min(60.0, float(wait)) if wait.isdecimal() else 1.0)


def _span_attributes(model: str, n: int) -> dict[str, str | int]:
    return {"http.request.method": "POST", "gen_ai.request.model": model, "gen_ai.request.choice.count": n}


def completion_texts(reply: Reply, model: str, n: int) -> list[str]:
    """The completions in order; BackendError for anything but `n` finished ones by `model`."""
    value = reply.json()
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise BackendError("the model server's answer is no completion")
    if value.get("model") != model:
        raise BackendError("the model server's answer is by a version that was not asked for")
    texts: dict[int, str] = {}
    for choice in choices:
        index, text = choice.get("index"), choice.get("text")
        if isinstance(index, int) and isinstance(text, str):
            texts[index] = text
    if len(choices) != n or sorted(texts) != list(range(n)):
        raise BackendError(f"the model server's answer holds {len(texts)} completions, {n} were asked for")
    if not all(choice.get("finish_reason") in ("stop", "length") for choice in choices):  # interrupted by a server that stops
        raise BackendError("the model server broke off its answer")
    return [texts[index] for index in range(n)]
