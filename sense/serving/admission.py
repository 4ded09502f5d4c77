"""Who may work now, who waits, who is told to come back: bounds on requests, and work that ends when its client has gone."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sense.serving.problems import Refusal

T = TypeVar("T")
_WEIGHT = 0.1  # of the newest request in the mean time that one takes
_LONGEST_S = 60.0  # that a client is told to stay away


class Place:
    """What one request holds while it is at work; it has waited `queued_ms` milliseconds for it."""

    def __init__(self, threads: ThreadPoolExecutor, queued_ms: float) -> None:
        self._threads = threads
        self.queued_ms = queued_ms
        self.job: asyncio.Future[Any] | None = None  # the newest; one at a time

    async def thread(self, work: Callable[..., T], *given: Any) -> T:
        """What `work` gives in a thread. Who gives up waiting for it leaves it at work, and the place is taken until it ends."""
        self.job = job = asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        await asyncio.wait((job,))
        return job.result()


class Admission:
    """`places` requests at work and `queue` waiting for at most `wait_s` seconds, first come, first served.

    A request is at work until its thread is, even if nobody waits for its answer any more: what goes on costs as much.
    """

    def __init__(self, places: int, queue: int, wait_s: float) -> None:
        self._places, self._queue, self._wait_s = places, queue, wait_s
        self._free = asyncio.Semaphore(places)
        self._threads = ThreadPoolExecutor(places, "sense-place")  # one for each place: work never waits for a thread
        self._mean_s = 1.0
        self.working = 0
        self.waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """A place until the block and its thread end. Refusal (429) if there is none in time."""
        place = Place(self._threads, await self._enter() * 1000)
        self.working += 1
        started = time.monotonic()
        try:
            yield place
        finally:
            if place.job is None or place.job.done():
                self._leave(started, place.job)
            else:
                place.job.add_done_callback(lambda job: self._leave(started, job))

    def _leave(self, started: float, job: asyncio.Future[Any] | None) -> None:
        if job is not None and not job.cancelled():
            job.exception()  # where nobody waits for it any more: asyncio is not to report it as forgotten
        self.working -= 1
        self._mean_s += _WEIGHT * (time.monotonic() - started - self._mean_s)
        self._free.release()

    async def close(self) -> None:
        """Waits for what threads have begun."""
        await asyncio.to_thread(self._threads.shutdown)

    def insist(self) -> None:
        """Refusal (429) if there is no place now, not even to wait; cheap, for before a request is read."""
        if self._free.locked() and self.waiting >= self._queue:
            raise self._full()

    async def _enter(self) -> float:
        if not self._free.locked():
            await self._free.acquire()  # there is one: returns without giving way to others
            return 0.0
        self.insist()
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
