"""Teachers write strong data: a database, a question on it and the SQL that answers it (paper section 3.1).

`GrammarTeacher` (sense.teacher.grammar.teacher) needs no model at all; `LlmTeacher` (sense.teacher.llm) asks an endpoint.
A draft is only a claim until it has been built and its SQL has been executed.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sense import records
from sense.errors import InputError
from sense.records import Hardness

Value = str | int | float | None
Rows = tuple[tuple[str, tuple[tuple[Value, ...], ...]], ...]

MAX_BYTES = 10_000_000
"""The longest text or blob that a draft's database may hold, so that a hostile DDL cannot eat the memory."""

_FUNCTIONS = frozenset(
    ["current_date", "current_time", "current_timestamp", "date", "datetime", "length", "like", "glob", "lower", "upper"]
)
_ACTIONS = frozenset(
    [
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,  # the automatic index of UNIQUE and PRIMARY KEY
        sqlite3.SQLITE_REINDEX,
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_UPDATE,  # of sqlite_master, which CREATE TABLE does
        sqlite3.SQLITE_TRANSACTION,
    ]
)


@dataclass(frozen=True)
class Draft:
    """One strong example before it is checked; drafts with the same `db_id` carry the same `ddl` and `rows`.

    `ddl` holds CREATE TABLE statements, `rows` the rows of each table in its column order, `level` the hardness asked for.
    """

    db_id: str
    domain: str
    ddl: tuple[str, ...]
    rows: Rows
    question: str
    sql: str
    level: Hardness


@dataclass(frozen=True)
class Refusal:
    """The teacher could not make a draft: `reason` is a short key to count by, `detail` is for people."""

    reason: str
    detail: str
    level: Hardness


class Teacher(Protocol):
    """A source of drafts: a pure function of its configuration, its seed and the arguments; safe to call from threads."""

    def draft(self, index: int, level: Hardness, avoid: Sequence[str]) -> Draft | Refusal:
        """The draft number `index` at hardness `level`; `avoid` names over-represented domains, as advice."""
        ...


def build(draft: Draft, database: Path) -> None:
    """Makes the draft's SQLite file at `database`, whole or not at all.

    Raises InputError when the DDL or the rows are wrong or do more than create and fill tables; StorageError when
    the file cannot be written.
    """
    content = image(draft.db_id, draft.ddl, draft.rows)
    with records.atomic(database) as stream:
        stream.write(content)


def image(db_id: str, ddl: Sequence[str], rows: Rows) -> bytes:
    """The bytes of a SQLite file with these tables and rows; the same arguments give the same bytes.

    The statements may come from a model: they run in memory, under an authorizer that allows nothing but creating and
    filling tables (no ATTACH, no PRAGMA, no CREATE TABLE AS SELECT).
    """
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
        connection.set_authorizer(_authorize)
        statement = ""
        try:
            for statement in ddl:
                connection.execute(statement)
            for table, values in rows:
                statement = f"the rows of {table}"
                if values:
                    connection.executemany(_insert(table, len(values[0])), values)
            connection.commit()
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            shown = " ".join(statement.split())[:200]
            raise InputError(f"database {db_id}: {error}: {shown}; only CREATE TABLE and rows that fit are allowed") from None
        connection.set_authorizer(None)
        return connection.serialize()


def _insert(table: str, width: int) -> str:
    name = table.replace('"', '""')
    return f'INSERT INTO "{name}" VALUES ({", ".join("?" * width)})'  # noqa: S608  (the name is quoted)


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _source: str | None) -> int:
    """Allows what CREATE TABLE and INSERT need, and denies the rest; `first`, `second` as SQLite's documentation has them."""
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_OK if (second or "").lower() in _FUNCTIONS else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_UPDATE and first != "sqlite_master":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ACTIONS else sqlite3.SQLITE_DENY
