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
from sense.serving.browsing.rows import Listing, Opened, PairRow, SampleRow, StrongRow
from sense.serving.browsing.search import Wanted
from sense.serving.browsing.shelf import Shelf
from sense.serving.messages import Problem
from sense.serving.problems import documented
from sense.verdicts import VerdictName

T = TypeVar("T")
_PROBLEMS: dict[int | str, dict[str, Any]] = documented(429, 504) | {
    422: {"model": Problem, "description": "A parameter is wrong or beyond a limit."},
    503: {"model": Problem, "description": "A file cannot be read just now, or others look at the data; see Retry-After."},
}
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is no pair of that id."}}


class _Page(BaseModel):
    """Which rows: `limit` of those that say `search`, from number `offset` on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    offset: Annotated[int, Field(ge=0, lt=2**53)] = 0
    limit: Annotated[int, Field(ge=1, le=100)] = 25
    search: Annotated[str, Field(max_length=200)] = ""

    def wanted(self, tag: str | None) -> Wanted:
        """These rows of those with the tag."""
        return Wanted(self.offset, self.limit, tag or "", self.search)


class StrongPage(_Page):
    """What may be asked of strong data."""

    hardness: Hardness | None = None


class ExecutedPage(_Page):
    """What may be asked of samples and pairs."""

    verdict: VerdictName | None = None


def router(data: Folder, limits: LimitsConfig) -> APIRouter:
    """The routes on the data folder; its files may come and change while the gateway runs."""
    shelf = Shelf(data, limits)
    looking = Admission(limits.concurrency, limits.queue, limits.queue_s)

    async def look(work: Callable[..., T], *given: Any) -> T:
        """What `work` gives in a thread; Refusal (429) if too many look, TimeoutError if it takes too long."""
        async with looking.place() as place, asyncio.timeout(limits.request_s):
            return await place.thread(work, *given)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await looking.close()
            await asyncio.to_thread(shelf.close)

    routes = APIRouter(prefix="/v1/data", tags=["data"], lifespan=lifespan, responses=_PROBLEMS)

    @routes.get("/strong")
    async def strong(page: Annotated[StrongPage, Query()]) -> Listing[StrongRow]:
        """Strong data: questions with the SQL that the teacher wrote."""
        return await look(shelf.strong, page.wanted(page.hardness))

    @routes.get("/samples")
    async def samples(page: Annotated[ExecutedPage, Query()]) -> Listing[SampleRow]:
        """Weak data: SQL that the weak model wrote, executed against the gold."""
        return await look(shelf.samples, page.wanted(page.verdict))

    @routes.get("/pairs")
    async def pairs(page: Annotated[ExecutedPage, Query()]) -> Listing[PairRow]:
        """Preference pairs: a right SQL and a wrong one."""
        return await look(shelf.pairs, page.wanted(page.verdict))

    @routes.get("/pairs/{key:path}", responses=_UNKNOWN)
    async def pair(key: Annotated[str, Path(min_length=1, max_length=500)]) -> Opened:
        """Why the wrong SQL of a pair is wrong: both executed, texts and results compared."""
        return await look(shelf.pair, key)

    return routes
