"""Databases on servers, by SQLAlchemy URL: PostgreSQL (12 or later), MySQL and MariaDB, which can enforce read-only access.

Every statement runs in a transaction of its own that the server keeps read-only and within a time limit, and that is rolled back.
SQL is written in SQLite's dialect (`translation.py`) and sees the tables of the connection's default schema. Give the URL's user
rights to read and no others: that is the last barrier.

Values come as SQLite would give them: exact decimals and booleans as numbers, dates and times as ISO text, arrays, JSON and all
else as text. Nothing that is raised or returned contains an address or a password; what only the operator may see is in an
exception's note.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sense.config import LimitsConfig, environment
from sense.database_servers.driver_errors import ServerLostError
from sense.database_servers.server import DatabaseServer
from sense.database_servers.url import open_server
from sense.errors import UserError
from sense.schema import Column, ForeignKey, Schema, Table
from sense.serving.backend import BackendError
from sense.serving.translation import DatabaseNames, group_by_lower_case, translate
from sense.sql.execute import Executor
from sense.sql.result import Failure, Outcome, Result

if TYPE_CHECKING:
    from sqlalchemy import Connection

_FRESH_S = 30.0  # a schema is read again after this time
_PAUSE_S = 2.0  # a server that could not be reached is not tried again for so long
_SAMPLED_ROWS = 100  # of a table; as sense.schema has it for files, and the next too
_LONGEST_SAMPLE = 40  # characters


class RemoteDatabase:
    """A database on a server."""

    file: Path | None = None

    def __init__(self, name: str, server: DatabaseServer) -> None:
        self.name, self.dialect = name, server.dialect
        self._server = server
        self._lock = threading.Lock()
        self._schemas: dict[int, tuple[float, Schema, DatabaseNames]] = {}  # by number of samples, with when they expire
        self._lost: tuple[float, ServerLostError] | None = None

    def check(self, _executor: Executor) -> None:
        """Reads the schema; BackendError if the server can't be reached."""
        self.schema(0)

    def schema(self, samples: int) -> Schema:
        """The schema as it was at most half a minute ago, or the last one while it is being read again.

        BackendError if the server can't be reached.
        """
        try:
            return self._schema_and_names(samples)[0]
        except ServerLostError as lost:
            raise self._unavailable(lost) from None

    def _schema_and_names(self, samples: int) -> tuple[Schema, DatabaseNames]:
        """Schema and names, read by one thread at a time; others get the last ones meanwhile, or wait. ServerLostError."""
        cached = self._schemas.get(samples)
        if not self._lock.acquire(blocking=cached is None) and cached is not None:
            return cached[1:]
        try:
            cached = self._schemas.get(samples)
            if cached is None or cached[0] <= time.monotonic():
                cached = self._schemas[samples] = self._read(samples)
            return cached[1:]
        finally:
            self._lock.release()

    def _read(self, samples: int) -> tuple[float, Schema, DatabaseNames]:
        """What the server says now, with the time at which it expires; ServerLostError."""
        if self._lost is not None and time.monotonic() < self._lost[0]:
            raise self._lost[1]
        try:
            schema, names = read_schema(self._server, samples)
        except Exception as error:  # whatever is wrong with one database, the gateway starts and serves the others
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            lost = error if isinstance(error, ServerLostError) else ServerLostError(reason)
            self._lost = time.monotonic() + _PAUSE_S, lost
            self._schemas.clear()  # else they would be given out, older and older, whenever the server is tried again
            raise lost from None
        return time.monotonic() + _FRESH_S, schema, names

    def run(self, sqls: Sequence[str]) -> list[Outcome]:
        """The outcomes, in order. Once the server is lost it is not tried for the others; BackendError if none has run."""
        outcomes: list[Outcome] = []
        try:
            names = self._names()
            for sql in sqls:
                translation = translate(sql, self.dialect, names)
                outcomes.append(translation if isinstance(translation, Failure) else self._server.select(translation))
        except ServerLostError as lost:
            if not any(isinstance(outcome, Result) for outcome in outcomes):
                raise self._unavailable(lost) from None
            outcomes += [Failure("error", str(lost))] * (len(sqls) - len(outcomes))
        return outcomes

    def _unavailable(self, lost: ServerLostError) -> BackendError:
        error = BackendError(f"the database {self.name!r} can't be read now: {lost}", _PAUSE_S)
        error.add_note(lost.operator)
        return error

    def native(self, sql: str) -> str:
        """The translation that the server executes; `sql` itself if the server is lost."""
        try:
            translation = translate(sql, self.dialect, self._names())
        except ServerLostError:
            return sql
        return sql if isinstance(translation, Failure) else translation

    def _names(self) -> DatabaseNames:
        """The names, of whichever schema was read last: they are the same with and without sample values."""
        newest = max(list(self._schemas.values()), key=lambda cached: cached[0], default=None)
        return newest[2] if newest is not None and time.monotonic() < newest[0] else self._schema_and_names(0)[1]

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self._server.close()


def open_url(name: str, variable: str, limits: LimitsConfig) -> RemoteDatabase | Path:
    """The database whose URL the environment variable holds, not yet connected to; the file, if the URL is SQLite's.

    UserError says what is wrong with the URL, without showing any of it.
    """
    where = f"databases.urls.{name}: the environment variable {variable}"
    text = environment(variable)
    if not text:
        raise UserError(f"{where} is not set; set it to the database's URL, or remove {name} from databases.urls")
    server = open_server(text, where, limits.execution, limits.concurrency)
    return server if isinstance(server, Path) else RemoteDatabase(name, server)


def read_schema(server: DatabaseServer, samples: int) -> tuple[Schema, DatabaseNames]:
    """The tables of the default schema by name, with up to `samples` values a column; and all names that queries may use.

    Queries may read views, but these are not in the schema, as with files. Sampling ends with the time limit of one statement,
    which a locked table takes up: tables that are not reached have no values. Raises ServerLostError.
    """
    inspection = server.read(_inspect)
    if isinstance(inspection, Failure):
        raise ServerLostError(inspection.detail)
    schema, names = inspection
    if samples:
        end = time.monotonic() + server.timeout_s
        tables = [_with_samples(server, table, samples) if time.monotonic() < end else table for table in schema.tables]
        schema = Schema(tuple(tables), schema.foreign_keys)
    return schema, names


def _inspect(connection: "Connection") -> tuple[Schema, DatabaseNames]:
    from sqlalchemy import Integer, inspect
    from sqlalchemy.engine.reflection import ObjectKind

    inspector = inspect(connection)
    columns = {table: rows for (_, table), rows in inspector.get_multi_columns(kind=ObjectKind.ANY).items()}
    primary_keys = {table: key for (_, table), key in inspector.get_multi_pk_constraint().items()}
    foreign_keys = {table: rows for (_, table), rows in inspector.get_multi_foreign_keys().items()}
    tables = tuple(
        Table(name, tuple(_column(connection, column, primary_keys.get(name) or {}) for column in columns[name]))
        for name in sorted(inspector.get_table_names())
        if name in columns
    )
    table_names = {table.name for table in tables}
    references = [
        ForeignKey(table.name, column, key["referred_table"], other)
        for table in tables
        for key in foreign_keys.get(table.name, [])
        if key["referred_schema"] is None and key["referred_table"] in table_names
        for column, other in zip(key["constrained_columns"], key["referred_columns"], strict=True)
    ]
    all_columns = [column for rows in columns.values() for column in rows]
    other_types = {column["name"].lower() for column in all_columns if not isinstance(column["type"], Integer)}
    spellings = group_by_lower_case(column["name"] for column in all_columns)
    names = DatabaseNames(group_by_lower_case(columns), spellings, frozenset(spellings.keys() - other_types))
    return Schema(tables, tuple(dict.fromkeys(references))), names


def _column(connection: "Connection", column: Mapping[str, Any], primary_key: Mapping[str, Any]) -> Column:
    from sqlalchemy.exc import CompileError

    try:
        type_name = str(column["type"].compile(dialect=connection.dialect))
    except CompileError:  # a type that SQLAlchemy does not know
        type_name = ""
    return Column(str(column["name"]), type_name, column["name"] in primary_key.get("constrained_columns", ()))


def _with_samples(server: DatabaseServer, table: Table, count: int) -> Table:
    """The table with its first distinct short values; without any, where its rows are too large to be looked at."""
    quote = server.engine.dialect.identifier_preparer.quote_identifier
    names = ", ".join(quote(column.name) for column in table.columns)
    outcome = server.select(f"SELECT {names} FROM {quote(table.name)} LIMIT {_SAMPLED_ROWS}")  # noqa: S608  (quoted)
    if isinstance(outcome, Failure):
        return table
    values = zip(*outcome.rows, strict=True) if outcome.rows else [()] * len(table.columns)
    columns = zip(table.columns, values, strict=True)
    return Table(table.name, tuple(Column(one.name, one.type, one.primary_key, _samples(cells, count)) for one, cells in columns))


def _samples(values: Sequence[Any], count: int) -> tuple[str, ...]:
    texts = (" ".join(str(value).split()) for value in values if isinstance(value, (str, int, float)))
    return tuple(dict.fromkeys(text for text in texts if 0 < len(text) <= _LONGEST_SAMPLE))[:count]
