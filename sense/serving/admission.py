"""Admission limits: how many requests are at work, how many wait, when 429 is answered; and work that ends with its client."""

import asyncio
import contextvars
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from sense.serving.problems import ApiError

T = TypeVar("T")
_MEAN_WEIGHT = 0.1  # of the newest request in the moving average of the time that a request takes
_MAX_RETRY_AFTER_S = 60.0


class Slot:
    """What a request holds while it is at work. It has waited `queued_ms` milliseconds for it."""

    def __init__(self, threads: ThreadPoolExecutor, queued_ms: float) -> None:
        self._threads = threads
        self.queued_ms = queued_ms
        self.job: asyncio.Future[Any] | None = None  # the last one; there is one at a time

    async def run_in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """The result of `work` in a thread. If the caller is cancelled, it goes on and keeps the slot."""
        context = contextvars.copy_context()  # with the open span
        self.job = job = asyncio.get_running_loop().run_in_executor(self._threads, partial(context.run, work, *arguments))
        await asyncio.wait((job,))
        return job.result()


class Admission:
    """`slots` requests at work and `queue` waiting for at most `wait_s` seconds, first come, first served.

    A request is at work until its thread has ended, even if its client has left: the work costs as much.
    """

    def __init__(self, slots: int, queue: int, wait_s: float) -> None:
        self._slots, self._queue, self._wait_s = slots, queue, wait_s
        self._free = asyncio.Semaphore(slots)
        self._threads = ThreadPoolExecutor(slots, "sense-slot")  # one for each slot: work never waits for a thread
        self._mean_s = 1.0
        self.working = 0
        self.waiting = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """A slot until the block and its thread end. ApiError (429) if there is none in time."""
        slot = Slot(self._threads, await self._enter() * 1000)
        self.working += 1
        started = time.monotonic()
        try:
            yield slot
        finally:
            if slot.job is None or slot.job.done():
                self._leave(started, slot.job)
            else:
                slot.job.add_done_callback(lambda job: self._leave(started, job))

    def _leave(self, started: float, job: asyncio.Future[Any] | None) -> None:
        if job is not None and not job.cancelled():
            job.exception()  # read, so that asyncio does not report it as never retrieved where the client has left
        self.working -= 1
        self._mean_s += _MEAN_WEIGHT * (time.monotonic() - started - self._mean_s)
        self._free.release()

    async def close(self) -> None:
        """Waits for the work that threads have begun."""
        await asyncio.to_thread(self._threads.shutdown)

    def check_capacity(self) -> None:
        """ApiError (429) if all slots are taken and the queue is full. Cheap: called before a request is read."""
        if self._free.locked() and self.waiting >= self._queue:
            raise self._full()

    async def _enter(self) -> float:
        if not self._free.locked():
            await self._free.acquire()  # one is free: this returns without switching to another task
            return 0.0
        self.check_capacity()
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
        """Whole seconds, at least 1, after which a slot is likely: the time that the requests before it would take."""
        return max(1, math.ceil(min(_MAX_RETRY_AFTER_S, self._mean_s * (self.waiting + 1) / self._slots)))

    def _full(self) -> ApiError:
        message = f"{self._slots} requests are at work and {self.waiting} wait"
        fix = "send it again after Retry-After seconds"
        return ApiError(429, "overloaded", message, fix, retry_after_s=self.retry_after_s())


class ClientGoneError(Exception):
    """The client closed its connection: no response can be sent."""


async def cancel_if_client_leaves(receive: Callable[[], Awaitable[Any]], work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; cancels it and raises ClientGoneError when the client closes its connection.

    `receive` is the ASGI channel of a request whose body has been read.
    """
    job, watch = asyncio.create_task(work), asyncio.create_task(_wait_until_closed(receive))
    try:
        await asyncio.wait((job, watch), return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise ClientGoneError
        return job.result()
    finally:
        job.cancel()
        watch.cancel()
        await asyncio.gather(job, watch, return_exceptions=True)


async def _wait_until_closed(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
