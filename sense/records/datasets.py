"""Dataset folders: `examples.jsonl` beside `databases/<db_id>/<db_id>.sqlite`, as Spider lays them out."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from sense.errors import InputError
from sense.records.json_files import read_rows
from sense.records.rows import Example

T = TypeVar("T")


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
