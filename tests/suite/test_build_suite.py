"""Further databases of a schema: what holds in them, and which wrong queries they tell from the gold."""

import sqlite3
from contextlib import closing

import pytest

from sense.errors import InputError
from sense.suite import build_suite

SCHEMA = """
CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT, people INTEGER CHECK (people > 0));
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, age INTEGER, born TEXT, city_id INTEGER REFERENCES city (id));
INSERT INTO city VALUES (1, 'Oslo', 'Norway', 700), (2, 'Bergen', 'Norway', 290), (3, 'Lund', 'Sweden', 90);
INSERT INTO person VALUES (1, 'Ada', 31, '1990-02-01', 1), (2, 'Bo', 25, '1996-07-12', 1), (3, 'Cy', 40, '1981-01-30', 2),
  (4, 'Di', 30, '1991-03-03', 3), (5, 'Eve', 22, '1999-12-31', 2), (6, 'Fay', 35, '1986-05-05', 1);
"""
PAIRS = [
    ("SELECT name FROM person WHERE age > 30", "SELECT name FROM person WHERE age >= 30"),
    ("SELECT count(*) FROM person WHERE city_id = 1", "SELECT count(DISTINCT name) FROM person WHERE city_id = 1"),
    ("SELECT DISTINCT age FROM person", "SELECT age FROM person"),
    ("SELECT name FROM city WHERE country = 'Norway' AND people > 300", "SELECT name FROM city WHERE people > 300"),
    (
        "SELECT city.name, count(person.id) FROM city LEFT JOIN person ON city.id = person.city_id GROUP BY city.id",
        "SELECT city.name, count(person.id) FROM city JOIN person ON city.id = person.city_id GROUP BY city.id",
    ),
    ("SELECT name FROM person WHERE name LIKE 'A%'", "SELECT name FROM person WHERE name LIKE '%A%'"),
    ("SELECT count(*) FROM person WHERE born < '1991-03-03'", "SELECT count(*) FROM person WHERE born <= '1991-03-03'"),
    (
        "SELECT country FROM city GROUP BY country HAVING count(*) >= 2",
        "SELECT country FROM city GROUP BY country HAVING count(*) > 2",
    ),
    ("SELECT count(*) FROM person", "SELECT count(age) FROM person"),
    ("SELECT name FROM person WHERE age = 25", "SELECT name FROM person WHERE age = 25 AND city_id = 1"),
]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "people.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    return path


def rows(image, sql):
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(image)
        return sorted(connection.execute(sql).fetchall(), key=repr)


def test_same_arguments_give_the_same_bytes(database):
    queries = [sql for pair in PAIRS for sql in pair]
    assert build_suite(database, queries, 3, "7") == build_suite(database, queries, 3, "7")
    assert build_suite(database, queries, 3, "7") != build_suite(database, queries, 3, "8")
    assert build_suite(database, queries, 2, "7") == build_suite(database, queries, 3, "7")[:2]


@pytest.mark.parametrize(("gold", "wrong"), PAIRS)
def test_ten_databases_tell_a_wrong_query_from_the_gold(database, gold, wrong):
    assert any(rows(image, gold) != rows(image, wrong) for image in build_suite(database, [gold for gold, _ in PAIRS], 9, "0"))


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"no database at all, but long enough for SQLite to read a header from it" * 20)
    with pytest.raises(InputError, match=r"x\.sqlite"):
        build_suite(path, [], 1, "0")
