"""A client for any OpenAI-compatible `/chat/completions`: OpenAI, Azure, vLLM, Ollama, llama.cpp and their like.

Transient failures are retried with growing pauses, and requests go as fast as the endpoint takes them. What it does not support
(a parameter, the system role) is left out of all later requests. A failure of one exchange is a FailedExchange; one that every
exchange would meet raises EndpointError at once.
"""

import copy
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from sense.config import LlmConfig
from sense.endpoint import CallFailure, HttpEndpoint, Settings, backoff
from sense.errors import EndpointError
from sense.teacher.answer_cache import AnswerCache, key
from sense.teacher.answers import RESPONSE_FORMAT
from sense.teacher.ledger import Ledger, Tokens, read_tokens
from sense.teacher.pacing import Clock, MonotonicClock, Pace
from sense.teacher.responses import JSON_SCHEMA, SYSTEM_ROLE, ChatCompletion, UnsupportedParameter, read_response

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


NO_ANSWER = "not among the answers"
"""The reason of an exchange that was not made, because the client is offline."""
PATIENCE_S = 120.0
"""Seconds of pauses after which a request that is refused for its rate is given up, if no other was answered meanwhile."""
OVERLOADED = (503, 529)
"""Statuses of a server that has too much to do."""


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

    `answers` are those that were given before, and where new ones are kept; `ledger` counts what they cost. `say` gets a line for
    a person, once for each thing that the endpoint turns out not to support.
    """

    def __init__(
        self,
        config: LlmConfig,
        api_key: str,
        clock: Clock | None = None,
        say: Callable[[str], None] = lambda _: None,
        answers: AnswerCache | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """Raises EndpointError if base_url or key cannot be used at all; opens no connection yet."""
        self._config, self._say, self._answers = config, say, answers
        self._ledger = ledger or Ledger(config)
        self._pace = Pace(config.concurrency, clock or MonotonicClock())
        settings = Settings(config.base_url, "llm.base_url", "llm", "SENSE_API_KEY", timeout_s=config.timeout_s)
        self._endpoint = HttpEndpoint(settings, PATH, api_key)
        self._unsupported: frozenset[str] = frozenset()  # replaced under the lock, never changed: threads read it
        self._lock = threading.Lock()
        self._response_format, self._stage = RESPONSE_FORMAT, ""

    def for_answers(self, response_format: Mapping[str, Any], stage: str = "") -> "ChatClient":
        """This client for answers of another form, which the ledger enters under `stage`; both have one pace and one budget."""
        client = copy.copy(self)
        client._response_format, client._stage = dict(response_format), stage
        return client

    def chat(
        self,
        system: str,
        user: str,
        *,
        seed: int,
        turns: Sequence[tuple[str, str]] = (),
        response_format: Mapping[str, Any] | None = None,
    ) -> ChatCompletion | FailedExchange:
        """The model's completion, as structured output, of a system and a user message, or why this exchange brought none.

        `turns` are what came after them: each an answer of the model and the user's next message. `response_format` is that of
        the answer where it is not this client's. A request that was answered before is not made. `seed` is sent to the
        endpoint and also fixes the jitter of the pauses between tries. Raises EndpointError when the endpoint fails for good,
        BudgetError when the request might cost too much.
        """
        request = self._full_body(system, user, seed, turns)
        request["response_format"] = dict(response_format or self._response_format)
        body = self._answers.read(key(request)) if self._answers is not None else None
        if body is not None:
            outcome, tries = _read_again(body, request), 0
        elif self._config.offline:
            return FailedExchange(NO_ANSWER, f"seed {seed}", requests=0)
        else:
            outcome, tries = self._ask(request)
        if isinstance(outcome, ChatCompletion):
            return outcome
        detail = self._endpoint.describe(outcome, tries)
        if not outcome.reason:
            raise EndpointError(detail)
        return FailedExchange(outcome.reason, detail, tries)

    def tokens(self, system: str, user: str, *, seed: int, turns: Sequence[tuple[str, str]] = ()) -> Tokens | None:
        """What the kept answer to a request took; None if there is none, or it does not say."""
        body = self._answers.read(key(self._full_body(system, user, seed, turns))) if self._answers is not None else None
        return None if body is None else read_tokens(body)

    def forget(self, system: str, user: str, *, seed: int, turns: Sequence[tuple[str, str]] = ()) -> None:
        """Drops the answer to a request, which turned out to be of no use: the next time it is made again."""
        if self._answers is not None and not self._config.offline:
            self._answers.forget([key(self._full_body(system, user, seed, turns))])

    def fetch(self) -> bool:
        """Has what was asked in vain so far answered; False if there is nothing to fetch: each request was made at once."""
        return False

    def close(self) -> None:
        """Lets no further request start; threads whose request waits for its turn get a ClosedError."""
        self._pace.close()

    def _ask(self, request: Mapping[str, Any]) -> tuple[ChatCompletion | CallFailure, int]:
        """The endpoint's answer, asked for again while its failure may go away, and how often it was asked.

        Failures are limited by `retries`. A refusal for the rate counts as none while others are answered.
        """
        jitter = random.Random(f"{request['seed']}-backoff")
        tries, failures, refusals, waited, answers = 0, 0, 0, 0.0, self._pace.answers
        while True:
            started = self._pace.start()
            try:
                outcome, response = self._exchange(request)
            except BaseException:
                self._pace.fail()
                raise
            tries += 1
            status = None if response is None else response[0].status_code
            if not (isinstance(outcome, CallFailure) and outcome.retry):
                self._pace.answer(started)  # before the answer is kept: the next request need not wait for the disk
                if isinstance(outcome, ChatCompletion) and response is not None:
                    return self._keep(request, response[1], outcome), tries
                return outcome, tries
            if self._pace.answers > answers:
                refusals, waited, answers = 0, 0.0, self._pace.answers
            limited = status is not None and not outcome.reason
            if limited or status in OVERLOADED:
                refusals, failures = refusals + limited, failures + (not limited)
                wait = max(outcome.wait_s, backoff(refusals + failures, jitter))
                waited += wait
                self._pace.refuse(started, wait)
            else:
                self._pace.fail()
                failures += 1
                wait = max(outcome.wait_s, backoff(failures, jitter))
            if failures > self._config.retries or (refusals > self._config.retries and waited >= PATIENCE_S):
                return outcome, tries
            if not limited and status not in OVERLOADED:
                self._pace.sleep(wait)

    def _keep(self, request: Mapping[str, Any], body: bytes, completion: ChatCompletion) -> ChatCompletion | CallFailure:
        """Keeps the answer to a request; the completion, or that of an answer which another process has kept before."""
        kept = body if self._answers is None else self._answers.write(request, body)
        return completion if kept is body else _read_again(kept, request)

    def _exchange(self, request: Mapping[str, Any]) -> tuple[ChatCompletion | CallFailure, tuple[httpx.Response, bytes] | None]:
        """One try, and its response with the body, None without one.

        What the endpoint does not support is left out, and asking again without it counts as no further try.
        """
        while True:
            body = self._supported(request)
            answer = self._call(body)
            if isinstance(answer, CallFailure):
                return answer, None
            outcome = read_response(*answer, body)
            if not isinstance(outcome, UnsupportedParameter):
                return outcome, answer
            self._leave_out(outcome.name)

    def _call(self, body: Mapping[str, Any]) -> tuple[httpx.Response, bytes] | CallFailure:
        """Sends a request and enters in the ledger what it has cost; what is rejected afterwards is paid for too."""
        reserved = self._ledger.reserve(body)
        try:
            answer = self._endpoint.call(body)
        except BaseException:
            self._ledger.settle(reserved, None, stage=self._stage)
            raise
        if isinstance(answer, CallFailure):  # sent, and perhaps answered when it was too late
            self._ledger.settle(reserved, None, charged=bool(answer.reason), stage=self._stage)
        else:
            self._ledger.settle(reserved, answer[1], charged=answer[0].is_success, stage=self._stage)
        return answer

    def _full_body(self, system: str, user: str, seed: int, turns: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """The request to an endpoint that supports everything."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        for answer, reply in turns:
            messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": reply}]
        return {
            "model": self._config.model,
            "messages": messages,
            "temperature": self._config.temperature,
            "max_tokens": self._config.max_tokens,
            "seed": seed,
            "response_format": self._response_format,
        }

    def _supported(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The request without what the endpoint does not support."""
        body = dict(request)
        for name in sorted(self._unsupported):
            if name == SYSTEM_ROLE:
                system, user, *turns = request["messages"]
                body["messages"] = [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *turns]
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


def _read_again(body: bytes, request: Mapping[str, Any]) -> ChatCompletion | CallFailure:
    """A kept answer, read as if it came now; one that no longer can be read is a failure of its exchange."""
    outcome = read_response(httpx.Response(httpx.codes.OK), body, request)
    if isinstance(outcome, UnsupportedParameter):
        return CallFailure(f"the kept answer is an error about {outcome.name}", "delete it", "no completion")
    return outcome
