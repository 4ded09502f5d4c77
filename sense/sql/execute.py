"""Executes SQL that nobody trusts: in worker processes, within limits, every statement with an outcome.

A worker is started as a program of its own, never forked, so that it is safe beside threads and CUDA. It stops
a statement at its limits by itself (`statement.py`); where it cannot, in the middle of one long C call, it is
killed and replaced (`pool.py`). Workers end with their Executor, and with their parent however that ends.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sense.config import ExecutionConfig
from sense.sql.judge import Ruling, Task
from sense.sql.parse import check_select
from sense.sql.pool import Pool, Unit
from sense.sql.process import Worker
from sense.sql.result import Failure, Outcome, Result, Value
from sense.sql.sandbox import Limits
from sense.sql.schedule import Schedule
from sense.sql.statement import Place
from sense.sql.tree import MAX_LENGTH

__all__ = ["Executor", "Failure", "Job", "Outcome", "Result", "Value", "place"]

Job = tuple[Path, str]

_AHEAD = 256  # jobs taken up before the first unfinished one


class Executor:
    """Executes SELECTs on SQLite files, never writing; use it in a `with` block and from one thread at a time.

    A statement's outcome depends on it, on its database and on the limits, not on the statements around it. Steps
    are counted, so the load of the machine does not matter unless it makes `max_steps` take longer than `timeout_s`.
    """

    def __init__(self, limits: ExecutionConfig, min_value: int = 0) -> None:
        """`min_value`: the bytes of `limits.max_bytes` that a value takes at least, however short it is."""
        numbers = Limits(limits.timeout_s, limits.max_rows, limits.max_bytes, limits.max_steps, MAX_LENGTH, min_value)
        self._pool = Pool(numbers, limits.workers)

    def __enter__(self) -> "Executor":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def run(self, database: Path, sql: str) -> Outcome:
        """Executes one statement."""
        return next(self.map([(database, sql)]))

    def map(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """The outcomes of `jobs`, in their order; as many are executed at a time as the limits name workers."""
        queue = _Queue(jobs)
        while queue.more:
            for unit in self._pool.drive(queue.take):
                queue.done[unit.name] = unit.answers[0]
                yield from queue.given()
            yield from queue.given()

    def judge(self, tasks: Sequence[Task], costs: Sequence[float]) -> Iterator[tuple[int, list[Ruling]]]:
        """Each task's number and the rulings on its predictions, in the order in which they are done; `costs` are relative."""
        for unit in self._pool.drive(Schedule(tasks, costs).take):
            yield unit.name, [answer if isinstance(answer, Ruling) else Ruling(*answer) for answer in unit.answers]


class _Queue:
    """Jobs as units of one statement, and their outcomes by number until those before them are known."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._coming = enumerate(jobs)
        self._next = 0
        self.more = True
        self.done: dict[int, Any] = {}

    def take(self, _worker: Worker) -> Unit | None:
        """The next job as a unit; those that are no SELECT are done at once."""
        while len(self.done) < _AHEAD:
            number, job = next(self._coming, (-1, None))
            if job is None:
                self.more = False
                return None
            reason = check_select(job[1])
            if reason is None:
                return Unit(number, ("select", tuple(place(job[0]))), (job[1],), lambda end: ("failure", *end.failure))
            self.done[number] = ("failure", "rejected", reason, "")
        return None

    def given(self) -> Iterator[Outcome]:
        """The outcomes whose turn it is."""
        while self._next in self.done:
            kind, *rest = self.done.pop(self._next)
            self._next += 1
            yield Result(*rest) if kind == "rows" else Failure(*rest)


def place(database: Path) -> Place:
    """Where a database is, as workers are told."""
    path = database.absolute()
    return Place(str(path), path.as_uri())
