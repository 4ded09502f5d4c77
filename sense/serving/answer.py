"""Answers a question: the prompt as in training, candidates from one version of the model, their execution, and the vote."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from sense.config import LimitsConfig, ServeConfig
from sense.errors import SenseError
from sense.prompts import answer_sql, question_prompt
from sense.serving import tracing
from sense.serving.backend import BackendError, ModelSource, ServedModel, ServedVersion, VersionAwayError, VersionGoneError
from sense.serving.databases import Catalog, Database
from sense.serving.degradation import Observation
from sense.serving.explanation import explanation, reason
from sense.serving.messages import AnswerResponse, AskRequest, CandidateMessage, LatencyMessage, ModelMessage
from sense.serving.values import json_value, replace_surrogates
from sense.sql.parse import check_select
from sense.sql.result import Failure, Outcome, Result
from sense.sql.vote import Vote, vote

T = TypeVar("T")
_MAX_STARTS = 3  # of a request whose version is replaced meanwhile


class DeadlineError(SenseError):
    """The answer took too long; the gateway answers 504. The message names the limit."""


class RunInThread(Protocol):
    """Runs a blocking function in a thread, and waits for it."""

    async def __call__(self, work: Callable[..., T], /, *arguments: object) -> T:
        """The result of `work`."""
        ...


@dataclass(frozen=True)
class _Completions:
    """The texts that the model wrote, its version, and the seconds it took."""

    texts: Sequence[str]
    version: ServedVersion
    seconds: float


Observe = Callable[[Observation], None]


async def answer(
    ask: AskRequest,
    request_id: str,
    catalog: Catalog,
    sources: Sequence[ModelSource],
    config: ServeConfig,
    queued_ms: float,
    run_in_thread: RunInThread = asyncio.to_thread,
    observe: Observe = lambda _: None,
) -> AnswerResponse:
    """The answer to `ask`, which has waited `queued_ms` milliseconds for its slot; blocking work is done by `run_in_thread`.

    The model is that of the first source; each other one is asked if those before it fail. `observe` is called for each version
    that was asked. Raises UnknownDatabaseError, BackendError (model or database cannot be used now), DeadlineError, and UserError
    for a question that is too long for the model. Work in threads that outlives a deadline ends at its own limits.
    """
    limits = config.limits
    started = time.monotonic() - queued_ms / 1000
    async with _within(limits.request_s - queued_ms / 1000, f"the request took more than {limits.request_s:g} s"):
        database = catalog.get(ask.database)
        completions = await _generate(ask, database, sources, config, run_in_thread, observe)
        executing = time.monotonic()
        with tracing.span("execute and vote") as span:
            response = await run_in_thread(
                answer_from_candidates, ask, request_id, database, config.limits, completions.version, completions.texts
            )
            span.set_attribute("sense.abstained", response.abstained)
        done = time.monotonic()
    observe(_observation(response, completions))
    latency = LatencyMessage(
        queue=_milliseconds(queued_ms / 1000),
        model=_milliseconds(completions.seconds),
        execution=_milliseconds(done - executing),
        total=_milliseconds(done - started),
    )
    return response.model_copy(update={"latency_ms": latency})


@asynccontextmanager
async def _within(seconds: float, message: str) -> AsyncIterator[None]:
    scope = asyncio.timeout(max(seconds, 0))
    try:
        async with scope:
            yield
    except TimeoutError:
        if scope.expired():
            raise DeadlineError(f"{message}; ask for fewer candidates, or ask again later") from None
        raise


def _observation(response: AnswerResponse, completions: _Completions) -> Observation:
    """What the answer shows of the version that wrote it. Candidates that did not run agree with none."""
    winner = next((candidate.votes for candidate in response.candidates if candidate.chosen), None)
    share = winner / len(response.candidates) if winner is not None and len(response.candidates) > 1 else None
    outcome: Literal["abstained", "answered"] = "abstained" if response.abstained else "answered"
    return Observation(completions.version, outcome, completions.seconds, share)


async def _generate(
    ask: AskRequest,
    database: Database,
    sources: Sequence[ModelSource],
    config: ServeConfig,
    run_in_thread: RunInThread,
    observe: Observe,
) -> _Completions:
    """All candidates, from one version: that of the first source that has one; the error of the last if none has."""
    *preferred, last = sources
    for source in preferred:
        try:
            return await _generate_from(source, ask, database, config, run_in_thread, observe)
        except _ModelError:
            continue  # `observe` was called, and the next one is asked
    try:
        return await _generate_from(last, ask, database, config, run_in_thread, observe)
    except _ModelError as error:
        raise error.cause from None


class _ModelError(SenseError):
    """A model failed for the reason `cause`, so that another source may be asked; unlike a database."""

    def __init__(self, cause: BackendError | DeadlineError) -> None:
        super().__init__()
        self.cause = cause


async def _generate_from(
    source: ModelSource,
    ask: AskRequest,
    database: Database,
    config: ServeConfig,
    run_in_thread: RunInThread,
    observe: Observe,
) -> _Completions:
    """All candidates, from one version of `source`; starts over if that version is replaced meanwhile."""
    for _ in range(_MAX_STARTS):
        try:
            served = await source.current()
        except BackendError as error:
            if isinstance(error, VersionAwayError):
                observe(Observation(error.version, "error", 0.0, error=error.reason))
            raise _ModelError(error) from error
        with tracing.span("write the prompt"):
            prompt = await run_in_thread(_prompt, ask, database, served)
        started = time.monotonic()
        try:
            with tracing.span("generate", _attributes(served.version, ask.k)):
                texts = await _complete(served, prompt, ask.k, config)
        except VersionGoneError:
            continue
        except (BackendError, DeadlineError) as error:
            observe(Observation(served.version, "error", time.monotonic() - started, error=str(error)))
            raise _ModelError(error) from error
        return _Completions(texts, served.version, time.monotonic() - started)
    gone = BackendError(f"the model's version changed {_MAX_STARTS} times while it was asked")
    raise _ModelError(gone) from gone


def _attributes(version: ServedVersion, k: int) -> dict[str, str | int]:
    return {"sense.model": version.name, "sense.version": version.version, "sense.k": k}


def _prompt(ask: AskRequest, database: Database, served: ServedModel) -> str:
    schema = database.schema(served.prompt.sample_values)
    return question_prompt(schema, replace_surrogates(ask.question), replace_surrogates(ask.evidence), served.prompt.schema_style)


async def _complete(served: ServedModel, prompt: str, k: int, config: ServeConfig) -> list[str]:
    """The greedy candidate and k - 1 sampled ones, from two calls at the same time; if one fails, the other is cancelled."""
    limit = config.limits.model_s

    async def call(n: int, temperature: float) -> Sequence[str]:
        async with _within(limit, f"the model took more than {limit:g} s"):
            return await served.complete(prompt, n=n, temperature=temperature)

    try:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(call(1, 0.0))]
            if k > 1:
                calls.append(group.create_task(call(k - 1, config.generation.temperature)))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    texts = [text for task in calls for text in task.result()]
    if len(texts) != k:
        raise BackendError(f"the model server sent {len(texts)} completions where {k} were asked for")
    return texts


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


@dataclass(frozen=True)
class _ExecutedCandidates:
    """The candidates with their outcomes and votes; `native` is the winner in the dialect of its database."""

    sqls: Sequence[str]
    outcomes: Sequence[Outcome]
    votes: Vote
    native: str | None


def answer_from_candidates(
    ask: AskRequest, request_id: str, database: Database, limits: LimitsConfig, version: ServedVersion, texts: Sequence[str]
) -> AnswerResponse:
    """The answer from the candidates `texts` that `version` wrote, without its latency. Blocks while SQL is executed."""
    executed = _execute(database, texts)
    answer = _answer_without_rows(ask, request_id, database, limits, version, executed)
    winner = executed.outcomes[executed.votes.winner] if executed.votes.winner is not None else None
    if not ask.rows or not isinstance(winner, Result):
        return answer
    rows = [[json_value(value) for value in row] for row in winner.rows[: limits.rows]]
    # model_copy does not validate: validating all rows at once would block every other thread
    return answer.model_copy(update={"rows": rows})


def _execute(database: Database, texts: Sequence[str]) -> _ExecutedCandidates:
    """Extracts the SQL from the texts, executes each different SELECT once, and counts the votes."""
    sqls = [answer_sql(replace_surrogates(text)) for text in texts]
    outcome_of: dict[str, Outcome] = {}
    for sql in sqls:
        reason = check_select(sql) if sql else "what the model wrote holds no SELECT"
        if reason is not None:
            outcome_of[sql] = Failure("rejected", reason)
    selects = [sql for sql in dict.fromkeys(sqls) if sql not in outcome_of]
    if selects:
        with tracing.span("SQL worker", {"db.system.name": database.dialect, "db.namespace": database.name}) as span:
            outcome_of |= zip(selects, database.run(selects), strict=True)
            span.set_attribute("sense.outcomes", [_outcome_name(outcome_of[sql]) for sql in selects])
    outcomes = [outcome_of[sql] for sql in sqls]
    votes = vote(outcomes)
    return _ExecutedCandidates(sqls, outcomes, votes, database.native(sqls[votes.winner]) if votes.winner is not None else None)


def _answer_without_rows(
    ask: AskRequest,
    request_id: str,
    database: Database,
    limits: LimitsConfig,
    version: ServedVersion,
    executed: _ExecutedCandidates,
) -> AnswerResponse:
    """The answer without rows and latency."""
    winner = executed.votes.winner
    outcome = executed.outcomes[winner] if winner is not None else None
    result = outcome if isinstance(outcome, Result) else None
    requested = result if ask.rows else None
    return AnswerResponse(
        id=request_id,
        sql=executed.native,
        abstained=result is None,
        reason=reason(executed.outcomes) if result is None else "",
        explanation=explanation(
            database.name, database.dialect, limits.execution, executed.sqls, executed.outcomes, executed.votes
        ),
        database=database.name,
        dialect=database.dialect,
        candidates=_candidates(executed),
        columns=list(requested.columns) if requested is not None else None,
        row_count=len(result.rows) if result is not None else None,
        truncated=requested is not None and len(requested.rows) > limits.rows,
        model=ModelMessage(name=version.name, version=version.version, digest=version.digest),
        latency_ms=LatencyMessage(queue=0, model=0, execution=0, total=0),
    )


def _outcome_name(outcome: Outcome) -> Literal["ran", "error", "timeout", "too_large", "rejected"]:
    return outcome.verdict if isinstance(outcome, Failure) else "ran"


def _candidates(executed: _ExecutedCandidates) -> list[CandidateMessage]:
    rows = zip(executed.sqls, executed.outcomes, executed.votes.votes, strict=True)
    return [
        CandidateMessage(
            sql=sql,
            outcome=_outcome_name(outcome),
            detail=outcome.detail if isinstance(outcome, Failure) else "",
            row_count=len(outcome.rows) if isinstance(outcome, Result) else None,
            votes=votes,
            agrees=number in executed.votes.agreeing,
            chosen=number == executed.votes.winner,
        )
        for number, (sql, outcome, votes) in enumerate(rows)
    ]
