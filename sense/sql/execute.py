"""Executes SQL that nobody trusts: in worker processes, within limits, every statement with an outcome.

A worker is started as a program of its own, never forked, so that it is safe beside threads and CUDA. It stops
a statement at its limits by itself (`worker.py`); where it cannot, in the middle of one long C call, it is
killed here and replaced. Workers end with their Executor, and with their parent however that ends.
"""

import select
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sense.config import ExecutionConfig
from sense.sql.parse import check_select
from sense.sql.process import Worker
from sense.sql.sandbox import Limits
from sense.sql.tree import MAX_LENGTH
from sense.sql.worker import Answer

Value = str | int | float | bytes | None
Job = tuple[Path, str]

_AHEAD = 256  # jobs taken up before the first unfinished one


@dataclass(frozen=True)
class Result:
    """What a SELECT returned."""

    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]


@dataclass(frozen=True)
class Failure:
    """Why there is no result; `detail` is for people."""

    verdict: Literal["error", "timeout", "too_large", "rejected"]
    detail: str


Outcome = Result | Failure


class Executor:
    """Executes SELECTs on SQLite files, never writing; use it in a `with` block and from one thread at a time.

    A statement's outcome depends on it, on its database and on the limits, not on the statements around it. Steps
    are counted, so the load of the machine does not matter unless it makes `max_steps` take longer than `timeout_s`.
    """

    def __init__(self, limits: ExecutionConfig) -> None:
        self._limits = Limits(limits.timeout_s, limits.max_rows, limits.max_bytes, limits.max_steps, MAX_LENGTH)
        self._workers = limits.workers
        self._idle: list[Worker] = []

    def __enter__(self) -> "Executor":
        return self

    def __exit__(self, *_: object) -> None:
        while self._idle:
            self._idle.pop().close()

    def run(self, database: Path, sql: str) -> Outcome:
        """Executes one statement."""
        return next(self.map([(database, sql)]))

    def map(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """The outcomes of `jobs`, in their order; as many are executed at a time as the limits name workers."""
        coming = enumerate(jobs)
        busy: dict[Worker, int] = {}
        done: dict[int, Outcome] = {}
        given = 0
        more = True
        try:
            while more or busy:
                while more and len(busy) < self._workers and len(done) < _AHEAD:
                    more = self._take(coming, busy, done)
                if busy:
                    self._collect(busy, done)
                while given in done:
                    yield done.pop(given)
                    given += 1
        finally:
            for worker in busy:  # nobody will ask for their answers
                worker.kill()

    def _take(self, coming: Iterator[tuple[int, Job]], busy: dict[Worker, int], done: dict[int, Outcome]) -> bool:
        """Starts the next job, or rejects it; False if there is none."""
        number, job = next(coming, (-1, None))
        if job is None:
            return False
        reason = check_select(job[1])
        if reason is None:
            busy[self._started(job)] = number
        else:
            done[number] = Failure("rejected", reason)
        return True

    def _started(self, job: Job) -> Worker:
        """A worker that has been given `job`; one that died while it was idle is replaced."""
        while True:
            worker = self._idle.pop() if self._idle else Worker(self._limits)
            try:
                worker.start(*job)
            except BrokenPipeError:
                worker.kill()
            else:
                return worker

    def _collect(self, busy: dict[Worker, int], done: dict[int, Outcome]) -> None:
        """Waits until at least one of the `busy` workers has answered or is overdue, and moves its job to `done`."""
        poll = select.poll()
        for worker in busy:
            poll.register(worker.output, select.POLLIN)
        left = min(worker.deadline for worker in busy) - time.monotonic()
        ready = {descriptor for descriptor, _ in poll.poll(max(left, 0) * 1000)}
        now = time.monotonic()
        for worker in [worker for worker in busy if worker.output in ready or now >= worker.deadline]:
            done[busy.pop(worker)] = _outcome(worker.answer(worker.output in ready))
            if worker.alive:
                self._idle.append(worker)


def _outcome(answer: Answer) -> Outcome:
    kind, detail, rows = answer
    return Result(detail, rows) if kind == "rows" else Failure(kind, detail)  # type: ignore[arg-type]  # a verdict from worker.py
