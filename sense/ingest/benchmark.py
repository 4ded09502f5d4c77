"""Reads Spider's and BIRD's official layouts: JSON lists of questions beside folders of databases. They differ in names only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import records
from sense.errors import InputError
from sense.ingest.databases import DatabaseFolders
from sense.ingest.source import SeedQuestion, SeedSource, check_db_id
from sense.sql.parse import tidy


@dataclass(frozen=True)
class BenchmarkSplit:
    """The names of a split's question files and of its folder of databases.

    Not all of the question files must exist; those that do are read in this order.
    """

    question_files: tuple[str, ...]
    database_folder: str


@dataclass(frozen=True)
class BenchmarkLayout:
    """A benchmark's name, the names of its files, and the key of the gold query in its rows."""

    name: str
    sql_key: str
    train: BenchmarkSplit
    dev: BenchmarkSplit


SPIDER = BenchmarkLayout(
    name="spider",
    sql_key="query",
    train=BenchmarkSplit(("train_spider.json", "train_others.json"), "database"),
    dev=BenchmarkSplit(("dev.json",), "database"),
)
BIRD = BenchmarkLayout(
    name="bird",
    sql_key="SQL",
    train=BenchmarkSplit(("train.json",), "train_databases"),
    dev=BenchmarkSplit(("dev.json",), "dev_databases"),
)


def detect_layout(seeds: Path) -> BenchmarkLayout | None:
    """The layout of `seeds`: that of which a folder of databases and a file of questions on them exist; None if neither."""
    for layout in (SPIDER, BIRD):
        for split in (layout.train, layout.dev):
            if (seeds / split.database_folder).is_dir() and existing_question_files(seeds, split):
                return layout
    return None


def existing_question_files(seeds: Path, split: BenchmarkSplit) -> list[Path]:
    """The question files of `split` that exist."""
    return [seeds / name for name in split.question_files if (seeds / name).is_file()]


def read(seeds: Path, layout: BenchmarkLayout) -> SeedSource:
    """All questions of a benchmark. If only one split exists it becomes `seed`, and the stage holds a dev split out of it.

    Raises InputError that names file, row and key of a malformed row, or a question file whose databases are missing.
    """
    train, dev = (_read_split(seeds, split, layout.sql_key) for split in (layout.train, layout.dev))
    folders = sorted({layout.train.database_folder, layout.dev.database_folder}, reverse=True)
    write_database = DatabaseFolders([seeds / folder for folder in folders]).write_database
    if train and dev:
        return SeedSource(layout.name, tuple(train), tuple(dev), write_database)
    return SeedSource(layout.name, tuple(train or dev), None, write_database)


def _read_split(seeds: Path, split: BenchmarkSplit, sql_key: str) -> list[SeedQuestion]:
    questions: list[SeedQuestion] = []
    for file in existing_question_files(seeds, split):
        if not (seeds / split.database_folder).is_dir():
            raise InputError(
                f"{file} is there, its databases are not: unpack {split.database_folder} into {seeds}, or move the file away"
            )
        rows = records.read_json(file)
        if not isinstance(rows, list):
            raise InputError(f"{file}: must hold a list of rows, holds {type(rows).__name__}")
        first = len(questions)
        questions += [_parse_row(row, f"{file}, row {number}", first + number, sql_key) for number, row in enumerate(rows)]
    return questions


def _parse_row(row: Any, origin: str, index: int, sql_key: str) -> SeedQuestion:
    if not isinstance(row, dict):
        raise InputError(f"{origin} (counted from 0): must be an object, is {type(row).__name__}")
    db_id, question, sql = (_required_text(row, key, origin) for key in ("db_id", "question", sql_key))
    evidence = row.get("evidence") or ""
    if not isinstance(evidence, str):
        raise InputError(f"{origin} (counted from 0): 'evidence' must be a string, is {type(evidence).__name__}")
    return SeedQuestion(index, check_db_id(db_id, origin), question.strip(), tidy(sql), evidence.strip())


def _required_text(row: dict[str, Any], key: str, origin: str) -> str:
    if key not in row:
        raise InputError(f"{origin} (counted from 0): the key {key!r} is missing; there are: {', '.join(row) or 'none'}")
    value = row[key]
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{origin} (counted from 0): {key!r} must be a string that is not empty, is {value!r}")
    return value
