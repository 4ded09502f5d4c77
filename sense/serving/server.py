"""Connections to a database server on which SQL can do no more than read, for a limited time.

writing    PostgreSQL: BEGIN READ ONLY, and the protocol in which one message holds one statement; MySQL: START TRANSACTION READ
           ONLY, and no multi-statements. Both: ROLLBACK, whatever happens
time       statement_timeout; max_execution_time (MariaDB: max_statement_time); and when the server itself does not answer, the
           connection is cut from here
result     PostgreSQL counts rows and bytes before it sends any; MySQL's rows are counted as they stream in, one value being
           limited by its max_allowed_packet
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sense.config import ExecutionConfig
from sense.serving.refusals import Lost, explained, for_operator
from sense.serving.values import MIN_VALUE, keep_times, plain
from sense.serving.watch import Watch
from sense.sql.result import Failure, Outcome, Result, Value

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

T = TypeVar("T")

_CONNECT_S = 3
_RECURSIONS = 10_000_000
_GRACE_S = 2.0  # for the server to stop a statement by itself
# Everything in one statement: the query once, its size in the server, its rows only if they are not too large. A record as
# text is longer than its values by commas and by doubled quotes, so four times the limit lets through what is within it.
_GUARDED = """WITH "sense:rows" AS MATERIALIZED (
  SELECT row_number() OVER () AS "sense:row", "sense:query".* FROM ({}) AS "sense:query" LIMIT %s
), "sense:size" AS (SELECT coalesce(sum(octet_length("sense:rows"::text)), 0) AS "sense:bytes" FROM "sense:rows")
SELECT "sense:bytes", "sense:rows".* FROM "sense:size" LEFT JOIN "sense:rows" ON "sense:bytes" <= %s ORDER BY "sense:row\""""


class Server:
    """Up to `connections` connections to one database of a server; used from several threads."""

    def __init__(self, url: "URL", limits: ExecutionConfig, connections: int) -> None:
        from sqlalchemy import create_engine, event

        self.dialect = "postgresql" if url.get_backend_name() == "postgresql" else "mysql"
        self._limits = limits
        patience = limits.timeout_s + _GRACE_S
        # Without an encoding, a server whose own is SQL_ASCII gives bytes for text.
        options: dict[str, Any] = {"connect_timeout": _CONNECT_S, "client_encoding": "utf8", "application_name": "sense"}
        options["prepare_threshold"] = None
        if self.dialect == "mysql":
            options = {"connect_timeout": _CONNECT_S, "read_timeout": patience, "write_timeout": patience, "client_flag": 0}
        self.engine = create_engine(
            url,
            connect_args=options,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=patience,
            pool_recycle=600,
            pool_use_lifo=True,
            pool_reset_on_return=None,  # done here, where a server that hangs is noticed
            hide_parameters=True,
        )
        self._here = threading.local()  # .watch: the one of this thread's statement, under which a connection is made
        event.listen(self.engine, "do_connect", self._connect)
        event.listen(self.engine, "before_cursor_execute", lambda *_: self._here.watch.renew())
        if self.dialect == "postgresql":
            event.listen(self.engine, "connect", lambda connection, _: setattr(connection, "read_only", True))
            event.listen(self.engine, "connect", lambda connection, _: keep_times(connection))

    def _connect(self, dialect: Any, _: object, given: Any, options: Any) -> Any:
        """A connection of the driver's, watched before SQLAlchemy has it: that asks the server its version at once."""
        connection = dialect.connect(*given, **options)
        self._here.watch.over(connection)
        return connection

    @property
    def timeout_s(self) -> float:
        """Seconds that one statement may take."""
        return self._limits.timeout_s

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self.engine.dispose()

    def select(self, text: str) -> Outcome:
        """The outcome of one translated query; Lost if the server can't be asked."""
        take = self._guarded if self.dialect == "postgresql" else self._streamed
        return self.reading(lambda connection: take(connection, text.replace("%", "%%")))

    def reading(self, work: Callable[["Connection"], T]) -> T | Failure:
        """What `work` makes of a connection in a transaction that can only read; what the server refuses is a Failure.

        A connection that has died while it was idle is replaced, once. Lost if there is none to be had.
        """
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.exc import TimeoutError as PoolTimeout

        for last in (False, True):
            watch = Watch(self._limits.timeout_s + _GRACE_S)
            try:
                with self._transaction(watch) as connection:
                    return work(connection)
            except DBAPIError as error:
                if watch.cut and not watch.started:
                    raise Lost("it takes a connection, and then gives no answer") from None
                if watch.cut:
                    return Failure("timeout", f"more than {self._limits.timeout_s:g} s without an answer of the server", "clock")
                failure = explained(self.dialect, error, self._limits.timeout_s) if watch.started else None
                if failure is not None:
                    return failure
                if last or not watch.started:
                    raise Lost(for_operator(error)) from None
                self.engine.dispose()
            except PoolTimeout:
                raise Lost("all connections to it are in use") from None
            except (ValueError, OverflowError) as error:
                return Failure("error", f"a value that has no form here ({type(error).__name__})")
        raise Lost

    @contextmanager
    def _transaction(self, watch: Watch) -> Iterator["Connection"]:
        self._here.watch = watch
        with closing(watch):
            connection = self.engine.connect()
            try:
                watch.started = True
                watch.over(connection.connection.dbapi_connection)
                try:
                    for statement in self._settings():
                        connection.exec_driver_sql(statement)
                    yield connection
                finally:
                    if not connection.invalidated:
                        watch.renew()
                        connection.rollback()
            finally:
                watch.close()  # first: what it cuts later would go back to the pool
                if watch.cut:
                    connection.invalidate()
                connection.close()

    def _settings(self) -> Sequence[str]:
        """The statements before each query; PostgreSQL's BEGIN READ ONLY goes out before the first by itself."""
        milliseconds = max(1, round(self._limits.timeout_s * 1000))
        if self.dialect == "postgresql":
            return (
                f"SELECT set_config('statement_timeout', '{milliseconds}', true), "
                "set_config('standard_conforming_strings', 'on', true), set_config('jit', 'off', true), "
                "set_config('DateStyle', 'ISO', true), set_config('IntervalStyle', 'postgres', true)",
            )
        # What is cut off is to be an error, as recursion and texts in it are in strict mode, and concatenation by its length.
        own = f"max_statement_time = {milliseconds / 1000}, max_recursive_iterations = {_RECURSIONS}"
        if not getattr(self.engine.dialect, "is_mariadb", False):
            own = f"max_execution_time = {milliseconds}, cte_max_recursion_depth = {_RECURSIONS}"
        return (
            f"SET SESSION {own}, sql_mode = 'STRICT_ALL_TABLES', sql_select_limit = {self._limits.max_rows + 1}, "
            f"group_concat_max_len = {self._limits.max_bytes}, lock_wait_timeout = {max(1, round(self._limits.timeout_s))}",
            "START TRANSACTION READ ONLY",
        )

    def _guarded(self, connection: "Connection", text: str) -> Outcome:
        limits = self._limits
        # Parameters make it the extended protocol, in which several statements in one message are an error.
        found = connection.exec_driver_sql(_GUARDED.format(text), (limits.max_rows + 1, 4 * limits.max_bytes))
        columns, rows = tuple(found.keys())[2:], found.fetchall()
        if rows[0][0] > 4 * limits.max_bytes:
            return _too_large(f"{limits.max_bytes:,} bytes", "bytes")
        return self._counted(columns, (row[2:] for row in rows if row[1] is not None))

    def _streamed(self, connection: "Connection", text: str) -> Outcome:
        found = connection.execution_options(stream_results=True, max_row_buffer=100).exec_driver_sql(text)
        if not found.returns_rows:
            return Failure("rejected", "not a SELECT: it has no result")
        # After a limit the driver still reads what is left, until the server's time limit ends it.
        return self._counted(tuple(found.keys()), found)

    def _counted(self, columns: tuple[str, ...], rows: Iterator[Sequence[Any]] | Any) -> Outcome:
        limits, size = self._limits, sum(map(len, columns))
        kept: list[tuple[Value, ...]] = []
        for row in rows:
            values = tuple(map(plain, row))
            size += sum(max(len(value), MIN_VALUE) if isinstance(value, (str, bytes)) else MIN_VALUE for value in values)
            if size > limits.max_bytes:
                return _too_large(f"{limits.max_bytes:,} bytes", "bytes")
            if len(kept) >= limits.max_rows:
                return _too_large(f"{limits.max_rows:,} rows", "rows")
            kept.append(values)
        return Result(columns, kept)


def _too_large(what: str, limit: Any) -> Failure:
    return Failure("too_large", f"more than {what}", limit)
