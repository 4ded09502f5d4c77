"""What a suite is built from: the schema of a database, an empty database with it, and a sample of the rows of each table."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from sense.errors import InputError
from sense.sql.result import ResultRow
from sense.sql.snapshot import open_database, unreadable

MAX_ROWS = 200
"""Rows that are read of a table, and about as many as it has in a further database."""

_MAX_CELL_BYTES = 100_000  # a longer text or blob is read as NULL, or as "" where that is not allowed
_MAX_LENGTH = 10_000_000  # bytes of a value that the schema may compute
_STRIDE, _MAX_STRIDES = 100_000, 2_000  # steps of SQLite's machine: some seconds for all statements of one table
_PAGE_SIZE = 1024  # bytes; small databases stay small
_FORBIDDEN = frozenset(
    {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_CREATE_TRIGGER}
    | {sqlite3.SQLITE_CREATE_TEMP_TRIGGER}
)
_FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})


@dataclass(frozen=True)
class SourceColumn:
    """A column that is filled: all but the generated ones. `affinity` is one of SQLite's five, in lower case."""

    name: str
    affinity: str
    nullable: bool


@dataclass(frozen=True)
class Reference:
    """Columns of a table, by their positions, whose values are those of columns of a row of `parent`, NULLs left out.

    `declared` tells a foreign key from a join that queries make by themselves.
    """

    columns: tuple[int, ...]
    parent: str
    parent_columns: tuple[str, ...]
    declared: bool


@dataclass(frozen=True)
class SourceTable:
    """A table that is filled; `unique` holds the positions of the columns of each key, the primary key first if there is one.

    `rows` are a sample of its rows, all of them if it has no more than MAX_ROWS.
    """

    name: str
    columns: tuple[SourceColumn, ...]
    unique: tuple[tuple[int, ...], ...]
    references: tuple[Reference, ...]
    rows: tuple[ResultRow, ...]

    def position(self, column: str) -> int | None:
        """The position of a column by its name in whatever case."""
        return next((i for i, each in enumerate(self.columns) if each.name.lower() == column.lower()), None)


@dataclass(frozen=True)
class SourceDatabase:
    """A database to build others from: `template` is the image of an empty one with its schema.

    `virtual` has the rows of virtual tables, which stay as they are: (name, columns, rows).
    """

    template: bytes
    tables: Mapping[str, SourceTable] = field(default_factory=dict)
    virtual: tuple[tuple[str, tuple[str, ...], tuple[ResultRow, ...]], ...] = ()


def read_source(database: Path) -> SourceDatabase:
    """Reads a database; InputError if that cannot be done, or its schema cannot be created again."""
    try:
        with open_database(database) as connection:
            connection.text_factory = _decode
            limit_steps(connection)
            statements = _statements(connection)
            template = _create(database, connection, statements)
            shadows = {name for name, kind in connection.execute("SELECT name, type FROM pragma_table_list") if kind == "shadow"}
            names = [name for kind, name, _ in statements if kind == "table" and name not in shadows]
            virtual_names = [name for kind, name, _ in statements if kind == "virtual"]
            tables = {name.lower(): _read_table(connection, name) for name in names}
            tables = {name: table for name, table in tables.items() if table.columns}
            virtual = tuple(_read_virtual(connection, name) for name in virtual_names)
    except (OSError, sqlite3.Error) as error:
        raise unreadable(database, error) from None
    column_names = {name: {column.name.lower() for column in table.columns} for name, table in tables.items()}
    for name, table in tables.items():
        usable = tuple(
            reference
            for reference in table.references
            if {column.lower() for column in reference.parent_columns} <= column_names.get(reference.parent, set())
        )
        tables[name] = SourceTable(table.name, table.columns, table.unique, usable, table.rows)
    return SourceDatabase(template, tables, virtual)


def in_quotes(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def limit_steps(connection: sqlite3.Connection) -> None:
    """Bounds what statements on this connection may do: the schema, with its CHECKs, may come from a stranger."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_LENGTH)
    strides = iter(range(_MAX_STRIDES))
    connection.set_progress_handler(lambda: next(strides, None) is None, _STRIDE)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _statements(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """(kind, name, SQL) of all that the schema creates but triggers, in order; kind is table, virtual, index or view."""
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'trigger' AND name NOT LIKE 'sqlite\\_%' "
        "ESCAPE '\\' ORDER BY type = 'view', type = 'index', rowid"
    ).fetchall()
    virtual = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage = 0")}
    return [("virtual" if kind == "table" and name in virtual else kind, name, sql) for kind, name, sql in rows]


def _create(database: Path, connection: sqlite3.Connection, statements: Iterable[tuple[str, str, str]]) -> bytes:
    """The image of an empty database with this schema."""
    (encoding,) = connection.execute("PRAGMA encoding").fetchone()
    shadows = {name for name, kind in connection.execute("SELECT name, type FROM pragma_table_list") if kind == "shadow"}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        empty.execute(f"PRAGMA page_size={_PAGE_SIZE}")
        empty.execute(f"PRAGMA encoding='{encoding}'")
        empty.execute("PRAGMA foreign_keys=OFF")
        limit_steps(empty)
        empty.set_authorizer(_authorize)
        statement = ""
        try:
            for _, name, statement in statements:
                if name not in shadows:
                    empty.execute(statement)
        except (sqlite3.Error, sqlite3.Warning) as error:
            excerpt = " ".join(statement.split())[:200]
            raise InputError(
                f"{database}: its schema cannot be created again ({error}: {excerpt}); mend it, or do without a suite"
            ) from None
        empty.set_authorizer(None)
        return empty.serialize()


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _source: str | None) -> int:
    """SQLite's authorizer callback: no other file, no setting, no function with side effects."""
    if action in _FORBIDDEN and first != "data_version":
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _read_table(connection: sqlite3.Connection, name: str) -> SourceTable:
    described = connection.execute(
        'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY cid', (name,)
    ).fetchall()
    without_rowid = _is_without_rowid(connection, name)
    key = [i for i, row in sorted(enumerate(described), key=lambda item: item[1][3]) if row[3] > 0]
    columns = tuple(
        SourceColumn(column, _affinity(declared), not not_null and position == 0)
        for column, declared, not_null, position in described
    )
    unique = dict.fromkeys([tuple(key)] if key else [])
    unique |= dict.fromkeys(_unique_indexes(connection, name, [column.name for column in columns]))
    rows = _sample(connection, name, columns, without_rowid)
    return SourceTable(name, columns, tuple(unique), tuple(_references(connection, name, columns)), rows)


def _is_without_rowid(connection: sqlite3.Connection, name: str) -> bool:
    row = connection.execute("SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (name,)).fetchone()
    return bool(row and row[0])


def _affinity(declared: str) -> str:
    """The affinity of a declared type, by SQLite's rules."""
    declared = declared.upper()
    if "INT" in declared:
        return "integer"
    if any(part in declared for part in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if not declared or "BLOB" in declared:
        return "blob"
    return "real" if any(part in declared for part in ("REAL", "FLOA", "DOUB")) else "numeric"


def _unique_indexes(connection: sqlite3.Connection, table: str, names: Sequence[str]) -> Iterable[tuple[int, ...]]:
    """The columns of the unique indexes, those on expressions left out: there SQLite alone says what fits."""
    for index, unique in connection.execute('SELECT name, "unique" FROM pragma_index_list(?) ORDER BY seq', (table,)).fetchall():
        columns = [name for (name,) in connection.execute("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (index,))]
        if unique and columns and all(name in names for name in columns):
            yield tuple(names.index(name) for name in columns)


def _references(connection: sqlite3.Connection, table: str, columns: Sequence[SourceColumn]) -> Iterable[Reference]:
    """The foreign keys, those on generated columns left out; of a parent without named columns it is the primary key."""
    positions = {column.name.lower(): i for i, column in enumerate(columns)}
    keys: dict[int, list[tuple[str, str, str | None]]] = {}
    for number, parent, column, parent_column in connection.execute(
        'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq', (table,)
    ).fetchall():
        keys.setdefault(number, []).append((parent, column, parent_column))
    for parts in keys.values():
        parent = parts[0][0]
        parent_columns = [column for _, _, column in parts]
        if None in parent_columns:
            rows = connection.execute("SELECT name FROM pragma_table_xinfo(?) WHERE pk > 0 ORDER BY pk", (parent,))
            parent_columns = [name for (name,) in rows]
        if len(parent_columns) == len(parts) and all(column.lower() in positions for _, column, _ in parts):
            yield Reference(
                tuple(positions[column.lower()] for _, column, _ in parts),
                parent.lower(),
                tuple(str(column) for column in parent_columns),
                declared=True,
            )


def _sample(
    connection: sqlite3.Connection, table: str, columns: Sequence[SourceColumn], without_rowid: bool
) -> tuple[ResultRow, ...]:
    """At most MAX_ROWS rows: all of a small table; of a large one, those behind rowids that are drawn, or else the first ones."""
    if not columns:
        return ()
    select = f"SELECT {', '.join(_short_value(column) for column in columns)} FROM {in_quotes(table)}"  # noqa: S608  (quoted)
    rows = connection.execute(f"{select} LIMIT {MAX_ROWS + 1}").fetchall()
    rowid = next((name for name in ("rowid", "_rowid_", "oid") if name not in {c.name.lower() for c in columns}), None)
    if len(rows) <= MAX_ROWS or without_rowid or rowid is None:
        return tuple(rows[:MAX_ROWS])
    low, high = connection.execute(f"SELECT min({rowid}), max({rowid}) FROM {in_quotes(table)}").fetchone()  # noqa: S608  (quoted)
    random = Random(f"{table}-{low}-{high}")
    drawn: dict[Any, ResultRow] = {}
    for start in sorted(random.randint(low, high) for _ in range(2 * MAX_ROWS)):
        row = connection.execute(
            f"{select.replace('SELECT ', f'SELECT {rowid}, ', 1)} WHERE {rowid} >= ? ORDER BY {rowid} LIMIT 1", (start,)
        ).fetchone()
        drawn[row[0]] = row[1:]
    numbers = sorted(random.sample(list(drawn), min(MAX_ROWS, len(drawn))))
    return tuple(drawn[number] for number in numbers)


def _short_value(column: SourceColumn) -> str:
    """The column's value, or a short one in the place of one that is too long."""
    name, other = in_quotes(column.name), "NULL" if column.nullable else "''"
    return f"CASE WHEN length(CAST({name} AS BLOB)) > {_MAX_CELL_BYTES} THEN {other} ELSE {name} END"


def _read_virtual(connection: sqlite3.Connection, name: str) -> tuple[str, tuple[str, ...], tuple[ResultRow, ...]]:
    """The columns and first rows of a virtual table, with their rowids; none where this SQLite cannot read it."""
    columns = tuple(
        column
        for column, hidden in connection.execute("SELECT name, hidden FROM pragma_table_xinfo(?) ORDER BY cid", (name,))
        if hidden == 0
    )
    listed = ", ".join(["rowid", *map(in_quotes, columns)])
    rows = connection.execute(f"SELECT {listed} FROM {in_quotes(name)} LIMIT {MAX_ROWS}").fetchall()  # noqa: S608  (quoted)
    return name, columns, tuple(rows)
