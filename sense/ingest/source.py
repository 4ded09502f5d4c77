"""What every reader of human-written questions gives: rows, and a way to lay a database down."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sense.errors import InputError


@dataclass(frozen=True)
class Row:
    """A question as its author wrote it; `index` is its place among the rows of its split."""

    index: int
    db_id: str
    question: str
    sql: str
    evidence: str = ""
    domain: str = ""


@dataclass(frozen=True)
class Source:
    """The rows of a seeds folder; `dev` is None where the source brings no dev split.

    `place(db_id, folder)` lays `<db_id>.sqlite`, and the test suite beside it if there is one, into `folder`, and says
    whether there is such a database.
    """

    name: str
    seed: tuple[Row, ...]
    dev: tuple[Row, ...] | None
    place: Callable[[str, Path], bool]


def safe_db_id(value: str, where: str) -> str:
    """`value` if it can be the name of a folder; else InputError (a db_id comes from a file and ends in a path)."""
    if value in ("", ".", "..") or any(mark in value for mark in "/\\\0"):
        raise InputError(f"{where}: db_id = {value!r} cannot be the name of a folder; give it a plain name")
    return value


def tidy(sql: str) -> str:
    """A gold as a model should learn to write it: no space around it, no semicolon after it."""
    return sql.strip().rstrip(";").rstrip()


def copy(origin: Path, folder: Path) -> None:
    """Copies every *.sqlite file of a folder byte for byte; modes and times stay behind."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(origin.glob("*.sqlite")):
        shutil.copyfile(file, folder / file.name)
