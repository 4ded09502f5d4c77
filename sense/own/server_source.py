"""A database on a server as a source of rows, read as the gateway reads it: in transactions that only read, within limits."""

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from sense.config import ExecutionConfig
from sense.database_servers.driver_errors import ServerLostError
from sense.database_servers.server import DatabaseServer
from sense.errors import EndpointError, InputError
from sense.own.sqlite_source import clean_type
from sense.own.tables import (
    MAX_TEXT,
    OwnColumn,
    OwnReference,
    OwnRow,
    OwnTable,
    OwnValue,
    guess_references,
    key_columns,
    select_tables,
)
from sense.sql.result import Failure, Value

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

_CHUNK = 200  # keys in one statement
_KEYLESS = 10_000  # rows that are read of a table without a primary key


def limits(scan: int, timeout_s: float) -> ExecutionConfig:
    """What one statement may cost: `scan` keys, or rows that are looked up."""
    return ExecutionConfig(timeout_s=timeout_s, max_rows=max(scan, _KEYLESS), max_bytes=1_000_000_000)


class ServerSource:
    """The tables of the connection's default schema; use it in a `with` block."""

    def __init__(self, server: DatabaseServer, name: str, names: Sequence[str], scan: int) -> None:
        """`names` are the tables to take (none: all); EndpointError if the server can't be reached."""
        self._server, self._name, self._scan = server, name, scan
        dialect: Any = type(server.engine.dialect)
        self._dialect = dialect(paramstyle="named")  # in which a % is no sign of a parameter
        self._text: dict[tuple[str, str], str] = {}  # (table, column) -> how it is read: text, blob or plain
        try:
            tables = self._read(lambda connection: _read_tables(connection, self._text))
            self.tables = guess_references(select_tables(tables, names, name))
        except BaseException:
            server.close()
            raise

    def __enter__(self) -> "ServerSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def draw(self, table: OwnTable, count: int, random: Random) -> list[OwnRow]:
        """At most `count` rows: by keys drawn from the first ones, or of the first rows where there is no key."""
        if not table.key:
            rows = self._select(table, [], [column.name for column in table.columns], min(self._scan, _KEYLESS))
            return [rows[index] for index in sorted(random.sample(range(len(rows)), min(count, len(rows))))]
        keys = self._select(table, table.key, table.key, self._scan)
        chosen = sorted(random.sample(range(len(keys)), min(count, len(keys))))
        return self.look_up(table, table.key, [keys[index] for index in chosen])

    def look_up(
        self, table: OwnTable, columns: Sequence[str], keys: Collection[OwnRow], limit: int | None = None
    ) -> list[OwnRow]:
        """The rows whose values in `columns` are one of `keys`, in the order of the keys' chunks.

        With `limit`, at most so many for each 200 keys.
        """
        from sqlalchemy import and_, column, or_

        listed = list(keys)
        rows: list[OwnRow] = []
        for start in range(0, len(listed), _CHUNK):
            chunk = listed[start : start + _CHUNK]
            if len(columns) == 1:
                condition: Any = column(columns[0]).in_([key[0] for key in chunk])
            else:
                condition = or_(
                    *(and_(*(column(name) == value for name, value in zip(columns, key, strict=True))) for key in chunk)
                )
            rows += self._select(table, table.key, [one.name for one in table.columns], limit, condition)
        return rows

    def _select(
        self, table: OwnTable, order: Sequence[str], names: Sequence[str], limit: int | None, condition: Any = None
    ) -> list[OwnRow]:
        import sqlalchemy as sa

        keys = key_columns(table, self.tables)
        query: Any = sa.select(*(self._item(table, name, name in keys) for name in names)).select_from(sa.table(table.name))
        query = query.order_by(*(sa.column(name) for name in order))
        query = query if condition is None else query.where(condition)
        query = query if limit is None else query.limit(limit)
        text = str(query.compile(dialect=self._dialect, compile_kwargs={"literal_binds": True}))
        try:
            outcome = self._server.select(text)
        except ServerLostError as lost:
            raise self._lost(lost) from None
        if isinstance(outcome, Failure):
            raise InputError(
                f"{self._name}: table {table.name} cannot be read ({outcome.detail}); lower data.own.scan, raise "
                "data.own.timeout_s, or leave the table out (--tables)"
            )
        return [tuple(map(_plain, row)) for row in outcome.rows]

    def _item(self, table: OwnTable, name: str, is_key: bool) -> Any:
        """What is read of a column: no blobs, and of a text that is no key not more than its beginning."""
        import sqlalchemy as sa

        kind = self._text.get((table.name, name), "")
        if kind == "blob":
            return sa.null().label(name)
        return sa.func.left(sa.column(name), MAX_TEXT).label(name) if kind == "text" and not is_key else sa.column(name)

    def _read(self, function: Callable[["Connection"], T]) -> T:
        try:
            outcome = self._server.read(function)
        except ServerLostError as lost:
            raise self._lost(lost) from None
        if isinstance(outcome, Failure):
            raise InputError(f"{self._name}: its schema cannot be read ({outcome.detail}); give its user the right to read it")
        return outcome

    def _lost(self, lost: ServerLostError) -> EndpointError:
        return EndpointError(f"{self._name}: {lost} ({lost.operator}); mend that, then run the same command again")


def _plain(value: Value) -> OwnValue:
    return None if isinstance(value, bytes) else value


def _read_tables(connection: "Connection", kinds: dict[tuple[str, str], str]) -> list[OwnTable]:
    """The tables by name; `kinds` is told which columns are texts and blobs."""
    from sqlalchemy import Enum, LargeBinary, String, inspect
    from sqlalchemy.exc import CompileError

    inspector = inspect(connection)
    columns = {table: rows for (_, table), rows in inspector.get_multi_columns().items()}
    keys: dict[str, Any] = {table: key for (_, table), key in inspector.get_multi_pk_constraint().items()}
    foreign_keys = {table: rows for (_, table), rows in inspector.get_multi_foreign_keys().items()}
    names = [name for name in sorted(inspector.get_table_names()) if name in columns]
    tables = []
    for name in names:
        declared = []
        for column in columns[name]:
            kind = column["type"]
            try:
                type_name = clean_type(str(kind.compile(dialect=connection.dialect)))
            except CompileError:  # a type that SQLAlchemy does not know
                type_name = ""
            if isinstance(kind, LargeBinary):
                kinds[name, column["name"]] = "blob"
            elif isinstance(kind, String) and not isinstance(kind, Enum):
                kinds[name, column["name"]] = "text"
            declared.append(OwnColumn(str(column["name"]), type_name, bool(column["nullable"])))
        references = [
            OwnReference(tuple(key["constrained_columns"]), key["referred_table"], tuple(key["referred_columns"]))
            for key in foreign_keys.get(name, [])
            if key["referred_schema"] is None and key["referred_table"] in names
        ]
        key = tuple((keys.get(name) or {}).get("constrained_columns") or ())
        tables.append(OwnTable(name, tuple(declared), key, tuple(references)))
    return tables
