"""SQLite files: found in folders, read and executed on by worker processes that are shared by all files."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sense.config import ExecutionConfig
from sense.database_servers.values import MIN_VALUE
from sense.errors import InputError, SenseError, StorageError, UserError
from sense.schema import Schema, introspect
from sense.serving.backend import BackendError
from sense.sql.database_file import DatabaseFile, DatabaseStamp
from sense.sql.execute import Executor
from sense.sql.result import Failure, Outcome
from sense.sql.sandbox import is_unreadable
from sense.sql.snapshot import Snapshots, foreign_content

_ATTEMPTS = 2  # to execute SQL on a file that cannot be read: its writer may have died since it was opened
_START_S = 0.2  # what it takes to start a worker: a request waits as long for an executor to become free


class ExecutorPool:
    """At most `count` executors, started when they are needed; each is used by one thread at a time."""

    def __init__(self, limits: ExecutionConfig, count: int) -> None:
        self._limits, self._count, self._snapshots = limits, count, Snapshots()
        self._free = threading.BoundedSemaphore(count)
        self._changed = threading.Condition()
        self._idle: list[Executor] = []
        self._borrowed = 0
        self._closed = False

    def warm(self, database: Path) -> None:
        """Starts as many as the processors can keep busy by reading from `database`, so that no request has to wait for it."""
        with ExitStack() as borrowed:
            for _ in range(min(self._count, os.cpu_count() or 1)):
                executor = borrowed.enter_context(self.borrow(patience_s=0.0))
                list(executor.map([(database, "SELECT 1")] * self._limits.processes))

    @contextmanager
    def borrow(self, patience_s: float = _START_S) -> Iterator[Executor]:
        """An executor for the block, once one is free; BackendError if the machine can't start a worker or the pool is closed."""
        with self._free:
            with self._changed:
                if self._borrowed:  # most statements are short: another executor is only started where they are not
                    self._changed.wait_for(lambda: self._idle or self._closed, patience_s)
                if self._closed:
                    raise BackendError("the gateway is stopping")
                executor = self._idle.pop() if self._idle else self._new_executor()
                self._borrowed += 1
            try:
                with _start_errors():
                    yield executor
            finally:
                self._give_back(executor)

    @contextmanager
    def temporary(self) -> Iterator[Executor]:
        """A new executor that ends with the block, and closes the files that it has opened; BackendError if it can't start."""
        with _start_errors(), self._new_executor() as executor:
            yield executor

    def _new_executor(self) -> Executor:
        return Executor(self._limits, MIN_VALUE, self._snapshots)

    def _give_back(self, executor: Executor) -> None:
        with self._changed:
            self._borrowed -= 1
            if not self._closed:
                self._idle.append(executor)
                self._changed.notify()
                return
        executor.close()

    def close(self) -> None:
        """Ends the workers that are idle at once, the others when their statements are done."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for executor in idle:
            executor.close()


@contextmanager
def _start_errors() -> Iterator[None]:
    try:
        yield
    except (UserError, BackendError):
        raise
    except (OSError, SenseError) as error:
        raise BackendError("no SQL can be executed: the machine is out of memory or processes") from error


class SqliteDatabase:
    """A SQLite file. It may be replaced, and is then read again; while it is missing or broken, requests get an error."""

    dialect = "sqlite"

    def __init__(self, name: str, file: Path, executors: ExecutorPool) -> None:
        self.name = name
        self.file: Path | None = file
        self._path, self._executors = file, executors
        self._schemas: dict[int, tuple[DatabaseStamp, Schema]] = {}  # by number of sample values
        self._lock = threading.Lock()
        self._checked: DatabaseStamp | None = None

    def schema(self, samples: int) -> Schema:
        """The schema, read again, by one thread for all, when the file has changed; BackendError if it can't be read."""
        try:
            with self._lock:
                stamp = DatabaseFile.from_path(self._path).stamp()
                cached = self._schemas.get(samples)
                if cached is None or cached[0] != stamp:
                    cached = self._schemas[samples] = stamp, introspect(self._path, samples)
                return cached[1]
        except (InputError, OSError, StorageError) as error:
            raise self._unreadable(error) from error

    def check(self, executor: Executor) -> None:
        """Reads the schema and executes SQL, unless that was done since the file changed; BackendError if that fails."""
        self.schema(0)
        stamp = DatabaseFile.from_path(self._path).stamp()
        if stamp != self._checked:
            self._run(executor, ["SELECT count(*) FROM sqlite_master"])
            self._checked = stamp

    def run(self, sqls: Sequence[str]) -> list[Outcome]:
        """The outcomes, in order; the file's path is in none of them. BackendError if the file can't be read."""
        with self._executors.borrow() as executor:
            return self._run(executor, sqls)

    def _run(self, executor: Executor, sqls: Sequence[str]) -> list[Outcome]:
        file = DatabaseFile.from_path(self._path)
        unreadable: list[Failure] = []
        for _ in range(_ATTEMPTS):
            try:
                outcomes = list(executor.map((self._path, sql) for sql in sqls))
            except (InputError, StorageError) as error:
                raise self._unreadable(error) from error
            unreadable = [outcome for outcome in outcomes if isinstance(outcome, Failure) and is_unreadable(outcome, file)]
            if not unreadable:
                return outcomes
        cause = InputError(unreadable[0].detail)
        raise self._unreadable(cause) from cause

    def _unreadable(self, error: Exception) -> BackendError:
        """The error for callers, which names no path; `error` is for the log."""
        if isinstance(error, StorageError):
            reason = "there is no room for the copy that reading it takes"
        elif "database is locked" in str(error):
            reason = "the file is locked by whoever writes to it"
        elif not self._path.is_file():
            reason = "the file is missing"
        else:
            reason = foreign_content(self._path) or "the file is no readable SQLite database"
        return BackendError(f"the database {self.name!r} can't be read now: {reason}")

    def native(self, sql: str) -> str:
        """The SQL itself."""
        return sql

    def close(self) -> None:
        """Nothing is open."""


def find_sqlite_files(folders: Sequence[Path]) -> dict[str, Path]:
    """The databases of all folders by name: FOLDER/<name>/<name>.sqlite or FOLDER/<name>.sqlite; hidden ones are left out.

    UserError for a folder that can't be listed, and for a name that is there twice.
    """
    files: dict[str, Path] = {}
    for folder in dict.fromkeys(folders):
        try:
            entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            raise UserError(
                f"{folder}: not a folder of databases ({error.strerror or error}); give folders of <name>/<name>.sqlite or "
                "<name>.sqlite files; `make demo` makes those of the default configuration"
            ) from None
        for entry in entries:
            inner = entry / f"{entry.name}.sqlite"
            if entry.is_dir() and os.path.lexists(inner):  # False in a folder without permission, such as lost+found
                name, file = entry.name, inner
            elif entry.suffix == ".sqlite" and not entry.is_dir():
                name, file = entry.stem, entry
            else:
                continue
            if name in files:
                raise UserError(
                    f"two databases are called {name!r}: {files[name]} and {file}; rename one, or leave one folder out"
                )
            files[name] = file
    return files
