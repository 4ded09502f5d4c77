"""Labels tested with wrong SQL: what a suite tells from the gold, and what it cannot."""

import sqlite3
from contextlib import closing

import pytest

from sense.config import ExecutionConfig
from sense.sql.execute import Executor
from sense.suite import suite_path
from sense.teacher.labels import label

MANY = "SELECT name FROM animal WHERE legs > 4"
TAUTOLOGY = "SELECT name FROM animal WHERE legs < 4 OR legs >= 4"
GOLDS = [MANY, TAUTOLOGY, "SELECT count(*) FROM animal"]


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "zoo.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE animal (id INTEGER PRIMARY KEY, name TEXT, legs INTEGER)")
        rows = [(number, f"animal {number}", (2, 6, 8, 100)[number % 4]) for number in range(40)]
        connection.executemany("INSERT INTO animal VALUES (?, ?, ?)", rows)
        connection.commit()
    return path


@pytest.fixture
def executor():
    with Executor(ExecutionConfig(workers=1)) as executor:
        yield executor


def test_a_suite_kills_what_the_database_alone_lets_through(executor, database):
    labels, counts = label(executor, database, GOLDS, 2, "seed")
    many = labels[MANY]
    assert many.survivors[0] > 0  # nobody has exactly 4 legs: > 4 is >= 4
    assert many.survivors[-1] == 0
    assert many.alive == ()
    assert len(many.survivors) == 3
    assert list(many.survivors) == sorted(many.survivors, reverse=True)
    assert many.mutants > many.survivors[0]
    assert sorted(file.name for file in database.parent.iterdir()) == ["suite_01.sqlite", "suite_02.sqlite", "zoo.sqlite"]
    assert (counts.databases, counts.golds, counts.empty) == (2, 2 * len(GOLDS), 0)


def test_what_no_rows_can_tell_apart_stays_alive(executor, database):
    labels, _ = label(executor, database, GOLDS, 2, "seed")
    alive = labels[TAUTOLOGY].alive
    assert any("legs <= 4" in sql for sql in alive)
    assert all(sql != TAUTOLOGY for sql in alive)


def test_the_same_arguments_write_the_same_files(executor, database):
    contents = []
    for _ in range(2):
        label(executor, database, GOLDS, 2, "seed")
        contents.append([suite_path(database, number).read_bytes() for number in (1, 2)])
    assert contents[0] == contents[1]
    label(executor, database, GOLDS, 2, "other seed")
    assert suite_path(database, 1).read_bytes() != contents[0][0]


def test_without_a_suite_the_database_alone_is_measured(executor, database):
    labels, counts = label(executor, database, GOLDS, 0, "seed")
    assert len(labels[MANY].survivors) == 1
    assert len(labels[MANY].alive) == labels[MANY].survivors[0] > 0
    assert counts.databases == 0
    assert list(database.parent.iterdir()) == [database]


def test_a_gold_that_does_not_run_kills_nothing(executor, database):
    labels, _ = label(executor, database, ["SELECT nme FROM animal WHERE legs > 4"], 0, "seed")
    (only,) = labels.values()
    assert only.survivors == (only.mutants,)
