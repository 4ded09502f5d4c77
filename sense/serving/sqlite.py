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
from sense.sql.sandbox import DatabaseFile

_START_S = 0.2  # what it takes to start a worker; as long one waits for an executor that is at work


class Executors:
    """At most `count` executors, started when they are needed; each is used by one thread at a time."""

    def __init__(self, limits: ExecutionConfig, count: int) -> None:
        self._limits, self._count = limits, count
        self._places = threading.BoundedSemaphore(count)
        self._changed = threading.Condition()
        self._idle: list[Executor] = []
        self._out = 0
        self._closed = False

    def warm(self, database: Path) -> None:
        """Starts as many as the processors can keep busy, by reading from `database`, so that no request need wait for it."""
        with ExitStack() as held:
            for _ in range(min(self._count, os.cpu_count() or 1)):
                executor = held.enter_context(self.taken(patience_s=0.0))
                list(executor.map([(database, "SELECT 1")] * self._limits.workers))

    @contextmanager
    def taken(self, patience_s: float = _START_S) -> Iterator[Executor]:
        """One of them for the block; waits for it. BackendError if the machine can't run another worker, or it is closed."""
        with self._places:
            with self._changed:
                if self._out:  # most statements are short: another executor is for when they are not
                    self._changed.wait_for(lambda: self._idle or self._closed, patience_s)
                if self._closed:
                    raise BackendError("the gateway is stopping")
                executor = self._idle.pop() if self._idle else Executor(self._limits, MIN_VALUE)
                self._out += 1
            try:
                with _started():
                    yield executor
            finally:
                self._give_back(executor)

    @contextmanager
    def alone(self) -> Iterator[Executor]:
        """One more, for the block alone: it ends, and with it the files that it holds open. BackendError as above."""
        with _started(), Executor(self._limits, MIN_VALUE) as executor:
            yield executor

    def _give_back(self, executor: Executor) -> None:
        with self._changed:
            self._out -= 1
            if not self._closed:
                self._idle.append(executor)
                self._changed.notify()
                return
        with executor:
            pass

    def close(self) -> None:
        """Ends the workers that are idle at once, the others when their statements are done."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for executor in idle:
            with executor:
                pass


@contextmanager
def _started() -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except (OSError, SenseError) as error:
        raise BackendError("no SQL can be executed: the machine is out of memory or processes") from error


class SqliteDatabase:
    """A SQLite file. It may be replaced, and is then read anew; while it is away or broken, that is what requests are told."""

    dialect = "sqlite"

    def __init__(self, name: str, file: Path, executors: Executors) -> None:
        self.name = name
        self.file: Path | None = file
        self._path, self._executors = file, executors
        self._known: dict[int, tuple[object, Schema]] = {}
        self._reading = threading.Lock()

    def schema(self, samples: int) -> Schema:
        """The schema, read again, by one thread for all, when the file has changed; BackendError if it can't be read."""
        try:
            with self._reading:
                state = content_state(self._path)
                known = self._known.get(samples)
                if known is None or known[0] != state:
                    known = self._known[samples] = state, introspect(self._path, samples)
                return known[1]
        except (InputError, OSError) as error:
            reason = "the file is missing" if not self._path.is_file() else "the file is no readable SQLite database"
            raise BackendError(f"the database {self.name!r} can't be read now: {reason}") from error

    def run(self, sqls: Sequence[str]) -> list[Outcome]:
        """The outcomes, in order; the file's path is in none of them."""
        with self._executors.taken() as executor:
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


def content_state(database: Path) -> object:
    """What changes when a database does: of its file, and of the journal that holds what was written last; OSError."""
    found: list[tuple[int, int, int] | None] = []
    for file in (database, Path(f"{database}-wal")):
        try:
            status = file.stat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def listed(folders: Sequence[Path]) -> dict[str, Path]:
    """name -> file of all folders, FOLDER/<name>/<name>.sqlite or FOLDER/<name>.sqlite; what is hidden is left out.

    UserError for a folder that can't be listed, and for a name that is there twice.
    """
    found: dict[str, Path] = {}
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
            if entry.is_dir() and os.path.lexists(inner):  # False where one may not look, as in lost+found
                name, file = entry.name, inner
            elif entry.suffix == ".sqlite" and not entry.is_dir():
                name, file = entry.stem, entry
            else:
                continue
            if name in found:
                raise UserError(
                    f"two databases are called {name!r}: {found[name]} and {file}; rename one, or leave one folder out"
                )
            found[name] = file
    return found
