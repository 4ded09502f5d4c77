"""A suite beside its database, with golds that return something: where they return nothing, the rows are drawn again."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sense import records
from sense.sql.execute import Executor
from sense.sql.result import Failure, Outcome
from sense.suite.instance import SuiteBuilder

_REFILLS = 3  # of an instance at most; the one with the fewest empty golds stays


@dataclass
class SuiteCounts:
    """Golds on further databases: `golds` were executed there in all (a gold counts once for each database).

    `refilled` returned something only after the rows were drawn again, `empty` return nothing at last, `failed` do not run there.
    Golds whose result on the original is as empty are left out.
    """

    databases: int = 0
    golds: int = 0
    refilled: int = 0
    empty: int = 0
    failed: int = 0

    def __add__(self, other: "SuiteCounts") -> "SuiteCounts":
        mine, theirs = vars(self), vars(other)
        return SuiteCounts(**{name: mine[name] + theirs[name] for name in mine})


def suite_path(database: Path, number: int) -> Path:
    """Where instance `number` of a database lies, counted from 1."""
    return database.with_name(f"suite_{number:02d}.sqlite")


def is_weak(outcome: Outcome) -> bool:
    """Whether a gold's outcome says little: no rows, or nothing but NULL and 0; a failure says nothing."""
    return isinstance(outcome, Failure) or not any(value not in (None, 0) for row in outcome.rows for value in row)


def write_suite(executor: Executor, database: Path, queries: Sequence[str], count: int, seed: str) -> SuiteCounts:
    """Writes `count` further databases beside `database`, on which as many of `queries` as possible return something.

    The same arguments give the same files. InputError where the database cannot be read, or its schema not be created again.
    """
    writer = SuiteWriter(executor, database, queries, queries, seed)
    counts = SuiteCounts(databases=count, golds=count * len(writer.golds))
    for number in range(1, 1 + count):
        weak = writer.write(number)
        counts.refilled += len(weak.first) - len(weak.last)
        counts.empty += len(weak.last) - weak.failed
        counts.failed += weak.failed
    return counts


@dataclass(frozen=True)
class WeakGolds:
    """The golds that are weak on an instance, before anything was refilled and at last; `failed` of the latter do not run."""

    first: list[str]
    last: list[str]
    failed: int


class SuiteWriter:
    """Writes instances of one database on which `golds` return something, drawn for `queries`, which may be more than these."""

    def __init__(self, executor: Executor, database: Path, golds: Sequence[str], queries: Sequence[str], seed: str) -> None:
        """Reads the database; InputError where that cannot be done, or its schema not be created again."""
        self._executor, self._database, self._all_golds = executor, database, golds
        self._builder = SuiteBuilder(database, queries, seed)
        self._draft = 0, b""  # the last one, by its number

    @cached_property
    def golds(self) -> list[str]:
        """The golds that return something on the database itself."""
        return _strong(self._executor, self._database, list(dict.fromkeys(self._all_golds)))

    def draft(self, number: int) -> Path:
        """Writes instance `number` as it is drawn at first, whatever its golds return."""
        self._draft = number, self._builder.build(number)
        return self._write(*self._draft)

    def write(self, number: int) -> WeakGolds:
        """Writes the instance with the fewest weak golds of those that are tried."""
        whole: frozenset[str] = frozenset()
        weak: list[list[str]] = []
        images: list[bytes] = []
        outcomes: list[dict[str, Outcome]] = []
        for attempt in range(1 + _REFILLS):
            drafted = attempt == 0 and self._draft[0] == number
            images.append(self._draft[1] if drafted else self._builder.build(number, attempt, whole))
            path = suite_path(self._database, number) if drafted else self._write(number, images[-1])
            outcomes.append(dict(zip(self.golds, self._executor.run_all(path, self.golds), strict=True)))
            weak.append([sql for sql, outcome in outcomes[-1].items() if is_weak(outcome)])
            if not weak[-1]:
                break
            whole = whole.union(*(self._builder.tables_of(sql) for sql in weak[-1]))
        best = min(range(len(weak)), key=lambda attempt: len(weak[attempt]))
        if best != len(weak) - 1:
            self._write(number, images[best])
        failed = sum(isinstance(outcome, Failure) for outcome in outcomes[best].values())
        return WeakGolds(weak[0], weak[best], failed)

    def _write(self, number: int, image: bytes) -> Path:
        path = suite_path(self._database, number)
        with records.atomic(path, durable=False) as stream:
            stream.write(image)
        return path


def _strong(executor: Executor, database: Path, queries: Sequence[str]) -> list[str]:
    """The queries whose result on the database itself is not weak."""
    outcomes = executor.run_all(database, queries)
    return [sql for sql, outcome in zip(queries, outcomes, strict=True) if not is_weak(outcome)]
