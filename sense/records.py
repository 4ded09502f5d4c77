"""The rows that flow between stages, as JSONL, and the only code that reads and writes files whole.

docs/formats.md describes the formats: one JSON object a line, UTF-8, fields may be added.
A *dataset folder* is `examples.jsonl` beside `databases/<db_id>/<db_id>.sqlite` (Spider's layout).

Writes go to a temporary name beside the target, are flushed to disk and renamed, so a reader never
sees half a file. Reads name file and line of what they refuse. People's files come from any program: a byte order mark
and the ends of lines and files of other systems are read over, and what is no text in UTF-8 is called what it is.
"""

import codecs
import errno
import hashlib
import json
import math
import os
import random
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from sense.errors import InputError, StorageError
from sense.verdicts import ErrorClass, Limit, MismatchKind, VerdictName

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
    """A model's SQL for the example of the same id; `rejected` says why the model was not asked, if it was not."""

    id: str
    sql: str
    rejected: str = Field(default="", exclude_if=lambda reason: not reason)


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
    instance: str = Field(default="", exclude_if=lambda name: not name)
    left_out: int = Field(default=0, exclude_if=lambda n: not n)

    @property
    def ex(self) -> bool:
        """Whether the prediction is right on the main database, which is what EX counts; `correct` counts all of a test suite."""
        return self.correct or self.instance != ""

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
    """One of k SQL sampled for a question, with its verdict under strict-ts@1; `id` is `<example_id>#<k>`."""

    first_keys = ("id", "example_id", "sql")

    example_id: str
    sql: str


class Pair(Record):
    """A preference pair on one question; `error` is the rejected answer's verdict, `error_class` what is wrong with it.

    `source` says whether the rejected answer is a model's sample, or a mutant of the gold; `chosen_source` whether the chosen one
    is a sample or the gold, empty if nobody recorded it.
    """

    id: str
    example_id: str
    chosen: str
    rejected: str
    strategy: str
    error: VerdictName
    error_class: ErrorClass | Literal[""] = ""
    source: Literal["sample", "mutant"] = "sample"
    chosen_source: Literal["sample", "gold", ""] = ""


R = TypeVar("R", bound=Record)
T = TypeVar("T")


_END_OF_DOS_FILE = b"\x1a"  # Ctrl-Z
_TO_UTF8 = "save it as UTF-8: iconv -f {} -t UTF-8"
_MARKS = (  # the longer ones first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# Where the first four bytes are NUL in a text that begins with two ASCII characters and has no mark.
_NULS: dict[tuple[bool, ...], str] = {
    (False, True, False, True): "UTF-16LE",
    (True, False, True, False): "UTF-16BE",
    (False, True, True, True): "UTF-32LE",
    (True, True, True, False): "UTF-32BE",
}
_NO_TEXT = (
    (b"\x1f\x8b", "it is compressed with gzip; unpack it: gunzip"),
    (b"BZh91AY&SY", "it is compressed with bzip2; unpack it: bunzip2"),
    (b"\xfd7zXZ\0", "it is compressed with xz; unpack it: unxz"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with Zstandard; unpack it: unzstd"),
    (b"PK\x03\x04", "it is a zip archive, as .xlsx files are too; unpack it, or export a text file"),
    (b"PAR1", "it is a Parquet file; write its rows as JSON, one object a line"),
    (b"SQLite format 3\0", "it is a SQLite database; name the text file"),
    (b"version https://git-lfs", "it is a pointer of Git LFS in place of the file; fetch the file: git lfs pull"),
)
_WEB_PAGE = re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def foreign_content(head: bytes) -> str:
    """What a file is, by its first bytes, that is packed, a pointer or a web page, and what mends that; '' for all else."""
    if _WEB_PAGE.match(head):
        return "it is a web page; download the file itself (on GitHub: Raw)"
    return next((message for signature, message in _NO_TEXT if head.startswith(signature)), "")


def _check_is_text(path: Path, head: bytes) -> None:
    """InputError that says what the file is, if its first bytes are not those of a text in UTF-8."""
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    encoding = encoding or _NULS.get(tuple(byte == 0 for byte in head[:4]))
    if encoding:
        raise InputError(
            f"{path}: its text is {encoding}, as some programs of Windows save it (PowerShell with >); "
            + _TO_UTF8.format(encoding)
        )
    message = foreign_content(head)
    if message:
        raise InputError(f"{path}: {message}")


def _check_is_utf8(path: Path, content: bytes, first_line: int = 1) -> None:
    """InputError that names line and byte of what is not UTF-8; `content` begins with the line of that number."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, byte = first_line + before.count(b"\n"), error.start - before.rfind(b"\n")
        raise InputError(
            f"{path}, line {line}, byte {byte}: 0x{content[error.start]:02x} is not UTF-8, but may be Windows-1252 or Latin-1; "
            + _TO_UTF8.format("WINDOWS-1252")
        ) from None


def read_text(path: Path) -> str:
    """The text of a file that a person wrote, with the ends of lines as \\n; OSError, or InputError if it is not UTF-8."""
    content = path.read_bytes()
    _check_is_text(path, content)
    content = content.removeprefix(codecs.BOM_UTF8).removesuffix(_END_OF_DOS_FILE)
    _check_is_utf8(path, content)
    return content.decode().replace("\r\n", "\n").replace("\r", "\n")


def jsonl_lines(stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines of a JSONL file with their numbers from 1; without empty ones, byte order marks, and the end mark of DOS.

    Files that were joined have a mark in the middle too.
    """
    for number, line in enumerate(stream, start=1):
        content = line.removeprefix(codecs.BOM_UTF8).rstrip(b" \t\r\n" + _END_OF_DOS_FILE)
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
        _check_is_text(path, stream.read(512))
        stream.seek(0)
        yield from parse_jsonl(path, stream, kind)


def parse_jsonl(path: Path, lines: Iterable[bytes], kind: type[R]) -> Iterator[tuple[int, R]]:
    """Yields the rows in `lines`, which are of `path`, with their numbers; raises InputError as `read_jsonl` does."""
    for number, line in jsonl_lines(lines):
        try:
            yield number, kind.model_validate_json(line)
        except ValidationError as error:
            _check_is_utf8(path, line, number)
            _check_surrogates(line.decode(), f"{path}, line {number}")
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


@contextmanager
def atomic(path: Path, durable: bool = True) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` only when the block ends well; StorageError if it can't be written.

    Without `durable` it does not wait for the disk: for many files that are soon replaced, and all written again by a rerun.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            if durable:
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


def write_first(path: Path, content: bytes) -> bool:
    """Writes `path`, whole or not at all, unless it is there: of several processes that write it at once, the first wins.

    Returns whether this was the first one. Raises StorageError if it cannot be written. Where a file system has no hard links,
    the last one wins.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        try:
            with _create(temporary) as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            _link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); free space or mend permissions, then rerun"
        ) from error
    return True


def _create(path: Path) -> IO[bytes]:
    """Opens a new file, in a new folder if need be."""
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def _link(source: Path, target: Path) -> None:
    """Gives a file a second name; where the file system knows no hard links, another one."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        source.replace(target)


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
    _check_surrogates(text, str(path), value)
    return value


def _check_surrogates(text: str, where: str, value: Any = None) -> None:
    """InputError that names the place, if a text in JSON holds half of a surrogate pair; `value` is the JSON, if it is parsed."""
    if not _SURROGATE_ESCAPE.search(text):
        return
    try:
        place = find_surrogate(json.loads(text) if value is None else value)
    except (ValueError, RecursionError):
        return
    if place is not None:
        name = place.removeprefix(".") or "its text"
        raise InputError(
            f"{where}: {name} holds half of a surrogate pair, as a cut through an emoji leaves it; that is no character: "
            "delete its \\u escape (places in lists are counted from 0)"
        )


def find_surrogate(value: Any) -> str | None:
    """Where in the values of JSON the first text stands that UTF-8 cannot hold (`[3].question`); None if there is none.

    JSON can spell half of a surrogate pair (`"\\ud83d"`), and no file can be written with it.
    """
    if isinstance(value, str):
        return "" if _SURROGATE.search(value) else None
    items: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        if any(_SURROGATE.search(str(key)) for key in value):
            return ".(a key)"
        items = ((f".{key}", item) for key, item in value.items())
    elif isinstance(value, list):
        items = ((f"[{index}]", item) for index, item in enumerate(value))
    for name, item in items:
        place = find_surrogate(item)
        if place is not None:
            return f"{name}{place}"
    return None


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
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return combine_digests((file.relative_to(path).as_posix(), digest(file)) for file in files)


def combine_digests(files: Iterable[tuple[str, str]]) -> str:
    """The digest of a folder from the relative names and digests of its files, which are sorted as paths."""
    total = hashlib.sha256()
    for name, value in files:
        total.update(f"{name}\0{value}\n".encode())
    return total.hexdigest()


def revision(path: Path) -> str:
    """The md5 by which DVC names a file, or a folder's relative names and contents: that ends with `.dir`."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    listing = json.dumps([{"md5": revision(files[name]), "relpath": name} for name in sorted(files)])
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"


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
