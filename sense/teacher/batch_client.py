"""A client whose requests wait until all that are known are sent together, in batches (llm.mode: batch).

A request without a kept answer gets NO_ANSWER at first, as offline, and is noted. `fetch` has all noted requests answered; then
whoever has asked asks again. The answers go to the same folder as all others. What a failed exchange is, and which part of a
request the endpoint does not support, is the same as with single requests.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import httpx

from sense.config import LlmConfig
from sense.endpoint import CallFailure, backoff
from sense.errors import EndpointError
from sense.teacher.answer_cache import AnswerCache, key
from sense.teacher.batches import BatchAnswer, BatchApi, BatchEnd, SentBatch
from sense.teacher.ledger import Ledger
from sense.teacher.openai import NO_ANSWER, ChatClient
from sense.teacher.pacing import Clock, MonotonicClock, Pace
from sense.teacher.responses import ChatCompletion, UnsupportedParameter, read_response

FOLDER = "batches"
_UNMADE = ("batch_expired", "batch_cancelled")
"""Codes of requests that were not made in time, which cost nothing."""
_TOO_MUCH_WAITS = "token_limit_exceeded"

Requests = dict[str, Mapping[str, Any]]


def make_client(
    config: LlmConfig,
    api_key: str,
    clock: Clock | None = None,
    say: Callable[[str], None] = lambda _: None,
    answers: AnswerCache | None = None,
    ledger: Ledger | None = None,
) -> ChatClient:
    """The client for `config.mode`; batches need a folder for their answers."""
    if config.mode == "batch" and answers is not None:
        return BatchClient(config, api_key, clock, say, answers, ledger)
    return ChatClient(config, api_key, clock, say, answers, ledger)


class BatchClient(ChatClient):
    """As ChatClient, but answers come with `fetch`, which one thread calls while no other asks."""

    def __init__(
        self,
        config: LlmConfig,
        api_key: str,
        clock: Clock | None,
        say: Callable[[str], None],
        answers: AnswerCache,
        ledger: Ledger | None,
    ) -> None:
        super().__init__(config, api_key, clock, say, answers, ledger)
        self._kept_answers, self._clock = answers, clock or MonotonicClock()
        folder, run = answers.folder / FOLDER, self._ledger.name
        self._api = BatchApi(config, api_key, folder, run, self._pause, say)
        self._noted: Requests = {}
        self._failures: dict[str, tuple[CallFailure, int]] = {}  # for good, with the number of tries
        self._tries: Counter[str] = Counter()
        self._taken: list[SentBatch] = []
        self._size = config.batch_requests
        self._endpoint_is_tried = False

    def _ask(self, request: Mapping[str, Any]) -> tuple[ChatCompletion | CallFailure, int]:
        """Notes the request, unless it has failed for good."""
        name = key(request)
        with self._lock:
            if name in self._failures:
                return self._failures[name]
            self._noted[name] = request
        return CallFailure(NO_ANSWER, "it waits for its batch", NO_ANSWER), 0

    def fetch(self) -> bool:
        """Has all requests answered that were noted, or sees that they fail; False if there were none.

        Raises EndpointError where the endpoint fails for good, BudgetError where not one more request may be paid for.
        """
        if self._config.offline:
            return False
        for batch in self._taken:  # what has failed in it is noted elsewhere by now, and will not be asked again after a kill
            self._api.remove(batch)
        self._taken.clear()
        self._pace = Pace(self._config.concurrency, self._clock)  # whoever has asked may have closed the last one
        wanted, self._noted = dict(sorted(self._noted.items())), {}
        asked = bool(wanted)
        for batch in self._api.unfinished():
            if wanted.keys() & batch.requests.keys() or (batch.own and batch.end is not None):
                self._take(batch, sent_before=True)
        idle = 0
        while wanted := self._unanswered(wanted):
            if not self._endpoint_is_tried:  # a wrong key, model or parameter shows at once, not after the first batch
                self._make({name: wanted[name] for name in list(wanted)[:1]})
                self._endpoint_is_tried = True
            elif len(wanted) < self._config.batch_least:
                self._make(wanted)
            else:
                idle = 0 if self._take(self._send(wanted)) else idle + 1
                if idle > self._config.retries:
                    raise EndpointError(
                        f"{idle} batches in a row brought no answer; set llm.mode to requests, or run again later"
                    )
                if idle:
                    self._pace.sleep(backoff(idle, random.Random("batches")))
        return asked

    def _pause(self, seconds: float) -> None:
        self._pace.sleep(seconds)

    def _unanswered(self, requests: Requests) -> Requests:
        return {
            name: request for name, request in requests.items() if name not in self._failures and name not in self._kept_answers
        }

    def _make(self, requests: Requests) -> None:
        """Makes requests by themselves; EndpointError if every other would fail too."""
        ask = super()._ask
        with ThreadPoolExecutor(self._config.concurrency, thread_name_prefix="request") as pool:
            names = {pool.submit(ask, request): name for name, request in requests.items()}
            try:
                for future in as_completed(names):
                    outcome, tries = future.result()
                    if isinstance(outcome, CallFailure):
                        self._fail(names[future], outcome, tries)
            except BaseException:
                self._pace.close()
                pool.shutdown(cancel_futures=True)
                raise

    def _send(self, wanted: Requests) -> SentBatch:
        """Orders a batch of as many of the requests as its size and the budget allow."""
        names = list(wanted)[: self._size]
        bodies = [self._supported(wanted[name]) for name in names]
        reserved = self._ledger.reserve_batch(bodies, least=self._config.batch_least)
        try:
            requests = {name: wanted[name] for name in names[: len(reserved)]}
            return self._api.send(requests, bodies[: len(reserved)])
        finally:  # set aside again when its answers are taken: until then nothing else is paid for
            for amount in reserved:
                self._ledger.settle(amount, None, charged=False)

    def _take(self, batch: SentBatch, sent_before: bool = False) -> bool:
        """Waits for a batch and keeps its answers; False if the next one may bring as little.

        EndpointError if every other batch would fail too.
        """
        if sent_before:
            self._say(f"batch {batch.id}: {len(batch.requests):,} requests were sent before; waiting for their answers")
        end = self._api.wait(batch)
        if end.status == "failed":
            self._api.remove(batch)
            self._make_smaller(batch, end)
            return True
        rest, unsupported = dict(batch.requests), self._unsupported
        bodies = {name: self._supported(request) for name, request in rest.items()}  # as they were sent, but after a kill
        reserved = dict(zip(rest, self._ledger.reserve_batch(bodies.values()), strict=True))
        answered, fatal = 0, None
        for answer in self._api.answers(batch, end):
            request = rest.pop(answer.name, None)
            if request is None:
                continue
            outcome = self._read(answer, request, bodies[answer.name])
            charged = answer.status == httpx.codes.OK
            self._ledger.settle(reserved.pop(answer.name), answer.body, charged, f"{batch.id}/{answer.name}")
            answered += charged
            fatal = self._sort(answer, outcome) or fatal
        for name in rest:
            self._ledger.settle(reserved.pop(name), None, charged=False)
            if end.status == "completed":
                missing = CallFailure("the files of the batch do not have it", "run again", "not in the batch", retry=True)
                self._try_again(name, missing)
        self._say(f"batch {batch.id}: {end.status}, {answered:,} of {len(batch.requests):,} answered")
        if fatal is None and answered:
            self._taken.append(batch)
        else:  # nothing of it need be remembered: what has failed is to be asked again once the cause is mended
            self._api.remove(batch)
        if fatal is not None:
            raise EndpointError(self._endpoint.describe(fatal, 1))
        return answered > 0 or self._unsupported != unsupported

    def _read(
        self, answer: BatchAnswer, request: Mapping[str, Any], body: Mapping[str, Any]
    ) -> ChatCompletion | UnsupportedParameter | CallFailure:
        """What the answer to a request, which was sent as `body`, means; a completion is kept."""
        if answer.error:
            return CallFailure(f"the batch's error {answer.error}", "run again", f"batch error {answer.error}", retry=True)
        outcome = read_response(httpx.Response(answer.status), answer.body, body)
        if isinstance(outcome, ChatCompletion):
            self._kept_answers.write(request, answer.body)
        return outcome

    def _sort(self, answer: BatchAnswer, outcome: ChatCompletion | UnsupportedParameter | CallFailure) -> CallFailure | None:
        """Sees to what comes of a request without a completion; a failure that every other request would meet is returned."""
        if isinstance(outcome, UnsupportedParameter):
            self._leave_out(outcome.name)
        elif isinstance(outcome, CallFailure) and answer.error not in _UNMADE:
            if outcome.retry:
                return self._try_again(answer.name, outcome)
            if not outcome.reason:
                return outcome
            self._failures[answer.name] = (outcome, self._tries[answer.name] + 1)
        return None

    def _try_again(self, name: str, failure: CallFailure) -> CallFailure | None:
        """Leaves a request for the next batch, until it has been tried so often as `retries` allow."""
        self._tries[name] += 1
        if self._tries[name] <= self._config.retries:
            return None
        if not failure.reason:
            return failure
        self._failures[name] = (failure, self._tries[name])
        return None

    def _fail(self, name: str, failure: CallFailure, tries: int) -> None:
        if not failure.reason:
            raise EndpointError(self._endpoint.describe(failure, tries))
        self._failures[name] = (failure, tries)

    def _make_smaller(self, batch: SentBatch, end: BatchEnd) -> None:
        """Makes later batches smaller, if that mends why the endpoint refused this one; else EndpointError."""
        if end.code == _TOO_MUCH_WAITS and len(batch.requests) > 1:
            self._size = len(batch.requests) // 2
            self._say(f"batch {batch.id}: {end.problem}; batches have {self._size:,} requests at most from now on")
            return
        code = f" ({end.code})" if end.code else ""
        raise EndpointError(
            f"{self._endpoint.name}: the batch {batch.id} of {len(batch.requests):,} requests was refused: {end.problem}{code}; "
            "check the llm section and the account's limits on batches, or set llm.mode to requests"
        )
