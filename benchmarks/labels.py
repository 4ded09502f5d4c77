"""Whether wrong SQL is told from right SQL by execution: sections 3 and 4 of `benchmarks.synthesis`."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks.corpora import Corpus, Row, open_readonly
from sense import records
from sense.records import Pair, Sample
from sense.sql.error_class import error_class
from sense.sql.mutants import mutants
from sense.sql.tree import is_ordered
from sense.suite import build_suite

INSTANCES = (0, 2, 9)
"""Instances beside the main database, on all of which a survivor returns what the gold does."""
_REFERENCE = 20
"""Instances on which a mutant must differ at least once; what never does is taken to mean the same as the gold."""
_MAX_STEPS = 2_000_000
_STRIDE = 1_000
Result = tuple[tuple[object, ...], ...]


@dataclass
class MutantCounts:
    """`mutants` that run and differ somewhere, how many of them survive on each of INSTANCES, and how often golds are empty."""

    golds: int = 0
    mutants: int = 0
    same: int = 0
    survivors: Counter[int] = field(default_factory=Counter)
    executions: int = 0
    empty: int = 0


def measure(corpus: Corpus, golds: int, seed: int = 0) -> MutantCounts:
    """Draws databases until there are `golds` queries, builds instances of each, and executes golds and mutants on them.

    A mutant that fails on the main database, or never differs from its gold, is not counted as wrong. Results are compared as
    bags of rows, as lists where the gold has an ORDER BY.
    """
    by_database: dict[str, list[Row]] = {}
    for row in corpus.rows:
        by_database.setdefault(row.db_id, []).append(row)
    order = sorted(by_database)
    Random(seed).shuffle(order)
    counts = MutantCounts()
    for db_id in order:
        if counts.golds >= golds:
            break
        _measure_database(corpus.databases[db_id], by_database[db_id][: golds - counts.golds], counts)
    return counts


def _measure_database(database: Path, rows: Sequence[Row], counts: MutantCounts) -> None:
    images = build_suite(database, [row.sql for row in rows], _REFERENCE, "benchmark")
    connections = [open_readonly(database)]
    for image in images:
        connections.append(sqlite3.connect(":memory:"))
        connections[-1].deserialize(image)
    try:
        for row in rows:
            expected = [execute(connection, row.sql) for connection in connections]
            if expected[0] is None:
                continue
            counts.golds += 1
            counts.executions += len(connections) - 1
            counts.empty += sum(not _says_something(result) for result in expected[1:])
            ordered = is_ordered(row.sql)
            for mutant in mutants(row.sql, row.columns):
                _count_mutant(connections, mutant.sql, expected, ordered, counts)
    finally:
        for connection in connections:
            connection.close()


def _count_mutant(
    connections: Sequence[sqlite3.Connection], sql: str, expected: Sequence[Result | None], ordered: bool, counts: MutantCounts
) -> None:
    if execute(connections[0], sql) is None:
        return
    survived = 0  # instances before the first on which it differs, the main database among them
    for connection, gold in zip(connections, expected, strict=True):
        if gold is not None and _key(execute(connection, sql), ordered) != _key(gold, ordered):
            break
        survived += 1
    if survived == len(connections):
        counts.same += 1
        return
    counts.mutants += 1
    for further in INSTANCES:
        counts.survivors[further] += survived > further


def execute(connection: sqlite3.Connection, sql: str) -> Result | None:
    """The rows of a query; None if it fails or takes too many steps."""
    strides = iter(range(_MAX_STEPS // _STRIDE))
    connection.set_progress_handler(lambda: next(strides, None) is None, _STRIDE)
    try:
        return tuple(connection.execute(sql).fetchall())
    except (sqlite3.Error, sqlite3.Warning, OverflowError):
        return None


def _key(result: Result | None, ordered: bool) -> object:
    return result if result is None or ordered else Counter(result)


def _says_something(result: Result | None) -> bool:
    return result is None or any(value not in (None, 0) for row in result for value in row)


# -- a finished run


@dataclass
class WeakData:
    """Of a finished run: pairs and those whose rejected answer runs, samples and those that name a table that is not there."""

    pairs: int
    rejected_runs: int
    sources: Counter[str]
    classes: Counter[str]
    samples: int
    right: int
    no_such_table: int


def read_weak_data(run: Path) -> WeakData:
    """Reads data/pairs and data/weak of a working copy in which the pipeline ran."""
    pairs = list(records.read_jsonl(run / "data/pairs/pairs.jsonl", Pair))
    samples = list(records.read_jsonl(run / "data/weak/samples.jsonl", Sample))
    details = {(sample.example_id, sample.sql): sample.detail for sample in samples}
    return WeakData(
        pairs=len(pairs),
        rejected_runs=sum(pair.error == "mismatch" for pair in pairs),
        sources=Counter(getattr(pair, "source", "sample") for pair in pairs),
        classes=Counter(
            error_class(pair.chosen, pair.rejected, pair.error, details.get((pair.example_id, pair.rejected), ""))
            for pair in pairs
        ),
        samples=len(samples),
        right=sum(sample.correct for sample in samples),
        no_such_table=sum(sample.detail.startswith("no such table") for sample in samples),
    )
