"""The schema of a SQLite database: `introspect` reads it from the file, `schema_text` writes it out for a prompt."""

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from sense.errors import InputError
from sense.sql.snapshot import open_database, unreadable

SchemaStyle = Literal["compact", "ddl"]

_SCANNED_ROWS = 1000  # rows read for sample values: enough for a few distinct ones, whatever the size of the table
_MAX_SAMPLE_CHARS = 40  # longer values tell a model little and fill its context
_MAX_VALUE_BYTES = 4_000  # a larger value, blanks included, is not read at all

# The keywords that SQLite does not accept as names without quotes, and those that it accepts but that read as a join.
_RESERVED_WORDS = frozenset(
    """ADD ALL ALTER AND AS AUTOINCREMENT BETWEEN CASE CAST CHECK COLLATE COMMIT CONSTRAINT CREATE CROSS CURRENT_DATE
    CURRENT_TIME CURRENT_TIMESTAMP DEFAULT DEFERRABLE DELETE DISTINCT DROP ELSE ESCAPE EXCEPT EXISTS FOREIGN FROM FULL GROUP
    HAVING IF IN INDEX INDEXED INNER INSERT INTERSECT INTO IS ISNULL JOIN LEFT LIMIT NATURAL NOT NOTHING NOTNULL NULL ON OR
    ORDER OUTER PRIMARY RAISE REFERENCES RETURNING RIGHT SELECT SET TABLE THEN TO TRANSACTION UNION UNIQUE UPDATE USING
    VALUES WHEN WHERE
    """.split()
)


@dataclass(frozen=True)
class Column:
    """A column: `type` as declared ('' if none is), `samples` the first few of its distinct values as text."""

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
    """A table and its columns, in the order in which they are declared."""

    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Schema:
    """The tables of a database in the order in which they were created, and the foreign keys between them."""

    tables: tuple[Table, ...]
    foreign_keys: tuple[ForeignKey, ...]


def introspect(database: Path, samples: int = 0) -> Schema:
    """Reads the schema of a SQLite file, with up to `samples` distinct values of each column; views are left out.

    Foreign keys that refer to a table or column that does not exist are left out too, because nothing can be joined by them.
    Raises InputError if the file does not exist or is not a readable database.
    """
    if not database.is_file():
        raise InputError(f"{database}: no such database; every db_id needs its file databases/<db_id>/<db_id>.sqlite")
    try:
        with open_database(database) as connection:
            connection.text_factory = _decode
            tables = tuple(Table(name, _columns(connection, name, samples)) for name in _table_names(connection))
            return Schema(tables, _foreign_keys(connection, tables))
    except (OSError, sqlite3.Error) as error:
        raise unreadable(database, error) from None


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _table_names(connection: sqlite3.Connection) -> list[str]:
    """The ordinary and virtual tables in the order in which they were created.

    SQLite's own tables and the shadow tables, in which a virtual table keeps its data, are left out.
    """
    shadow_tables = {
        name
        for name, kind in connection.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")
        if kind == "shadow"
    }
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
    return [name for (name,) in rows if name not in shadow_tables and not name.lower().startswith("sqlite_")]


def _columns(connection: sqlite3.Connection, table: str, samples: int) -> tuple[Column, ...]:
    rows = connection.execute("SELECT name, type, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid", (table,)).fetchall()
    return tuple(
        Column(
            name,
            declared_type,
            primary_key > 0,
            _sample_values(connection, table, name, samples if hidden == 0 else 0),  # a generated column is not computed
        )
        for name, declared_type, primary_key, hidden in rows
        if hidden != 1  # a hidden column of a virtual table is an argument rather than data
    )


def _sample_values(connection: sqlite3.Connection, table: str, column: str, count: int) -> tuple[str, ...]:
    """The first `count` distinct short values, in the order of the table."""
    if count == 0:
        return ()
    value = f"CASE WHEN length(CAST({_in_quotes(column)} AS BLOB)) <= {_MAX_VALUE_BYTES} THEN {_in_quotes(column)} END"
    rows = connection.execute(f"SELECT {value} FROM {_in_quotes(table)} NOT INDEXED LIMIT {_SCANNED_ROWS}")  # noqa: S608  (quoted)
    samples: dict[str, None] = {}  # in the order of insertion
    for (value,) in rows:
        text = " ".join(str(value).split()) if isinstance(value, (str, int, float)) else ""
        if 0 < len(text) <= _MAX_SAMPLE_CHARS:
            samples.setdefault(text)
        if len(samples) == count:
            break
    return tuple(samples)


def _foreign_keys(connection: sqlite3.Connection, tables: tuple[Table, ...]) -> tuple[ForeignKey, ...]:
    """The foreign keys in the order of their declaration; names are spelt as the tables and columns declare them."""
    by_name = {table.name.lower(): table for table in tables}
    keys: list[ForeignKey] = []
    for table in tables:
        rows = connection.execute(
            'SELECT seq, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq', (table.name,)
        ).fetchall()
        for position, other_name, column, other_column in rows:
            other = by_name.get(other_name.lower())
            target = None if other is None else _referenced_column(connection, other, other_column, position)
            if other is not None and target is not None:
                keys.append(ForeignKey(table.name, _declared_name(table, column) or column, other.name, target))
    return tuple(dict.fromkeys(keys))


def _referenced_column(connection: sqlite3.Connection, other: Table, column: str | None, position: int) -> str | None:
    """The column that is referred to: the one named, otherwise column number `position` of the primary key."""
    if column is not None:
        return _declared_name(other, column)
    rows = connection.execute("SELECT name FROM pragma_table_xinfo(?) WHERE pk > 0 ORDER BY pk", (other.name,)).fetchall()
    return str(rows[position][0]) if position < len(rows) else None


def _declared_name(table: Table, name: str) -> str | None:
    """The column's name as `table` declares it; SQLite ignores the case of names."""
    return next((column.name for column in table.columns if column.name.lower() == name.lower()), None)


@lru_cache(maxsize=64)  # many questions in a row are on one database
def schema_text(schema: Schema, style: SchemaStyle, values: bool = True) -> str:
    """The schema as text: one line per table and per foreign key (`compact`), or CREATE TABLE statements (`ddl`).

    With `values`, the text shows the sample values that the schema holds. Names stand in quotes where SQL needs it.
    """
    keys: Mapping[str, list[ForeignKey]] = {table.name: [] for table in schema.tables}
    for key in schema.foreign_keys:
        keys[key.table].append(key)
    if style == "ddl":
        return "\n".join(_create_table(table, keys[table.name], values) for table in schema.tables)
    lines = [
        f"{quote_identifier(table.name)}({', '.join(_compact_column(column, values) for column in table.columns)})"
        for table in schema.tables
    ]
    for key in schema.foreign_keys:
        target = f"{quote_identifier(key.other_table)}.{quote_identifier(key.other_column)}"
        lines.append(f"{quote_identifier(key.table)}.{quote_identifier(key.column)} = {target}")
    return "\n".join(lines)


def _compact_column(column: Column, values: bool) -> str:
    samples = f": {', '.join(column.samples)}" if values and column.samples else ""
    return f"{quote_identifier(column.name)}{samples}"


def _create_table(table: Table, keys: list[ForeignKey], values: bool) -> str:
    primary = [quote_identifier(column.name) for column in table.columns if column.primary_key]
    lines: list[tuple[str, str]] = []  # (text, comment)
    for column in table.columns:
        parts = [quote_identifier(column.name), column.type, "PRIMARY KEY" if column.primary_key and len(primary) == 1 else ""]
        lines.append((" ".join(part for part in parts if part), ", ".join(column.samples) if values else ""))
    if len(primary) > 1:
        lines.append((f"PRIMARY KEY ({', '.join(primary)})", ""))
    for key in keys:
        target = f"{quote_identifier(key.other_table)}({quote_identifier(key.other_column)})"
        lines.append((f"FOREIGN KEY ({quote_identifier(key.column)}) REFERENCES {target}", ""))
    commas = [","] * (len(lines) - 1) + [""]
    body = [f"  {text}{comma}{f' -- {comment}' if comment else ''}" for (text, comment), comma in zip(lines, commas, strict=True)]
    return "\n".join([f"CREATE TABLE {quote_identifier(table.name)} (", *body, ");"])


def quote_identifier(name: str) -> str:
    """The name as an SQL identifier, in double quotes only where they are needed."""
    plain = re.fullmatch(r"[^\W\d]\w*", name) is not None and name.upper() not in _RESERVED_WORDS
    return name if plain else _in_quotes(name)


def _in_quotes(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
