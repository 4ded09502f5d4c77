"""The pace of requests, in a time of its own: an endpoint that answers, is slow at times, and refuses what comes too fast."""

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from sense.teacher.pacing import ClosedError, MonotonicClock, Pace

Limiter = Callable[[float], bool]  # whether a request that comes at that second is taken


@dataclass
class World:
    """A clock that goes on only when somebody waits, and what happens then."""

    seconds: float = 0.0
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)

    def now(self) -> float:
        return self.seconds

    def after(self, delay: float, event: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.seconds + delay, id(event), event))

    def wait(self, _changed: threading.Condition, seconds: float | None) -> None:
        """Lets time pass to the end of the wait or to the next event."""
        until = float("inf") if seconds is None else self.seconds + seconds
        if self.events and self.events[0][0] <= until:
            self.seconds, _, event = heapq.heappop(self.events)
            event()
        else:
            assert until < float("inf"), "nothing would ever happen"
            self.seconds = until


@dataclass
class Result:
    seconds: float
    refused: int
    most_in_flight: int


def ask(count: int, most: int, latency: Callable[[], float], taken: Limiter, refusal_s: float = 0.005) -> Result:
    """Asks `count` requests, those that are refused again."""
    world = World()
    pace = Pace(most, world)
    result, waiting, in_flight = Result(0.0, 0, 0), count, 0
    done = 0

    def answer(started: float) -> None:
        nonlocal done, in_flight
        done, in_flight = done + 1, in_flight - 1
        pace.answer(started)

    def refuse(started: float) -> None:
        nonlocal waiting, in_flight
        waiting, in_flight = waiting + 1, in_flight - 1
        result.refused += 1
        pace.refuse(started, 0.75)

    while done < count:
        if not waiting:
            world.wait(threading.Condition(), None)
            continue
        started = pace.start()
        waiting, in_flight = waiting - 1, in_flight + 1
        result.most_in_flight = max(result.most_in_flight, in_flight)
        if taken(world.seconds):
            world.after(latency(), lambda started=started: answer(started))
        else:
            world.after(refusal_s, lambda started=started: refuse(started))
    result.seconds = world.seconds
    return result


def bucket(rate: float, burst: float) -> Limiter:
    """A token bucket."""
    tokens, last = burst, 0.0

    def taken(now: float) -> bool:
        nonlocal tokens, last
        tokens, last = min(burst, tokens + (now - last) * rate), now
        if tokens < 1:
            return False
        tokens -= 1
        return True

    return taken


def window(rate: int) -> Limiter:
    """At most `rate` in each whole second."""
    counts: dict[int, int] = {}

    def taken(now: float) -> bool:
        counts[int(now)] = counts.get(int(now), 0) + 1
        return counts[int(now)] <= rate

    return taken


def sliding(rate: int) -> Limiter:
    """At most `rate` taken in any second."""
    moments: list[float] = []

    def taken(now: float) -> bool:
        moments[:] = [moment for moment in moments if moment > now - 1]
        if len(moments) >= rate:
            return False
        moments.append(now)
        return True

    return taken


LIMITERS = {
    "bucket": lambda: bucket(4, 4),
    "no burst": lambda: bucket(4, 1),
    "window": lambda: window(4),
    "sliding": lambda: sliding(4),
}


@pytest.mark.parametrize("name", LIMITERS)
@pytest.mark.parametrize("most", [8, 16, 64])
@pytest.mark.parametrize("refusal_s", [0.005, 0.05])
def test_under_a_limit_of_four_for_a_second_few_are_refused_and_the_rate_is_used(name, most, refusal_s):
    result = ask(120, most, lambda: 0.2, LIMITERS[name](), refusal_s)
    assert result.refused / (120 + result.refused) <= 0.05
    assert result.seconds < 120 / 4 * 1.6


@pytest.mark.parametrize("rate", [0.2, 1.5, 30.0])
def test_any_rate_is_come_to(rate):
    count = int(max(60, rate * 60))
    result = ask(count, 64, lambda: 0.2, bucket(rate, max(1.0, rate)))
    assert result.seconds < count / rate * 1.6
    assert result.refused / count < 0.15


@pytest.mark.parametrize(("most", "count"), [(16, 400), (64, 2000)])
def test_without_a_limit_nearly_all_that_may_be_in_flight_is(most, count):
    result = ask(count, most, lambda: 0.2, lambda _: True)
    assert result.most_in_flight == most
    assert count / most * 0.2 / result.seconds > 0.9
    draw = Random(0)
    latencies = [draw.lognormvariate(-1.6, 1.0) for _ in range(count)]
    result = ask(count, most, iter(latencies).__next__, lambda _: True)
    assert sum(latencies) / most / result.seconds > 0.8  # with the last ones, which may take long, alone in flight


def test_a_limit_that_is_lifted_is_noticed():
    start = ask(300, 16, lambda: 0.2, bucket(4, 4)).seconds
    limiter = bucket(4, 4)
    result = ask(3000, 16, lambda: 0.2, lambda now: now > start or limiter(now))
    assert result.seconds - start < 2700 / 80 * 2.5  # at 80 for a second, once the rate is known to be higher


def test_retry_after_holds_for_all():
    world = World()
    pace = Pace(4, world)
    first, _ = pace.start(), pace.start()
    pace.refuse(first, 17.0)
    pace.answer(first)
    assert pace.start() == pytest.approx(first + 17, abs=0.1)


def test_refusals_of_what_was_sent_before_the_last_cut_count_once():
    def interval_after(refusals: int) -> float:
        world = World()
        pace = Pace(8, world)
        pace.answer(pace.start())
        started = [pace.start() for _ in range(4)]
        for moment in started[:refusals]:
            pace.refuse(moment, 1.0)
        moments = [pace.start() for _ in range(3)]
        return moments[-1] - moments[-2]

    assert interval_after(4) == pytest.approx(interval_after(1))


def test_who_waits_ends_when_the_pace_is_closed():
    pace = Pace(1, MonotonicClock())
    pace.start()
    errors: list[ClosedError] = []

    def wait(waiting: Callable[[], object]) -> None:
        try:
            waiting()
        except ClosedError as error:
            errors.append(error)

    threads = [threading.Thread(target=wait, args=(waiting,)) for waiting in (pace.start, lambda: pace.sleep(600))]
    for thread in threads:
        thread.start()
    pace.close()
    for thread in threads:
        thread.join(30)
    assert len(errors) == 2
