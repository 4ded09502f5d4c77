"""A client for any OpenAI-compatible `/chat/completions`: OpenAI, vLLM, Ollama, llama.cpp and their like.

Transient failures are retried with growing pauses; a failure that a retry cannot mend raises EndpointError at once.
The API key travels in the Authorization header only: no message, log or repr contains it.
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
MAX_PAUSE_S = 60.0
MAX_RETRY_AFTER_S = 600  # when a server asks for a longer wait by Retry-After, the client gives up instead
MAX_BODY_BYTES = 16_000_000
EXCERPT_CHARS = 300  # of a response body, in an error message
FIXES_BY_STATUS = {
    401: "set SENSE_API_KEY to a key that this endpoint accepts",
    403: "set SENSE_API_KEY to a key that may use this model",
    404: "check llm.base_url (it usually ends in /v1) and llm.model",
    429: "lower llm.concurrency or raise the quota, then run again: finished drafts are kept",
}


@dataclass(frozen=True)
class ChatCompletion:
    """The text that the model wrote; `truncated` if it stopped at max_tokens. An answer removed by a content filter is empty."""

    text: str
    truncated: bool


@dataclass(frozen=True)
class _CallFailure:
    """Why a call gave no completion; `retry` if the same call may succeed later, after at least `wait_s` seconds."""

    message: str
    fix: str
    retry: bool
    wait_s: float = 0.0


class ChatClient:
    """Calls one model at one endpoint; thread-safe. `pause` sleeps the given number of seconds between tries."""

    def __init__(self, config: LlmConfig, api_key: str, pause: Callable[[float], None] = time.sleep) -> None:
        """Raises EndpointError if base_url or key cannot be used at all; opens no connection yet."""
        self._config, self._key, self._pause = config, api_key.strip(), pause
        if not (self._key.isascii() and self._key.isprintable()):  # httpx would quote the key in its own error
            raise EndpointError("the API key holds characters that no HTTP header can carry; set SENSE_API_KEY to the key alone")
        try:
            url = httpx.URL(config.base_url.rstrip("/") + "/chat/completions")
        except httpx.InvalidURL as error:
            raise EndpointError(f"llm.base_url: {error}; write it like https://host/v1") from None
        self._endpoint = f"{url.copy_with(userinfo=b'', query=None)}"
        if url.scheme not in ("http", "https") or not url.host:
            raise EndpointError(f"llm.base_url leads to {self._endpoint}: no http(s) address; write it like https://host/v1")
        self._url = url
        self._unsupported: frozenset[str] = frozenset()  # replaced, never changed: threads read it
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx.Timeout(config.timeout_s, pool=None),
            limits=httpx.Limits(max_connections=config.concurrency, max_keepalive_connections=config.concurrency),
        )
        weakref.finalize(self, self._http.close)  # a Teacher has no close method

    def chat(self, system: str, user: str, *, seed: int) -> ChatCompletion:
        """The model's completion, in JSON mode, of one system and one user message.

        `seed` is sent to the endpoint and also fixes the jitter of the pauses between tries. Raises EndpointError when the
        endpoint fails for good.
        """
        jitter = random.Random(f"{seed}-backoff")
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        tries = 0
        while True:
            outcome = self._post(self._request_body(messages, seed))
            if isinstance(outcome, ChatCompletion):
                return outcome
            if outcome is None:  # an unsupported parameter was found: ask again without it, which counts as no try
                continue
            tries += 1
            if not outcome.retry or tries > self._config.retries:
                count = f" ({tries} tries)" if tries > 1 else ""
                raise EndpointError(f"{self._endpoint}: {self._excerpt(outcome.message)}{count}; {outcome.fix}")
            self._pause(max(outcome.wait_s, _backoff(tries, jitter)))

    def _request_body(self, messages: list[dict[str, str]], seed: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": messages,
            "temperature": self._config.temperature,
            "max_tokens": self._config.max_tokens,
            "seed": seed,
            "response_format": {"type": "json_object"},
        }
        for name in sorted(self._unsupported & body.keys()):
            value = body.pop(name)
            if name == "max_tokens":
                body["max_completion_tokens"] = value
        return body

    def _post(self, body: Mapping[str, Any]) -> "ChatCompletion | _CallFailure | None":
        """Makes one call; None if the endpoint refused an optional parameter, which all later calls leave out."""
        try:
            with self._http.stream("POST", self._url, json=body) as response:
                content = _read_body(response)
        except httpx.TimeoutException as error:
            message = f"no answer within {self._config.timeout_s:g} s ({type(error).__name__})"
            return _CallFailure(message, "raise llm.timeout_s or lower llm.concurrency", retry=True)
        except httpx.HTTPError as error:
            fix = "check llm.base_url and that the server runs"
            return _CallFailure(f"cannot be reached ({type(error).__name__}: {error})", fix, retry=True)
        if response.status_code == httpx.codes.OK:
            return _parse_completion(response, content)
        text = content.decode("utf-8", "replace")
        parameter = _unsupported_parameter(body, text) if response.status_code in (400, 422) else None
        if parameter:
            self._unsupported |= {parameter}
            return None
        return _explain_status(response, text)

    def _excerpt(self, text: str) -> str:
        """The start of `text` on one line, without the API key, which some servers repeat in their errors."""
        text = text.replace(self._key, "***") if self._key else text
        line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return line if len(line) <= EXCERPT_CHARS else line[:EXCERPT_CHARS] + "..."


def _backoff(tries: int, jitter: random.Random) -> float:
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


def _parse_completion(response: httpx.Response, body: bytes) -> ChatCompletion | _CallFailure:
    """The completion in a response with status 200."""
    try:
        choice = json.loads(body)["choices"][0]
        content, finish = choice["message"].get("content"), choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        content, finish = 0, None
    if content is None or isinstance(content, str):
        return ChatCompletion(content or "", truncated=finish == "length")
    excerpt = body[:4096].decode("utf-8", "replace")
    fix = "check that llm.base_url is that of an OpenAI-compatible API (it usually ends in /v1)"
    return _CallFailure(f"HTTP {response.status_code} with something that is no chat completion: {excerpt}", fix, retry=True)


def _unsupported_parameter(body: Mapping[str, Any], text: str) -> str | None:
    """The optional parameter that the error message `text` complains about, if the request `body` has it.

    OpenAI's newer models accept max_completion_tokens only, older servers max_tokens only. Some servers support no
    JSON mode or no seed; leaving out the former is safe because the prompt asks for JSON too.
    """
    if "max_completion_tokens" in text and "max_tokens" in body:
        return "max_tokens"
    return next((name for name in ("response_format", "seed") if name in body and name in text), None)


def _explain_status(response: httpx.Response, text: str) -> _CallFailure:
    """Turns a response with a status other than 200 into a failure with its fix; `text` is the body."""
    status = response.status_code
    message = f"HTTP {status}: {text}"
    if status == 429 and "insufficient_quota" in text:
        return _CallFailure(message, "the account's quota is used up: top it up, then run again", retry=False)
    wait = _retry_after(response.headers.get("retry-after", "")) if status in (429, 503) else 0.0
    default_fix = "it fails by itself: run again later, finished drafts are kept" if status >= 500 else "check the llm section"
    transient = status in (408, 409, 425, 429) or status >= 500
    return _CallFailure(
        message, FIXES_BY_STATUS.get(status, default_fix), retry=transient and wait <= MAX_RETRY_AFTER_S, wait_s=wait
    )


def _retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0 if it cannot be read."""
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (date.astimezone(UTC) - datetime.now(UTC)).total_seconds())
