"""A client for any OpenAI-compatible `/chat/completions`: OpenAI, vLLM, Ollama, llama.cpp and their like.

Transient failures are retried with growing pauses; what cannot mend itself raises EndpointError at once.
The API key travels in the Authorization header only: no message, log or repr shows it.
"""

import json
import random
import re
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from sense.config import LlmConfig
from sense.errors import EndpointError

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
LONGEST_WAIT_S = 600  # a server that asks for more by Retry-After has us give up instead
MAX_BODY_BYTES = 16_000_000
EXCERPT = 300  # characters of an endpoint's answer in a message
FIXES = {
    401: "set SENSE_API_KEY to a key that this endpoint accepts",
    403: "set SENSE_API_KEY to a key that may use this model",
    404: "check llm.base_url (it usually ends in /v1) and llm.model",
    429: "lower llm.concurrency or raise the quota, then run again: finished drafts are kept",
}


@dataclass(frozen=True)
class Answer:
    """What the model wrote; `cut` if it stopped at max_tokens. An answer that was filtered away is empty."""

    text: str
    cut: bool


@dataclass(frozen=True)
class _Trouble:
    """Why a call gave no answer; `retry` if the same call may do better, after at least `wait_s` seconds."""

    what: str
    fix: str
    retry: bool
    wait_s: float = 0.0


class ChatClient:
    """Calls one model at one endpoint; thread-safe. `pause` sleeps between tries (seconds)."""

    def __init__(self, config: LlmConfig, api_key: str, pause: Callable[[float], None] = time.sleep) -> None:
        """Raises EndpointError if base_url or key cannot be used at all; opens no connection yet."""
        self._config, self._key, self._pause = config, api_key.strip(), pause
        if not (self._key.isascii() and self._key.isprintable()):  # httpx would quote the key in its own error
            raise EndpointError("the API key holds characters that no HTTP header can carry; set SENSE_API_KEY to the key alone")
        try:
            url = httpx.URL(config.base_url.rstrip("/") + "/chat/completions")
        except httpx.InvalidURL as error:
            raise EndpointError(f"llm.base_url: {error}; write it like https://host/v1") from None
        self._where = f"{url.copy_with(userinfo=b'', query=None)}"
        if url.scheme not in ("http", "https") or not url.host:
            raise EndpointError(f"llm.base_url leads to {self._where}: no http(s) address; write it like https://host/v1")
        self._url = url
        self._unsupported: frozenset[str] = frozenset()  # replaced, never changed: threads read it
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx.Timeout(config.timeout_s, pool=None),
            limits=httpx.Limits(max_connections=config.concurrency, max_keepalive_connections=config.concurrency),
        )
        weakref.finalize(self, self._http.close)  # users of a Teacher know of no connection to close

    def chat(self, system: str, user: str, *, seed: int) -> Answer:
        """The model's JSON-mode answer to one exchange; EndpointError when the endpoint fails for good.

        `seed` goes to the endpoint and also fixes the jitter of the pauses between tries.
        """
        jitter = random.Random(f"{seed}-backoff")
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        tries = 0
        while True:
            outcome = self._post(self._payload(messages, seed))
            if isinstance(outcome, Answer):
                return outcome
            if outcome is None:  # the endpoint named a parameter it does not take: again without it, no try lost
                continue
            tries += 1
            if not outcome.retry or tries > self._config.retries:
                count = f" ({tries} tries)" if tries > 1 else ""
                raise EndpointError(f"{self._where}: {self._safe(outcome.what)}{count}; {outcome.fix}")
            self._pause(max(outcome.wait_s, _backoff(tries, jitter)))

    def _payload(self, messages: list[dict[str, str]], seed: int) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "model": self._config.model,
            "messages": messages,
            "temperature": self._config.temperature,
            "max_tokens": self._config.max_tokens,
            "seed": seed,
            "response_format": {"type": "json_object"},
        }
        for name in sorted(self._unsupported & payload.keys()):
            value = payload.pop(name)
            if name == "max_tokens":
                payload["max_completion_tokens"] = value
        return payload

    def _post(self, payload: Mapping[str, Any]) -> "Answer | _Trouble | None":
        """One call; None if the endpoint refused an optional parameter, which is then left out from now on."""
        try:
            with self._http.stream("POST", self._url, json=payload) as response:
                body = _read(response)
        except httpx.TimeoutException as error:
            what = f"no answer within {self._config.timeout_s:g} s ({type(error).__name__})"
            return _Trouble(what, "raise llm.timeout_s or lower llm.concurrency", retry=True)
        except httpx.HTTPError as error:
            fix = "check llm.base_url and that the server runs"
            return _Trouble(f"cannot be reached ({type(error).__name__}: {error})", fix, retry=True)
        if response.status_code == httpx.codes.OK:
            return _answer(response, body)
        text = body.decode("utf-8", "replace")
        refused = _refused(payload, text) if response.status_code in (400, 422) else None
        if refused:
            self._unsupported |= {refused}
            return None
        return _failure(response, text)

    def _safe(self, text: str) -> str:
        """The start of `text`, on one line, without the key, which some servers echo in their errors."""
        text = text.replace(self._key, "***") if self._key else text
        line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return line if len(line) <= EXCERPT else line[:EXCERPT] + "..."


def _backoff(tries: int, jitter: random.Random) -> float:
    """Seconds to wait after the `tries`-th failure: 1, 2, 4 and so on, each times a number drawn from [0.5, 1)."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (tries - 1)) * (0.5 + jitter.random() / 2)


def _read(response: httpx.Response) -> bytes:
    """The body, up to MAX_BODY_BYTES: an endless one must not fill the memory."""
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            break
    return bytes(body)


def _answer(response: httpx.Response, body: bytes) -> Answer | _Trouble:
    """The answer in a body that came with status 200."""
    try:
        choice = json.loads(body)["choices"][0]
        content, finish = choice["message"].get("content"), choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        content, finish = 0, None
    if content is None or isinstance(content, str):
        return Answer(content or "", cut=finish == "length")
    shown = body[:4096].decode("utf-8", "replace")
    fix = "check that llm.base_url is that of an OpenAI-compatible API (it usually ends in /v1)"
    return _Trouble(f"HTTP {response.status_code} with something that is no chat completion: {shown}", fix, retry=True)


def _refused(payload: Mapping[str, Any], text: str) -> str | None:
    """The optional parameter that an error text names, if one was sent.

    OpenAI's newer models take max_completion_tokens alone, older servers max_tokens alone; some servers know no
    JSON mode or no seed, and the prompt asks for JSON anyway.
    """
    if "max_completion_tokens" in text and "max_tokens" in payload:
        return "max_tokens"
    return next((name for name in ("response_format", "seed") if name in payload and name in text), None)


def _failure(response: httpx.Response, text: str) -> _Trouble:
    """What a status other than 200 means, with its fix."""
    status = response.status_code
    what = f"HTTP {status}: {text}"
    if status == 429 and "insufficient_quota" in text:
        return _Trouble(what, "the account's quota is used up: top it up, then run again", retry=False)
    wait = _retry_after(response.headers.get("retry-after", "")) if status in (429, 503) else 0.0
    other = "it fails by itself: run again later, finished drafts are kept" if status >= 500 else "check the llm section"
    passing = status in (408, 409, 425, 429) or status >= 500
    return _Trouble(what, FIXES.get(status, other), retry=passing and wait <= LONGEST_WAIT_S, wait_s=wait)


def _retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, given as a number or as a date; 0 if it says nothing readable."""
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (date.astimezone(UTC) - datetime.now(UTC)).total_seconds())
