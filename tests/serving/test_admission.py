"""Admission: slots, their queue, and work that is cancelled when its client leaves. Events set the order, never the clock."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress

import pytest

from sense.serving.admission import Admission, ClientGoneError, cancel_if_client_leaves
from sense.serving.problems import ApiError
from tests.serving.conftest import Start
from tests.serving.model_server import ModelServer

LONG_S = 60.0


async def let_others_run(count=5):
    """Lets all other tasks run until they wait."""
    for _ in range(count):
        await asyncio.sleep(0)


class Visitor:
    """A request that occupies a slot until `leave` is set."""

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


def test_requests_beyond_the_slots_wait_and_beyond_the_queue_are_refused():
    async def scenario():
        admission = Admission(2, 1, LONG_S)
        first, second, third, fourth = (Visitor(admission) for _ in range(4))
        await let_others_run()
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


def test_slots_are_assigned_in_order_of_arrival():
    async def scenario():
        admission, order = Admission(1, 9, LONG_S), []

        async def visit(name):
            async with admission.slot():
                order.append(name)
                await asyncio.sleep(0)

        holder = Visitor(admission)
        await holder.inside.wait()
        tasks = [asyncio.create_task(visit(name)) for name in "abc"]
        await let_others_run()
        holder.leave.set()
        late = asyncio.create_task(visit("late"))  # arrives as the slot is released
        await asyncio.gather(holder.task, *tasks, late)
        assert order == ["a", "b", "c", "late"]

    run(scenario)


def test_a_request_that_waits_too_long_is_refused_and_leaves_the_queue():
    async def scenario():
        admission = Admission(1, 1, 0.01)
        holder, waiting = Visitor(admission), Visitor(admission)
        await waiting.task
        assert waiting.refused.status == 429
        assert counts(admission) == (1, 0)
        await holder.go()

    run(scenario)


def test_a_request_cancelled_while_waiting_leaves_the_queue():
    async def scenario():
        admission = Admission(1, 1, LONG_S)
        holder, waiting = Visitor(admission), Visitor(admission)
        await let_others_run()
        waiting.task.cancel()
        await let_others_run()
        assert counts(admission) == (1, 0)
        after = Visitor(admission)
        await holder.go()
        await after.inside.wait()
        await after.go()
        assert counts(admission) == (0, 0)

    run(scenario)


def test_a_slot_assigned_to_a_request_that_is_then_cancelled_goes_to_the_next():
    async def scenario():
        admission = Admission(1, 2, LONG_S)
        holder, leaving, staying = (Visitor(admission) for _ in range(3))
        await let_others_run()
        holder.leave.set()
        await asyncio.sleep(0)  # the slot is assigned to `leaving`, which has not run yet
        leaving.task.cancel()
        await staying.inside.wait()
        await staying.go()
        await holder.task
        assert counts(admission) == (0, 0)

    run(scenario)


def test_a_failure_releases_the_slot():
    async def scenario():
        admission = Admission(1, 0, LONG_S)
        for _ in range(3):
            with pytest.raises(ValueError, match="no"):
                async with admission.slot():
                    raise ValueError("no")
        assert counts(admission) == (0, 0)

    run(scenario)


def test_slots_are_neither_exceeded_nor_lost_when_requests_are_cancelled():
    async def scenario():
        admission, highest = Admission(3, 50, LONG_S), 0

        async def visit(steps):
            nonlocal highest
            async with admission.slot():
                highest = max(highest, admission.working)
                await let_others_run(steps)

        tasks = [asyncio.create_task(visit(number % 4 + 1)) for number in range(50)]
        for number, task in enumerate(tasks):
            if number % 3 == 0:
                await asyncio.sleep(0)
                task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        assert highest == 3
        assert counts(admission) == (0, 0)
        visitors = [Visitor(admission) for _ in range(3)]
        await let_others_run()
        assert all(visitor.inside.is_set() for visitor in visitors)
        for visitor in visitors:
            await visitor.go()

    run(scenario)


def test_retry_after_grows_with_the_queue():
    async def scenario():
        admission = Admission(1, 40, LONG_S)
        visitors = [Visitor(admission) for _ in range(2)]
        await let_others_run()
        short = admission.retry_after_s()
        visitors += [Visitor(admission) for _ in range(20)]
        await let_others_run()
        assert 1 <= short < admission.retry_after_s() <= 60
        for visitor in visitors:
            await visitor.go()

    run(scenario)


def test_a_slot_stays_occupied_until_the_thread_of_a_cancelled_request_ends():
    async def scenario():
        admission, begun, go_on = Admission(1, 1, LONG_S), threading.Event(), threading.Event()

        def work():
            begun.set()
            go_on.wait(20)
            raise ValueError("of a cancelled request")

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


def test_run_in_thread_returns_or_raises_what_the_function_does():
    async def scenario():
        admission = Admission(1, 0, LONG_S)
        async with admission.slot() as slot:
            assert await slot.run_in_thread(divmod, 7, 2) == (3, 1)
            with pytest.raises(ZeroDivisionError):
                await slot.run_in_thread(divmod, 7, 0)
        assert counts(admission) == (0, 0)
        await admission.close()

    run(scenario)


class TestCancelIfClientLeaves:
    def test_returns_what_the_work_returns(self):
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

    def test_cancels_the_work_when_the_client_has_gone(self):
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


def test_four_times_the_capacity_gives_only_answers_and_429s(start: Start, model: ModelServer):
    gateway = start(limits={"concurrency": 4, "queue": 4, "queue_s": 20.0})
    model.stall()
    with ThreadPoolExecutor(32) as pool:
        futures = [pool.submit(gateway.ask) for _ in range(32)]
        model.until(lambda: model.in_flight == 4)
        refused = first_results(futures, 24)
        assert {response.status_code for response in refused} == {429}
        assert all(int(response.headers["retry-after"]) >= 1 for response in refused)
        # meanwhile the gateway is alive and ready, and answers requests that need no slot
        for path in ("/healthz", "/readyz", "/v1/databases", "/v1/databases/shop"):
            assert gateway.client.get(path).status_code == 200
        assert gateway.metric("sense_in_flight") == 4
        assert gateway.metric("sense_waiting") == 4
        model.resume()
        answered = [future.result() for future in futures if future.result() not in refused]
    assert [response.status_code for response in answered] == [200] * 8
    assert gateway.ask().status_code == 200
    assert gateway.metric("sense_in_flight") == 0


def first_results(futures, count):
    """The first `count` results."""
    results = []
    for future in as_completed(futures, timeout=30):
        results.append(future.result())
        if len(results) == count:
            return results
    raise AssertionError("too few")
