"""One hostile statement on one database, within limits; the part of a worker that touches SQLite.

writing    mode=ro, query_only, an authorizer that knows SELECT alone; no file may grow (RLIMIT_FSIZE)
work       a progress handler counts VM steps, so that the verdict does not depend on the machine's load
time       the same handler looks at the clock; one long C call never calls it: then the parent kills
memory     SQLite's hard heap limit, its limit on one value, RLIMIT_AS; temporary tables count as memory
result     rows and bytes are counted while they are fetched
"""

import os
import signal
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple, TypeVar

from sense.sql.result import Failure, Value
from sense.sql.sandbox import Limits, connect
from sense.verdicts import FailureName, Limit

T = TypeVar("T")
Row = tuple[Value, ...]
State = tuple["Place", int, int, int, bool]
Take = Callable[[tuple[str, ...], Iterator[Row]], T]  # what is done with columns and rows, while they come

_OPEN = 64  # connections kept open, for folders of many databases; each holds up to 2 MB of pages
_STRIDE = 1_000  # VM steps between two looks at the clock: some 40 microseconds, unless single steps are long
_FAILURES = (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError, OverflowError)


class Place(NamedTuple):
    """Where a database is: its absolute path, and the same as file:///..."""

    path: str
    uri: str


class Stopped(Exception):  # noqa: N818  (an outcome rather than an error)
    """A limit was reached."""

    def __init__(self, verdict: FailureName, limit: Limit, detail: str) -> None:
        super().__init__(detail)
        self.failure = Failure(verdict, detail, limit)


class Session:
    """Open connections, the least recently used closed first, and the limits on what runs on them."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: OrderedDict[State, sqlite3.Connection] = OrderedDict()

    def state(self, place: Place) -> State:
        """What changes when another database is put at `place`; OSError if there is none."""
        status = os.stat(place.path)  # noqa: PTH116  (pathlib would double the start-up time)
        # A writer begins a WAL beside the file, which a connection made without it does not see.
        return place, status.st_ino, status.st_mtime_ns, status.st_size, os.path.exists(f"{place.path}-wal")  # noqa: PTH110

    def run(self, place: Place, sql: str, take: Take[T], errors: str) -> T | Failure:
        """What `take` makes of the result of `sql`; whatever goes wrong with the statement is a Failure.

        Texts that are no UTF-8 are decoded with `errors`; "strict" makes them an error, as in Python's sqlite3. A
        statement without any result, for instance an empty one, gives no columns and no rows.
        """
        try:
            key = self.state(place)
            connection = self._connection(key)
        except (OSError, sqlite3.Error, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            return Failure("error", f"{place.path}: not a readable SQLite database ({str(reason)[:300]})")
        outcome = self._limited(connection, sql, take, errors)
        if isinstance(outcome, Failure) and (outcome.verdict == "rejected" or outcome.limit == "memory"):
            # It may have lost more than the statement: a VACUUM, refused half way, closes the virtual tables, and the
            # authorizer does not let them be opened again.
            self._open.pop(key).close()
        return outcome

    def _limited(self, connection: sqlite3.Connection, sql: str, take: Take[T], errors: str) -> T | Failure:
        budget = _Budget(self.limits)
        connection.set_progress_handler(budget.spend, budget.stride)
        # Should the parent die in the middle of a long C call, nobody is left to kill this process but itself.
        signal.setitimer(signal.ITIMER_REAL, 2 * self.limits.timeout_s + 5)
        try:
            return self._decoded(connection, sql, take, errors)
        except Stopped as stopped:
            return stopped.failure
        except MemoryError:
            return Failure("too_large", "needs more memory than a query may use", "memory")
        except _FAILURES as error:
            return budget.reached or self._explain(error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.set_progress_handler(None, 0)

    def _connection(self, key: State) -> sqlite3.Connection:
        """The connection to the database whose state is `key`; sqlite3.Error or OSError if it is none."""
        if key not in self._open:
            for old in [other for other in self._open if other[0] == key[0]]:
                self._open.pop(old).close()  # a file that was replaced takes its room until nobody has it open
            self._open[key] = connect(key[0].path, key[0].uri, self.limits)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]

    def _decoded(self, connection: sqlite3.Connection, sql: str, take: Take[T], errors: str) -> T:
        connection.text_factory = str  # much faster than a function of ours, which few databases need
        try:
            return self._taken(connection, sql, take)
        except sqlite3.OperationalError as error:
            if errors == "strict" or not str(error).startswith("Could not decode to UTF-8"):
                raise
        connection.text_factory = lambda data: data.decode("utf-8", errors)
        return self._taken(connection, sql, take)

    def _taken(self, connection: sqlite3.Connection, sql: str, take: Take[T]) -> T:
        with closing(connection.execute(sql)) as cursor:
            columns = tuple(column[0] for column in cursor.description or ())
            if sum(map(len, columns)) > self.limits.max_bytes:
                raise Stopped("too_large", "bytes", f"more than {self.limits.max_bytes:,} bytes of column names")
            return take(columns, self._rows(cursor))

    def _rows(self, cursor: sqlite3.Cursor) -> Iterator[Row]:
        limits, size = self.limits, 0
        for count, row in enumerate(cursor):
            for value in row:
                size += max(len(value) if isinstance(value, (str, bytes)) else 8, limits.min_value)
            if size > limits.max_bytes:
                raise Stopped("too_large", "bytes", f"more than {limits.max_bytes:,} bytes")
            if count >= limits.max_rows:
                raise Stopped("too_large", "rows", f"more than {limits.max_rows:,} rows")
            yield row

    def _explain(self, error: Exception) -> Failure:
        code, message = getattr(error, "sqlite_errorcode", None), str(error)[:300]
        if code == sqlite3.SQLITE_TOOBIG and "string or blob" in message:
            return Failure("too_large", f"a value of more than {self.limits.max_value:,} bytes", "value")
        if code == sqlite3.SQLITE_AUTH or message.startswith(("not authorized", "You can only execute one statement")):
            return Failure("rejected", message)
        return Failure("error", message)


class _Budget:
    """The steps and the time of one statement; `reached` says which of them ran out."""

    def __init__(self, limits: Limits) -> None:
        self.stride = min(_STRIDE, limits.max_steps)
        self.reached: Failure | None = None
        self._limits, self._steps = limits, 0
        self._deadline = time.monotonic() + limits.timeout_s

    def spend(self) -> bool:
        """Called by SQLite after each stride of steps; True stops the statement."""
        self._steps += self.stride
        if self._steps >= self._limits.max_steps:
            self.reached = Failure("timeout", f"more than {self._limits.max_steps:,} steps", "steps")
        elif time.monotonic() > self._deadline:
            self.reached = Failure("timeout", f"more than {self._limits.timeout_s:g} s", "clock")
        return self.reached is not None


def collect(columns: tuple[str, ...], rows: Iterator[Row]) -> tuple[tuple[str, ...], list[Any]]:
    """Takes the whole result."""
    return columns, list(rows)
