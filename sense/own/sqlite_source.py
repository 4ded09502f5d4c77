"""A SQLite file as a source of rows."""

import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

from sense.errors import InputError
from sense.own.tables import (
    MAX_TEXT,
    OwnColumn,
    OwnReference,
    OwnRow,
    OwnTable,
    guess_references,
    key_columns,
    reservoir,
    select_tables,
)
from sense.schema import introspect
from sense.sql.snapshot import open_database, unreadable

_CHUNK = 200  # keys in one statement
_TYPE = re.compile(r"[A-Za-z][\w ]*(?:\(\d+(?:, ?\d+)?\))?")


class SqliteSource:
    """The tables of a SQLite file, read with all committed rows and without a trace; use it in a `with` block."""

    def __init__(self, path: Path, names: Sequence[str], scan: int) -> None:
        """`names` are the tables to take (none: all), `scan` the rows of each that are looked at; InputError for no database."""
        self._path, self._scan = path, scan
        schema = introspect(path)
        self._stack = ExitStack()
        try:
            self._connection = self._stack.enter_context(open_database(path))
            self._connection.text_factory = lambda data: data.decode("utf-8", "replace")
            tables = [self._table(table.name) for table in schema.tables]
        except (OSError, sqlite3.Error) as error:
            self._stack.close()
            raise unreadable(path, error) from None
        self.tables = guess_references(select_tables(tables, names, str(path)))

    def __enter__(self) -> "SqliteSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def draw(self, table: OwnTable, count: int, random: Random) -> list[OwnRow]:
        """At most `count` rows of the first ones that are looked at."""
        return reservoir(self._rows(table, f"LIMIT {self._scan}", ()), count, random)

    def look_up(
        self, table: OwnTable, columns: Sequence[str], keys: Collection[OwnRow], limit: int | None = None
    ) -> list[OwnRow]:
        """The rows whose values in `columns` are one of `keys`; with `limit`, at most so many for each 200 keys."""
        listed = list(keys)
        left = f"({', '.join(map(_quoted, columns))})"
        rows: list[OwnRow] = []
        for start in range(0, len(listed), _CHUNK):
            chunk = listed[start : start + _CHUNK]
            values = ", ".join([f"({', '.join('?' * len(columns))})"] * len(chunk))
            where = f"WHERE {left} IN ({values if len(columns) == 1 else f'VALUES {values}'})"
            where += "" if limit is None else f" LIMIT {limit}"
            rows += self._rows(table, where, [value for key in chunk for value in key])
        return rows

    def _rows(self, table: OwnTable, end: str, parameters: Sequence[object]) -> Iterator[OwnRow]:
        keys = key_columns(table, self.tables)
        items = ", ".join(_item(column.name, column.name in keys) for column in table.columns)
        try:
            yield from self._connection.execute(f"SELECT {items} FROM {_quoted(table.name)} {end}", parameters)  # noqa: S608  (quoted)
        except sqlite3.Error as error:
            raise InputError(
                f"{self._path}: table {table.name} cannot be read ({error}); mend it, or leave it out (--tables)"
            ) from None

    def _table(self, name: str) -> OwnTable:
        execute = self._connection.execute
        columns = execute('SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden != 1 ORDER BY cid', (name,))
        rows = columns.fetchall()
        key = tuple(row[0] for row in sorted((row for row in rows if row[3]), key=lambda row: row[3]))
        declared = tuple(OwnColumn(row[0], clean_type(row[1]), not row[2] and not row[3]) for row in rows)
        return OwnTable(name, declared, key, tuple(self._references(name, [row[0] for row in rows])))

    def _references(self, name: str, columns: Sequence[str]) -> Iterator[OwnReference]:
        """The declared foreign keys to columns that exist, their names as they are declared there."""
        execute = self._connection.execute
        spelt = {column.lower(): column for column in columns}
        keys: dict[int, list[tuple[str, str, str | None]]] = {}
        for number, parent, column, other in execute(
            'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq', (name,)
        ):
            keys.setdefault(number, []).append((parent, column, other))
        for pairs in keys.values():
            parent = execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(?)", (pairs[0][0],)
            ).fetchone()
            if parent is None:
                continue
            others = execute("SELECT name, pk FROM pragma_table_xinfo(?) ORDER BY pk", (parent[0],)).fetchall()
            key = [other for other, position in others if position]
            targets = [
                other if other is not None else dict(enumerate(key)).get(index, "") for index, (_, _, other) in enumerate(pairs)
            ]
            by_name = {other.lower(): other for other, _ in others}
            sides = [
                (spelt.get(pair[1].lower()), by_name.get(target.lower())) for pair, target in zip(pairs, targets, strict=True)
            ]
            if all(column and other for column, other in sides):
                yield OwnReference(
                    tuple(column for column, _ in sides if column), parent[0], tuple(other for _, other in sides if other)
                )


def clean_type(declared: str) -> str:
    """The type of a column without what SQLite's CREATE TABLE could not read: VARCHAR(20), or '' for what begins otherwise."""
    match = _TYPE.match(declared.strip())
    return match[0].strip().upper() if match else ""


def _item(name: str, is_key: bool) -> str:
    """What is read of a column: no blobs, and of a text that is no key not more than its beginning."""
    column = _quoted(name)
    cut = "" if is_key else f"WHEN 'text' THEN substr({column}, 1, {MAX_TEXT}) "
    return f"CASE typeof({column}) WHEN 'blob' THEN NULL {cut}ELSE {column} END"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
