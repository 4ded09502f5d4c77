"""Reads Spider's and BIRD's official layouts, which differ only in names: JSON lists beside folders of databases."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sense import records
from sense.errors import InputError
from sense.ingest.source import Row, Source, copy, safe_db_id, tidy


@dataclass(frozen=True)
class Split:
    """The question files of a split, those of them that are there are read in this order, and its databases' folder."""

    files: tuple[str, ...]
    databases: str


@dataclass(frozen=True)
class Layout:
    """A benchmark's names; `sql` is the key of the gold in its rows."""

    name: str
    sql: str
    train: Split
    dev: Split


SPIDER = Layout(
    "spider", "query", Split(("train_spider.json", "train_others.json"), "database"), Split(("dev.json",), "database")
)
BIRD = Layout("bird", "SQL", Split(("train.json",), "train_databases"), Split(("dev.json",), "dev_databases"))


def detect(seeds: Path) -> Layout | None:
    """The layout that `seeds` has: a folder of databases and a file of questions on them; None if neither fits."""
    for layout in (SPIDER, BIRD):
        if any((seeds / split.databases).is_dir() and present(seeds, split) for split in (layout.train, layout.dev)):
            return layout
    return None


def present(seeds: Path, split: Split) -> list[Path]:
    """The question files of `split` that are there."""
    return [seeds / name for name in split.files if (seeds / name).is_file()]


def read(seeds: Path, layout: Layout) -> Source:
    """All rows of a benchmark; a lone split is returned as `seed`, its dev to be held out of it.

    Raises InputError naming file, row and key of what is malformed, and a question file without its databases.
    """
    train, dev = (_rows(seeds, split, layout.sql) for split in (layout.train, layout.dev))
    folders = sorted({layout.train.databases, layout.dev.databases}, reverse=True)
    place = partial(_place, [seeds / folder for folder in folders])
    if train and dev:
        return Source(layout.name, tuple(train), tuple(dev), place)
    return Source(layout.name, tuple(train or dev), None, place)


def _place(origins: list[Path], db_id: str, folder: Path) -> bool:
    for origin in origins:
        if (origin / db_id / f"{db_id}.sqlite").is_file():
            copy(origin / db_id, folder)
            return True
    return False


def _rows(seeds: Path, split: Split, sql: str) -> list[Row]:
    rows: list[Row] = []
    for file in present(seeds, split):
        if not (seeds / split.databases).is_dir():
            raise InputError(
                f"{file} is there, its databases are not: unpack {split.databases} into {seeds}, or move the file away"
            )
        values = records.read_json(file)
        if not isinstance(values, list):
            raise InputError(f"{file}: must hold a list of rows, holds {type(values).__name__}")
        rows += [_row(value, f"{file}, row {number}", len(rows) + number, sql) for number, value in enumerate(values)]
    return rows


def _row(value: Any, where: str, index: int, sql: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{where} (counted from 0): must be an object, is {type(value).__name__}")
    text = {key: _text(value, key, where) for key in ("db_id", "question", sql)}
    evidence = value.get("evidence") or ""
    if not isinstance(evidence, str):
        raise InputError(f"{where} (counted from 0): 'evidence' must be a string, is {type(evidence).__name__}")
    db_id = safe_db_id(text["db_id"], where)
    return Row(index, db_id, text["question"].strip(), tidy(text[sql]), evidence.strip())


def _text(value: dict[str, Any], key: str, where: str) -> str:
    if key not in value:
        raise InputError(f"{where} (counted from 0): the key {key!r} is missing; there are: {', '.join(value) or 'none'}")
    found = value[key]
    if not isinstance(found, str) or not found.strip():
        raise InputError(f"{where} (counted from 0): {key!r} must be a string that is not empty, is {found!r}")
    return found
