"""The gateway behind all routes: questions and feedback within their admission limits, and whether it is ready."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from sense.config import ServeConfig
from sense.errors import StorageError, UserError
from sense.registry.rollout import Canary
from sense.serving import messages, observability, tracing
from sense.serving.admission import Admission
from sense.serving.answer import answer
from sense.serving.backend import Backend, BackendError, ModelSource
from sense.serving.canary import CanaryBackend
from sense.serving.databases import Catalog
from sense.serving.degradation import Degradation, Observation
from sense.serving.feedback import FeedbackStore
from sense.serving.observability import Metrics
from sense.serving.problems import ApiError

_FEEDBACK_SLOTS, _FEEDBACK_QUEUE = 4, 256  # apart from questions, so that an overload of those loses no feedback


class Gateway:
    """The state that all routes share, and what they do with questions and feedback."""

    def __init__(self, config: ServeConfig, backend: Backend, catalog: Catalog) -> None:
        limits = config.limits
        self.config, self.backend, self.catalog = config, backend, catalog
        self._canary = backend if isinstance(backend, CanaryBackend) else None
        self.sql_admission = Admission(limits.concurrency, limits.queue, limits.queue_s)
        self.feedback_admission = Admission(_FEEDBACK_SLOTS, _FEEDBACK_QUEUE, limits.request_s)
        self.metrics = Metrics(self.sql_admission)
        if self._canary is not None:
            self._canary.on_abort = self._count_abort
            self.metrics.follow_canary(self._canary_weight)
        self.readiness = Readiness(backend, catalog, self.metrics)
        self.feedbacks = FeedbackStore(Path(config.feedback), catalog) if config.feedback is not None else None

    async def close(self) -> None:
        """Ends background work; feedback that is being written and SQL that is being executed are finished first."""
        await self.readiness.close()
        await self.feedback_admission.close()
        await self.sql_admission.close()

    def check_limits(self, ask: messages.AskRequest) -> None:
        """Raises ApiError (422) if a question is beyond this gateway's limits."""
        limits = self.config.limits
        wrong = [
            {"field": f"body.{name}", "message": f"at most {limits.question_chars} characters"}
            for name in ("question", "evidence")
            if len(getattr(ask, name)) > limits.question_chars
        ]
        if ask.k > limits.candidates:
            wrong.append({"field": "body.k", "message": f"at most {limits.candidates} candidates"})
        if wrong:
            raise ApiError(
                422, "invalid", "the request is beyond the gateway's limits", "mend the fields in details", details=wrong
            )

    async def answer(self, ask: messages.AskRequest, request_id: str, unit: str = "") -> messages.AnswerResponse:
        """The answer to a question, once a slot is free; `unit` is what is assigned to one version as a whole.

        ApiError if the gateway is overloaded or the question too long.
        """
        sources: Sequence[ModelSource] = [self.backend] if self._canary is None else self._canary.routes(unit)
        try:
            async with AsyncExitStack() as stack:
                with tracing.span("wait for a slot"):
                    slot = await stack.enter_async_context(self.sql_admission.slot())
                await stack.enter_async_context(asyncio.timeout(self.config.limits.request_s))
                response = await answer(
                    ask, request_id, self.catalog, sources, self.config, slot.queued_ms, slot.run_in_thread, self._observe
                )
        except UserError as error:
            _refuse(error, "the question cannot be answered")
        self.metrics.answer(response)
        if self._canary is None:  # else the answer may be the candidate's, and not that of the version in use
            self.metrics.version(response.model)
        return response

    def _observe(self, observation: Observation) -> None:
        """Counts what a request observed of a version; a canary is compared by it."""
        self.metrics.observe(observation)
        if self._canary is None:
            return
        if observation.outcome == "error":
            version, reason = observation.version.version, observation.error
            observability.log_event(logging.WARNING, "version_failed", version=version, reason=reason)
        self._canary.observe(observation)

    def _count_abort(self, canary: Canary, degradation: Degradation) -> None:
        self.metrics.abort(canary.version, degradation.limit)

    def _canary_weight(self) -> tuple[str, float] | None:
        """Version and weight of the canary that gets questions now."""
        canary = self._canary.running if self._canary is not None else None
        return (canary.version, canary.weight) if canary is not None else None

    async def store_feedback(self, feedbacks: FeedbackStore, feedback: messages.FeedbackRequest) -> messages.FeedbackResponse:
        """Stores feedback; ApiError if it cannot be stored as it is."""
        try:
            async with self.feedback_admission.slot() as slot, asyncio.timeout(self.config.limits.request_s):
                return await slot.run_in_thread(feedbacks.keep, feedback)
        except TimeoutError:
            # a subclass of OSError, but here the time limit; writing goes on, and feedback sent again is recognized by its id
            raise
        except OSError as error:
            raise StorageError("feedback") from error
        except UserError as error:
            _refuse(error, "the feedback cannot be kept")


def _refuse(error: UserError, message: str) -> NoReturn:
    """Raises a plain UserError as a 422 with its text; its subclasses have a status of their own, and paths in their texts."""
    if type(error) is not UserError:
        raise error
    raise ApiError(422, "invalid", message, str(error)) from error


MAX_AGE_S = 1.0  # seconds for which the result of a check is used again
CHECK_TIMEOUT_S = 2.0  # seconds in which model and databases must answer


@dataclass(frozen=True)
class ReadinessReport:
    """`reasons` say why the gateway is not ready, none if it is; `unreadable` why it answers no questions on some databases."""

    reasons: list[str]
    unreadable: list[str]


class Readiness:
    """Whether the gateway can answer questions now: the model is ready, and databases can be read.

    Each database has to be readable once before the gateway is ready: a rollout with a broken one does not replace what works.
    From then on it is ready as long as one can be read: all replicas read the same databases, and the loss of one is no reason to
    answer no questions on the others. Questions on a database that can't be read get a 503 of their own.

    Checks run in the background with a thread of their own, so that neither traffic nor hanging databases delay a probe.
    """

    def __init__(self, backend: Backend, catalog: Catalog, metrics: Metrics) -> None:
        self._backend, self._catalog, self._metrics = backend, catalog, metrics
        self._threads = ThreadPoolExecutor(1, "sense-ready")
        self._check: asyncio.Task[ReadinessReport] | None = None
        self._checked_at = 0.0
        self._logged = ReadinessReport([], [])
        self._never_read = set(catalog.names())

    async def report(self) -> ReadinessReport:
        """Whether the gateway is ready, as of the last second."""
        now = asyncio.get_running_loop().time()
        if self._check is None or (self._check.done() and now - self._checked_at > MAX_AGE_S):
            self._checked_at = now
            self._check = asyncio.create_task(self._run_check())
        done, _ = await asyncio.wait((self._check,), timeout=CHECK_TIMEOUT_S)
        return self._check.result() if done else ReadinessReport([f"it took more than {CHECK_TIMEOUT_S:g} s to look"], [])

    async def close(self) -> None:
        """Cancels a running check; its thread ends when its database answers."""
        if self._check is not None:
            self._check.cancel()
            await asyncio.gather(self._check, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run_check(self) -> ReadinessReport:
        try:
            unready, databases = await self._model(), await self._databases()
            report = ReadinessReport([*unready, *databases.reasons], databases.unreadable)
        except Exception as error:
            observability.log_event(logging.ERROR, "failed", error, route="/readyz")
            report = ReadinessReport(["the gateway failed; its log says where"], [])
        if report != self._logged:
            self._logged = report
            observability.log_event(
                logging.WARNING if report.reasons or report.unreadable else logging.INFO,
                "not_ready" if report.reasons else "ready",
                reasons=report.reasons,
                unreadable=report.unreadable,
            )
        return report

    async def _model(self) -> list[str]:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                served = await self._backend.current()
        except BackendError as error:
            return [f"model: {error.reason}"]
        except TimeoutError:
            return ["model: no answer"]
        self._metrics.version(served.version)
        return []

    async def _databases(self) -> ReadinessReport:
        try:
            unreadable = await asyncio.get_running_loop().run_in_executor(self._threads, self._catalog.check)
        except BackendError as error:
            return ReadinessReport([error.reason], [])
        names, reasons = set(self._catalog.names()), list(unreadable.values())
        self._never_read &= unreadable.keys()
        if unreadable.keys() == names or self._never_read:
            return ReadinessReport(reasons, [])
        return ReadinessReport([], reasons)
