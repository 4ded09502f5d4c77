"""The process that executes hostile SQL: `process.py` starts it, talks to it and kills it.

It imports little, so that it starts in a few hundredths of a second. It reads jobs from standard input and
writes answers to standard output, both as a length and a marshalled value, and ends when its input does.
What one statement may use is bounded in every way that SQLite and the system offer:

    writing    mode=ro, query_only, an authorizer that knows SELECT alone; no file may grow (RLIMIT_FSIZE)
    work       a progress handler counts VM steps, so that the verdict does not depend on the machine's load
    time       the same handler looks at the clock; one long C call never calls it: then the parent kills
    memory     SQLite's hard heap limit, its limit on one value, RLIMIT_AS; temporary tables count as memory
    result     rows and bytes are counted while they are fetched
"""

import marshal
import os
import signal
import sqlite3
import struct
import sys
import time
from collections import OrderedDict
from contextlib import closing, suppress
from typing import Any, BinaryIO

from sense.sql.sandbox import MIB, Limits, connect

HEADER = struct.Struct("!Q")
Answer = tuple[str, Any, Any]  # ("rows", columns, rows) or (verdict, detail, None)

_OPEN = 16  # connections kept open; each holds up to 2 MB of pages
_STRIDE = 1_000  # VM steps between two looks at the clock: some 40 microseconds, unless single steps are long
_FAILURES = (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError, OverflowError)


class Stopped(Exception):  # noqa: N818  (an outcome rather than an error)
    """A limit was reached: the verdict and its detail."""

    def __init__(self, verdict: str, detail: str) -> None:
        super().__init__(detail)
        self.answer: Answer = (verdict, detail, None)


class Connections:
    """Open connections, the least recently used closed first; a file that was replaced is opened anew."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: OrderedDict[tuple[str, int, int, int], sqlite3.Connection] = OrderedDict()

    def get(self, path: str, uri: str) -> sqlite3.Connection:
        """The connection to the database at `path`; sqlite3.Error or OSError if there is no such database."""
        state = os.stat(path)  # noqa: PTH116  (pathlib would double the start-up time)
        key = (path, state.st_ino, state.st_mtime_ns, state.st_size)
        if key not in self._open:
            self._open[key] = connect(path, uri, self._limits)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]


def execute(connections: Connections, limits: Limits, path: str, uri: str, sql: str) -> Answer:
    """Executes one statement; whatever goes wrong is an answer."""
    try:
        connection = connections.get(path, uri)
    except (OSError, sqlite3.Error) as error:
        return "error", f"{path}: not a readable SQLite database ({getattr(error, 'strerror', None) or error})", None
    try:
        return _select(connection, limits, sql)
    except Stopped as stopped:
        return stopped.answer
    except MemoryError:
        return "too_large", "needs more memory than a query may use", None
    except _FAILURES as error:
        return _explain(error, limits)


def _select(connection: sqlite3.Connection, limits: Limits, sql: str) -> Answer:
    stride = min(_STRIDE, limits.max_steps)
    deadline = time.monotonic() + limits.timeout_s
    reached: list[str] = []
    steps = 0

    def progress() -> bool:
        nonlocal steps
        steps += stride
        if steps >= limits.max_steps:
            reached.append(f"more than {limits.max_steps:,} steps")
        elif time.monotonic() > deadline:
            reached.append(f"more than {limits.timeout_s:g} s")
        return bool(reached)

    connection.set_progress_handler(progress, stride)
    try:
        with closing(connection.execute(sql)) as cursor:
            if cursor.description is None:
                return "rejected", "not a SELECT: it has no result", None
            columns = tuple(column[0] for column in cursor.description)
            return "rows", columns, _fetch(cursor, limits)
    except sqlite3.OperationalError:
        if reached:
            raise Stopped("timeout", reached[0]) from None
        raise
    finally:
        connection.set_progress_handler(None, 0)


def _fetch(cursor: sqlite3.Cursor, limits: Limits) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    size = 0
    for row in cursor:
        size += sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in row)
        if size > limits.max_bytes:
            raise Stopped("too_large", f"more than {limits.max_bytes:,} bytes")
        if len(rows) >= limits.max_rows:
            raise Stopped("too_large", f"more than {limits.max_rows:,} rows")
        rows.append(row)
    return rows


def _explain(error: Exception, limits: Limits) -> Answer:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_TOOBIG and "string or blob" in str(error):
        return "too_large", f"a value of more than {limits.max_value:,} bytes", None
    if code == sqlite3.SQLITE_AUTH or str(error).startswith("not authorized"):
        return "rejected", str(error), None
    return "error", str(error), None


def _restrict(limits: Limits) -> None:
    """Limits on the process; a system that lacks one has the others."""
    import resource

    memory = limits.max_memory + 512 * MIB + 16 * limits.max_bytes
    for kind, limit in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle


def _read(stream: BinaryIO) -> Any:
    """The next job, or None at the end of the input."""
    header = stream.read(HEADER.size)
    return marshal.loads(stream.read(HEADER.unpack(header)[0])) if len(header) == HEADER.size else None  # noqa: S302


def _write(stream: BinaryIO, value: Any) -> None:
    data = marshal.dumps(value)
    stream.write(HEADER.pack(len(data)) + data)
    stream.flush()


def main(timeout_s: str, *numbers: str) -> None:
    """Answers jobs until the input ends; the arguments are `Limits`. The first message out says that the worker is ready."""
    limits = Limits(float(timeout_s), *(int(number) for number in numbers))
    _restrict(limits)
    connections = Connections(limits)
    _write(sys.stdout.buffer, "ready")
    while (job := _read(sys.stdin.buffer)) is not None:
        # Should the parent die in the middle of a long C call, nobody is left to kill this process but itself.
        signal.setitimer(signal.ITIMER_REAL, 2 * limits.timeout_s + 5)
        answer = execute(connections, limits, *job)
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            _write(sys.stdout.buffer, answer)
        except BrokenPipeError:
            return
