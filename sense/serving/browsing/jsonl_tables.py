"""JSONL files as tables of a temporary SQLite database, to be paged through and searched, whatever their size.

A file is read into its table at the first request, and again when it has changed. The database takes about twice the space of
the files in the folder for temporary files, where it has no name and goes with the process; a few megabytes are in memory.
"""

import os
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from sense.records import Example, Record, first_problem, jsonl_lines
from sense.serving.backend import BackendError
from sense.serving.messages import Message
from sense.sql.database_file import FileStamp, file_stamp

R = TypeVar("R", bound=Record)

_LARGEST_FILE = 1 << 30  # bytes
_LARGEST_DATABASE = 3 << 29  # bytes; the chart gives the gateway 2 GiB for temporary files
_LISTED_BAD_LINES = 20
_SEARCH_S = 1.0  # how long one request may search
_SEARCH_STEP = 1_000  # rows between two looks at the clock
_REMEMBERED_SEARCHES = 32
_SEPARATOR = "\x1f"  # between texts, so that nothing is found across two of them


class UnavailableError(BackendError):
    """Data that cannot be shown just now: 503. `reason` names the file, but not the folder it lies in."""


class BadLine(Message):
    """A line of a file that is no row, counted from 1, and why; the page shows it, the other rows are there."""

    file: str
    line: int
    message: str


def busy() -> UnavailableError:
    """Too many people look at data at once."""
    return UnavailableError("others look at the data just now", retry_after_s=2)


@dataclass(frozen=True)
class JsonlFile(Generic[R]):
    """A file of the data folder, and what its table holds of a row beside the row itself.

    `key`: what a row is found by. `tag`: what rows are counted and selected by. `texts`: what a search looks at, together
    with the texts of the unseen example that the row belongs to, `example_id` (None: rows belong to no other).
    """

    path: str
    table: str
    record: type[R]
    key: Callable[[R], str]
    tag: Callable[[R], str]
    texts: Callable[[R], tuple[str, ...]]
    example_id: Callable[[R], str] | None = None


@dataclass(frozen=True)
class PageRequest:
    """The rows `offset` to `offset + limit` of those with the tag (any if '') that contain `search` (anything if '')."""

    offset: int
    limit: int
    tag: str
    search: str


@dataclass
class TableState:
    """What a table holds. `stamp` is its file's, None if there is no file; `counts` are the rows of each tag, most first.

    `bad` are the first lines that are no rows, of `bad_count`.
    """

    stamp: FileStamp | None
    counts: dict[str, int] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)
    bad_count: int = 0


@dataclass(frozen=True)
class Page(Generic[R]):
    """Rows with their examples. `total` rows match among the first `searched` of `candidates` rows."""

    rows: list[tuple[R, Example | None]]
    total: int
    searched: int
    candidates: int
    state: TableState


@dataclass
class _Search:
    """How far a search has come: the numbers of the rows that match, up to `position`, are in the table `matches`."""

    id: int
    position: int = 0
    searched: int = 0
    total: int = 0


class JsonlTables:
    """The tables of a data folder's files. `examples` are those that rows belong to. Requests use them one at a time."""

    def __init__(self, data: Path, examples: JsonlFile[Example], patience_s: float) -> None:
        self._data, self._examples, self._patience_s = data, examples, patience_s
        self._lock = threading.Lock()
        self._states: dict[str, TableState] = {}
        self._searches: OrderedDict[tuple[str, str, str], _Search] = OrderedDict()
        self._search_ids = count()
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("CREATE TABLE matches(search, number, PRIMARY KEY (search, number)) WITHOUT ROWID")
        self._database.execute(f"PRAGMA max_page_count = {_LARGEST_DATABASE // 4096}")
        self._table(examples, (), None)

    def close(self) -> None:
        """Gives the space back."""
        with self._lock:
            self._database.close()

    def name(self, file: JsonlFile[Any]) -> str:
        """What people are told of a file's path: the data folder's own name and the path in it."""
        return f"{self._data.name}/{file.path}"

    def page(self, file: JsonlFile[R], request: PageRequest) -> Page[R]:
        """The rows asked for; of a search those found within a second, and the same request again searches on.

        UnavailableError if the file is too large or cannot be read, or if others' requests take too long.
        """
        search = request.search.strip().casefold()
        with self._current(file) as state:
            in_file = sum(state.counts.values())
            with_tag = state.counts.get(request.tag, 0) if request.tag else in_file
            if search:
                progress = self._search(file, request.tag, search)
                rows = self._rows(file, "WHERE number IN (SELECT number FROM matches WHERE search = ?)", [progress.id], request)
                return Page(rows, progress.total, progress.searched, with_tag, state)
            where, values = ("WHERE tag = ?", [request.tag]) if request.tag else ("", [])
            return Page(self._rows(file, where, values, request), with_tag, in_file, in_file, state)

    def find(self, file: JsonlFile[R], key: str) -> list[tuple[R, Example | None]]:
        """The rows of that key with their examples, in the order of the file; UnavailableError as for a page."""
        with self._current(file):
            return self._rows(file, "WHERE key = ?", [key], PageRequest(0, -1, "", ""))

    @contextmanager
    def _current(self, file: JsonlFile[Any]) -> Iterator[TableState]:
        """The database for the block alone, its tables as the files are now."""
        if not self._lock.acquire(timeout=self._patience_s):
            raise busy()
        try:
            if file.example_id is not None:
                self._refresh(self._examples)
            yield self._refresh(file)
        except sqlite3.Error as error:  # the volume for temporary files is full, say
            raise UnavailableError(f"{self.name(file)} cannot be indexed ({error})") from None
        finally:
            self._lock.release()

    def _refresh(self, file: JsonlFile[Any]) -> TableState:
        try:
            with (self._data / file.path).open("rb") as stream:
                stamp = file_stamp(os.fstat(stream.fileno()))
                if stamp.size > _LARGEST_FILE:
                    raise UnavailableError(f"{self.name(file)} has {stamp.size:,} bytes; files up to {_LARGEST_FILE:,} are shown")
                return self._table(file, stream, stamp)
        except FileNotFoundError:
            return self._table(file, (), None)
        except OSError as error:
            raise UnavailableError(f"{self.name(file)} cannot be read ({error.strerror or type(error).__name__})") from None

    def _table(self, file: JsonlFile[Any], lines: Iterable[bytes], stamp: FileStamp | None) -> TableState:
        """The state of the file's table, which is written anew from `lines` if it is of another stamp."""
        state = self._states.get(file.table)
        if state is not None and state.stamp == stamp:
            return state
        table, state = file.table, TableState(stamp)
        self._searches.clear()
        with self._database:
            self._database.execute("BEGIN")
            self._database.execute("DELETE FROM matches")
            self._database.execute(f"DROP TABLE IF EXISTS {table}")
            self._database.execute(f"CREATE TABLE {table}(number INTEGER PRIMARY KEY, key, tag, example_id, texts, line)")
            self._database.executemany(
                f"INSERT INTO {table}(key, tag, example_id, texts, line) VALUES (?, ?, ?, ?, ?)",  # noqa: S608  (a constant)
                self._values(file, lines, state),
            )
            self._database.execute(f"CREATE INDEX {table}_key ON {table}(key)")
            self._database.execute(f"CREATE INDEX {table}_tag ON {table}(tag)")
        state.counts = dict(sorted(state.counts.items(), key=lambda item: -item[1]))
        self._states[table] = state
        return state

    def _values(self, file: JsonlFile[Any], lines: Iterable[bytes], state: TableState) -> Iterator[tuple[Any, ...]]:
        """The table's values for each line that is a row; `state` counts them and those that are none."""
        for number, line in jsonl_lines(lines):
            try:
                row = file.record.model_validate_json(line)
            except ValidationError as error:
                state.bad_count += 1
                if len(state.bad) < _LISTED_BAD_LINES:
                    state.bad.append(BadLine(file=self.name(file), line=number, message=first_problem(error)))
                continue
            tag = file.tag(row)
            state.counts[tag] = state.counts.get(tag, 0) + 1
            example_id = file.example_id(row) if file.example_id is not None else None
            yield file.key(row), tag, example_id, _SEPARATOR.join(file.texts(row)).casefold(), line

    def _rows(self, file: JsonlFile[R], where: str, values: list[Any], request: PageRequest) -> list[tuple[R, Example | None]]:
        lines = self._database.execute(
            f"""SELECT line, (SELECT line FROM {self._examples.table} WHERE key = rows.example_id ORDER BY number LIMIT 1)
            FROM {file.table} AS rows {where} ORDER BY number LIMIT ? OFFSET ?""",  # noqa: S608  (constants)
            [*values, request.limit, request.offset],
        )
        parse, parse_example = file.record.model_validate_json, self._examples.record.model_validate_json
        return [(parse(line), parse_example(example) if example else None) for line, example in lines]

    def _search(self, file: JsonlFile[Any], tag: str, text: str) -> _Search:
        """Searches on from where the search had come, until the end or until time is up; always a little."""
        key = (file.table, tag, text)
        search = self._searches.setdefault(key, _Search(next(self._search_ids)))
        self._searches.move_to_end(key)
        while len(self._searches) > _REMEMBERED_SEARCHES:
            _, oldest = self._searches.popitem(last=False)
            self._database.execute("DELETE FROM matches WHERE search = ?", [oldest.id])
        parameters = {"search": search.id, "text": text, "tag": tag, "step": _SEARCH_STEP}
        next_rows = (
            f"FROM (SELECT * FROM {file.table} WHERE number > :position {'AND tag = :tag' if tag else ''} "  # noqa: S608
            "ORDER BY number LIMIT :step) AS rows"
        )
        example_texts = f"(SELECT texts FROM {self._examples.table} WHERE key = rows.example_id ORDER BY number LIMIT 1)"  # noqa: S608
        advance = f"SELECT count(*), max(number) {next_rows}"
        insert = (
            f"INSERT INTO matches SELECT :search, number {next_rows} WHERE instr(texts, :text) OR instr({example_texts}, :text)"
        )
        end = time.monotonic() + _SEARCH_S
        while True:
            parameters["position"] = search.position
            searched, position = self._database.execute(advance, parameters).fetchone()
            if not searched:
                return search
            search.total += self._database.execute(insert, parameters).rowcount
            search.searched, search.position = search.searched + searched, position
            if time.monotonic() > end:
                return search
