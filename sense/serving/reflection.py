"""The schema of a database on a server, in the form that prompts are written from."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sense.schema import Column, ForeignKey, Schema, Table
from sense.serving.refusals import Lost
from sense.serving.server import Server
from sense.serving.translation import Names, by_lower_case
from sense.sql.result import Failure

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SCANNED, _LONGEST = 100, 40  # rows looked at for sample values, and characters of one, as sense.schema has it for files


def reflected(server: Server, samples: int) -> tuple[Schema, Names]:
    """The tables of the default schema by name, with up to `samples` values a column; and all names that queries may use.

    Views may be asked, but are not shown, as with files. Sampling ends with the time limit of one statement, which a locked table
    takes up: tables that are not reached have no values. Raises Lost if the server can't be asked.
    """
    found = server.reading(_inspected)
    if isinstance(found, Failure):
        raise Lost(found.detail)
    schema, names = found
    if samples:
        end = time.monotonic() + server.timeout_s
        tables = [_sampled(server, table, samples) if time.monotonic() < end else table for table in schema.tables]
        schema = Schema(tuple(tables), schema.foreign_keys)
    return schema, names


def _inspected(connection: "Connection") -> tuple[Schema, Names]:
    from sqlalchemy import Integer, inspect
    from sqlalchemy.engine.reflection import ObjectKind

    inspector = inspect(connection)
    columns = {table: found for (_, table), found in inspector.get_multi_columns(kind=ObjectKind.ANY).items()}
    primary = {table: found for (_, table), found in inspector.get_multi_pk_constraint().items()}
    foreign = {table: found for (_, table), found in inspector.get_multi_foreign_keys().items()}
    tables = tuple(
        Table(name, tuple(_column(connection, column, primary.get(name) or {}) for column in columns[name]))
        for name in sorted(inspector.get_table_names())
        if name in columns
    )
    known = {table.name for table in tables}
    keys = [
        ForeignKey(table.name, column, key["referred_table"], other)
        for table in tables
        for key in foreign.get(table.name, [])
        if key["referred_schema"] is None and key["referred_table"] in known
        for column, other in zip(key["constrained_columns"], key["referred_columns"], strict=True)
    ]
    every = [column for found in columns.values() for column in found]
    others = {column["name"].lower() for column in every if not isinstance(column["type"], Integer)}
    spelt = by_lower_case(column["name"] for column in every)
    return Schema(tables, tuple(dict.fromkeys(keys))), Names(by_lower_case(columns), spelt, frozenset(spelt.keys() - others))


def _column(connection: "Connection", column: Mapping[str, Any], primary: Mapping[str, Any]) -> Column:
    from sqlalchemy.exc import CompileError

    try:
        kind = str(column["type"].compile(dialect=connection.dialect))
    except CompileError:  # a type that SQLAlchemy does not know
        kind = ""
    return Column(str(column["name"]), kind, column["name"] in primary.get("constrained_columns", ()))


def _sampled(server: Server, table: Table, count: int) -> Table:
    """The table with its first distinct short values; without any, where its rows are too large to be looked at."""
    quote = server.engine.dialect.identifier_preparer.quote_identifier
    names = ", ".join(quote(column.name) for column in table.columns)
    outcome = server.select(f"SELECT {names} FROM {quote(table.name)} LIMIT {_SCANNED}")  # noqa: S608  (quoted)
    if isinstance(outcome, Failure):
        return table
    values = zip(*outcome.rows, strict=True) if outcome.rows else [()] * len(table.columns)
    columns = zip(table.columns, values, strict=True)
    return Table(table.name, tuple(Column(one.name, one.type, one.primary_key, _texts(cells, count)) for one, cells in columns))


def _texts(values: Sequence[Any], count: int) -> tuple[str, ...]:
    texts = (" ".join(str(value).split()) for value in values if isinstance(value, (str, int, float)))
    return tuple(dict.fromkeys(text for text in texts if 0 < len(text) <= _LONGEST))[:count]
