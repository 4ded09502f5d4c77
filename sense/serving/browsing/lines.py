"""A JSONL file of any size, read a few rows at a time: where its rows begin is kept in memory, what they say is not.

The index is built once for a file as it is (inode, time, size); a file that was replaced is indexed again. A row costs
17 bytes of it: its offset, a hash of its key, the number of its tag (a verdict, a hardness).
"""

import os
import threading
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Generic, TypeVar

from pydantic import ValidationError

from sense.records import Record
from sense.serving.backend import BackendError

R = TypeVar("R", bound=Record)

_LARGEST = 1 << 30  # bytes
_BAD = 20  # lines told about
_HALF = (1 << 32) - 1  # a key's hash is kept in the upper half of a number, its row in the lower

Stamp = tuple[int, int, int]


class UnavailableError(BackendError):
    """Data that cannot be shown just now: 503. `reason` names the file, not the folder it lies in."""


@dataclass(frozen=True)
class Bad:
    """A line that is no row, and why."""

    line: int
    message: str


@dataclass(frozen=True)
class Index:
    """Where the rows of a file are; `bad` are the first lines that are none of `bad_count`."""

    stamp: Stamp
    starts: Sequence[int]
    keys: Sequence[int]
    tags: Sequence[int]
    tag_names: tuple[str, ...]
    bad: tuple[Bad, ...]
    bad_count: int

    def counts(self) -> dict[str, int]:
        """How many rows have each tag, the most frequent first."""
        return {self.tag_names[tag]: count for tag, count in Counter(self.tags).most_common()}

    def tagged(self, name: str) -> list[int]:
        """The rows with that tag."""
        if name not in self.tag_names:
            return []
        wanted = self.tag_names.index(name)
        return [row for row, tag in enumerate(self.tags) if tag == wanted]


class View(Generic[R]):
    """An open file and its index."""

    def __init__(self, name: str, stream: IO[bytes], index: Index, kind: type[R], key: Callable[[R], str]) -> None:
        self.name, self.index = name, index
        self._stream, self._kind, self._key = stream, kind, key

    def row(self, number: int) -> R:
        """The row of that number, counted from 0; UnavailableError if the file was changed in place."""
        self._stream.seek(self.index.starts[number])
        try:
            return self._kind.model_validate_json(self._stream.readline())
        except ValidationError:
            raise UnavailableError(f"{self.name} was changed while it was read") from None

    def find(self, key: str) -> list[R]:
        """The rows of that key, in their order."""
        wanted = hash(key) & _HALF
        found = []
        for place in range(bisect_left(self.index.keys, wanted << 32), len(self.index.keys)):
            if self.index.keys[place] >> 32 != wanted:
                break
            row = self.row(self.index.keys[place] & _HALF)
            if self._key(row) == key:
                found.append(row)
        return found


class Lines(Generic[R]):
    """A file of the folder `data`, which may come, change and go; its rows are of `kind`, found by `key`, counted by `tag`.

    `name` is what people are told: the folder's own name and the path in it, and nothing of where the folder lies.
    """

    def __init__(self, data: Path, file: str, kind: type[R], key: Callable[[R], str], tag: Callable[[R], str]) -> None:
        self.name = f"{data.name}/{file}"
        self._path = data / file
        self._kind, self._key, self._tag = kind, key, tag
        self._lock = threading.Lock()
        self._index: Index | None = None

    @contextmanager
    def open(self) -> Iterator[View[R]]:
        """The file as it is now; FileNotFoundError if there is none, UnavailableError if it is too large or can't be read."""
        try:
            with self._path.open("rb") as stream:
                yield View(self.name, stream, self._current(stream), self._kind, self._key)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise UnavailableError(f"{self.name} cannot be read ({error.strerror or type(error).__name__})") from None

    def _current(self, stream: IO[bytes]) -> Index:
        status = os.fstat(stream.fileno())
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if status.st_size > _LARGEST:
            raise UnavailableError(f"{self.name} has {status.st_size:,} bytes; files up to {_LARGEST:,} are shown")
        with self._lock:
            if self._index is None or self._index.stamp != stamp:
                self._index = self._build(stream, stamp)
            return self._index

    def _build(self, stream: IO[bytes], stamp: Stamp) -> Index:
        starts, keys, tags = array("Q"), array("Q"), bytearray()
        names: dict[str, int] = {}
        bad: list[Bad] = []
        start = bad_count = 0
        for line, text in enumerate(stream, start=1):
            if text.strip():
                try:
                    row = self._kind.model_validate_json(text)
                except ValidationError as error:
                    bad_count += 1
                    if len(bad) < _BAD:
                        bad.append(Bad(line, _why(error)))
                else:
                    keys.append((hash(self._key(row)) & _HALF) << 32 | len(starts))
                    tags.append(names.setdefault(self._tag(row), len(names)))
                    starts.append(start)
            start += len(text)
        return Index(stamp, starts, array("Q", sorted(keys)), bytes(tags), tuple(names), tuple(bad), bad_count)


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
