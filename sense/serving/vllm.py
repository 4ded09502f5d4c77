"""Candidates from a vLLM server, by its OpenAI-compatible completions.

Every request names the version it wants. During a rollout, replicas of two versions answer behind one address; one that has
another version says so (404), and another replica is tried, so that nothing is ever written by a version that was not asked for.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from sense.config import GenerationConfig, PromptConfig, ServedConfig, VllmConfig, environment
from sense.errors import UserError
from sense.serving.backend import BackendError, Version
from sense.serving.replies import Reply, other_version, refuse, texts_of

FRESH_S = 1.0  # how long an answer about what is served holds
CONNECT_S = 5.0
RENEW_AFTER = 50  # requests, by the count of all; then one closes its connection, and a replica that has joined gets some
OTHER_REPLICAS = 4  # tries on connections of their own, once a replica has said that it has another version
MAX_BODY_BYTES = 16_000_000

_QUOTED = r"""'[^']*'|"[^"]*"|`[^`]*`"""
# One statement that begins with SELECT or WITH; a semicolon inside quotes is text, outside it is the end. The last quote may stay
# open: what a model writes without this constraint and `parse.extract` takes whole, it writes with it, token for token.
SELECT = (
    r"[ \n]{0,2}(SELECT|WITH|select|with|Select|With)"
    rf"([^A-Za-z0-9_;'\"`]|{_QUOTED})([^;'\"`]|{_QUOTED})*"
    r"""(;[ \n]{0,2}|'[^']*|"[^"]*|`[^`]*)?"""
)


@dataclass(frozen=True)
class VllmServed:
    """A version that the server had when it was last asked (`Served` of sense.serving.backend)."""

    backend: "VllmBackend"
    name: str
    about: ServedConfig

    @property
    def version(self) -> Version:
        """Which one."""
        return Version(self.about.name, self.about.version, self.about.digest)

    @property
    def prompt(self) -> PromptConfig:
        """How its prompts are written."""
        return self.about.prompt

    async def complete(self, prompt: str, *, n: int, temperature: float) -> Sequence[str]:
        """`n` completions; GoneError if no replica has this version any more, UserError if the prompt is longer than it reads."""
        return await self.backend.complete(self.name, prompt, n=n, temperature=temperature)


class VllmBackend:
    """One vLLM address (`Backend` of sense.serving.backend). No message of its errors shows the address or the key."""

    def __init__(self, config: VllmConfig, generation: GenerationConfig, timeout_s: float) -> None:
        """A completion may take `timeout_s` seconds. UserError if URL or key cannot be used; opens no connection yet.

        The server is taken to be near: proxies that the environment names are not used.
        """
        key = environment("VLLM_API_KEY").strip()
        if not (key.isascii() and key.isprintable()):
            raise UserError("VLLM_API_KEY holds characters that no HTTP header can carry; set it to the key alone")
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._root = _address(config.url)
        self._config, self._generation, self._timeout_s = config, generation, timeout_s
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self._known: tuple[float, VllmServed] | None = None  # when it was asked, what it has
        self._asking: asyncio.Task[VllmServed] | None = None
        self._calls = 0

    async def start(self) -> None:
        """Opens no connection: the server is asked when a version is wanted."""
        self._sessions()

    def _sessions(self) -> tuple[aiohttp.ClientSession, aiohttp.ClientSession]:
        """For kept connections, and for a new one each time; made in the event loop that uses them."""
        if self._kept is None or self._fresh is None:
            self._kept, self._fresh = self._session(), self._session(force_close=True)
        return self._kept, self._fresh

    def _session(self, **more: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=self._config.connections, use_dns_cache=False, **more),
            timeout=aiohttp.ClientTimeout(sock_connect=min(CONNECT_S, self._timeout_s)),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Closes the connections."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        for session in (self._kept, self._fresh):
            if session is not None:
                await session.close()

    async def current(self) -> VllmServed:
        """What the server has, as of a second ago at most; all who ask at the same time share one question."""
        if self._known is not None and time.monotonic() - self._known[0] < FRESH_S:
            return self._known[1]
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, should all have left
        return await asyncio.shield(self._asking)

    async def _ask(self) -> VllmServed:
        self._known = None
        reply = await self._call("GET", "v1/models", None, min(CONNECT_S, self._timeout_s))
        if reply.status != HTTPStatus.OK:
            refuse(reply)
        value = reply.json()
        cards = value.get("data") if isinstance(value, dict) else None
        if not isinstance(cards, list) or not all(isinstance(card, dict) and isinstance(card.get("id"), str) for card in cards):
            raise BackendError("the model server's list of models is none", 5.0)
        names = [card["id"] for card in cards]
        for name, about in self._config.models.items():  # the first is the newest
            if name in names:
                served = VllmServed(self, name, about)
                self._known = time.monotonic(), served
                return served
        raise BackendError(
            f"the model server has {_list(names)}, the gateway is configured for {_list(self._config.models)}", 5.0
        )

    async def complete(self, model: str, prompt: str, *, n: int, temperature: float) -> Sequence[str]:
        """`n` completions of `prompt` by the version served as `model`."""
        body: dict[str, Any] = {"model": model, "prompt": prompt, "n": n, "max_tokens": self._generation.max_new_tokens}
        body["temperature"] = temperature
        if temperature > 0:
            body |= {"top_p": self._generation.top_p, "top_k": 0, "seed": self._generation.seed}
        if self._config.structured:
            body["structured_outputs"] = {"regex": SELECT}
        reply = await self._call("POST", "v1/completions", body, self._timeout_s)
        if reply.status != HTTPStatus.OK:
            if reply.status == HTTPStatus.NOT_FOUND:
                self._known = None
            refuse(reply)
        return texts_of(reply, model, n)

    async def _call(self, method: str, path: str, body: Any, timeout_s: float) -> Reply:
        """The server's answer, whatever it is; BackendError if there is none in time."""
        kept, fresh = self._sessions()
        self._calls += 1
        last = {"Connection": "close"} if self._calls % RENEW_AFTER == 0 else {}
        url, content = self._root / path, json.dumps(body).encode() if body is not None else None
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    reply = await _send(kept, method, url, content, last)
                except aiohttp.ClientError as error:  # gone since the last request; is there another?
                    if isinstance(error, TimeoutError):
                        raise
                    reply = await _send(fresh, method, url, content)
                tries = 0
                while other_version(reply) and tries < OTHER_REPLICAS:  # a new connection may lead to another replica
                    reply = await _send(fresh, method, url, content)
                    tries += 1
                return reply
        except TimeoutError:
            self._known = None
            raise BackendError(f"the model server does not answer within {timeout_s:g} s", 5.0) from None
        except aiohttp.ClientError as error:
            self._known = None
            raise BackendError(f"the model server cannot be reached ({type(error).__name__})") from None


async def _send(
    session: aiohttp.ClientSession, method: str, url: URL, content: bytes | None, headers: Mapping[str, str] | None = None
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
    """The server's root; UserError, which does not show the URL, if it is none."""
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


def _list(names: Any) -> str:
    return ", ".join(name[:100] for name in sorted(names)[:10]) or "nothing"
