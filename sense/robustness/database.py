"""A plan carried out on a SQLite file: columns are renamed where they stand; for all else tables are made anew and rows copied.

SQLite itself moves the rows from file to file, so that every value stays as it is, broken texts too, and so do rowids: they
give a result without ORDER BY its order. Indexes, views and triggers are created again, after the rows. Nothing beside the target
is written, and the target has no -wal.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sense.robustness.create_table import (
    ColumnDefinition,
    TableDefinition,
    UnreadableTableError,
    read_table,
    without_keys,
)
from sense.robustness.plan import AddedColumn, AddedTable, DatabasePlan
from sense.schema import quote_identifier
from sense.sql.database_file import DatabaseFile
from sense.sql.snapshot import copy_database

_ROW_IDS = ("rowid", "_rowid_", "oid")
_STORED = 0  # `hidden` of a column that is neither computed nor a virtual table's argument


class UnalterableError(Exception):
    """SQLite cannot carry the plan out on this database; the message says why, for people."""


class _Table(NamedTuple):
    """A table as it is to be created; `stored` are the columns whose values are copied, `added` those that get new ones."""

    name: str
    definition: TableDefinition
    stored: tuple[str, ...]
    added: tuple[AddedColumn, ...]
    has_rowid: bool


def write_database(source: Path, target: Path, plan: DatabasePlan) -> None:
    """Writes the database `source` to `target`, changed as the plan says; the same files and plan give the same bytes.

    UnalterableError if that cannot be done; what copy_database raises if `source` cannot be read or `target` not be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not plan.rebuilds:
        copy_database(DatabaseFile.from_path(source), target)
        if plan.renamed:
            _alter(target, plan.renamed)
        return
    copy = target.with_name(f".{target.name}.source")
    copy_database(DatabaseFile.from_path(source), copy)
    try:
        _rebuild(copy, target, plan)
    except (sqlite3.Error, sqlite3.Warning, UnreadableTableError) as error:
        raise UnalterableError(str(error)) from error
    finally:
        copy.unlink()


def _alter(target: Path, renamed: Mapping[str, str]) -> None:
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA journal_mode=DELETE").close()
            connection.execute("PRAGMA synchronous=OFF").close()  # a kill leaves it unfinished under a name that nobody reads
            connection.execute("BEGIN")
            for table, kind in _table_list(connection):
                if kind == "table":
                    for name, _ in _columns(connection, table):
                        if name.lower() in renamed:
                            new = _quoted(renamed[name.lower()])
                            connection.execute(f"ALTER TABLE {_quoted(table)} RENAME COLUMN {_quoted(name)} TO {new}")
            connection.execute("COMMIT")
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise UnalterableError(str(error)) from error


def _rebuild(source: Path, target: Path, plan: DatabasePlan) -> None:
    """Creates `target` with the tables of `source` as the plan wants them, in one transaction."""
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE").close()
        tables = _read_tables(connection, plan)
        settings = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("encoding", "page_size", "user_version")
        }
        others = connection.execute(
            "SELECT sql FROM sqlite_master WHERE type <> 'table' AND sql IS NOT NULL "
            "ORDER BY type = 'trigger', type = 'view', rowid"
        ).fetchall()
    target.unlink(missing_ok=True)  # of a killed try
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        for name, value in settings.items():
            connection.execute(f"PRAGMA {name}='{value}'").close()
        connection.execute("PRAGMA journal_mode=OFF").close()
        connection.execute("PRAGMA synchronous=OFF").close()
        connection.execute("ATTACH ? AS original", (str(source),))
        connection.execute("BEGIN")
        for item in _in_order(tables, plan):
            if isinstance(item, AddedTable):
                _create_added(connection, item)
            else:
                connection.execute(item.definition.sql)
                connection.execute(_copy_statement(item))
        for (sql,) in others:
            connection.execute(sql)
        connection.execute("COMMIT")


def _table_list(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The names of the tables, without SQLite's own, with their kinds (table, virtual or shadow), in the order of creation."""
    kinds = dict(connection.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'").fetchall())
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid").fetchall()
    return [(name, kinds[name]) for (name,) in names if not name.lower().startswith("sqlite_")]


def _columns(connection: sqlite3.Connection, table: str) -> list[tuple[str, int]]:
    """The names of the columns of a table, and how they are hidden."""
    return connection.execute("SELECT name, hidden FROM pragma_table_xinfo(?) ORDER BY cid", (table,)).fetchall()


def _read_tables(connection: sqlite3.Connection, plan: DatabasePlan) -> dict[str, _Table]:
    """The tables as they are to be, by their names in lower case."""
    tables: dict[str, _Table] = {}
    for name, kind in _table_list(connection):
        if kind != "table":
            raise UnalterableError(f"{name} is a {kind} table, which cannot be created anew with its rows")
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone()
        (is_without_rowid,) = connection.execute(
            "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (name,)
        ).fetchone()
        definition, columns = read_table(sql), _columns(connection, name)
        if [column.name for column in definition.columns] != [column for column, _ in columns]:
            raise UnalterableError(f"the columns of {name} cannot be told from its CREATE TABLE")
        added = plan.added_columns.get(name.lower(), ())
        definition = replace(definition, columns=_new_columns(definition, added, plan.columns.get(name.lower(), ())))
        if plan.without_keys:
            definition = without_keys(definition)
        stored = tuple(column for column, hidden in columns if hidden == _STORED)
        tables[name.lower()] = _Table(name, definition, stored, added, not is_without_rowid)
    return tables


def _new_columns(definition: TableDefinition, added: Iterable[AddedColumn], order: Sequence[str]) -> tuple[ColumnDefinition, ...]:
    """The columns with those that are added, in the order of their names if there is one."""
    new = [ColumnDefinition(column.name, f"{quote_identifier(column.name)} {column.type}") for column in added]
    columns = [*definition.columns, *new]
    places = {name.lower(): place for place, name in enumerate(order)}
    return tuple(sorted(columns, key=lambda column: places.get(column.name.lower(), len(columns))))


def _in_order(tables: Mapping[str, _Table], plan: DatabasePlan) -> list[_Table | AddedTable]:
    """All tables in the order in which they are created."""
    every: dict[str, _Table | AddedTable] = {**tables, **{table.name.lower(): table for table in plan.added_tables}}
    places = {name.lower(): place for place, name in enumerate(plan.tables)}
    return [every[name] for name in sorted(every, key=lambda name: places.get(name, len(every)))]


def _copy_statement(table: _Table) -> str:
    """INSERT ... SELECT of all rows, with their rowids where both tables have them and a name is free for them."""
    names = {column.lower() for column in table.stored}
    row_id = next((name for name in _ROW_IDS if name not in names), None) if table.has_rowid else None
    row_ids = [] if row_id is None else [row_id]
    columns = [*row_ids, *map(_quoted, table.stored), *(_quoted(column.name) for column in table.added)]
    number = row_id or "row_number() OVER ()"
    values = [*row_ids, *map(_quoted, table.stored), *(_expression(column, number) for column in table.added)]
    return (
        f"INSERT INTO main.{_quoted(table.name)} ({', '.join(columns)}) "  # noqa: S608  (quoted)
        f"SELECT {', '.join(values)} FROM original.{_quoted(table.name)} NOT INDEXED"
    )


def _create_added(connection: sqlite3.Connection, table: AddedTable) -> None:
    key, *others = table.columns
    columns = [f"{_quoted(key.name)} INTEGER PRIMARY KEY", *(f"{_quoted(column.name)} {column.type}" for column in others)]
    connection.execute(f"CREATE TABLE {_quoted(table.name)} ({', '.join(columns)})")
    values = ", ".join(["n", *(_expression(column, "n") for column in others)])
    connection.execute(
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {table.rows}) "  # noqa: S608
        f"INSERT INTO {_quoted(table.name)} SELECT {values} FROM numbers"
    )


def _expression(column: AddedColumn, number: str) -> str:
    """SQL for the value of an added column in the row of this number; neighbouring rows get values that look drawn."""
    count = len(column.values) or column.high - column.low + 1
    drawn = f"abs({number} % 99991 * 7919 + {column.salt}) % {count}"
    if not column.values:
        return f"{column.low} + {drawn}"
    cases = " ".join(f"WHEN {place} THEN {_text(value)}" for place, value in enumerate(column.values))
    return f"CASE {drawn} {cases} END"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
