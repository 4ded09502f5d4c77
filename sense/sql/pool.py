"""Worker processes at work: units of statements are handed out, and come back answered whatever happens to a worker."""

import select
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from sense.errors import SenseError
from sense.sql.process import End, Worker
from sense.sql.sandbox import Limits

_STARTS = 3  # tries to start a worker
_DEATHS = 2  # a worker that dies once at a statement may have been killed by someone else; twice is the statement's doing


class Unit:
    """Statements of one job; `answers` are filled in as they arrive, `name` is for whoever made the unit.

    `head` and `statements` are what a worker is sent, `ended(end)` the answer to a statement that ended its worker.
    """

    def __init__(self, name: Any, head: tuple[Any, ...], statements: tuple[Any, ...], ended: Callable[[End], Any]) -> None:
        self.name, self.head, self.statements, self.ended = name, head, statements, ended
        self.answers: list[Any] = [None] * len(statements)
        self.left = list(range(len(statements)))
        self._asked: list[int] = []
        self._deaths: dict[int, int] = {}

    def job(self) -> tuple[Any, ...]:
        """What a worker is sent: the statements without an answer."""
        self._asked = list(self.left)
        return (*self.head, tuple(self.statements[number] for number in self.left))

    def take(self, answers: list[Any]) -> None:
        """Fills in the next answers."""
        for answer in answers:
            self.answers[self.left.pop(0)] = answer

    def lost(self, end: End) -> None:
        """The worker has ended: the statement that it was at has its answer, unless it deserves a second try."""
        number = self._asked[end.number] if end.number >= 0 else -1
        self._deaths[number] = self._deaths.get(number, 0) + 1
        if end.died and self._deaths[number] < _DEATHS:
            return
        for each in [number] if number >= 0 else list(self.left):
            self.answers[each] = self.ended(end)
            self.left.remove(each)


class Pool:
    """Workers, started when they are needed and kept for the next units."""

    def __init__(self, limits: Limits, workers: int) -> None:
        self._limits, self._workers = limits, workers
        self._idle: list[Worker] = []

    def close(self) -> None:
        """Ends the workers."""
        while self._idle:
            self._idle.pop().close()

    def drive(self, next_unit: Callable[[Worker], Unit | None]) -> Iterator[Unit]:
        """Each unit that `next_unit` gives, once it is answered; None from it means that there is none at the moment.

        It ends when nothing is at work and there is no unit. `next_unit` is told which worker will get the unit.
        """
        busy: dict[Worker, Unit] = {}
        try:
            while self._employ(busy, next_unit) or busy:
                yield from self._collect(busy)
        finally:
            for worker in busy:  # nobody will ask for their answers
                worker.kill()

    def _new(self) -> Worker:
        """A new worker; one that dies while it starts may have been killed by someone else."""
        for _ in range(_STARTS - 1):
            with suppress(SenseError):
                return Worker(self._limits)
        return Worker(self._limits)

    def _employ(self, busy: dict[Worker, Unit], next_unit: Callable[[Worker], Unit | None]) -> bool:
        """Gives work to every worker that has none, as far as there is work; True if there was."""
        some = False
        while len(busy) < self._workers:
            worker = self._idle.pop() if self._idle else self._new()
            unit = next_unit(worker)
            if unit is None:
                self._idle.append(worker)
                break
            some = True
            busy[self._started(worker, unit)] = unit
        return some

    def _started(self, worker: Worker, unit: Unit) -> Worker:
        """The worker that has been given the unit: another one, if it died while it was idle."""
        while True:
            try:
                worker.start(unit.job())
            except BrokenPipeError:
                worker.kill()
                worker = self._new()
            else:
                return worker

    def _collect(self, busy: dict[Worker, Unit]) -> Iterator[Unit]:
        """Waits until a worker has answered or is overdue; yields the units that are done."""
        poll = select.poll()
        for worker in busy:
            poll.register(worker.output, select.POLLIN)
        left = min(worker.deadline for worker in busy) - time.monotonic()
        ready = {descriptor for descriptor, _ in poll.poll(max(left, 0) * 1000)}
        now = time.monotonic()
        for worker in [worker for worker in busy if worker.output in ready or now >= worker.deadline]:
            unit = busy[worker]
            found = worker.answers(worker.output in ready)
            if isinstance(found, End):
                del busy[worker]
                unit.lost(found)
                if unit.left:
                    busy[self._started(self._new(), unit)] = unit
            else:
                unit.take(found)
                if not unit.left:
                    self._idle.append(worker)
                    del busy[worker]
            if not unit.left:
                yield unit
