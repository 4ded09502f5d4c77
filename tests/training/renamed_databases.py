"""A database whose names and values are renamed as a copy of an example is, for the SQL of the copy to be executed on."""

import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sense import schema as schemas
from sense.records import Example
from sense.schema import Schema
from sense.training import renaming

# words that no database has, so that the renamed names differ from all others
UNUSED_WORDS = tuple(f"zq{a}{b}{c}v" for a in "bcdfghjklm" for b in "aeiou" for c in "bcdfghjklmnp")


def example(question: str, sql: str, evidence: str = "") -> Example:
    return Example(id="a", db_id="d", question=question, sql=sql, source="s", hardness="easy", evidence=evidence)


def copy_and_words(
    monkeypatch: pytest.MonkeyPatch, row: Example, schema: Schema, seed: object = 0
) -> tuple[Example, Schema, renaming._Words] | None:
    """The renamed copy, and the renaming that it was made with."""
    drawn = []
    with monkeypatch.context() as patched:
        patched.setattr(renaming, "replacement_words", lambda: UNUSED_WORDS)
        draw = renaming._draw
        patched.setattr(renaming, "_draw", lambda *arguments: drawn.append(draw(*arguments)) or drawn[-1])
        copy = renaming.rename(row, schema, random.Random(str(seed)))
    return (*copy, drawn[0]) if copy else None


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def renamed_database(original: sqlite3.Connection, schema: Schema, words: renaming._Words) -> Iterator[sqlite3.Connection]:
    """A copy of the database in memory, with its values and then its columns and tables renamed."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        original.backup(database)
        database.text_factory = original.text_factory
        database.create_function("renamed", 1, lambda value: renamed(value, words))
        for table in schema.tables:
            name = quoted(table.name)
            values = ", ".join(f"{quoted(column.name)} = renamed({quoted(column.name)})" for column in table.columns)
            database.execute(f"UPDATE {name} SET {values}")
            for column in table.columns:
                if words.name(column.name) != column.name:
                    database.execute(
                        f"ALTER TABLE {name} RENAME COLUMN {quoted(column.name)} TO {quoted(words.name(column.name))}"
                    )
            if words.name(table.name).lower() != table.name.lower():
                database.execute(f"ALTER TABLE {name} RENAME TO {quoted(words.name(table.name))}")
        yield database


def renamed(value: Any, words: renaming._Words) -> Any:
    return words.value(value) if isinstance(value, str) else value


def open_database(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    return connection


def difference(
    monkeypatch: pytest.MonkeyPatch, file: Path, row: Example, seed: object = 0
) -> tuple[Example, Sequence[Any], Sequence[Any]] | None:
    """The copy, the original result renamed, and the result of the copy's SQL on the renamed database, if those two differ."""
    schema = schemas.introspect(file, 2)
    copied = copy_and_words(monkeypatch, row, schema, seed)
    assert copied is not None, row.sql
    copy, _, words = copied
    with closing(open_database(file)) as original, renamed_database(original, schema, words) as database:
        expected = [tuple(renamed(value, words) for value in line) for line in original.execute(row.sql)]
        result = database.execute(copy.sql).fetchall()
    return None if sorted(map(repr, expected)) == sorted(map(repr, result)) else (copy, expected, result)
