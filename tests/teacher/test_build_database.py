import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from sense.errors import InputError
from sense.teacher import MAX_VALUE_BYTES, Draft, build_database

PETS = Draft(
    db_id="pets",
    domain="pets",
    ddl=(
        "CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT UNIQUE, since TEXT DEFAULT CURRENT_DATE)",
        'CREATE TABLE "my pet" (id INTEGER, owner_id INTEGER, FOREIGN KEY (owner_id) REFERENCES owner(id))',
    ),
    rows=(("owner", ((1, "Ada", "2020-01-02"), (2, None, "2021-01-02"))), ("my pet", ((7, 1),))),
    question="How many owners are there?",
    sql="SELECT COUNT(*) FROM owner",
    level="easy",
)


def test_the_file_holds_the_tables_and_their_rows(tmp_path):
    build_database(PETS, tmp_path / "pets" / "pets.sqlite")
    with closing(sqlite3.connect(tmp_path / "pets" / "pets.sqlite")) as connection:
        assert connection.execute("SELECT name, since FROM owner").fetchall() == [("Ada", "2020-01-02"), (None, "2021-01-02")]
        assert connection.execute('SELECT * FROM "my pet"').fetchall() == [(7, 1)]


def test_the_same_draft_makes_the_same_bytes(tmp_path):
    build_database(PETS, tmp_path / "one.sqlite")
    build_database(PETS, tmp_path / "two.sqlite")
    assert (tmp_path / "one.sqlite").read_bytes() == (tmp_path / "two.sqlite").read_bytes()


def test_a_table_may_be_empty(tmp_path):
    build_database(replace(PETS, rows=(("owner", ()),)), tmp_path / "pets.sqlite")
    with closing(sqlite3.connect(tmp_path / "pets.sqlite")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM owner").fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE",
        "CREATE TABLE owner (id INTEGER)",
        "CREATE TABLE a (x); CREATE TABLE b (x)",
        "CREATE TABLE a AS SELECT 1",
        "CREATE TABLE a AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        "CREATE VIRTUAL TABLE a USING fts5(x)",
        "CREATE TRIGGER a AFTER INSERT ON owner BEGIN DELETE FROM owner; END",
        "DROP TABLE owner",
        "DELETE FROM owner",
        "UPDATE owner SET name = 'x'",
        "PRAGMA writable_schema = 1",
        "ATTACH 'other.sqlite' AS other",
        "VACUUM INTO 'other.sqlite'",
        "SELECT 1",
    ],
)
def test_statements_that_do_more_than_create_tables_are_refused(tmp_path, monkeypatch, statement):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="database pets: "):
        build_database(replace(PETS, ddl=(*PETS.ddl, statement)), tmp_path / "pets.sqlite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "rows",
    [
        (("cat", ((1,),)),),
        (("owner", ((1, "Ada"),)),),
        (("owner", ((1, "Ada", "x"), (1, "Bo", "x"))),),
        (("owner", ((1, "Ada", "x"), (2, "Bo"))),),
        (("owner", ((2**63, "Ada", "x"),)),),
        (("owner", ((1, "x" * (MAX_VALUE_BYTES + 1), "x"),)),),
    ],
    ids=["no such table", "too few values", "key twice", "uneven rows", "too large a number", "too long a text"],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, rows):
    with pytest.raises(InputError, match=r"database pets: .* the rows of"):
        build_database(replace(PETS, rows=rows), tmp_path / "pets.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_a_default_cannot_call_what_eats_memory(tmp_path):
    ddl = (
        "CREATE TABLE a (x INTEGER, y BLOB DEFAULT (randomblob(900000000)), z INTEGER CHECK (length(zeroblob(900000000)) > 0))",
    )
    with pytest.raises(InputError):
        build_database(replace(PETS, ddl=ddl, rows=(("a", ((1, 2, 3),)),)), tmp_path / "pets.sqlite")
