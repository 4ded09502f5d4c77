"""Executes one hostile SELECT at a time on a SQLite file, read-only and within limits. Standard library only.

What it protects from:

    writing    mode=ro, query_only, an authorizer that knows SELECT alone; the process may grow no file (RLIMIT_FSIZE); nor does
               SQLite itself write anything beside the file (`database_file.py`)
    reading    no ATTACH, no extension, no function that reads files: of all files, a query sees its database alone
    work       a progress handler counts VM steps, so that the verdict does not depend on the machine's load
    time       the same handler looks at the clock; one long C call never calls it: then the parent kills the process
    memory     SQLite's hard heap limit, its limit on one value, RLIMIT_AS; temporary tables count as memory
    result     rows and bytes are counted while they are fetched
    chance     random() and randomblob() draw the same numbers for each statement, so that it has the same result in every run

What it does NOT protect from:

  - A bug in SQLite's own C code. The worker process has no system-call filter, no namespace and no user of its own: SQL that
    takes over SQLite can read, write and send whatever this user can. Database files from strangers are as much of a risk.
  - Reading all of the database: every table and row of it can be selected, its schema too.
  - Many statements: the limits hold for each, so whoever submits them has to bound their number.
  - What a system lacks: where it does not enforce RLIMIT_AS (macOS), the memory outside of SQLite's heap has no limit.

The limits on the process (RLIMIT_...) are set in `worker.py`, the killing is done in `process.py`.
"""

import errno
import os
import re
import signal
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from random import Random
from typing import Any, NamedTuple, TypeVar

from sense.sql.database_file import IMMUTABLE, READ_ONLY_INDEX, DatabaseFile, DatabaseStamp
from sense.sql.result import Failure, ResultRow
from sense.verdicts import FailureName, Limit

T = TypeVar("T")
FileState = tuple[DatabaseFile, DatabaseStamp]
Consume = Callable[[tuple[str, ...], Iterator[ResultRow]], T]  # is handed column names and rows while they are fetched

MIB = 1 << 20
_MAX_SQLITE_LENGTH = 1_000_000_000  # bytes; SQLite knows no longer text or blob
_MAX_CONNECTIONS = 64  # kept open, for folders of many databases; each holds up to 2 MB of pages
_STRIDE = 1_000  # VM steps between two looks at the clock: some 40 microseconds, unless single steps are long
_STATEMENT_ERRORS = (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError, OverflowError)
# Errors of the database and not of the statement; SQLITE_READONLY alone is what a statement gets that writes.
_DATABASE_ERRORS = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOTADB}
    | {sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_READONLY_CANTINIT, sqlite3.SQLITE_READONLY_ROLLBACK}
)
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


class RandomFunctions:
    """SQLite's random() and randomblob() with numbers that are the same for each statement, after a `restart` before it."""

    def __init__(self, max_value: int) -> None:
        """`max_value` is how many bytes a blob has at most."""
        self._max_value = max_value
        self._numbers: Random | None = None

    def restart(self) -> None:
        """Begins a statement."""
        self._numbers = None

    def register(self, connection: sqlite3.Connection) -> None:
        """Replaces SQLite's own functions on a connection."""
        connection.create_function("random", 0, self._random)
        connection.create_function("randomblob", 1, self._randomblob)

    def _started(self) -> Random:
        self._numbers = self._numbers or Random(0)  # seeding takes as long as a short statement, and few draw numbers
        return self._numbers

    def _random(self) -> int:
        return self._started().getrandbits(64) - (1 << 63)

    def _randomblob(self, value: Any) -> bytes:
        size = _as_integer(value)
        if size > self._max_value:
            raise OverflowError  # sqlite3 makes it SQLITE_TOOBIG
        return self._started().randbytes(max(size, 1))


def _as_integer(value: Any) -> int:
    """A value as the integer that SQLite takes it for: a text counts by the digits that it begins with."""
    if isinstance(value, (str, bytes)):
        digits = re.match(rb"[ \t-\r]*([+-]?[0-9]{1,18})", value if isinstance(value, bytes) else value.encode())
        return int(digits[1]) if digits else 0
    return int(value or 0)


def connect(state: FileState, limits: Limits, random_functions: RandomFunctions) -> tuple[sqlite3.Connection, str]:
    """Opens a database in this state for reading alone, and says by which URI; raises sqlite3.Error or OSError if it is none."""
    file, stamp = state
    uri = file.read_only_uri(stamp)
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=0)
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
    random_functions.register(connection)
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
    return connection, uri


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


class LimitReachedError(Exception):
    """A statement is stopped because its result reached a limit."""

    def __init__(self, verdict: FailureName, limit: Limit, detail: str) -> None:
        super().__init__(detail)
        self.failure = Failure(verdict, detail, limit)


class Sandbox:
    """Executes statements within limits, on connections that stay open; the least recently used one is closed first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._random_functions = RandomFunctions(limits.max_value)
        self._connections: OrderedDict[FileState, tuple[sqlite3.Connection, str]] = OrderedDict()

    def file_state(self, file: DatabaseFile) -> FileState:
        """A key that changes when the database does; raises OSError if there is none."""
        stamp = file.stamp()
        if stamp.file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return file, stamp

    def run(self, file: DatabaseFile, sql: str, consume: Consume[T], errors: str) -> T | Failure:
        """What `consume(columns, rows)` makes of the result of `sql`; whatever goes wrong with the statement is a Failure.

        Texts that are no UTF-8 are decoded with `errors`; "strict" makes them an error, as in Python's sqlite3. A
        statement without any result, for instance an empty one, gives no columns and no rows.
        """
        for last in (False, True):
            try:
                state = self.file_state(file)
                connection, uri = self._connection(state)
            except (OSError, sqlite3.Error, UnicodeError) as error:
                return _unreadable(file, str(getattr(error, "strerror", None) or error))
            try:
                outcome = self._run_limited(connection, sql, consume, errors, file)
            except Exception:  # of `consume`
                if last or not uri.endswith(IMMUTABLE) or file.stamp() == state[1]:
                    raise
                continue
            if last or not uri.endswith(IMMUTABLE) or file.stamp() == state[1]:
                break  # else somebody has begun to write to a file that is read as one that nobody writes to
        if isinstance(outcome, Failure) and (
            outcome.verdict == "rejected" or outcome.limit == "memory" or is_unreadable(outcome, file)
        ):
            # The connection may have lost more than the statement: a VACUUM, refused half way, closes the virtual tables, and
            # the authorizer does not let them be opened again.
            self._close(state)
        return outcome

    def close_shared(self) -> None:
        """Closes the connections beside which a writer that ends would leave its -wal and -shm, as if they were still needed."""
        for state in [state for state, (_, uri) in self._connections.items() if uri.endswith(READ_ONLY_INDEX)]:
            self._close(state)

    def _connection(self, state: FileState) -> tuple[sqlite3.Connection, str]:
        """The connection to the database in this state, and its URI; raises sqlite3.Error or OSError if it is none."""
        if state not in self._connections:
            for old in [other for other in self._connections if other[0].path == state[0].path]:
                self._close(old)  # a file that was replaced takes its room until nobody has it open
            self._connections[state] = connect(state, self.limits, self._random_functions)
            if len(self._connections) > _MAX_CONNECTIONS:
                self._close(next(iter(self._connections)))
        self._connections.move_to_end(state)
        return self._connections[state]

    def _close(self, state: FileState) -> None:
        self._connections.pop(state)[0].close()

    def _run_limited(
        self, connection: sqlite3.Connection, sql: str, consume: Consume[T], errors: str, file: DatabaseFile
    ) -> T | Failure:
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
            return budget.exceeded or self._failure(error, file)
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
        self._random_functions.restart()
        with closing(connection.execute(sql)) as cursor:
            columns = tuple(column[0] for column in cursor.description or ())
            if sum(map(len, columns)) > self.limits.max_bytes:
                raise LimitReachedError("too_large", "bytes", f"more than {self.limits.max_bytes:,} bytes of column names")
            return consume(columns, self._rows(cursor))

    def _rows(self, cursor: sqlite3.Cursor) -> Iterator[ResultRow]:
        limits, size = self.limits, 0
        least = limits.min_value
        for count, row in enumerate(cursor):
            for value in row:
                length = len(value) if isinstance(value, (str, bytes)) else 8
                size += length if length > least else least  # max() would take as long as all the rest
            if size > limits.max_bytes:
                raise LimitReachedError("too_large", "bytes", f"more than {limits.max_bytes:,} bytes")
            if count >= limits.max_rows:
                raise LimitReachedError("too_large", "rows", f"more than {limits.max_rows:,} rows")
            yield row

    def _failure(self, error: Exception, file: DatabaseFile) -> Failure:
        code, message = getattr(error, "sqlite_errorcode", None) or 0, str(error)[:300]
        if code & 0xFF in _DATABASE_ERRORS or code in _DATABASE_ERRORS:
            return _unreadable(file, message)
        if code == sqlite3.SQLITE_TOOBIG and "string or blob" in message:
            return Failure("too_large", f"a value of more than {self.limits.max_value:,} bytes", "value")
        if code == sqlite3.SQLITE_AUTH or message.startswith(("not authorized", "You can only execute one statement")):
            return Failure("rejected", message)
        return Failure("error", message)


def _unreadable(file: DatabaseFile, reason: str) -> Failure:
    return Failure("error", f"{file.name}: not a readable SQLite database ({reason[:300]})")


def is_unreadable(outcome: Failure, file: DatabaseFile) -> bool:
    """Whether a statement failed because its database cannot be read, whatever the statement is."""
    return outcome.verdict == "error" and outcome.detail.startswith(_unreadable(file, "").detail.removesuffix(")"))


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
