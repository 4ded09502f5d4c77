"""Places, the queue before them, and work that ends with its client. Events and the loop's order decide, never the clock."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from sense.serving.admission import Admission, ClientGoneError, cancel_if_client_leaves
from sense.serving.problems import ApiError
from tests.serving.conftest import Start
from tests.serving.model_server import ModelServer

LONG_S = 60.0


async def turns(count=5):
    """Lets all others go on until they wait."""
    for _ in range(count):
        await asyncio.sleep(0)


class Visitor:
    """A request that takes a place and keeps it until it is told to leave."""

    def __init__(self, admission):
        self.inside, self.leave, self.refused = asyncio.Event(), asyncio.Event(), None
        self.task = asyncio.create_task(self._visit(admission))

    async def _visit(self, admission):
        try:
            async with admission.slot():
                self.inside.set()
                await self.leave.wait()
        except ApiError as api_error:
            self.refused = api_error

    async def go(self):
        self.leave.set()
        await self.task


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario(), 20))


def counts(admission):
    return admission.working, admission.waiting


def test_as_many_work_as_there_are_places_others_wait_the_rest_is_refused():
    async def scenario():
        admission = Admission(2, 1, LONG_S)
        first, second, third, fourth = (Visitor(admission) for _ in range(4))
        await turns()
        assert [visitor.inside.is_set() for visitor in (first, second, third)] == [True, True, False]
        assert counts(admission) == (2, 1)
        assert (fourth.refused.status, fourth.refused.error) == (429, "overloaded")
        assert int(fourth.refused.headers["Retry-After"]) >= 1
        await first.go()
        await third.inside.wait()
        assert counts(admission) == (2, 0)
        await second.go()
        await third.go()
        assert counts(admission) == (0, 0)

    run(scenario)


def test_first_come_first_served_and_nobody_overtakes_who_waits():
    async def scenario():
        admission, order = Admission(1, 9, LONG_S), []

        async def visit(name):
            async with admission.slot():
                order.append(name)
                await asyncio.sleep(0)

        holder = Visitor(admission)
        await holder.inside.wait()
        tasks = [asyncio.create_task(visit(name)) for name in "abc"]
        await turns()
        holder.leave.set()
        late = asyncio.create_task(visit("late"))  # comes as the place is given up
        await asyncio.gather(holder.task, *tasks, late)
        assert order == ["a", "b", "c", "late"]

    run(scenario)


def test_who_waits_too_long_is_refused_and_leaves_the_queue():
    async def scenario():
        admission = Admission(1, 1, 0.01)
        holder, waiting = Visitor(admission), Visitor(admission)
        await waiting.task
        assert waiting.refused.status == 429
        assert counts(admission) == (1, 0)
        await holder.go()

    run(scenario)


def test_who_gives_up_waiting_leaves_no_trace():
    async def scenario():
        admission = Admission(1, 1, LONG_S)
        holder, waiting = Visitor(admission), Visitor(admission)
        await turns()
        waiting.task.cancel()
        await turns()
        assert counts(admission) == (1, 0)
        after = Visitor(admission)
        await holder.go()
        await after.inside.wait()
        await after.go()
        assert counts(admission) == (0, 0)

    run(scenario)


def test_a_place_that_comes_as_its_taker_gives_up_goes_to_the_next():
    async def scenario():
        admission = Admission(1, 2, LONG_S)
        holder, leaving, staying = (Visitor(admission) for _ in range(3))
        await turns()
        holder.leave.set()
        await asyncio.sleep(0)  # the place is given to `leaving`, which has not run yet
        leaving.task.cancel()
        await staying.inside.wait()
        await staying.go()
        await holder.task
        assert counts(admission) == (0, 0)

    run(scenario)


def test_a_failure_gives_the_place_back():
    async def scenario():
        admission = Admission(1, 0, LONG_S)
        for _ in range(3):
            with pytest.raises(ValueError, match="no"):
                async with admission.slot():
                    raise ValueError("no")
        assert counts(admission) == (0, 0)

    run(scenario)


def test_places_are_never_too_many_and_none_is_lost_whoever_gives_up_when():
    async def scenario():
        admission, most = Admission(3, 50, LONG_S), 0

        async def visit(steps):
            nonlocal most
            async with admission.slot():
                most = max(most, admission.working)
                await turns(steps)

        tasks = [asyncio.create_task(visit(number % 4 + 1)) for number in range(50)]
        for number, task in enumerate(tasks):
            if number % 3 == 0:
                await asyncio.sleep(0)
                task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        assert most == 3
        assert counts(admission) == (0, 0)
        everybody = [Visitor(admission) for _ in range(3)]
        await turns()
        assert all(visitor.inside.is_set() for visitor in everybody)
        for visitor in everybody:
            await visitor.go()

    run(scenario)


def test_the_wait_that_is_asked_for_grows_with_the_queue():
    async def scenario():
        admission = Admission(1, 40, LONG_S)
        visitors = [Visitor(admission) for _ in range(2)]
        await turns()
        short = admission.retry_after_s()
        visitors += [Visitor(admission) for _ in range(20)]
        await turns()
        assert 1 <= short < admission.retry_after_s() <= 60
        for visitor in visitors:
            await visitor.go()

    run(scenario)


def test_a_place_is_taken_until_the_thread_that_was_given_up_ends():
    async def scenario():
        admission, begun, go_on = Admission(1, 1, LONG_S), threading.Event(), threading.Event()

        def work():
            begun.set()
            go_on.wait(20)
            raise ValueError("nobody hears this")

        async def visit():
            async with admission.slot() as slot:
                await slot.run_in_thread(work)

        task = asyncio.create_task(visit())
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        waiting, refused = Visitor(admission), Visitor(admission)
        await refused.task
        assert refused.refused.status == 429
        assert counts(admission) == (1, 1)
        go_on.set()
        await waiting.inside.wait()
        await waiting.go()
        assert counts(admission) == (0, 0)
        await admission.close()

    run(scenario)


def test_a_thread_gives_its_place_what_it_returns_or_raises():
    async def scenario():
        admission = Admission(1, 0, LONG_S)
        async with admission.slot() as slot:
            assert await slot.run_in_thread(divmod, 7, 2) == (3, 1)
            with pytest.raises(ZeroDivisionError):
                await slot.run_in_thread(divmod, 7, 0)
        assert counts(admission) == (0, 0)
        await admission.close()

    run(scenario)


class TestUnlessGone:
    def test_gives_what_the_work_gives(self):
        async def scenario():
            async def work():
                return 7

            return await cancel_if_client_leaves(asyncio.Event().wait, work())

        assert run(scenario) == 7

    def test_raises_what_the_work_raises(self):
        async def scenario():
            async def work():
                raise KeyError("no")

            with pytest.raises(KeyError):
                await cancel_if_client_leaves(asyncio.Event().wait, work())

        run(scenario)

    def test_ends_the_work_when_the_client_has_gone(self):
        async def scenario():
            begun, gone, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

            async def work():
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.set()

            async def receive():
                await gone.wait()
                return {"type": "http.disconnect"}

            task = asyncio.create_task(cancel_if_client_leaves(receive, work()))
            await begun.wait()
            gone.set()
            with pytest.raises(ClientGoneError):
                await task
            assert ended.is_set()

        run(scenario)


def test_four_times_what_there_is_room_for_gives_answers_and_429s_alone(start: Start, model: ModelServer):
    gateway = start(limits={"concurrency": 4, "queue": 4, "queue_s": 20.0})
    model.stall()
    with ThreadPoolExecutor(32) as pool:
        asked = [pool.submit(gateway.ask) for _ in range(32)]
        model.until(lambda: model.in_flight == 4)
        refused = waited(asked, 24)
        assert {response.status_code for response in refused} == {429}
        assert all(int(response.headers["retry-after"]) >= 1 for response in refused)
        # beside all that, the gateway is alive, ready, and takes feedback's kind of requests
        for path in ("/healthz", "/readyz", "/v1/databases", "/v1/databases/shop"):
            assert gateway.client.get(path).status_code == 200
        assert gateway.metric("sense_in_flight") == 4
        assert gateway.metric("sense_waiting") == 4
        model.resume()
        answered = [future.result() for future in asked if future.result() not in refused]
    assert [response.status_code for response in answered] == [200] * 8
    assert gateway.ask().status_code == 200
    assert gateway.metric("sense_in_flight") == 0


def waited(futures, count):
    """The first `count` results."""
    from concurrent.futures import as_completed

    found = []
    for future in as_completed(futures, timeout=30):
        found.append(future.result())
        if len(found) == count:
            return found
    raise AssertionError("too few")
