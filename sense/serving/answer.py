"""A question answered: the prompt of training, candidates from one version of the model, each executed, the majority's result."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sense.config import ServeConfig
from sense.errors import SenseError
from sense.prompts import question_prompt
from sense.serving.backend import Backend, BackendError, GoneError, Served, Version
from sense.serving.databases import Catalog, Database
from sense.serving.judgement import judged
from sense.serving.messages import Answer, Ask, Latency
from sense.serving.values import replace_surrogates

T = TypeVar("T")
_STARTS = 3  # times that a request takes a version which then goes away


class DeadlineError(SenseError):
    """The answer did not come in time; the gateway answers 504. The message says which limit it was."""


class Thread(Protocol):
    """Runs what blocks in a thread, and waits for it."""

    async def __call__(self, work: Callable[..., T], /, *given: object) -> T:
        """What `work` gives."""
        ...


@dataclass(frozen=True)
class _Written:
    """What the model wrote, and which version of it."""

    texts: Sequence[str]
    version: Version
    seconds: float


async def answer(
    ask: Ask,
    request_id: str,
    catalog: Catalog,
    backend: Backend,
    config: ServeConfig,
    queued_ms: float,
    thread: Thread = asyncio.to_thread,
) -> Answer:
    """The answer to `ask`, which has waited `queued_ms` milliseconds for its place; what blocks is done in `thread`.

    Raises UnknownDatabaseError, BackendError (the model or the database can't be asked now), DeadlineError, and what the
    backend says of a question that is too long (UserError). Work in threads that a deadline leaves behind ends at its own
    limits.
    """
    limits = config.limits
    started = time.monotonic() - queued_ms / 1000
    async with _within(limits.request_s - queued_ms / 1000, f"the request took more than {limits.request_s:g} s"):
        database = catalog.get(ask.database)
        written = await _write(ask, database, backend, config, thread)
        executing = time.monotonic()
        found = await thread(judged, ask, request_id, database, config.limits, written.version, written.texts)
        done = time.monotonic()
    latency = Latency(
        queue=_milliseconds(queued_ms / 1000),
        model=_milliseconds(written.seconds),
        execution=_milliseconds(done - executing),
        total=_milliseconds(done - started),
    )
    return found.model_copy(update={"latency_ms": latency})


@asynccontextmanager
async def _within(seconds: float, late: str) -> AsyncIterator[None]:
    scope = asyncio.timeout(max(seconds, 0))
    try:
        async with scope:
            yield
    except TimeoutError:
        if scope.expired():
            raise DeadlineError(f"{late}; ask for fewer candidates, or ask again later") from None
        raise


async def _write(ask: Ask, database: Database, backend: Backend, config: ServeConfig, thread: Thread) -> _Written:
    """All candidates from one version; from the start again if it goes away meanwhile."""
    seconds = 0.0
    for _ in range(_STARTS):
        served = await backend.current()
        prompt = await thread(_prompt, ask, database, served)
        began = time.monotonic()
        try:
            texts = await _completions(served, prompt, ask.k, config)
        except GoneError:
            continue
        finally:
            seconds += time.monotonic() - began
        return _Written(texts, served.version, seconds)
    raise BackendError(f"the model's version changed {_STARTS} times while it was asked")


def _prompt(ask: Ask, database: Database, served: Served) -> str:
    schema = database.schema(served.prompt.sample_values)
    return question_prompt(schema, replace_surrogates(ask.question), replace_surrogates(ask.evidence), served.prompt.schema_style)


async def _completions(served: Served, prompt: str, k: int, config: ServeConfig) -> list[str]:
    """The greedy candidate and k - 1 sampled ones, asked for at once; what goes wrong with one call ends the other."""
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
    texts = [text for done in calls for text in done.result()]
    if len(texts) != k:
        raise BackendError(f"the model server sent {len(texts)} completions where {k} were asked for")
    return texts


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
