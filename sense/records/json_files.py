"""JSON and JSONL, read and written: one object a line, in UTF-8. What is refused is named by its file and line."""

import codecs
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from sense.errors import InputError, StorageError
from sense.records.rows import Record
from sense.records.storage import atomic, write_text
from sense.records.surrogates import check_surrogates
from sense.records.text_files import END_OF_DOS_FILE, check_is_text, check_is_utf8, read_text

R = TypeVar("R", bound=Record)


def jsonl_lines(stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines of a JSONL file with their numbers from 1; without empty ones, byte order marks, and the end mark of DOS.

    Files that were joined have a mark in the middle too.
    """
    for number, line in enumerate(stream, start=1):
        content = line.removeprefix(codecs.BOM_UTF8).rstrip(b" \t\r\n" + END_OF_DOS_FILE)
        if content:
            yield number, content


def read_jsonl(path: Path, kind: type[R]) -> Iterator[R]:
    """Yields the rows of `path`; raises InputError naming file and line of the first bad one."""
    return (row for _, row in read_numbered_jsonl(path, kind))


def read_numbered_jsonl(path: Path, kind: type[R]) -> Iterator[tuple[int, R]]:
    """Yields the rows of `path` with the numbers of their lines, from 1; raises InputError as `read_jsonl` does."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; the stage before this one writes it")
    with path.open("rb") as stream:
        check_is_text(path, stream.read(512))
        stream.seek(0)
        yield from parse_jsonl(path, stream, kind)


def parse_jsonl(path: Path, lines: Iterable[bytes], kind: type[R]) -> Iterator[tuple[int, R]]:
    """Yields the rows in `lines`, which are of `path`, with their numbers; raises InputError as `read_jsonl` does."""
    for number, line in jsonl_lines(lines):
        try:
            yield number, kind.model_validate_json(line)
        except ValidationError as error:
            check_is_utf8(path, line, number)
            check_surrogates(line.decode(), f"{path}, line {number}")
            excerpt = line[:80].decode("utf-8", "replace")
            raise InputError(
                f"{path}, line {number}: not a {kind.__name__} ({first_problem(error)}): {excerpt!r}; "
                + _fix_of_line(line, first_problem(error))
            ) from None


def _fix_of_line(line: bytes, problem: str) -> str:
    """What to do about a line that is no row."""
    if b"\r" in line:
        return "its lines end with CR alone, as on old Macs; end them with LF"
    if b"\0" in line:
        return "it holds NUL bytes, as after a crash or on a full disk; write the file again"
    if line.startswith(b"["):
        return "JSONL has one object a line, and no list around them (jq -c '.[]')"
    if "EOF while parsing" in problem:
        return "mend or delete the line; an object must end on the line on which it begins (jq -c .)"
    return "mend or delete the line"


def first_problem(error: ValidationError) -> str:
    """Where the first fault of a row is, and what it is."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else problem["msg"]


def read_rows(path: Path, kind: type[R]) -> list[R]:
    """The rows of `path` as a list whose ids are all different; raises InputError on a repeated id."""
    rows = list(read_jsonl(path, kind))
    ids: set[str] = set()
    for row in rows:
        key = str(getattr(row, "id"))  # noqa: B009  (Record itself has no id; every kind of row does)
        if key in ids:
            raise InputError(f"{path}: the id {key!r} occurs twice; ids join the files, make them unique")
        ids.add(key)
    return rows


def dump(row: Record) -> str:
    """One line of JSONL, without its newline; the same row always gives the same bytes."""
    return json.dumps(row.model_dump(), ensure_ascii=False)


def write_jsonl(path: Path, rows: Iterable[Record]) -> int:
    """Writes `rows` to `path` atomically; returns how many."""
    count = 0
    with atomic(path) as stream:
        for row in rows:
            stream.write(dump(row).encode() + b"\n")
            count += 1
    return count


def write_json(path: Path, value: Any) -> None:
    """Writes `value` to `path` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON in `path`; raises InputError naming file, line and column, or the place of a text that UTF-8 cannot hold."""
    try:
        text = read_text(path)
        value = json.loads(text)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    check_surrogates(text, str(path), value)
    return value


class Log:
    """An append-only JSONL file that a killed stage reads back: whole lines stay, an incomplete last line is cut off."""

    def __init__(self, path: Path, kind: type[R]) -> None:
        self.path = path
        self.rows: list[Any] = []
        if path.exists():
            content = path.read_bytes()
            whole_lines = content[: content.rfind(b"\n") + 1]
            os.truncate(path, len(whole_lines))
            self.rows = list(read_jsonl(path, kind))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("ab")

    def append(self, rows: Iterable[Record]) -> None:
        """Appends `rows` and flushes them; StorageError if the disk is full."""
        added = list(rows)
        try:
            self._stream.write(b"".join(dump(row).encode() + b"\n" for row in added))
            self._stream.flush()
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written ({error.strerror or error}); free space, then rerun") from error
        self.rows.extend(added)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
