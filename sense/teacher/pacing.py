"""When the next request may go to an endpoint: as many at once as it takes, and no more.

A start with few requests shows whether the endpoint limits the rate: with each answer more may be in flight, up to the
configured number. The first refusal (HTTP 429, or a 503 that says the server is overloaded) tells the rate that it takes. From
then on requests start at intervals: a refusal makes the rate smaller by a factor, each answer makes it a little larger, very
little near the rate at which the last refusal came (additive increase in the logarithm, multiplicative decrease). What
Retry-After asks for holds for all requests.
"""

import threading
import time
from collections import deque
from typing import Protocol

from sense.errors import SenseError

FIRST_REQUESTS = 2  # in flight at once, at the start
MORE_PER_ANSWER = 2  # so many more may be in flight after each answer, until the first refusal: three times as many each round
FIRST_INTERVAL_S = 0.03  # between starts while no answer has told how long one takes: a refusal comes before the next start
LATE_S = 0.05  # a thread that wakes so late delays none after it
RECENT_S = 10.0  # the time, at most, over which the rate is measured that the endpoint took before its first refusal
CUT = 0.8  # of the rate after a refusal
GROWTH_NEAR = 1.004  # of the rate with each answer, where it is near that of the last refusal: one refusal in about 60 requests
GROWTH_BELOW = 1.25
GROWTH_UNKNOWN = 1.1  # where no refusal has shown yet where the limit is
GROWTH_ABOVE = 1.05
FIRST_RATE = 2.0  # requests for a second where the first ones were all refused


class ClosedError(SenseError):
    """The pace was closed: no request is to be made any more."""


class Clock(Protocol):
    """The time, and how to wait for it."""

    def now(self) -> float:
        """Seconds since some moment."""
        ...

    def wait(self, changed: threading.Condition, seconds: float | None) -> None:
        """Waits, holding `changed`, for so many seconds (None: for good) or until it is notified."""
        ...


class MonotonicClock:
    """The clock of the machine."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def wait(self, changed: threading.Condition, seconds: float | None) -> None:
        """Waits for so many seconds, or until `changed` is notified."""
        changed.wait(seconds)


class Pace:
    """The pace of requests to one endpoint, at most `most` of them in flight; thread-safe.

    `answers` counts those that were answered.
    """

    def __init__(self, most: int, clock: Clock) -> None:
        self.answers = 0
        self._most, self._clock = most, clock
        self._queue = threading.Lock()  # one thread at a time waits for its turn, the others for that thread
        self._changed = threading.Condition()
        self._in_flight = 0
        self._allowed = float(min(most, FIRST_REQUESTS))
        self._next = self._held_until = self._cut_at = float("-inf")  # moments of the clock
        self._latency: float | None = None  # s, a running mean
        self._rate: float | None = None  # starts for a second; None before the first refusal
        self._limit: float | None = None  # the rate at which the last refusal came, as far as one can tell
        self._answered_since_cut = False
        self._accepted: deque[float] = deque()  # moments at which requests started that were not refused
        self._first_start: float | None = None
        self._closed = False

    def start(self) -> float:
        """Waits until a request may start, and counts it as in flight; the moment of its start. ClosedError after `close`."""
        with self._changed:
            if not self._closed and self._wait_s() == 0:  # a thread that has ended a request goes on without waking another
                return self._count()
        with self._queue, self._changed:
            while not self._closed:
                wait = self._wait_s()
                if wait == 0:
                    return self._count()
                self._clock.wait(self._changed, wait)
            raise ClosedError("no request is made after the end")

    def _wait_s(self) -> float | None:
        """Seconds until the next request may start, 0 now; None if one in flight must end first."""
        if self._in_flight >= self._allowed:
            return None
        return max(0.0, max(self._next, self._held_until) - self._clock.now())

    def _count(self) -> float:
        now = self._clock.now()
        self._in_flight += 1
        if self._rate is not None:
            self._next = now + 1 / self._rate
        else:
            self._next = max(self._next, now - LATE_S) + self._first_interval()
            self._first_start = now if self._first_start is None else self._first_start
            self._accepted.append(now)
            while self._accepted[0] < now - RECENT_S:
                self._accepted.popleft()
        return now

    def answer(self, started: float) -> None:
        """A request that started at that moment brought an answer, or a failure that is no matter of the pace."""
        with self._changed:
            self._end()
            self.answers += 1
            latency = self._clock.now() - started
            self._latency = latency if self._latency is None else 0.9 * self._latency + 0.1 * latency
            self._answered_since_cut = True
            if self._rate is None:
                self._allowed = min(self._most, self._allowed + MORE_PER_ANSWER)
            elif self._in_flight + 1 < self._allowed:  # else it is not the rate that holds requests back
                self._rate *= self._growth(self._rate)

    def fail(self) -> None:
        """A request failed, which says nothing of the pace."""
        with self._changed:
            self._end()

    def refuse(self, started: float, wait_s: float) -> None:
        """A request that started at that moment was refused for its rate: none starts for `wait_s` seconds, fewer after that."""
        with self._changed:
            self._end()
            now = self._clock.now()
            self._held_until = max(self._held_until, now + wait_s)
            if started in self._accepted:
                self._accepted.remove(started)
            if started > self._cut_at:  # those sent earlier tell what the last cut has mended
                self._cut(now)

    def sleep(self, seconds: float) -> None:
        """Waits so many seconds, or until `close`: then ClosedError."""
        with self._changed:
            until = self._clock.now() + seconds
            while not self._closed and (wait := until - self._clock.now()) > 0:
                self._clock.wait(self._changed, wait)
            if self._closed:
                raise ClosedError("no request is made after the end")

    def close(self) -> None:
        """Lets no further request start; those that wait raise ClosedError."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _end(self) -> None:
        self._in_flight -= 1
        self._changed.notify_all()

    def _first_interval(self) -> float:
        """Seconds between two starts before the first refusal: half of what the allowed requests need, to halt in time."""
        return FIRST_INTERVAL_S if self._latency is None else min(FIRST_INTERVAL_S, self._latency / self._allowed / 2)

    def _growth(self, rate: float) -> float:
        if self._limit is None:
            return GROWTH_UNKNOWN
        if rate < CUT * self._limit:
            return GROWTH_BELOW
        return GROWTH_NEAR if rate < self._limit / CUT else GROWTH_ABOVE

    def _cut(self, now: float) -> None:
        """Makes the rate smaller: at the first refusal by what was taken lately, then by a factor."""
        if self._rate is None:
            duration = min(RECENT_S, max(1.0, now - (now if self._first_start is None else self._first_start)))
            taken = len(self._accepted) / duration
            self._limit = taken if len(self._accepted) >= FIRST_REQUESTS else None  # fewer tell too little
            self._rate = CUT * taken or FIRST_RATE
            self._accepted.clear()
            self._allowed = self._most  # now the rate sees to it
        elif self._answered_since_cut:
            self._limit = self._rate
            self._rate *= CUT
        else:
            self._rate /= 2
        self._answered_since_cut = False
        self._cut_at = now
        self._next = now + 1 / self._rate
