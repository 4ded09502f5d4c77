"""A client for any OpenAI-compatible `/chat/completions`: OpenAI, Azure, vLLM, Ollama, llama.cpp and their like.

Transient failures are retried with growing pauses. What the endpoint does not support (a parameter, the system role) is left out
of all later requests. A failure of one exchange is a FailedExchange; one that every exchange would meet raises EndpointError
at once. The API key travels in a header only: no message, log or repr contains it.
"""

import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from sense.config import LlmConfig
from sense.errors import EndpointError
from sense.teacher.responses import SYSTEM_ROLE, CallFailure, ChatCompletion, UnsupportedParameter, read_response

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0
MAX_BODY_BYTES = 16_000_000
EXCERPT_CHARS = 300  # of a response body, in an error message
PATH = "/chat/completions"
ADAPTATIONS = {
    "response_format": "has no JSON mode: requests are sent without response_format",
    "seed": "takes no seed: requests are sent without it, so the same request may get another answer each time",
    "temperature": "does not take llm.temperature: requests are sent without it, the model's own holds",
    "max_tokens": "takes llm.max_tokens as max_completion_tokens only",
    SYSTEM_ROLE: "has no system role: the system message is sent at the head of the user's",
}
"""Name of what the endpoint does not support -> what the client does about it."""


@dataclass(frozen=True)
class FailedExchange:
    """An exchange that brought no answer though the endpoint may answer others.

    `reason` is a short text to count by, `detail` is for people, `requests` is how many requests were made.
    """

    reason: str
    detail: str
    requests: int


class ChatClient:
    """Calls one model at one endpoint; thread-safe.

    `pause` sleeps the given number of seconds between tries. `say` gets a line for a person, once for each thing that the
    endpoint turns out not to support.
    """

    def __init__(
        self,
        config: LlmConfig,
        api_key: str,
        pause: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Raises EndpointError if base_url or key cannot be used at all; opens no connection yet."""
        self._config, self._key, self._pause, self._say = config, api_key.strip(), pause, say
        if not (self._key.isascii() and self._key.isprintable()):  # httpx would quote the key in its own error
            raise EndpointError("the API key holds characters that no HTTP header can carry; set SENSE_API_KEY to the key alone")
        try:
            url = _completions_url(config.base_url)
        except httpx.InvalidURL as error:
            raise EndpointError(f"llm.base_url: {error}; write it like https://host/v1") from None
        self._endpoint = f"{url.copy_with(userinfo=b'', query=None)}"
        if url.scheme not in ("http", "https") or not url.host:
            raise EndpointError(f"llm.base_url leads to {self._endpoint}: no http(s) address; write it like https://host/v1")
        self._url = url
        self._unsupported: frozenset[str] = frozenset()  # replaced under the lock, never changed: threads read it
        self._lock = threading.Lock()
        self._http = httpx.Client(
            headers=_key_header(self._key, url),
            timeout=httpx.Timeout(config.timeout_s, pool=None),
            limits=httpx.Limits(max_connections=config.concurrency, max_keepalive_connections=config.concurrency),
        )
        weakref.finalize(self, self._http.close)  # a Teacher has no close method

    def chat(self, system: str, user: str, *, seed: int) -> ChatCompletion | FailedExchange:
        """The model's completion, in JSON mode, of one system and one user message, or why this exchange brought none.

        `seed` is sent to the endpoint and also fixes the jitter of the pauses between tries. Raises EndpointError when the
        endpoint fails for good.
        """
        jitter = random.Random(f"{seed}-backoff")
        tries = 0
        while True:
            outcome = self._post(self._request_body(system, user, seed))
            if isinstance(outcome, ChatCompletion):
                return outcome
            if isinstance(outcome, UnsupportedParameter):  # ask again without it, which counts as no try
                self._leave_out(outcome.name)
                continue
            tries += 1
            if outcome.retry and tries <= self._config.retries:
                self._pause(max(outcome.wait_s, _backoff(tries, jitter)))
                continue
            count = f" ({tries} tries)" if tries > 1 else ""
            detail = f"{self._endpoint}: {self._excerpt(outcome.message)}{count}; {outcome.fix}"
            if not outcome.reason:
                raise EndpointError(detail)
            return FailedExchange(outcome.reason, detail, tries)

    def _request_body(self, system: str, user: str, seed: int) -> dict[str, Any]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": messages,
            "temperature": self._config.temperature,
            "max_tokens": self._config.max_tokens,
            "seed": seed,
            "response_format": {"type": "json_object"},
        }
        for name in sorted(self._unsupported):
            if name == SYSTEM_ROLE:
                body["messages"] = [{"role": "user", "content": f"{system}\n\n{user}"}]
                continue
            value = body.pop(name)
            if name == "max_tokens":
                body["max_completion_tokens"] = value
        return body

    def _leave_out(self, name: str) -> None:
        """Makes all later requests do without `name`, and says so the first time."""
        with self._lock:
            if name not in self._unsupported:
                self._unsupported |= {name}
                self._say(f"{self._endpoint} {ADAPTATIONS[name]}")

    def _post(self, body: Mapping[str, Any]) -> ChatCompletion | UnsupportedParameter | CallFailure:
        """Makes one call."""
        try:
            with self._http.stream("POST", self._url, json=body) as response:
                return read_response(response, _read_body(response), body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            return _explain_no_connection(error)
        except httpx.TimeoutException as error:
            message = f"no answer within {self._config.timeout_s:g} s ({type(error).__name__})"
            return CallFailure(message, "raise llm.timeout_s or lower llm.concurrency", "no answer in time", retry=True)
        except httpx.HTTPError as error:
            message = f"the connection broke off ({type(error).__name__}: {error})"
            return CallFailure(message, "check llm.base_url and the server's log", "connection lost", retry=True)

    def _excerpt(self, text: str) -> str:
        """The start of `text` on one line, without the API key, which some servers repeat in their errors."""
        text = text.replace(self._key, "***") if self._key else text
        line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return line if len(line) <= EXCERPT_CHARS else line[:EXCERPT_CHARS] + "..."


def _completions_url(base_url: str) -> httpx.URL:
    """The URL of the chat completions below `base_url`, whose query (Azure's `?api-version=...`) stays at the end."""
    address, mark, query = base_url.strip().partition("#")[0].partition("?")
    return httpx.URL(address.rstrip("/").removesuffix(PATH) + PATH + mark + query)


def _key_header(key: str, url: httpx.URL) -> dict[str, str]:
    """The header that carries the key: Azure, whose URLs have an api-version, wants it in one of its own.

    Azure takes Microsoft Entra's tokens, which are JWTs and so begin with eyJ, as everybody takes keys.
    """
    if not key:
        return {}
    if "api-version" in url.params and not key.startswith("eyJ"):
        return {"api-key": key}
    return {"Authorization": f"Bearer {key}"}


def _explain_no_connection(error: httpx.HTTPError) -> CallFailure:
    """Why there is no connection; one that is refused may be accepted later, a certificate or protocol stays wrong."""
    message = f"cannot be reached ({type(error).__name__}: {error})"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return CallFailure(message, "set SSL_CERT_FILE to a file with the certificate of the authority that signed the server's")
    if "SSL" in str(error):
        return CallFailure(message, "check llm.base_url: does the server speak https, or http alone?")
    return CallFailure(message, "check llm.base_url and that the server runs", retry=True)


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
