"""Copies of databases beside the feedback on them, each content once, in the layout of a dataset folder."""

import os
import shutil
import sqlite3
import time
import uuid
from contextlib import closing, suppress
from pathlib import Path

from sense import records
from sense.serving.backend import BackendError
from sense.serving.sqlite import content_state

_KEPT_FREE = 64 * 1024**2  # bytes of the volume, for the rows
_LARGEST = 1 << 30  # bytes; larger ones are not copied
_PATIENCE_S = 20.0  # for a database that somebody else has locked
_STALE_S = 3600.0  # an unfinished copy this old is of a process that was killed


class Copies:
    """The databases of a dataset folder: the first content of a name under the name, others under NAME-DIGEST."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / ".incoming"
        self._known: dict[tuple[str, object], str] = {}  # name and state of a source -> db_id
        self._digests: dict[Path, tuple[object, str]] = {}

    def fits(self, source: Path) -> bool:
        """False for a file that is too large to be copied, or would leave the volume short of room for feedback itself."""
        if not source.is_file():
            return True
        size = source.stat().st_size
        return size <= _LARGEST and 2 * size + _KEPT_FREE <= shutil.disk_usage(self._folder).free

    def known(self, name: str, state: object) -> str | None:
        """The db_id of a source's copy, if it was copied in this state."""
        db_id = self._known.get((name, state))
        return db_id if db_id is not None and records.database_path(self._folder, db_id).is_file() else None

    def taken(self, name: str, source: Path) -> Path:
        """A consistent copy under a name of its own, whoever writes to the source meanwhile; BackendError if there can be none.

        OSError if the folder can't be written.
        """
        self._incoming.mkdir(parents=True, exist_ok=True)
        for old in self._incoming.iterdir():
            with suppress(OSError):
                if time.time() - old.stat().st_mtime > _STALE_S:
                    old.unlink()
        target = self._incoming / f"{uuid.uuid4().hex}.sqlite"
        try:
            _copy(source, target)
            with target.open("rb") as stream:
                os.fsync(stream.fileno())
        except sqlite3.Error as error:
            target.unlink(missing_ok=True)
            if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
                raise OSError(28, f"no room for a copy of the database {name}") from error
            raise BackendError(f"the database {name!r} can't be copied now: it is locked, missing or broken") from error
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return target

    def settled(self, name: str, state: object, copy: Path) -> str:
        """Puts a copy where it belongs, or away if its content is there; returns its db_id. Call it under the folder's lock."""
        digest = records.digest(copy)
        for db_id in (name, *(f"{name}-{digest[:length]}" for length in (8, 16, 64))):
            final = records.database_path(self._folder, db_id)
            if not final.is_file():
                final.parent.mkdir(parents=True, exist_ok=True)
                copy.replace(final)
                for folder in (final.parent, final.parent.parent, self._folder):
                    _sync(folder)
            elif self._digest(final) != digest:
                continue
            copy.unlink(missing_ok=True)
            self._known[name, state] = db_id
            return db_id
        raise BackendError(f"there is no name for a copy of the database {name!r}")  # another file has this very digest's name

    def _digest(self, path: Path) -> str:
        state = content_state(path)
        known = self._digests.get(path)
        if known is None or known[0] != state:
            known = self._digests[path] = state, records.digest(path)
        return known[1]


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():  # a pipe, say, would be waited for without end
        raise sqlite3.OperationalError("no file")
    deadline = time.monotonic() + _PATIENCE_S

    def patient(_status: int, _left: int, _pages: int) -> None:
        if time.monotonic() > deadline:
            raise sqlite3.OperationalError("database is locked")

    # In WAL mode with nobody writing, a folder that is read-only lets a file be read as immutable alone.
    idle = _is_wal(source) and not Path(f"{source}-wal").exists()
    uri = f"{source.absolute().as_uri()}?mode=ro{'&immutable=1' if idle else ''}"
    with closing(sqlite3.connect(uri, uri=True)) as reading, closing(sqlite3.connect(target)) as writing:
        writing.execute("PRAGMA synchronous=OFF")
        reading.backup(writing, pages=-1, progress=patient)
    with closing(sqlite3.connect(target)) as writing:
        writing.execute("PRAGMA journal_mode=DELETE")  # else a copy in WAL mode could not be read in a folder that is read-only


def _is_wal(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(20)[18:20] == b"\2\2"
    except OSError as error:
        raise sqlite3.OperationalError(str(error)) from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
