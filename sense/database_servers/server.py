"""Connections to a database server on which SQL can only read, for a limited time.

What limits a statement:

    writing    PostgreSQL: BEGIN READ ONLY, and the extended protocol, in which one message holds one statement. MySQL: START
               TRANSACTION READ ONLY, and no multi-statements. Both: ROLLBACK, whatever happens
    time       statement_timeout; max_execution_time (MariaDB: max_statement_time). If the server itself does not answer, the
               connection is cut on this side
    result     PostgreSQL counts rows and bytes before it sends any. MySQL's rows are counted as they stream in; one value is
               limited by its max_allowed_packet
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sense.config import ExecutionConfig
from sense.database_servers.driver_errors import ServerLostError, operator_message, statement_failure
from sense.database_servers.values import MIN_VALUE, load_times_as_text, sqlite_value
from sense.sql.result import Failure, Outcome, Result, ResultRow
from sense.verdicts import Limit

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

T = TypeVar("T")

_CONNECT_S = 3
_RECURSIONS = 10_000_000
_GRACE_S = 2.0  # for the server to stop a statement by itself
# Everything in one statement: the query once, its size in the server, its rows only if they are not too large. A record as
# text is longer than its values by commas and by doubled quotes, so four times the limit lets through what is within it.
_CHECKED_SELECT = """WITH "sense:rows" AS MATERIALIZED (
  SELECT row_number() OVER () AS "sense:row", "sense:query".* FROM ({}) AS "sense:query" LIMIT %s
), "sense:size" AS (SELECT coalesce(sum(octet_length("sense:rows"::text)), 0) AS "sense:bytes" FROM "sense:rows")
SELECT "sense:bytes", "sense:rows".* FROM "sense:size" LEFT JOIN "sense:rows" ON "sense:bytes" <= %s ORDER BY "sense:row\""""


class SilenceWatch:
    """Cuts a connection on which the server is silent for `patience_s`: no driver's time limit covers all of its silences.

    `cut` says whether it did; `connected` once there is one that is ready for statements.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._watching = ExitStack()
        self._until = 0.0
        self.cut = self.connected = False

    def start(self, connection: Any) -> None:
        """Begins to watch a driver's connection, and no other.

        PyMySQL has a time limit on every read: its connections have no `fileno` and are not watched.
        """
        self.close()
        if not hasattr(connection, "fileno") or connection.closed:
            return
        self.renew()
        connected_socket = self._watching.enter_context(socket.socket(fileno=os.dup(connection.fileno())))
        ended = threading.Event()
        thread = threading.Thread(target=self._wait, args=[connected_socket, ended], name="sense-watch", daemon=True)
        thread.start()
        self._watching.callback(thread.join)
        self._watching.callback(ended.set)

    def renew(self) -> None:
        """The next silence begins now: reading a schema takes many statements, and time of this process between them."""
        self._until = time.monotonic() + self._patience_s

    def close(self) -> None:
        """Ends watching."""
        self._watching.close()

    def _wait(self, connected_socket: socket.socket, ended: threading.Event) -> None:
        while (left := self._until - time.monotonic()) > 0:
            if ended.wait(left):
                return
        self.cut = True
        with suppress(OSError):
            connected_socket.shutdown(socket.SHUT_RDWR)


class DatabaseServer:
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
        self._of_thread = threading.local()  # its `watch` is that of the thread's statement, for which a connection may be made
        event.listen(self.engine, "do_connect", self._connect)
        event.listen(self.engine, "before_cursor_execute", lambda *_: self._of_thread.watch.renew())
        if self.dialect == "postgresql":
            event.listen(self.engine, "connect", lambda connection, _: setattr(connection, "read_only", True))
            event.listen(self.engine, "connect", lambda connection, _: load_times_as_text(connection))

    def _connect(self, dialect: Any, _: object, arguments: Any, options: Any) -> Any:
        """A connection of the driver's, watched before SQLAlchemy has it, which at once asks the server its version."""
        connection = dialect.connect(*arguments, **options)
        self._of_thread.watch.start(connection)
        return connection

    @property
    def timeout_s(self) -> float:
        """Seconds that one statement may take."""
        return self._limits.timeout_s

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self.engine.dispose()

    def select(self, text: str) -> Outcome:
        """The outcome of one translated query; ServerLostError if the server can't be reached."""
        select = self._select_postgresql if self.dialect == "postgresql" else self._select_mysql
        return self.read(lambda connection: select(connection, text.replace("%", "%%")))

    def read(self, function: Callable[["Connection"], T]) -> T | Failure:
        """What `function` returns for a connection in a read-only transaction; a Failure if the server refuses something.

        A connection that died while it was idle is replaced, once. ServerLostError if there is none to be had.
        """
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.exc import TimeoutError as PoolTimeout

        for last_attempt in (False, True):
            watch = SilenceWatch(self._limits.timeout_s + _GRACE_S)
            try:
                with self._transaction(watch) as connection:
                    return function(connection)
            except DBAPIError as error:
                if watch.cut and not watch.connected:
                    raise ServerLostError("it takes a connection, and then gives no answer") from None
                if watch.cut:
                    return Failure("timeout", f"more than {self._limits.timeout_s:g} s without an answer of the server", "clock")
                failure = statement_failure(self.dialect, error, self._limits.timeout_s) if watch.connected else None
                if failure is not None:
                    return failure
                if last_attempt or not watch.connected:
                    raise ServerLostError(operator_message(error)) from None
                self.engine.dispose()
            except PoolTimeout:
                raise ServerLostError("all connections to it are in use") from None
            except (ValueError, OverflowError) as error:
                return Failure("error", f"a value that has no form here ({type(error).__name__})")
        raise ServerLostError

    @contextmanager
    def _transaction(self, watch: SilenceWatch) -> Iterator["Connection"]:
        self._of_thread.watch = watch
        with closing(watch):
            connection = self.engine.connect()
            try:
                watch.connected = True
                watch.start(connection.connection.dbapi_connection)
                try:
                    for statement in self._settings():
                        connection.exec_driver_sql(statement)
                    yield connection
                finally:
                    if not connection.invalidated:
                        watch.renew()
                        connection.rollback()
            finally:
                watch.close()  # first, or a connection could be cut after it is back in the pool
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
        # Strict mode makes errors of a recursion or a text that is cut off; so does the length for GROUP_CONCAT.
        limits = f"max_statement_time = {milliseconds / 1000}, max_recursive_iterations = {_RECURSIONS}"
        if not getattr(self.engine.dialect, "is_mariadb", False):
            limits = f"max_execution_time = {milliseconds}, cte_max_recursion_depth = {_RECURSIONS}"
        return (
            f"SET SESSION {limits}, sql_mode = 'STRICT_ALL_TABLES', sql_select_limit = {self._limits.max_rows + 1}, "
            f"group_concat_max_len = {self._limits.max_bytes}, lock_wait_timeout = {max(1, round(self._limits.timeout_s))}",
            "START TRANSACTION READ ONLY",
        )

    def _select_postgresql(self, connection: "Connection", text: str) -> Outcome:
        limits = self._limits
        # Parameters make it the extended protocol, in which several statements in one message are an error.
        result = connection.exec_driver_sql(_CHECKED_SELECT.format(text), (limits.max_rows + 1, 4 * limits.max_bytes))
        columns, rows = tuple(result.keys())[2:], result.fetchall()
        if rows[0][0] > 4 * limits.max_bytes:
            return _too_large(f"{limits.max_bytes:,} bytes", "bytes")
        return self._fetch(columns, (row[2:] for row in rows if row[1] is not None))

    def _select_mysql(self, connection: "Connection", text: str) -> Outcome:
        result = connection.execution_options(stream_results=True, max_row_buffer=100).exec_driver_sql(text)
        if not result.returns_rows:
            return Failure("rejected", "not a SELECT: it has no result")
        # After a limit the driver still reads the remaining rows, until the server's time limit ends it.
        return self._fetch(tuple(result.keys()), result)

    def _fetch(self, columns: tuple[str, ...], rows: Iterable[Sequence[Any]]) -> Outcome:
        """The result within the limits on rows and bytes."""
        limits, size = self._limits, sum(map(len, columns))
        fetched: list[ResultRow] = []
        for row in rows:
            values = tuple(map(sqlite_value, row))
            size += sum(max(len(value), MIN_VALUE) if isinstance(value, (str, bytes)) else MIN_VALUE for value in values)
            if size > limits.max_bytes:
                return _too_large(f"{limits.max_bytes:,} bytes", "bytes")
            if len(fetched) >= limits.max_rows:
                return _too_large(f"{limits.max_rows:,} rows", "rows")
            fetched.append(values)
        return Result(columns, fetched)


def _too_large(limit: str, name: Limit) -> Failure:
    return Failure("too_large", f"more than {limit}", name)
