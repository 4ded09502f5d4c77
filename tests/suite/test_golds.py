"""Suites that are written beside their database: golds that return nothing there are refilled and counted."""

import sqlite3
from contextlib import closing

import pytest

from sense import records
from sense.config import ExecutionConfig
from sense.sql.execute import Executor
from sense.sql.result import Failure, Result
from sense.suite import SuiteCounts, is_weak, suite_path, write_suite

# A gold that needs many rows of one kind, and columns that only the original's rows have together.
SCRIPT = """
CREATE TABLE sale (id INTEGER PRIMARY KEY, shop TEXT, sum INTEGER);
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100)
INSERT INTO sale SELECT i, 'shop ' || (i % 20), i % 20 * 7 FROM c;
"""
RARE = "SELECT shop FROM sale WHERE length(shop) + sum = 7 + 19 * 7"
GOLDS = ["SELECT count(*) FROM sale", RARE, "SELECT shop FROM sale WHERE sum > 100000"]


@pytest.fixture(scope="module")
def executor():
    with Executor(ExecutionConfig(workers=1)) as executor:
        yield executor


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "sales" / "sales.sqlite"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCRIPT)
    return path


def test_golds_that_are_empty_on_an_instance_are_refilled(executor, database):
    counts = write_suite(executor, database, GOLDS, 4, "1")
    assert (counts.databases, counts.golds, counts.failed) == (4, 8, 0)  # the third gold is empty on the original
    assert counts.refilled > 0
    outcomes = list(executor.map((suite_path(database, number), gold) for number in range(1, 5) for gold in GOLDS[:2]))
    assert counts.empty == sum(map(is_weak, outcomes)) == 0


def test_the_same_arguments_write_the_same_files_over_others(executor, database, tmp_path):
    write_suite(executor, database, GOLDS, 3, "1")
    first = records.digest(database.parent)
    suite_path(database, 2).write_bytes(b"half a file")
    write_suite(executor, database, GOLDS, 3, "1")
    assert records.digest(database.parent) == first
    assert sorted(path.name for path in database.parent.iterdir()) == [
        "sales.sqlite",
        *(f"suite_0{number}.sqlite" for number in (1, 2, 3)),
    ]


@pytest.mark.parametrize(
    ("outcome", "weak"),
    [
        (Result(("n",), []), True),
        (Result(("n",), [(None,), (0,), (0.0,)]), True),
        (Result(("n",), [(None, "")]), False),
        (Result(("n",), [(1,)]), False),
        (Failure("error", "no such column"), True),
    ],
)
def test_weak_outcomes(outcome, weak):
    assert is_weak(outcome) is weak


def test_counts_add_up():
    assert SuiteCounts(1, 2, 3, 4, 5) + SuiteCounts(10, 20, 30, 40, 50) == SuiteCounts(11, 22, 33, 44, 55)
