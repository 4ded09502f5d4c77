"""What every reader of human-written questions returns: the questions, and a way to write their databases."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sense.errors import InputError


@dataclass(frozen=True)
class SeedQuestion:
    """A question as its author wrote it; `index` is its position among the questions of its split, counted from 0."""

    index: int
    db_id: str
    question: str
    sql: str
    evidence: str = ""
    domain: str = ""


@dataclass(frozen=True)
class SeedSource:
    """The questions of a seeds folder; `dev` is None if the source has no dev split.

    `write_database(db_id, folder)` writes `<db_id>.sqlite` into `folder`, with the databases of its test suite beside it if
    there are any, and returns whether the source has that database.
    """

    name: str
    seed: tuple[SeedQuestion, ...]
    dev: tuple[SeedQuestion, ...] | None
    write_database: Callable[[str, Path], bool]


def check_db_id(db_id: str, origin: str) -> str:
    """Returns `db_id` if it can be the name of a folder, because paths are made of it; otherwise raises InputError.

    `origin` says in the message where the db_id comes from: a file, or a row of one.
    """
    if db_id in ("", ".", "..") or any(char in db_id for char in "/\\\0"):
        raise InputError(f"{origin}: db_id = {db_id!r} cannot be the name of a folder; give it a plain name")
    return db_id


def copy_databases(origin: Path, folder: Path) -> None:
    """Copies every *.sqlite file in `origin` to `folder` byte for byte; file modes and times are not copied."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(origin.glob("*.sqlite")):
        shutil.copyfile(file, folder / file.name)
