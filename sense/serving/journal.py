"""Rows of several files that appear together or not at all, whatever kills the process: a journal line first, then the files.

A journal line holds everything that was asked to be kept under an id, and the lines it adds to other files with the places where
they begin. It is on disk before they are written; so whoever comes next, in whichever process, can finish them. All of it happens
under one lock of the folder (flock), which ends with the process that holds it.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sense.errors import StorageError


class Journal:
    """The journal of a folder; used by several threads and processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "journal.jsonl"
        self._places: dict[str, tuple[int, int]] = {}  # id -> where its line begins and how long it is
        self._read = (0, 0)  # the journal's inode, and how much of it the places are of
        self._last = 0  # where its last line begins

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else is in such a block of this folder; what a killed process left unfinished is finished first.

        StorageError if the folder can't be written.
        """
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

    def find(self, name: str) -> Any:
        """What was added under this id, or None; call it locked."""
        place = self._places.get(name)
        if place is None:
            return None
        with self._path.open("rb") as stream:
            stream.seek(place[0])
            return json.loads(stream.read(place[1]))["content"]

    def add(self, name: str, content: Any, lines: Mapping[str, str]) -> None:
        """Adds `content` under a new id, and to each file named a line; on disk when it returns; call it locked.

        If it fails (a full disk), nothing of it stays.
        """
        sizes = {file: _size(self.folder / file) for file in lines}
        entry = {"id": name, "content": content, "lines": {file: [sizes[file], line] for file, line in lines.items()}}
        data = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        start = _size(self._path)
        try:
            _append(self._path, data)
            for file, line in lines.items():
                _append(self.folder / file, line.encode() + b"\n")
            _sync(self.folder)
        except OSError:
            for file, size in {**sizes, self._path.name: start}.items():
                with suppress(OSError):
                    os.truncate(self.folder / file, size)
            raise
        self._places[name] = start, len(data)
        self._last, self._read = start, (self._read[0] or self._path.stat().st_ino, start + len(data))

    def _refresh(self) -> None:
        """Reads what has been added since, cuts off a torn last line, and finishes the last entry's lines."""
        if not self._path.exists():
            self._places, self._read, self._last = {}, (0, 0), 0
            return
        _cut_torn(self._path)
        status = self._path.stat()
        if status.st_ino != self._read[0] or status.st_size < self._read[1]:  # another file than the one that was read
            self._places, self._read, self._last = {}, (status.st_ino, 0), 0
        if status.st_size == self._read[1]:
            return
        line = b""
        with self._path.open("rb") as stream:
            stream.seek(self._read[1])
            for line in stream:
                start = self._read[1]
                self._places[_parsed(self._path, start, line)["id"]] = start, len(line)
                self._last, self._read = start, (status.st_ino, start + len(line))
        self._finish(_parsed(self._path, self._last, line))

    def _finish(self, entry: Any) -> None:
        """Writes what is missing of the entry's lines; a file that somebody else has changed stays as it is."""
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


def _parsed(path: Path, start: int, line: bytes) -> Any:
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
    """Cuts off what follows the last newline: it was never said to be kept."""
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


def _sync(folder: Path) -> None:
    """Puts the names of new files on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
