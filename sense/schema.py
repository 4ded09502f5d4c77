"""A database's schema: read from the file, and written out for a prompt."""

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from sense.errors import InputError
from sense.sql.sandbox import idle_wal

_SCANNED = 1000  # rows looked at for sample values: enough for a few distinct ones, whatever the table's size
_LONGEST = 40  # characters of a sample value; longer ones tell a model little and fill its context
_LOOKED_AT = 4_000  # bytes of a value, blanks included, that is looked at

# The keywords of SQLite that cannot be names without quotes (its parser takes the others for names), and those
# that it takes for names but that read as a join.
_RESERVED = frozenset(
    """ADD ALL ALTER AND AS AUTOINCREMENT BETWEEN CASE CAST CHECK COLLATE COMMIT CONSTRAINT CREATE CROSS CURRENT_DATE
    CURRENT_TIME CURRENT_TIMESTAMP DEFAULT DEFERRABLE DELETE DISTINCT DROP ELSE ESCAPE EXCEPT EXISTS FOREIGN FROM FULL GROUP
    HAVING IF IN INDEX INDEXED INNER INSERT INTERSECT INTO IS ISNULL JOIN LEFT LIMIT NATURAL NOT NOTHING NOTNULL NULL ON OR
    ORDER OUTER PRIMARY RAISE REFERENCES RETURNING RIGHT SELECT SET TABLE THEN TO TRANSACTION UNION UNIQUE UPDATE USING
    VALUES WHEN WHERE
    """.split()
)


@dataclass(frozen=True)
class Column:
    """A column; `type` as declared ('' if not), `samples` the first few of its values as text."""

    name: str
    type: str
    primary_key: bool
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForeignKey:
    """`table`.`column` refers to `other_table`.`other_column`."""

    table: str
    column: str
    other_table: str
    other_column: str


@dataclass(frozen=True)
class Table:
    """A table and its columns, in the order of their declaration."""

    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Schema:
    """The tables of a database in order of their creation, and the foreign keys between them."""

    tables: tuple[Table, ...]
    foreign_keys: tuple[ForeignKey, ...]


def introspect(database: Path, samples: int = 0) -> Schema:
    """The schema of a SQLite file, with up to `samples` distinct values per column; views are left out.

    Raises InputError if there is no such file or it is no readable database. Foreign keys that refer to a
    table or column that does not exist are left out, as nothing can be joined by them.
    """
    if not database.is_file():
        raise InputError(f"{database}: no such database; every db_id needs its file databases/<db_id>/<db_id>.sqlite")
    try:
        immutable = "&immutable=1" if idle_wal(str(database)) else ""
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro{immutable}", uri=True)) as connection:
            connection.text_factory = _decode
            tables = tuple(Table(name, _columns(connection, name, samples)) for name in _names(connection))
            return Schema(tables, _foreign_keys(connection, tables))
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{database}: not a readable SQLite database ({error}); replace the file or drop its examples") from None


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _names(connection: sqlite3.Connection) -> list[str]:
    """Ordinary and virtual tables by creation; not SQLite's own, nor those in which a virtual table keeps its data."""
    own = {
        name
        for name, kind in connection.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")
        if kind == "shadow"
    }
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
    return [name for (name,) in rows if name not in own and not name.lower().startswith("sqlite_")]


def _columns(connection: sqlite3.Connection, table: str, samples: int) -> tuple[Column, ...]:
    rows = connection.execute("SELECT name, type, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid", (table,)).fetchall()
    return tuple(
        Column(
            name, kind, primary_key > 0, _samples(connection, table, name, samples if hidden == 0 else 0)
        )  # nothing generated is run
        for name, kind, primary_key, hidden in rows
        if hidden != 1  # a virtual table's hidden column is an argument rather than data
    )


def _samples(connection: sqlite3.Connection, table: str, column: str, count: int) -> tuple[str, ...]:
    """The first distinct short values, in the table's own order."""
    if count == 0:
        return ()
    value = f"CASE WHEN length(CAST({_quoted(column)} AS BLOB)) <= {_LOOKED_AT} THEN {_quoted(column)} END"
    rows = connection.execute(f"SELECT {value} FROM {_quoted(table)} NOT INDEXED LIMIT {_SCANNED}")  # noqa: S608  (quoted)
    found: dict[str, None] = {}
    for (value,) in rows:
        text = " ".join(str(value).split()) if isinstance(value, (str, int, float)) else ""
        if 0 < len(text) <= _LONGEST:
            found.setdefault(text)
        if len(found) == count:
            break
    return tuple(found)


def _foreign_keys(connection: sqlite3.Connection, tables: tuple[Table, ...]) -> tuple[ForeignKey, ...]:
    """The foreign keys in order of declaration, names spelt as declared where they lead."""
    by_name = {table.name.lower(): table for table in tables}
    keys: list[ForeignKey] = []
    for table in tables:
        rows = connection.execute(
            'SELECT seq, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq', (table.name,)
        ).fetchall()
        for position, other_name, column, other_column in rows:
            other = by_name.get(other_name.lower())
            target = None if other is None else _target(connection, other, other_column, position)
            if other is not None and target is not None:
                keys.append(ForeignKey(table.name, _spelt(table, column) or column, other.name, target))
    return tuple(dict.fromkeys(keys))


def _target(connection: sqlite3.Connection, other: Table, column: str | None, position: int) -> str | None:
    """The column referred to: the one named, else the `position`-th of the primary key."""
    if column is not None:
        return _spelt(other, column)
    rows = connection.execute("SELECT name FROM pragma_table_xinfo(?) WHERE pk > 0 ORDER BY pk", (other.name,)).fetchall()
    return str(rows[position][0]) if position < len(rows) else None


def _spelt(table: Table, column: str) -> str | None:
    return next((known.name for known in table.columns if known.name.lower() == column.lower()), None)


@lru_cache(maxsize=64)  # many questions in a row are on one database
def render(schema: Schema, style: Literal["compact", "ddl"], values: bool = True) -> str:
    """The schema as text: one line per table and per foreign key (`compact`), or CREATE TABLE statements (`ddl`).

    `values` shows the sample values that the schema holds. Names that SQL needs in quotes stand in quotes.
    """
    keys: Mapping[str, list[ForeignKey]] = {table.name: [] for table in schema.tables}
    for key in schema.foreign_keys:
        keys[key.table].append(key)
    if style == "ddl":
        return "\n".join(_ddl(table, keys[table.name], values) for table in schema.tables)
    lines = [
        f"{identifier(table.name)}({', '.join(_compact(column, values) for column in table.columns)})" for table in schema.tables
    ]
    for key in schema.foreign_keys:
        lines.append(
            f"{identifier(key.table)}.{identifier(key.column)} = {identifier(key.other_table)}.{identifier(key.other_column)}"
        )
    return "\n".join(lines)


def _compact(column: Column, values: bool) -> str:
    shown = f": {', '.join(column.samples)}" if values and column.samples else ""
    return f"{identifier(column.name)}{shown}"


def _ddl(table: Table, keys: list[ForeignKey], values: bool) -> str:
    primary = [identifier(column.name) for column in table.columns if column.primary_key]
    lines: list[tuple[str, str]] = []
    for column in table.columns:
        words = [identifier(column.name), column.type, "PRIMARY KEY" if column.primary_key and len(primary) == 1 else ""]
        lines.append((" ".join(word for word in words if word), ", ".join(column.samples) if values else ""))
    if len(primary) > 1:
        lines.append((f"PRIMARY KEY ({', '.join(primary)})", ""))
    for key in keys:
        target = f"{identifier(key.other_table)}({identifier(key.other_column)})"
        lines.append((f"FOREIGN KEY ({identifier(key.column)}) REFERENCES {target}", ""))
    commas = [","] * (len(lines) - 1) + [""]
    body = [f"  {text}{comma}{f' -- {note}' if note else ''}" for (text, note), comma in zip(lines, commas, strict=True)]
    return "\n".join([f"CREATE TABLE {identifier(table.name)} (", *body, ");"])


def identifier(name: str) -> str:
    """An identifier as SQL takes it: in double quotes only where it must be."""
    plain = re.fullmatch(r"[^\W\d]\w*", name) is not None and name.upper() not in _RESERVED
    return name if plain else _quoted(name)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
