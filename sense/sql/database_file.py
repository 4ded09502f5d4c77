"""A SQLite file with what lies beside it, and how it is opened so that nothing is written there. Standard library only.

SQLite may keep the newest rows of `x.sqlite` in `x.sqlite-wal`, with an index of them in `x.sqlite-shm`, and what a transaction
overwrites in `x.sqlite-journal`. With mode=ro alone it still makes a -shm and an empty -wal, or cuts an old -shm short, and
leaves them behind. So the query of the URI is chosen by what is there:

    a -wal and a -shm          mode=ro&readonly_shm=1: all committed rows, beside a writer and after one that crashed
    an empty -wal alone        mode=ro&immutable=1: nobody writes, and all rows are in the file
    WAL mode without a -wal    the same
    an empty file              the same: SQLite would take a -wal beside it for a leftover and delete it, in mode=ro as well
    anything else              mode=ro, with SQLite's own locks against writers

Two cannot be opened where they lie, and `snapshot.py` copies them: a -wal that is not empty without a -shm, which SQLite would
make, and a file whose transaction was cut short (a "hot" journal), which SQLite would roll back.
"""

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path  # importing it would double the start-up time of a worker

# At the end of a URI: SQLite neither locks the file nor looks for what lies beside it; and it reads a -wal by a -shm as it is.
IMMUTABLE, READ_ONLY_INDEX = "&immutable=1", "&readonly_shm=1"


class FileStamp(NamedTuple):
    """By what a file is known to be still the one that was read."""

    inode: int
    modified_ns: int
    size: int


def file_stamp(status: os.stat_result) -> FileStamp:
    """The stamp of the file that has this status."""
    return FileStamp(status.st_ino, status.st_mtime_ns, status.st_size)


class DatabaseStamp(NamedTuple):
    """Changes when a database does: stamps of its file, -wal and -journal (None: there is none), whether the -wal has a -shm."""

    file: FileStamp | None
    wal: FileStamp | None
    journal: FileStamp | None
    shared_memory: bool

    @property
    def needs_index(self) -> bool:
        """Whether there are rows in a -wal that has no -shm."""
        return bool(self.file and self.file.size and self.wal and self.wal.size and not self.shared_memory)


class DatabaseFile(NamedTuple):
    """A SQLite file by its absolute `path`, as messages show it; `opened` is the file that is opened for it, `uri` that as a URI.

    They differ where the path is a link, beside whose target a -wal lies, and where a private copy is opened.
    """

    path: str
    uri: str
    opened: str

    @property
    def name(self) -> str:
        """Its name without the folder, which may be another on the next machine: for verdicts, which are to be the same there."""
        return self.path.rpartition("/")[2]

    @classmethod
    def from_path(cls, path: "Path") -> "DatabaseFile":
        """The file at `path`, which need not exist."""
        absolute = path.absolute()
        target = path.resolve() if path.is_symlink() else absolute
        return cls(str(absolute), target.as_uri(), str(target))

    def stamp(self) -> DatabaseStamp:
        """The stamp as it is now; raises OSError for a file that cannot be looked at."""
        wal = _stamp(f"{self.opened}-wal")
        shared_memory = wal is not None and _stamp(f"{self.opened}-shm") is not None
        return DatabaseStamp(_stamp(self.opened), wal, _stamp(f"{self.opened}-journal"), shared_memory)

    def read_only_uri(self, stamp: DatabaseStamp) -> str:
        """The URI by which SQLite opens the file in this state and writes nothing beside it; raises OSError."""
        if stamp.wal is not None and (stamp.wal.size or stamp.shared_memory) and stamp.file and stamp.file.size:
            return f"{self.uri}?mode=ro{READ_ONLY_INDEX}"
        immutable = stamp.wal is not None or (stamp.file is not None and stamp.file.size == 0) or _in_wal_mode(self.opened)
        return f"{self.uri}?mode=ro{IMMUTABLE if immutable else ''}"


def sqlite_files(folder: "Path") -> list["Path"]:
    """The files *.sqlite of a folder, sorted, without hidden ones: in `._x.sqlite` macOS keeps attributes of x.sqlite."""
    return sorted(file for file in folder.glob("*.sqlite") if not file.name.startswith("."))


def _stamp(path: str) -> FileStamp | None:
    try:
        return file_stamp(os.stat(path))  # noqa: PTH116  (pathlib would double the start-up time)
    except FileNotFoundError:
        return None


def _in_wal_mode(path: str) -> bool:
    with open(path, "rb") as stream:  # noqa: PTH123  (pathlib would double the start-up time)
        return stream.read(20)[18:20] == b"\2\2"
