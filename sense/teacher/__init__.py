"""Teachers write strong data: a database, a question on it and the SQL that answers it (paper section 3.1).

`GrammarTeacher` (sense.teacher.grammar.teacher) needs no model at all. `LlmTeacher` (sense.teacher.llm) asks an endpoint for
drafts on a database of their own, `UnitWriter` (sense.teacher.units) for several on one database: a unit, as the grammar writes.
What a teacher writes is a draft: nothing is known to be right until its database has been built and its SQL executed.
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

CellValue = str | int | float | None
"""A value in a draft's database; teachers write no blobs."""
TableRows = tuple[tuple[str, tuple[tuple[CellValue, ...], ...]], ...]
"""The rows of a draft's database: (name of the table, its rows) for each table."""

MAX_VALUE_BYTES = 10_000_000
"""The longest text or blob that a draft's database may hold, so that a hostile CREATE TABLE cannot exhaust the memory."""

_PAGE_SIZE = 1024  # bytes: most tables are smaller than SQLite's own 4096, and each takes a page at least

_ALLOWED_FUNCTIONS = frozenset(
    ["current_date", "current_time", "current_timestamp", "date", "datetime", "length", "like", "glob", "lower", "upper"]
)
_ALLOWED_ACTIONS = frozenset(
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

    `ddl` holds CREATE TABLE statements, `rows` the rows of each table in its column order. `level` is the hardness that the
    teacher was asked for; the SQL may have another one. `evidence` is what one must know besides to write the SQL. `style` is the
    one in which the question was asked for, empty where in none.
    """

    db_id: str
    domain: str
    ddl: tuple[str, ...]
    rows: TableRows
    question: str
    sql: str
    level: Hardness
    evidence: str = ""
    style: str = ""


@dataclass(frozen=True)
class RejectedDraft:
    """A draft that is not kept, by the teacher itself or by a later check.

    `reason` is a short text to count by, `detail` is for people, `level` is the hardness that was asked for. Where an endpoint
    brought no answer, `failed_requests` is how many requests it took to see that.
    """

    reason: str
    detail: str
    level: Hardness
    failed_requests: int = 0


class UnitTeacher(Protocol):
    """A source of databases, each with several drafts; they depend on its configuration, its seed and the arguments alone."""

    def unit(self, number: int, levels: Sequence[Hardness]) -> list[Draft | RejectedDraft]:
        """Writes the drafts on database `number`, one for each of `levels`."""
        ...


class Teacher(Protocol):
    """A source of single drafts. Its drafts depend on its configuration, its seed and the arguments alone; it is thread-safe."""

    def draft(self, index: int, level: Hardness, avoid: Sequence[str]) -> Draft | RejectedDraft:
        """Writes draft number `index` at hardness `level`; `avoid` names over-represented domains, as advice."""
        ...

    def repair(self, index: int, level: Hardness, avoid: Sequence[str], fault: RejectedDraft) -> Draft | RejectedDraft:
        """Writes the draft with these arguments, which has this fault, once more."""
        ...

    def forget(self, index: int, level: Hardness, avoid: Sequence[str]) -> None:
        """Keeps nothing of the draft with these arguments: the next time it is written anew."""
        ...

    def fetch(self) -> bool:
        """Has answered what drafts and repairs were asked for in vain, because it is asked together; False if there is none."""
        ...

    def close(self) -> None:
        """Ends what threads wait for: no further draft is wanted."""
        ...


def build_database(draft: Draft, database: Path) -> None:
    """Writes the draft's SQLite file to `database`, whole or not at all.

    Raises InputError when the DDL or the rows are wrong or do more than create and fill tables, StorageError when
    the file cannot be written.
    """
    content = database_bytes(draft.db_id, draft.ddl, draft.rows)
    with records.atomic(database) as stream:
        stream.write(content)


def database_bytes(db_id: str, ddl: Sequence[str], rows: TableRows) -> bytes:
    """The bytes of a SQLite file with these tables and rows; the same arguments give the same bytes.

    The statements may come from a model: they run in memory, under an authorizer that allows nothing but creating and
    filling tables (no ATTACH, no PRAGMA, no CREATE TABLE AS SELECT).
    """
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        connection.set_authorizer(_authorize)
        statement = ""
        try:
            for statement in ddl:
                connection.execute(statement)
            for table, table_rows in rows:
                statement = f"the rows of {table}"
                if table_rows:
                    connection.executemany(_insert_statement(table, len(table_rows[0])), table_rows)
            connection.commit()
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            excerpt = " ".join(statement.split())[:200]
            raise InputError(f"database {db_id}: {error}: {excerpt}; only CREATE TABLE and rows that fit are allowed") from None
        connection.set_authorizer(None)
        return connection.serialize()


def _insert_statement(table: str, columns: int) -> str:
    name = table.replace('"', '""')
    return f'INSERT INTO "{name}" VALUES ({", ".join("?" * columns)})'  # noqa: S608  (the name is quoted)


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _source: str | None) -> int:
    """SQLite's authorizer callback: allows what CREATE TABLE and INSERT need, and denies everything else.

    What `first` and `second` hold depends on `action`; SQLite documents it as the third and fourth argument of the callback.
    """
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_OK if (second or "").lower() in _ALLOWED_FUNCTIONS else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_UPDATE and first != "sqlite_master":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ALLOWED_ACTIONS else sqlite3.SQLITE_DENY
