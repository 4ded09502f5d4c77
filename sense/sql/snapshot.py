"""Databases read with all their committed rows and without a trace: where they lie if SQLite can do that, else as a private copy.

`database_file.py` says which must be copied: those that SQLite would write to before it reads them. File, -wal and journal are
copied to a folder of this process, and copied again until none of them changed meanwhile. Then the copy is what a crash at that
moment would have left, which SQLite mends when it opens it, with every committed row and nothing of an unfinished transaction.
"""

import errno
import shutil
import sqlite3
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sense import records
from sense.errors import InputError, StorageError
from sense.sql.database_file import DatabaseFile, DatabaseStamp

_ATTEMPTS = 50  # to copy a file that is written to meanwhile
_TICK_NS = (
    20_000_000  # a change within this time of the last one may leave a file's time as it is: clocks of files tick every 4 ms
)
_SQLITE = b"SQLite format 3\0"


class PrivateCopy:
    """A copy of a database in a folder of its own, which goes when nobody refers to this object any more."""

    def __init__(self, file: DatabaseFile) -> None:
        """Copies all committed rows; raises what `copy_database` raises."""
        folder = Path(tempfile.mkdtemp(prefix="sense-database-"))
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        copy = folder / "copy.sqlite"
        self.stamp = copy_database(file, copy)
        self.file = DatabaseFile.from_path(copy)._replace(path=file.path)


class Snapshots:
    """The private copies that are needed, each made once and again when its database has changed. Several threads may use one."""

    def __init__(self) -> None:
        self._copies: dict[str, PrivateCopy] = {}

    def copy(self, file: DatabaseFile) -> PrivateCopy | None:
        """A copy of the database as it is now, or None if it can be opened where it lies; keep the copy while it is in use.

        InputError if it can't be read, StorageError if there is no room for a copy.
        """
        try:
            stamp = file.stamp()
            if not _must_be_copied(file, stamp):
                self._copies.pop(file.opened, None)
                return None
            copy = self._copies.get(file.opened)
            if copy is None or copy.stamp != stamp:
                copy = self._copies[file.opened] = PrivateCopy(file)
            return copy
        except (OSError, sqlite3.Error) as error:
            raise unreadable(Path(file.path), error) from None


@contextmanager
def open_database(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads all committed rows and leaves no trace; raises what `copy_database` raises."""
    file = DatabaseFile.from_path(path)
    stamp = file.stamp()
    copy = PrivateCopy(file) if _must_be_copied(file, stamp) else None
    opened = copy.file if copy is not None else file
    with closing(sqlite3.connect(opened.read_only_uri(opened.stamp()), uri=True)) as connection:
        yield connection


def copy_database(source: DatabaseFile, target: Path) -> DatabaseStamp:
    """Copies a database with all its committed rows into one file: byte for byte, unless some of them lie beside it.

    The same files give the same bytes. Returns the stamp of the moment whose content the copy has. Raises OSError, sqlite3.Error,
    InputError for a file that never rests, and StorageError if there is no room.
    """
    try:
        stamp = _copy_unchanged(source, target)
        if (stamp.wal and stamp.wal.size) or (stamp.journal and stamp.journal.size):
            with closing(sqlite3.connect(target, isolation_level=None)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").close()  # rolls a journal back
                connection.execute("PRAGMA journal_mode=DELETE").close()  # empties a -wal
            Path(f"{target}-journal").unlink(missing_ok=True)  # one that was kept, of a transaction that is done
    except (OSError, sqlite3.Error) as error:
        full = (errno.ENOSPC, errno.EDQUOT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
        if getattr(error, "errno", None) in full[:2] or getattr(error, "sqlite_errorcode", None) in full[2:]:
            raise StorageError(f"{target}: no room for a copy of {source.path} ({error}); free space") from error
        raise
    return stamp


def foreign_content(path: Path) -> str:
    """What the file is instead of a database (a Git LFS pointer, an archive), and what mends it; '' if that is unknown."""
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError:
        return ""
    return "" if head.startswith(_SQLITE) else records.foreign_content(head)


def unreadable(path: Path, error: Exception) -> InputError:
    """The error that says why a database can't be read and what mends it."""
    what = foreign_content(path)
    if what:
        return InputError(f"{path}: {what}")
    reason = getattr(error, "strerror", None) or error
    return InputError(f"{path}: not a readable SQLite database ({reason}); replace the file or drop its examples")


def _must_be_copied(file: DatabaseFile, stamp: DatabaseStamp) -> bool:
    return stamp.needs_index or (stamp.journal is not None and stamp.journal.size > 0 and _has_hot_journal(file, stamp))


def _has_hot_journal(file: DatabaseFile, stamp: DatabaseStamp) -> bool:
    """Whether SQLite would roll the journal back; that of a transaction at work, or of one that is done, it leaves alone."""
    try:
        with closing(sqlite3.connect(file.read_only_uri(stamp), uri=True, timeout=0)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").close()
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK
    except sqlite3.DatabaseError:
        pass  # broken: whoever reads it will say so
    return False


def _copy_unchanged(file: DatabaseFile, target: Path) -> DatabaseStamp:
    """Copies the file, its -wal and its journal as they were at one moment; returns the stamp of that moment.

    InputError if no such moment is found, OSError if they can't be read or written.
    """
    for _ in range(_ATTEMPTS):
        before = file.stamp()
        try:
            for suffix, stamp in (("", before.file), ("-wal", before.wal), ("-journal", before.journal)):
                copy = Path(f"{target}{suffix}")
                copy.unlink(missing_ok=True)
                if not suffix or (stamp is not None and stamp.size):
                    shutil.copyfile(f"{file.opened}{suffix}", copy)
        except FileNotFoundError:
            if before.file is None:
                raise
        changed_ns = max(stamp.modified_ns for stamp in before[:3] if stamp is not None)
        if file.stamp() == before and not 0 <= time.time_ns() - changed_ns < _TICK_NS:
            return before
        time.sleep(_TICK_NS / 1e9)
    raise InputError(f"{file.path}: somebody writes to it all the time and lets nobody else read it; stop that, or use a copy")
