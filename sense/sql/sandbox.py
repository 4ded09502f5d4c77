"""Executes one hostile SELECT at a time on a SQLite file, read-only and within limits. Standard library only.

What it protects from:

    writing    mode=ro, query_only, an authorizer that knows SELECT alone; the process may grow no file (RLIMIT_FSIZE)
    reading    no ATTACH, no extension, no function that reads files: of all files, a query sees its database alone
    work       a progress handler counts VM steps, so that the verdict does not depend on the machine's load
    time       the same handler looks at the clock; one long C call never calls it: then the parent kills the process
    memory     SQLite's hard heap limit, its limit on one value, RLIMIT_AS; temporary tables count as memory
    result     rows and bytes are counted while they are fetched

What it does NOT protect from:

  - A bug in SQLite's own C code. The worker process has no system-call filter, no namespace and no user of its own: SQL that
    takes over SQLite can read, write and send whatever this user can. Database files from strangers are as much of a risk.
  - Reading all of the database: every table and row of it can be selected, its schema too.
  - Many statements: the limits hold for each, so whoever submits them has to bound their number.
  - What a system lacks: where it does not enforce RLIMIT_AS (macOS), the memory outside of SQLite's heap has no limit.

The limits on the process (RLIMIT_...) are set in `worker.py`, the killing is done in `process.py`.
"""

import os
import signal
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sense.sql.result import Failure, ResultRow
from sense.verdicts import FailureName, Limit

if TYPE_CHECKING:
    from pathlib import Path  # importing it would double the start-up time of a worker

T = TypeVar("T")
FileState = tuple["DatabaseFile", "FileStamp", bool]  # the last: is there a WAL beside the file?
Consume = Callable[[tuple[str, ...], Iterator[ResultRow]], T]  # is handed column names and rows while they are fetched

MIB = 1 << 20
_MAX_SQLITE_LENGTH = 1_000_000_000  # bytes; SQLite knows no longer text or blob
_MAX_CONNECTIONS = 64  # kept open, for folders of many databases; each holds up to 2 MB of pages
_STRIDE = 1_000  # VM steps between two looks at the clock: some 40 microseconds, unless single steps are long
_STATEMENT_ERRORS = (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError, OverflowError)
_ALLOWED_ACTIONS = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE)
_FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "zipfile"})


class Limits(NamedTuple):
    """What one statement may use.

    `timeout_s` is in seconds of wall clock, `max_steps` in steps of SQLite's virtual machine, `max_rows` and `max_bytes` bound
    the result, where a value counts as `min_value` bytes at least; `max_sql` is the length of the statement in characters.
    """

    timeout_s: float
    max_rows: int
    max_bytes: int
    max_steps: int
    max_sql: int
    min_value: int = 0

    @property
    def max_value(self) -> int:
        """The bytes of the longest text or blob; SQLite counts the statement itself as one, at 4 bytes a character."""
        return min(max(self.max_bytes, 4 * self.max_sql), _MAX_SQLITE_LENGTH)

    @property
    def max_memory(self) -> int:
        """The bytes SQLite may allocate, temporary tables and sorting included."""
        return 256 * MIB + 4 * self.max_value


class DatabaseFile(NamedTuple):
    """A SQLite file by its absolute path, and the same as a URI (file:///...), which is how SQLite opens it read-only."""

    path: str
    uri: str

    @classmethod
    def from_path(cls, path: "Path") -> "DatabaseFile":
        """The file at `path`, which need not exist."""
        absolute = path.absolute()
        return cls(str(absolute), absolute.as_uri())


def connect(file: DatabaseFile, limits: Limits) -> sqlite3.Connection:
    """Opens a database for reading alone; raises sqlite3.Error or OSError if it is none."""
    immutable = "&immutable=1" if idle_wal(file.path) else ""
    connection = sqlite3.connect(f"{file.uri}?mode=ro{immutable}", uri=True, isolation_level=None, cached_statements=0)
    try:
        # Views may use full-text tables, JSON and R-trees, which SQLite calls unsafe there unless it trusts the schema. What has
        # side effects stays refused: SQLite allows it in no view, the authorizer in no statement.
        for pragma in ("query_only=ON", "trusted_schema=ON", "temp_store=MEMORY", "mmap_size=0"):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.execute(f"PRAGMA hard_heap_limit={limits.max_memory}").close()
        _load_schema(connection)
    except sqlite3.Error:
        connection.close()
        raise
    connection.text_factory = _decode
    for category, limit in (
        (sqlite3.SQLITE_LIMIT_LENGTH, limits.max_value),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 4 * limits.max_sql),
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 1000),
        (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 500),
        (sqlite3.SQLITE_LIMIT_VDBE_OP, 1_000_000),
        (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 100),
        (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
    ):
        connection.setlimit(category, limit)
    connection.set_authorizer(_authorize)
    return connection


def idle_wal(path: str) -> bool:
    """True for a database in WAL mode that nobody writes to: only as immutable can it be read without writing beside it."""
    with open(path, "rb") as stream:  # noqa: PTH123  (pathlib would double the start-up time)
        return stream.read(20)[18:20] == b"\2\2" and not os.path.exists(f"{path}-wal")  # noqa: PTH110


def _load_schema(connection: sqlite3.Connection) -> None:
    """Reads the schema, or finds that there is none; opens virtual tables, whose set-up the authorizer would refuse."""
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage = 0").fetchall()
    tables = ['"' + name.replace('"', '""') + '"' for (name,) in rows]
    for table in [*tables, "json_each('[]')", "json_tree('[]')"]:
        with suppress(sqlite3.Error):  # a virtual table that this SQLite does not know: queries of it fail, others do not
            connection.execute(f"SELECT 1 FROM {table} LIMIT 0").close()  # noqa: S608  (quoted)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _source: str | None) -> int:
    if action in _ALLOWED_ACTIONS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first == "data_version":  # full-text tables ask it of themselves
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


class FileStamp(NamedTuple):
    """By what a file is known to be still the one that was read."""

    inode: int
    modified_ns: int
    size: int


def file_stamp(status: os.stat_result) -> FileStamp:
    """The stamp of the file that has this status."""
    return FileStamp(status.st_ino, status.st_mtime_ns, status.st_size)


class LimitReachedError(Exception):
    """A statement is stopped because its result reached a limit."""

    def __init__(self, verdict: FailureName, limit: Limit, detail: str) -> None:
        super().__init__(detail)
        self.failure = Failure(verdict, detail, limit)


class Sandbox:
    """Executes statements within limits, on connections that stay open; the least recently used one is closed first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._connections: OrderedDict[FileState, sqlite3.Connection] = OrderedDict()

    def file_state(self, file: DatabaseFile) -> FileState:
        """A key that changes when another database is put at the path; raises OSError if there is none."""
        stamp = file_stamp(os.stat(file.path))  # noqa: PTH116  (pathlib would double the start-up time)
        # A writer begins a WAL beside the file, which a connection made without it does not see.
        return file, stamp, os.path.exists(f"{file.path}-wal")  # noqa: PTH110

    def run(self, file: DatabaseFile, sql: str, consume: Consume[T], errors: str) -> T | Failure:
        """What `consume(columns, rows)` makes of the result of `sql`; whatever goes wrong with the statement is a Failure.

        Texts that are no UTF-8 are decoded with `errors`; "strict" makes them an error, as in Python's sqlite3. A
        statement without any result, for instance an empty one, gives no columns and no rows.
        """
        try:
            state = self.file_state(file)
            connection = self._connection(state)
        except (OSError, sqlite3.Error, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            return Failure("error", f"{file.path}: not a readable SQLite database ({str(reason)[:300]})")
        outcome = self._run_limited(connection, sql, consume, errors)
        if isinstance(outcome, Failure) and (outcome.verdict == "rejected" or outcome.limit == "memory"):
            # The connection may have lost more than the statement: a VACUUM, refused half way, closes the virtual tables, and
            # the authorizer does not let them be opened again.
            self._connections.pop(state).close()
        return outcome

    def _connection(self, state: FileState) -> sqlite3.Connection:
        """The connection to the database in this state; raises sqlite3.Error or OSError if it is none."""
        if state not in self._connections:
            for old in [other for other in self._connections if other[0] == state[0]]:
                self._connections.pop(old).close()  # a file that was replaced takes its room until nobody has it open
            self._connections[state] = connect(state[0], self.limits)
            if len(self._connections) > _MAX_CONNECTIONS:
                self._connections.popitem(last=False)[1].close()
        self._connections.move_to_end(state)
        return self._connections[state]

    def _run_limited(self, connection: sqlite3.Connection, sql: str, consume: Consume[T], errors: str) -> T | Failure:
        budget = _Budget(self.limits)
        connection.set_progress_handler(budget.spend, budget.stride)
        # Should the parent die in the middle of a long C call, nobody is left to kill this process but itself.
        signal.setitimer(signal.ITIMER_REAL, 2 * self.limits.timeout_s + 5)
        try:
            return self._run_decoded(connection, sql, consume, errors)
        except LimitReachedError as stopped:
            return stopped.failure
        except MemoryError:
            return Failure("too_large", "needs more memory than a query may use", "memory")
        except _STATEMENT_ERRORS as error:
            return budget.exceeded or self._failure(error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.set_progress_handler(None, 0)

    def _run_decoded(self, connection: sqlite3.Connection, sql: str, consume: Consume[T], errors: str) -> T:
        connection.text_factory = str  # much faster than a function of ours, which few databases need
        try:
            return self._consume(connection, sql, consume)
        except sqlite3.OperationalError as error:
            if errors == "strict" or not str(error).startswith("Could not decode to UTF-8"):
                raise
        connection.text_factory = lambda data: data.decode("utf-8", errors)
        return self._consume(connection, sql, consume)

    def _consume(self, connection: sqlite3.Connection, sql: str, consume: Consume[T]) -> T:
        with closing(connection.execute(sql)) as cursor:
            columns = tuple(column[0] for column in cursor.description or ())
            if sum(map(len, columns)) > self.limits.max_bytes:
                raise LimitReachedError("too_large", "bytes", f"more than {self.limits.max_bytes:,} bytes of column names")
            return consume(columns, self._rows(cursor))

    def _rows(self, cursor: sqlite3.Cursor) -> Iterator[ResultRow]:
        limits, size = self.limits, 0
        for count, row in enumerate(cursor):
            for value in row:
                size += max(len(value) if isinstance(value, (str, bytes)) else 8, limits.min_value)
            if size > limits.max_bytes:
                raise LimitReachedError("too_large", "bytes", f"more than {limits.max_bytes:,} bytes")
            if count >= limits.max_rows:
                raise LimitReachedError("too_large", "rows", f"more than {limits.max_rows:,} rows")
            yield row

    def _failure(self, error: Exception) -> Failure:
        code, message = getattr(error, "sqlite_errorcode", None), str(error)[:300]
        if code == sqlite3.SQLITE_TOOBIG and "string or blob" in message:
            return Failure("too_large", f"a value of more than {self.limits.max_value:,} bytes", "value")
        if code == sqlite3.SQLITE_AUTH or message.startswith(("not authorized", "You can only execute one statement")):
            return Failure("rejected", message)
        return Failure("error", message)


class _Budget:
    """The steps and the time of one statement; `exceeded` says which of them ran out, if one did."""

    def __init__(self, limits: Limits) -> None:
        self.stride = min(_STRIDE, limits.max_steps)
        self.exceeded: Failure | None = None
        self._limits, self._steps = limits, 0
        self._deadline = time.monotonic() + limits.timeout_s

    def spend(self) -> bool:
        """Called by SQLite after each stride of steps; True stops the statement."""
        self._steps += self.stride
        if self._steps >= self._limits.max_steps:
            self.exceeded = Failure("timeout", f"more than {self._limits.max_steps:,} steps", "steps")
        elif time.monotonic() > self._deadline:
            self.exceeded = Failure("timeout", f"more than {self._limits.timeout_s:g} s", "clock")
        return self.exceeded is not None


def fetch_all(columns: tuple[str, ...], rows: Iterator[ResultRow]) -> tuple[tuple[str, ...], list[Any]]:
    """Consumes a whole result."""
    return columns, list(rows)
