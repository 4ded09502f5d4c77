"""What every reader of human-written questions returns: the questions, and a way to write their databases."""

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
class UnusableDatabase:
    """Why a database cannot be used: `reason` is what questions are counted by, `detail` names the file, `fix` mends it."""

    reason: str
    detail: str
    fix: str


@dataclass(frozen=True)
class SeedSource:
    """The questions of a seeds folder; `dev` is None if the source has no dev split.

    `write_database(db_id, folder)` writes `<db_id>.sqlite` into `folder`, with the databases of its test suite beside it if
    there are any, or returns why that cannot be done. With `held_out_by_skeleton` the questions are on few databases, perhaps on
    one: dev gets SQL of its own then, not databases.
    """

    name: str
    seed: tuple[SeedQuestion, ...]
    dev: tuple[SeedQuestion, ...] | None
    write_database: Callable[[str, Path], UnusableDatabase | None]
    held_out_by_skeleton: bool = False


def check_db_id(db_id: str, origin: str) -> str:
    """Returns `db_id` if it can be the name of a folder, because paths are made of it; otherwise raises InputError.

    `origin` says in the message where the db_id comes from: a file, or a row of one.
    """
    if db_id in ("", ".", "..") or any(char in db_id for char in "/\\\0"):
        raise InputError(f"{origin}: db_id = {db_id!r} cannot be the name of a folder; give it a plain name")
    return db_id
