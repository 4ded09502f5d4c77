"""How feedback is stored: rows that appear in several files together or not at all, and copies of the databases they are about.

Rows are safe from a kill at any moment, because a journal line comes first. It holds all that is kept under an id, and the lines
it adds to other files with the offsets at which they begin; it is on disk before they are written. So whoever uses the folder
next, in whichever process, can finish them. All of it happens under one lock of the folder (flock), which ends with its process.
"""

import fcntl
import json
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sense import records
from sense.errors import StorageError
from sense.serving.backend import BackendError
from sense.sql.database_file import DatabaseFile, DatabaseStamp
from sense.sql.snapshot import open_database

_RESERVED_SPACE = 64 * 1024**2  # bytes of the volume, for the rows
_LARGEST_COPY = 1 << 30  # bytes; larger databases are not copied
_LOCKED_S = 20.0  # how long to wait for a database that somebody else has locked
_STALE_S = 3600.0  # an unfinished copy this old is of a process that was killed


class Journal:
    """The journal of a folder. Several threads and processes may use one at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "journal.jsonl"
        self._entries: dict[str, tuple[int, int]] = {}  # id -> offset and length of its line, in bytes
        self._read = (0, 0)  # the journal's inode, and how many bytes of it have been read
        self._last = 0  # offset of its last line

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder's lock, after finishing what a killed process left; StorageError if the folder can't be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / ".lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._refresh()
                yield
        except OSError as error:
            raise StorageError(
                f"{self.folder}: feedback cannot be kept ({error.strerror or error}); free space or mend permissions"
            ) from error

    def find(self, entry_id: str) -> Any:
        """The content that was added under this id, or None; call it locked."""
        if entry_id not in self._entries:
            return None
        offset, length = self._entries[entry_id]
        with self._path.open("rb") as stream:
            stream.seek(offset)
            return json.loads(stream.read(length))["content"]

    def add(self, entry_id: str, content: Any, lines: Mapping[str, str]) -> None:
        """Adds `content` under a new id, and to each file its line or lines; on disk when it returns; call it locked.

        OSError if it fails (a full disk); then nothing of it stays.
        """
        sizes = {file: _size(self.folder / file) for file in lines}
        entry = {"id": entry_id, "content": content, "lines": {file: [sizes[file], line] for file, line in lines.items()}}
        data = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        start = _size(self._path)
        try:
            _append(self._path, data)
            for file, line in lines.items():
                _append(self.folder / file, line.encode() + b"\n")
            _sync_folder(self.folder)
        except OSError:
            for file, size in {**sizes, self._path.name: start}.items():
                with suppress(OSError):
                    os.truncate(self.folder / file, size)
            raise
        self._entries[entry_id] = start, len(data)
        self._last, self._read = start, (self._read[0] or self._path.stat().st_ino, start + len(data))

    def _refresh(self) -> None:
        """Reads what has been added since, cuts off a torn last line, and finishes the last entry's lines."""
        if not self._path.exists():
            self._entries, self._read, self._last = {}, (0, 0), 0
            return
        _cut_torn(self._path)
        status = self._path.stat()
        if status.st_ino != self._read[0] or status.st_size < self._read[1]:  # another file than the one that was read
            self._entries, self._read, self._last = {}, (status.st_ino, 0), 0
        if status.st_size == self._read[1]:
            return
        line = b""
        with self._path.open("rb") as stream:
            stream.seek(self._read[1])
            for line in stream:
                start = self._read[1]
                self._entries[_parse(self._path, start, line)["id"]] = start, len(line)
                self._last, self._read = start, (status.st_ino, start + len(line))
        self._finish(_parse(self._path, self._last, line))

    def _finish(self, entry: Any) -> None:
        """Writes what is missing of the entry's lines; a file that was changed by hand stays as it is."""
        for file, (start, line) in entry["lines"].items():
            path, data = self.folder / file, line.encode() + b"\n"
            size = _size(path)
            if not start <= size < start + len(data):
                continue
            written = b""
            if size > start:
                with path.open("rb") as stream:
                    stream.seek(start)
                    written = stream.read()
            if data.startswith(written):
                _append(path, data[len(written) :])


def _parse(path: Path, start: int, line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise StorageError(f"{path}, byte {start}: not the journal's; take the line out, or move the folder away") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _cut_torn(path: Path) -> None:
    """Cuts off what follows the last newline: nobody was told that it is kept."""
    with path.open("rb+") as stream:
        end = stream.seek(0, os.SEEK_END)
        whole = end
        while whole > 0:
            start = max(0, whole - 65_536)
            stream.seek(start)
            newline = stream.read(whole - start).rfind(b"\n")
            whole = start + newline + 1
            if newline >= 0:
                break
        if whole < end:
            stream.truncate(whole)
            os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Puts the names of new files on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DatabaseCopies:
    """The databases of a dataset folder, each content once: the first under the database's name, others under NAME-DIGEST."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / ".incoming"
        self._copied: dict[tuple[str, DatabaseStamp], str] = {}  # name and stamp of a source -> db_id
        self._digests: dict[Path, tuple[DatabaseStamp, str]] = {}

    def fits(self, source: Path) -> bool:
        """False for a file that is too large to be copied, or whose copy would leave too little space for feedback itself."""
        if not source.is_file():
            return True
        size = source.stat().st_size
        return size <= _LARGEST_COPY and 2 * size + _RESERVED_SPACE <= shutil.disk_usage(self._folder).free

    def find(self, name: str, stamp: DatabaseStamp) -> str | None:
        """The db_id of a source's copy, if it was copied when it had this stamp."""
        db_id = self._copied.get((name, stamp))
        return db_id if db_id is not None and records.database_path(self._folder, db_id).is_file() else None

    def copy(self, name: str, source: Path) -> Path:
        """A consistent copy in a file of its own, whoever writes to the source meanwhile; `add` or delete it.

        BackendError if the source can't be copied now, OSError if the folder can't be written.
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

    def add(self, name: str, stamp: DatabaseStamp, copy: Path) -> str:
        """Moves a copy to its place, or deletes it if its content is there already; returns its db_id.

        Call it under the folder's lock. `stamp` is that of the source before it was copied.
        """
        digest = records.digest(copy)
        for db_id in (name, *(f"{name}-{digest[:length]}" for length in (8, 16, 64))):
            path = records.database_path(self._folder, db_id)
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                copy.replace(path)
                for folder in (path.parent, path.parent.parent, self._folder):
                    _sync_folder(folder)
            elif self._digest(path) != digest:
                continue
            copy.unlink(missing_ok=True)
            self._copied[name, stamp] = db_id
            return db_id
        raise BackendError(f"there is no name for a copy of the database {name!r}")  # another file has this very digest's name

    def _digest(self, path: Path) -> str:
        stamp = DatabaseFile.from_path(path).stamp()
        cached = self._digests.get(path)
        if cached is None or cached[0] != stamp:
            cached = self._digests[path] = stamp, records.digest(path)
        return cached[1]


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():  # opening a pipe, say, would block
        raise sqlite3.OperationalError("no file")
    deadline = time.monotonic() + _LOCKED_S

    def check_deadline(_status: int, _left: int, _pages: int) -> None:
        if time.monotonic() > deadline:
            raise sqlite3.OperationalError("database is locked")

    try:
        with open_database(source) as reading, closing(sqlite3.connect(target)) as writing:
            writing.execute("PRAGMA synchronous=OFF")
            reading.backup(writing, pages=-1, progress=check_deadline)
    except OSError as error:
        raise sqlite3.OperationalError(str(error)) from error
    with closing(sqlite3.connect(target)) as writing:
        writing.execute("PRAGMA journal_mode=DELETE")  # a copy in WAL mode could not be read in a read-only folder
