"""SQLite files: found in folders, read and executed on by worker processes that are shared by all files."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sense.config import ExecutionConfig
from sense.errors import InputError, SenseError, UserError
from sense.schema import Schema, introspect
from sense.serving.backend import BackendError
from sense.serving.values import MIN_VALUE
from sense.sql.execute import Executor
from sense.sql.result import Outcome, Result
from sense.sql.sandbox import DatabaseFile, FileStamp, file_stamp

DatabaseStamp = tuple[FileStamp | None, FileStamp | None]

_START_S = 0.2  # what it takes to start a worker: a request waits as long for an executor to become free


class ExecutorPool:
    """At most `count` executors, started when they are needed; each is used by one thread at a time."""

    def __init__(self, limits: ExecutionConfig, count: int) -> None:
        self._limits, self._count = limits, count
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
                list(executor.map([(database, "SELECT 1")] * self._limits.workers))

    @contextmanager
    def borrow(self, patience_s: float = _START_S) -> Iterator[Executor]:
        """An executor for the block, once one is free; BackendError if the machine can't start a worker or the pool is closed."""
        with self._free:
            with self._changed:
                if self._borrowed:  # most statements are short: another executor is only started where they are not
                    self._changed.wait_for(lambda: self._idle or self._closed, patience_s)
                if self._closed:
                    raise BackendError("the gateway is stopping")
                executor = self._idle.pop() if self._idle else Executor(self._limits, MIN_VALUE)
                self._borrowed += 1
            try:
                with _start_errors():
                    yield executor
            finally:
                self._give_back(executor)

    @contextmanager
    def temporary(self) -> Iterator[Executor]:
        """A new executor that ends with the block, and closes the files that it has opened; BackendError if it can't start."""
        with _start_errors(), Executor(self._limits, MIN_VALUE) as executor:
            yield executor

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
    except UserError:
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

    def schema(self, samples: int) -> Schema:
        """The schema, read again, by one thread for all, when the file has changed; BackendError if it can't be read."""
        try:
            with self._lock:
                stamp = database_stamp(self._path)
                cached = self._schemas.get(samples)
                if cached is None or cached[0] != stamp:
                    cached = self._schemas[samples] = stamp, introspect(self._path, samples)
                return cached[1]
        except (InputError, OSError) as error:
            reason = "the file is missing" if not self._path.is_file() else "the file is no readable SQLite database"
            raise BackendError(f"the database {self.name!r} can't be read now: {reason}") from error

    def run(self, sqls: Sequence[str]) -> list[Outcome]:
        """The outcomes, in order; the file's path is in none of them."""
        with self._executors.borrow() as executor:
            outcomes = list(executor.map((self._path, sql) for sql in sqls))
        return [self._without_path(outcome) for outcome in outcomes]

    def _without_path(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Result):
            return outcome
        return outcome._replace(detail=outcome.detail.replace(DatabaseFile.from_path(self._path).path, self.name))

    def native(self, sql: str) -> str:
        """The SQL itself."""
        return sql

    def close(self) -> None:
        """Nothing is open."""


def database_stamp(path: Path) -> DatabaseStamp:
    """Changes when the database does: stamps of its file and of the write-ahead log (None: there is none); OSError."""
    return _stamp(path), _stamp(Path(f"{path}-wal"))


def _stamp(path: Path) -> FileStamp | None:
    try:
        return file_stamp(path.stat())
    except FileNotFoundError:
        return None


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
