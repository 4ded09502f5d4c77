"""The rows that flow between stages, as JSONL, and the only code that reads and writes files whole.

docs/formats.md describes the formats: one JSON object a line, UTF-8, fields may be added.
A *dataset folder* is `examples.jsonl` beside `databases/<db_id>/<db_id>.sqlite` (Spider's layout).

Writes go to a temporary name beside the target, are flushed to disk and renamed, so a reader never
sees half a file. Reads name file and line of what they refuse.
"""

import hashlib
import json
import math
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from sense.errors import InputError, StorageError
from sense.verdicts import Limit, MismatchKind, VerdictName

Hardness = Literal["easy", "medium", "hard", "extra"]
HARDNESS: tuple[Hardness, ...] = ("easy", "medium", "hard", "extra")


class Record(BaseModel):
    """A frozen row; unknown fields are kept, so a newer writer does not break an older reader."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Example(Record):
    """A question on a database with its gold SQL; `source` says who wrote it (seeds, spider, grammar, llm)."""

    id: str
    db_id: str
    question: str
    sql: str
    source: str
    hardness: Hardness
    evidence: str = ""
    domain: str = ""


class Prediction(Record):
    """A model's SQL for the example of the same id."""

    id: str
    sql: str


class JudgedRow(Record):
    """A row with a verdict: the fields of verdicts.VerdictFields, which says what they mean; a test holds the two together.

    A line of a file has the keys of `first_keys` first, in that order, then the others.
    """

    first_keys: ClassVar[tuple[str, ...]]

    id: str
    correct: bool
    verdict: VerdictName
    detail: str = ""
    vacuous: bool = False
    kind: MismatchKind = ""
    limit: Limit = ""

    @model_serializer(mode="wrap")
    def _in_order(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        return {name: fields[name] for name in self.first_keys if name in fields} | fields


class Verdict(JudgedRow):
    """What happened when the prediction of the same id was executed against the gold, under the scoring mode `mode`."""

    first_keys = ("id", "correct", "verdict", "detail", "vacuous", "mode")

    mode: str = ""
    score: float | None = None


class Sample(JudgedRow):
    """One of k SQL sampled for a question, with its verdict under strict@1; `id` is `<example_id>#<k>`."""

    first_keys = ("id", "example_id", "sql")

    example_id: str
    sql: str


class Pair(Record):
    """A preference pair on one question; `error` is the rejected sample's verdict."""

    id: str
    example_id: str
    chosen: str
    rejected: str
    strategy: str
    error: VerdictName


R = TypeVar("R", bound=Record)
T = TypeVar("T")


def read_jsonl(path: Path, kind: type[R]) -> Iterator[R]:
    """Yields the rows of `path`; raises InputError naming file and line of the first bad one."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; the stage before this one writes it")
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                yield kind.model_validate_json(line)
            except ValidationError as error:
                excerpt = line[:80].decode("utf-8", "replace").rstrip()
                raise InputError(
                    f"{path}, line {number}: not a {kind.__name__} ({first_problem(error)}): {excerpt!r}; mend or delete the line"
                ) from None


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


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` only when the block ends well; StorageError if it can't be written."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); free space or mend permissions, then rerun"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_jsonl(path: Path, rows: Iterable[Record]) -> int:
    """Writes `rows` to `path` atomically; returns how many."""
    count = 0
    with atomic(path) as stream:
        for row in rows:
            stream.write(dump(row).encode() + b"\n")
            count += 1
    return count


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path` atomically, in UTF-8."""
    with atomic(path) as stream:
        stream.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes `value` to `path` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON in `path`; raises InputError naming file, line and column."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None


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


def database_path(dataset: Path, db_id: str) -> Path:
    """Where the database `db_id` of a dataset folder lies."""
    return dataset / "databases" / db_id / f"{db_id}.sqlite"


def read_dataset(dataset: Path) -> list[Example]:
    """The examples of a dataset folder; InputError if a file or a database of theirs is missing."""
    rows = read_rows(dataset / "examples.jsonl", Example)
    for db_id in sorted({row.db_id for row in rows}):
        if not database_path(dataset, db_id).is_file():
            raise InputError(f"{database_path(dataset, db_id)}: no such database, but examples.jsonl asks questions of it")
    return rows


def draw(rows: Sequence[T], limit: int | None, seed: int | str) -> list[T]:
    """At most `limit` of the rows, drawn with `seed`, in their own order; all of them if `limit` is None."""
    if limit is None or limit >= len(rows):
        return list(rows)
    return [rows[index] for index in sorted(random.Random(seed).sample(range(len(rows)), limit))]


def verdict_counts(verdicts: Iterable[VerdictName]) -> dict[str, int]:
    """How often each verdict came, sorted by name, for a metrics file.

    `error` is spelt `sql_error` there: DVC takes a key `error` anywhere in a metrics file for a failure to read the file.
    """
    return dict(sorted(Counter("sql_error" if name == "error" else name for name in verdicts).items()))


def flatten(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested metrics as one mapping, their keys joined with dots, as MLflow and Kubeflow show them."""
    flat: dict[str, Any] = {}
    for key, value in metrics.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def is_number(value: Any) -> bool:
    """Whether a metric can be plotted: an int or a float, not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def finite_numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers among nested metrics, flattened, for Kubeflow: its JSON knows neither NaN nor infinity."""
    return {key: float(value) for key, value in flatten(metrics).items() if is_number(value) and math.isfinite(value)}


def digest(path: Path) -> str:
    """SHA-256 over a file, or over a folder's relative names and contents in sorted order."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    total = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts):
        total.update(f"{file.relative_to(path).as_posix()}\0{digest(file)}\n".encode())
    return total.hexdigest()


def deliver(staged: Path, final: Path) -> None:
    """Moves a finished file or folder to its final name, across file systems too, never half of it."""
    final.parent.mkdir(parents=True, exist_ok=True)
    arriving = final.with_name(f".{final.name}.partial")
    remove(arriving)
    try:
        staged.replace(arriving)
    except OSError:  # another file system: copy beside the target first
        if staged.is_dir():
            shutil.copytree(staged, arriving)
        else:
            shutil.copy2(staged, arriving)
    if not final.is_file():  # a file is replaced in one step, a folder cannot be
        remove(final)
    arriving.replace(final)


def remove(path: Path) -> None:
    """Deletes a file or a folder, if it is there; a kill meanwhile leaves nothing half deleted under its name."""
    going = path.with_name(f".{path.name}.old.partial")
    if going.is_dir():  # of a killed try
        shutil.rmtree(going)
    if path.is_dir() and not path.is_symlink():
        path.replace(going)
        shutil.rmtree(going)
    else:
        path.unlink(missing_ok=True)
