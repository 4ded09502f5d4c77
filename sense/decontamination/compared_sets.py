"""The sets that are compared: dataset folders, questions in any layout that ingest reads, and files of questions."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sense import ingest, records
from sense.decontamination.forms import schema_names, schema_shape
from sense.errors import InputError
from sense.records import Example, Record
from sense.schema import Schema, introspect

_QUESTION_KEYS, _SQL_KEYS = ("question", "utterance"), ("sql", "query", "SQL")
_FORMATS = "a dataset folder, a folder of questions in a layout that ingest reads, or a .json or .jsonl file of questions"


class ComparedRow(Record):
    """A question with its SQL, on the database `db_id`."""

    id: str
    db_id: str
    question: str
    sql: str


@dataclass(frozen=True)
class ComparedSet:
    """The rows of a set and the schemas of their databases; a file of questions has no schemas."""

    name: str
    rows: Sequence[ComparedRow]
    schemas: Mapping[str, Schema]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that is compared: rows and schemas. The set has it under any name and in any place."""
        total = hashlib.sha256()
        for row in self.rows:
            total.update(json.dumps([row.id, row.db_id, row.question, row.sql]).encode() + b"\n")
        for db_id, schema in sorted(self.schemas.items()):
            total.update(json.dumps([db_id, sorted(schema_names(schema)), schema_shape(schema)]).encode() + b"\n")
        return total.hexdigest()


def of_examples(name: str, examples: Iterable[Example], database: Callable[[str], Path]) -> ComparedSet:
    """Examples as a set; `database` gives the file of a db_id."""
    rows = [ComparedRow(id=row.id, db_id=row.db_id, question=row.question, sql=row.sql) for row in examples]
    return ComparedSet(name, rows, {db_id: introspect(database(db_id)) for db_id in sorted({row.db_id for row in rows})})


def read_dataset(name: str, folder: Path) -> ComparedSet:
    """A dataset folder as a set."""
    return of_examples(name, records.read_dataset(folder), lambda db_id: records.database_path(folder, db_id))


def read_set(path: Path) -> ComparedSet:
    """The set at `path`, named by it. Of a benchmark with a dev split that is compared, of another all its questions.

    Raises InputError if nothing of the kind is there.
    """
    name = path.as_posix()
    if (path / "examples.jsonl").is_file():
        return read_dataset(name, path)
    if path.is_dir():
        return _read_seeds(name, path)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; name {_FORMATS}")
    return ComparedSet(name, _read_file(path), {})


def _read_seeds(name: str, folder: Path) -> ComparedSet:
    source = ingest.read_seeds(folder)
    questions = source.seed if source.dev is None else source.dev
    rows = [
        ComparedRow(id=str(question.index), db_id=question.db_id, question=question.question, sql=question.sql)
        for question in questions
    ]
    schemas = {}
    for db_id in sorted({row.db_id for row in rows}):
        with tempfile.TemporaryDirectory() as copies:
            if source.write_database(db_id, Path(copies)) is None:  # else ingest drops its questions, and says why
                schemas[db_id] = introspect(Path(copies) / f"{db_id}.sqlite")
    return ComparedSet(name, rows, schemas)


def _read_file(path: Path) -> list[ComparedRow]:
    """The rows of a file; ids are those of the rows, or their numbers from 0."""
    if path.suffix == ".jsonl":
        values: Any = [row.model_dump() for row in records.read_jsonl(path, Record)]
    else:
        values = records.read_json(path)
    if not isinstance(values, list):
        raise InputError(f"{path}: must hold a list of questions, holds {type(values).__name__}")
    return [_parse_row(value, number, path) for number, value in enumerate(values)]


def _parse_row(value: Any, number: int, path: Path) -> ComparedRow:
    if not isinstance(value, dict):
        raise InputError(f"{path}, row {number} (counted from 0): must be an object, is {type(value).__name__}")
    question, sql = (
        next((value[key] for key in keys if isinstance(value.get(key), str)), None) for keys in (_QUESTION_KEYS, _SQL_KEYS)
    )
    if question is None or sql is None:
        raise InputError(
            f"{path}, row {number} (counted from 0): must have texts under {' or '.join(_QUESTION_KEYS)} and under "
            f"{' or '.join(_SQL_KEYS)}; it has: {', '.join(map(str, value)) or 'nothing'}"
        )
    return ComparedRow(id=str(value.get("id", number)), db_id=str(value.get("db_id", "")), question=question, sql=sql)
