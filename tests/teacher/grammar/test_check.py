"""The rules about what is worth asking, on four pets: weights 3, 3, 5, 9; two dogs, two cats; one owner unknown."""

import sqlite3
from contextlib import closing

import pytest
import sqlglot

from sense.teacher.grammar.check import is_worth_asking


@pytest.fixture
def pets():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE pet (name TEXT, species TEXT, weight REAL, owner TEXT)")
        rows = [("Rex", "dog", 3, "Ada"), ("Tom", "cat", 3, "Ada"), ("Max", "dog", 5, "Bo"), ("Kit", "cat", 9, None)]
        connection.executemany("INSERT INTO pet VALUES (?, ?, ?, ?)", rows)
        yield connection


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM pet",
        "SELECT name FROM pet WHERE weight > 4",
        "SELECT name FROM pet ORDER BY weight",
        "SELECT name FROM pet WHERE weight > 4 AND (species = 'cat' OR name = 'Max')",
        "SELECT name FROM pet ORDER BY weight DESC LIMIT 1 OFFSET 1",
        "SELECT name FROM pet ORDER BY weight DESC LIMIT 1",
        "SELECT name FROM pet WHERE species = 'dog' ORDER BY weight",
        "SELECT name FROM pet WHERE species = 'dog' AND weight > 4",
        "SELECT owner FROM pet GROUP BY owner HAVING COUNT(*) >= 2",
        "SELECT weight FROM pet WHERE weight < 6 EXCEPT SELECT weight FROM pet WHERE name = 'Tom'",
        "SELECT name FROM pet WHERE weight > (SELECT AVG(weight) FROM pet WHERE species = 'dog')",
    ],
)
def test_queries_worth_asking(pets, sql):
    assert is_worth_asking(pets, sqlglot.parse_one(sql, dialect="sqlite"), sql)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT name FROM pet WHERE weight > 10", "no row"),
        ("SELECT owner FROM pet WHERE name = 'Kit'", "nothing but NULL"),
        ("SELECT COUNT(*) FROM pet WHERE weight > 10", "a count of nothing"),
        ("SELECT name FROM pet WHERE weight < 10", "the condition leaves nothing out"),
        ("SELECT name FROM pet WHERE weight > 4 AND weight < 10", "one of the conditions leaves nothing out"),
        ("SELECT name FROM pet WHERE weight > 4 OR weight > 8", "one of the conditions adds nothing"),
        ("SELECT MAX(weight) FROM pet WHERE species = 'cat'", "the maximum is the same without the condition"),
        ("SELECT name FROM pet WHERE weight > 8 ORDER BY weight", "one row has no order"),
        (
            "SELECT name FROM pet WHERE species = (SELECT species FROM pet GROUP BY species ORDER BY COUNT(*) DESC LIMIT 1)",
            "as many dogs as cats",
        ),
        ("SELECT name FROM pet ORDER BY weight LIMIT 1", "two weights are the lowest"),
        ("SELECT species FROM pet GROUP BY species ORDER BY COUNT(*) DESC LIMIT 1", "as many dogs as cats"),
        ("SELECT owner FROM pet GROUP BY owner HAVING COUNT(*) >= 1", "every group is that large"),
        ("SELECT name FROM pet WHERE species = 'cat' EXCEPT SELECT name FROM pet WHERE species = 'dog'", "nothing to except"),
        (
            "SELECT species FROM pet WHERE weight = 3 INTERSECT SELECT species FROM pet WHERE weight > 4",
            "both sides are the same",
        ),
        ("SELECT name FROM pet ORDER BY weight DESC LIMIT 4", "nothing is cut off"),
        ("SELECT name FROM pet ORDER BY weight LIMIT 1 OFFSET 1", "two weights are the lowest"),
        ("SELECT name FROM pet WHERE weight > 4 AND (species = 'cat' OR weight > 8)", "the cat is the heavy one"),
        (
            "SELECT name FROM pet WHERE weight > (SELECT AVG(weight) FROM pet WHERE species = 'cat')",
            "6 or 5, Kit is above it",
        ),
        ("SELECT weight FROM pet WHERE weight < 6 EXCEPT SELECT weight FROM pet WHERE weight > 4", "9 is left out twice"),
    ],
)
def test_queries_not_worth_asking(pets, sql, why):
    assert not is_worth_asking(pets, sqlglot.parse_one(sql, dialect="sqlite"), sql), why
