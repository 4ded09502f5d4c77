"""Reads the built-in layout: databases as SQL text, questions as JSONL, and seeds.yaml, which lists those of seed and of dev.

seeds.yaml                   seed: [db_id, ...]   dev: [db_id, ...]   domains: {db_id: name}
<db_id>/schema.sql           CREATE TABLE statements
<db_id>/rows.sql             INSERT statements
<db_id>/questions.jsonl      {"question", "sql"} a line, "evidence" if there is any
"""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from pydantic import Field

from sense import config, records
from sense.errors import InputError
from sense.ingest.source import SeedQuestion, SeedSource, check_db_id
from sense.sql.parse import tidy

MANIFEST = "seeds.yaml"


class SeedsManifest(config.Section):
    """The content of seeds.yaml: the databases of each split, and the domain of each database."""

    seed: list[str]
    dev: list[str]
    domains: dict[str, str] = Field(default_factory=dict)


class Question(records.Record):
    """A line of questions.jsonl."""

    question: str = Field(min_length=1)
    sql: str = Field(min_length=1)
    evidence: str = ""


def read(seeds: Path) -> SeedSource:
    """The questions on the databases that seeds.yaml lists, in its order; InputError or ConfigError names a malformed file."""
    file = seeds / MANIFEST
    manifest: SeedsManifest = config.validate(SeedsManifest, config.parse(records.read_text(file), str(file)), str(file))
    db_ids = [check_db_id(db_id, str(file)) for db_id in (*manifest.seed, *manifest.dev)]
    repeated = sorted({db_id for db_id in db_ids if db_ids.count(db_id) > 1})
    if repeated:
        raise InputError(f"{file}: listed more than once: {', '.join(repeated)}; a database is either seed or dev")
    seed, dev = (_read_split(seeds, split, manifest.domains) for split in (manifest.seed, manifest.dev))
    return SeedSource("builtin", seed, dev, partial(_write_database, seeds))


def _read_split(seeds: Path, db_ids: list[str], domains: dict[str, str]) -> tuple[SeedQuestion, ...]:
    questions: list[SeedQuestion] = []
    for db_id in db_ids:
        for line in records.read_jsonl(_require(seeds / db_id / "questions.jsonl"), Question):
            question = SeedQuestion(
                index=len(questions),
                db_id=db_id,
                question=line.question.strip(),
                sql=tidy(line.sql),
                evidence=line.evidence,
                domain=domains.get(db_id, ""),
            )
            questions.append(question)
    return tuple(questions)


def _write_database(seeds: Path, db_id: str, folder: Path) -> None:
    """Builds the database from its two SQL files; the same text gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / f"{db_id}.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.set_authorizer(_deny_attach)
        for name in ("schema.sql", "rows.sql"):
            file = _require(seeds / db_id / name)
            try:
                connection.executescript(f"BEGIN;\n{records.read_text(file)}\n;COMMIT;")
            except (sqlite3.Error, ValueError) as error:  # ValueError: NUL
                raise InputError(f"{file}: SQLite refuses it ({error}); mend the file") from None
        if connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table'").fetchone() is None:
            raise InputError(f"{seeds / db_id / 'schema.sql'}: it creates no table; mend the file")


def _deny_attach(action: int, *_: str | None) -> int:
    """SQLite's authorizer callback: seeds may come from a stranger, and with ATTACH they could write any file."""
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK


def _require(file: Path) -> Path:
    """Returns `file` if it exists; otherwise raises InputError."""
    if not file.is_file():
        raise InputError(
            f"{file}: no such file, but {MANIFEST} lists {file.parent.name!r}; add the file or take the name off the list"
        )
    return file
