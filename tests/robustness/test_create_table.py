"""CREATE TABLE taken apart and put together: everything that SQLite knows of the table stays, but for what is taken out."""

import doctest
import importlib
import sqlite3
from contextlib import closing

import pytest

from sense.robustness.create_table import UnreadableTableError, read_table, without_keys

STATEMENTS = {
    "plain": "CREATE TABLE t (a INT, b TEXT)",
    "comments": "CREATE TABLE t ( -- one, two (\n a INT, /* three, */ b TEXT -- four\n)",
    "commas": "CREATE TABLE t (a DECIMAL(10, 2) DEFAULT (max(1, 2)), b TEXT DEFAULT 'x, y) -- z' CHECK (b IN ('a', 'b')))",
    "quotes": 'CREATE TABLE "t ("(`a b` INT, [c,d] TEXT, "e""f" REAL, \'g\'\'h\' BLOB)',
    "keys": """CREATE TABLE t (a INTEGER CONSTRAINT k PRIMARY KEY DESC ON CONFLICT REPLACE NOT NULL DEFAULT 3,
        b TEXT COLLATE NOCASE REFERENCES "o ""(" (x) ON DELETE SET NULL ON UPDATE NO ACTION MATCH FULL NOT DEFERRABLE
        INITIALLY DEFERRED UNIQUE)""",
    "autoincrement": "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b INT REFERENCES o)",
    "constraints": """CREATE TABLE t (a INT, b INT, CONSTRAINT p PRIMARY KEY (a, b), UNIQUE (b), CHECK (a > 1)
        CONSTRAINT f FOREIGN KEY (a) REFERENCES o (x) ON DELETE CASCADE FOREIGN KEY (b) REFERENCES o) WITHOUT  ROWID""",
    "options": "CREATE TABLE t (a INT NOT NULL PRIMARY KEY, b TEXT GENERATED ALWAYS AS (a || ', ') STORED) STRICT, WITHOUT ROWID",
    "no types": "CREATE TABLE t (a, b PRIMARY KEY, c)",
}


def described(sql):
    """What SQLite knows of the columns, foreign keys and indexes of the table that is created."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(sql)
        ((name,),) = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        return [
            connection.execute(f"SELECT * FROM pragma_{what}(?)", (name,)).fetchall()
            for what in ("table_xinfo", "foreign_key_list", "index_list")
        ]


@pytest.mark.parametrize("sql", STATEMENTS.values(), ids=STATEMENTS)
def test_a_table_is_the_same_when_it_is_put_together_again(sql):
    table = read_table(sql)
    columns, _, _ = expected = described(sql)
    assert [column.name for column in table.columns] == [name for _, name, *_ in columns]
    assert described(table.sql) == expected


@pytest.mark.parametrize("sql", STATEMENTS.values(), ids=STATEMENTS)
def test_without_keys_all_else_stays(sql):
    columns, _, indexes = described(sql)
    new_columns, new_keys, new_indexes = described(without_keys(read_table(sql)).sql)
    assert new_keys == []
    not_null_by_key = {
        name for _, name, *_, key, _ in columns if key and "ROWID" in sql
    }  # a rowid-less key is NOT NULL by itself
    for old, new in zip(columns, new_columns, strict=True):
        number, name, kind, not_null, default, _, hidden = old
        stays = (number, name, kind, not_null if name not in not_null_by_key else new[3], default, 0, hidden)
        assert new == stays
    assert sorted(row[3] for row in new_indexes) == sorted(row[3] for row in indexes if row[3] != "pk")


def test_keys_by_hand():
    table = without_keys(read_table(STATEMENTS["keys"]))
    assert [column.text for column in table.columns] == ["a INTEGER NOT NULL DEFAULT 3", "b TEXT COLLATE NOCASE UNIQUE"]
    table = without_keys(read_table(STATEMENTS["constraints"]))
    assert table.sql == "CREATE TABLE t (\n  a INT,\n  b INT,\n  UNIQUE (b),\n  CHECK (a > 1)\n)"
    assert without_keys(read_table(STATEMENTS["options"])).tail == " STRICT"


@pytest.mark.parametrize("sql", ["CREATE TABLE t", "CREATE TABLE t (a", "CREATE TABLE t (a,, b)"])
def test_what_is_no_create_table_is_refused(sql):
    with pytest.raises(UnreadableTableError):
        read_table(sql)


@pytest.mark.parametrize("name", ["create_table", "phrasings", "words"])
def test_examples_in_docstrings_of_robustness(name):
    result = doctest.testmod(importlib.import_module(f"sense.robustness.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
