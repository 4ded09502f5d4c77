"""Who may work now, who waits, who is told to come back: bounds on requests, and work that ends when its client has gone."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sense.serving.problems import Refusal

T = TypeVar("T")
_WEIGHT = 0.1  # of the newest request in the mean time that one takes
_LONGEST_S = 60.0  # that a client is told to stay away


class Admission:
    """`places` requests at work and `queue` waiting for at most `wait_s` seconds, first come, first served."""

    def __init__(self, places: int, queue: int, wait_s: float) -> None:
        self._places, self._queue, self._wait_s = places, queue, wait_s
        self._free = asyncio.Semaphore(places)
        self._mean_s = 1.0
        self.working = 0
        self.waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[float]:
        """A place until the block ends; gives the milliseconds waited. Refusal (429) if there is none in time."""
        waited_s = await self._enter()
        self.working += 1
        started = time.monotonic()
        try:
            yield waited_s * 1000
        finally:
            self.working -= 1
            self._mean_s += _WEIGHT * (time.monotonic() - started - self._mean_s)
            self._free.release()

    async def _enter(self) -> float:
        if not self._free.locked():
            await self._free.acquire()  # there is one: returns without giving way to others
            return 0.0
        if self.waiting >= self._queue:
            raise self._full()
        started = time.monotonic()
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise self._full() from None
        finally:
            self.waiting -= 1
        return time.monotonic() - started

    def retry_after_s(self) -> int:
        """When a place is likely: the time that those before would take, whole seconds, at least 1."""
        return max(1, math.ceil(min(_LONGEST_S, self._mean_s * (self.waiting + 1) / self._places)))

    def _full(self) -> Refusal:
        message = f"{self._places} requests are at work and {self.waiting} wait"
        fix = "send it again after Retry-After seconds"
        return Refusal(429, "overloaded", message, fix, retry_after_s=self.retry_after_s())


class GoneAwayError(Exception):
    """The client closed its connection: there is nobody to answer."""


async def unless_gone(receive: Callable[[], Awaitable[Any]], work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; cancels it and raises GoneAwayError once the client closes its connection.

    `receive` is the ASGI channel of a request whose body has been read.
    """
    job, watch = asyncio.create_task(work), asyncio.create_task(_closed(receive))
    try:
        await asyncio.wait((job, watch), return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise GoneAwayError
        return job.result()
    finally:
        job.cancel()
        watch.cancel()
        await asyncio.gather(job, watch, return_exceptions=True)


async def _closed(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
