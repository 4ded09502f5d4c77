"""A client for any OpenAI-compatible `/chat/completions`: OpenAI, Azure, vLLM, Ollama, llama.cpp and their like.

Transient failures are retried with growing pauses. What the endpoint does not support (a parameter, the system role) is left out
of all later requests. A failure of one exchange is a FailedExchange; one that every exchange would meet raises EndpointError
at once.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sense.config import LlmConfig
from sense.cost import usage
from sense.endpoint import CallFailure, HttpEndpoint, Settings, repeat
from sense.errors import EndpointError
from sense.teacher.answers import RESPONSE_FORMAT
from sense.teacher.responses import JSON_SCHEMA, SYSTEM_ROLE, ChatCompletion, UnsupportedParameter, read_response, read_usage

PATH = "/chat/completions"
ADAPTATIONS = {
    JSON_SCHEMA: "takes no JSON schema: requests ask for its JSON mode instead",
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
        self._config, self._pause, self._say = config, pause, say
        settings = Settings(
            config.base_url, "llm.base_url", "llm", "SENSE_API_KEY", timeout_s=config.timeout_s, concurrency=config.concurrency
        )
        self._endpoint = HttpEndpoint(settings, PATH, api_key)
        self._unsupported: frozenset[str] = frozenset()  # replaced under the lock, never changed: threads read it
        self._lock = threading.Lock()

    def chat(
        self, system: str, user: str, *, seed: int, turns: Sequence[tuple[str, str]] = ()
    ) -> ChatCompletion | FailedExchange:
        """The model's completion, as structured output, of a system and a user message, or why this exchange brought none.

        `turns` are what came after them: each an answer of the model and the user's next message.

        `seed` is sent to the endpoint and also fixes the jitter of the pauses between tries. Raises EndpointError when the
        endpoint fails for good.
        """
        jitter = random.Random(f"{seed}-backoff")
        outcome, tries = repeat(lambda: self._exchange(system, user, seed, turns), self._config.retries, self._pause, jitter)
        if isinstance(outcome, ChatCompletion):
            return outcome
        detail = self._endpoint.describe(outcome, tries)
        if not outcome.reason:
            raise EndpointError(detail)
        return FailedExchange(outcome.reason, detail, tries)

    def _exchange(self, system: str, user: str, seed: int, turns: Sequence[tuple[str, str]]) -> ChatCompletion | CallFailure:
        """One try; what the endpoint does not support is left out, and asking again without it counts as no further try."""
        while True:
            body = self._request_body(system, user, seed, turns)
            answer = self._endpoint.call(body)
            outcome = answer if isinstance(answer, CallFailure) else read_response(*answer, body)
            if not isinstance(answer, CallFailure) and answer[0].is_success:  # what is rejected afterwards is paid for too
                self._count(answer[1])
            if not isinstance(outcome, UnsupportedParameter):
                return outcome
            self._leave_out(outcome.name)

    def _count(self, body: bytes) -> None:
        """Counts the tokens of an answer, and what they cost."""
        tokens = read_usage(body)
        if tokens is None:
            usage.count_gap()
            return
        prompt, completion = tokens
        usage.count("teacher_prompt", prompt)
        usage.count("teacher_completion", completion)
        if self._config.prompt_price is not None and self._config.completion_price is not None:
            usage.spend((prompt * self._config.prompt_price + completion * self._config.completion_price) / 1e6)

    def _request_body(self, system: str, user: str, seed: int, turns: Sequence[tuple[str, str]]) -> dict[str, Any]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        for answer, reply in turns:
            messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": reply}]
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": messages,
            "temperature": self._config.temperature,
            "max_tokens": self._config.max_tokens,
            "seed": seed,
            "response_format": RESPONSE_FORMAT,
        }
        for name in sorted(self._unsupported):
            if name == SYSTEM_ROLE:
                body["messages"] = [{"role": "user", "content": f"{system}\n\n{user}"}, *messages[2:]]
                continue
            if name == JSON_SCHEMA:
                body["response_format"] = {"type": "json_object"}
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
                self._say(f"{self._endpoint.name} {ADAPTATIONS[name]}")
