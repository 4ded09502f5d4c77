"""Routes under /v1/data: strong data, weak samples, preference pairs.

Everything is bounded: a page has at most 100 rows, a search goes on for a second at a time, SQL is executed within the
gateway's limits, and as many look at a time as may ask. A line that is no row is reported beside the others.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path as Folder
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from sense.config.serving import LimitsConfig
from sense.records import Hardness
from sense.serving.admission import Admission
from sense.serving.browsing.datasets import Datasets, Listing, PairRow, SampleRow, StrongRow
from sense.serving.browsing.jsonl_tables import PageRequest
from sense.serving.browsing.opened_pair import OpenedPair, PairExecutor, open_pair
from sense.serving.messages import Problem
from sense.serving.problems import openapi_responses
from sense.verdicts import VerdictName

T = TypeVar("T")
_PROBLEMS: dict[int | str, dict[str, Any]] = openapi_responses(429, 504) | {
    422: {"model": Problem, "description": "A parameter is wrong or beyond a limit."},
    503: {"model": Problem, "description": "A file cannot be read just now, or others look at the data; see Retry-After."},
}
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is no pair of that id."}}


class PageQuery(BaseModel):
    """Which rows: `limit` of those that contain `search`, from number `offset` on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    offset: Annotated[int, Field(ge=0, lt=2**53)] = 0
    limit: Annotated[int, Field(ge=1, le=100)] = 25
    search: Annotated[str, Field(max_length=200)] = ""

    def request(self, tag: str | None) -> PageRequest:
        """These rows of those with the tag."""
        return PageRequest(self.offset, self.limit, tag or "", self.search)


class StrongQuery(PageQuery):
    """The query parameters of strong data."""

    hardness: Hardness | None = None


class VerdictQuery(PageQuery):
    """The query parameters of samples and pairs."""

    verdict: VerdictName | None = None


def router(data: Folder, limits: LimitsConfig) -> APIRouter:
    """The routes on the data folder; its files may come and change while the gateway runs."""
    datasets = Datasets(data, limits.queue_s)
    executor = PairExecutor(limits)
    admission = Admission(limits.concurrency, limits.queue, limits.queue_s)

    async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns; ApiError (429) if too many requests wait, TimeoutError if it takes too long."""
        async with admission.slot() as slot, asyncio.timeout(limits.request_s):
            return await slot.run_in_thread(function, *arguments)

    def explain(pair_id: str) -> OpenedPair:
        return open_pair(data / "unseen", *datasets.pair(pair_id), executor, limits.rows)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await admission.close()
            await asyncio.to_thread(executor.close)
            datasets.close()

    routes = APIRouter(prefix="/v1/data", tags=["data"], lifespan=lifespan, responses=_PROBLEMS)

    @routes.get("/strong")
    async def strong(query: Annotated[StrongQuery, Query()]) -> Listing[StrongRow]:
        """Strong data: questions with the SQL that the teacher wrote."""
        return await in_thread(datasets.strong, query.request(query.hardness))

    @routes.get("/samples")
    async def samples(query: Annotated[VerdictQuery, Query()]) -> Listing[SampleRow]:
        """Weak data: SQL that the weak model, or the student itself, wrote, executed against the gold."""
        return await in_thread(datasets.samples, query.request(query.verdict))

    @routes.get("/pairs")
    async def pairs(query: Annotated[VerdictQuery, Query()]) -> Listing[PairRow]:
        """Preference pairs: a right SQL and a wrong one."""
        return await in_thread(datasets.pairs, query.request(query.verdict))

    @routes.get("/pairs/{key:path}", responses=_UNKNOWN)
    async def pair(key: Annotated[str, Path(min_length=1, max_length=500)]) -> OpenedPair:
        """Why the wrong SQL of a pair is wrong: both executed, texts and results compared."""
        return await in_thread(explain, key)

    return routes
