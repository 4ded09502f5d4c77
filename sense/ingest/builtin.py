"""Reads the built-in layout: databases as SQL text, questions as JSONL, and seeds.yaml saying which is seed and which dev.

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
from sense.ingest.source import Row, Source, safe_db_id, tidy

MANIFEST = "seeds.yaml"


class Manifest(config.Section):
    """seeds.yaml."""

    seed: list[str]
    dev: list[str]
    domains: dict[str, str] = Field(default_factory=dict)


class Question(records.Record):
    """A line of questions.jsonl."""

    question: str = Field(min_length=1)
    sql: str = Field(min_length=1)
    evidence: str = ""


def read(seeds: Path) -> Source:
    """The rows that seeds.yaml lists, in its order; InputError or ConfigError names the file that is wrong."""
    file = seeds / MANIFEST
    manifest: Manifest = config.validate(Manifest, config.parse(file.read_text(encoding="utf-8"), str(file)), str(file))
    names = [safe_db_id(db_id, str(file)) for db_id in (*manifest.seed, *manifest.dev)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{file}: listed more than once: {', '.join(twice)}; a database is either seed or dev")
    seed, dev = (_rows(seeds, manifest, db_ids) for db_ids in (manifest.seed, manifest.dev))
    return Source("builtin", seed, dev, partial(_place, seeds))


def _rows(seeds: Path, manifest: Manifest, db_ids: list[str]) -> tuple[Row, ...]:
    rows: list[Row] = []
    for db_id in db_ids:
        for question in records.read_jsonl(_present(seeds / db_id / "questions.jsonl"), Question):
            domain = manifest.domains.get(db_id, "")
            rows.append(Row(len(rows), db_id, question.question.strip(), tidy(question.sql), question.evidence, domain))
    return tuple(rows)


def _place(seeds: Path, db_id: str, folder: Path) -> bool:
    """Builds the database from its two SQL files; the same text gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / f"{db_id}.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.set_authorizer(_no_other_files)
        for name in ("schema.sql", "rows.sql"):
            file = _present(seeds / db_id / name)
            try:
                connection.executescript(f"BEGIN;\n{file.read_text(encoding='utf-8')}\n;COMMIT;")
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise InputError(f"{file}: SQLite refuses it ({error}); mend the file") from None
    return True


def _no_other_files(action: int, *_: str | None) -> int:
    """An authorizer: seeds may come from a stranger, and ATTACH would write anywhere."""
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK


def _present(file: Path) -> Path:
    if not file.is_file():
        raise InputError(
            f"{file}: no such file, but {MANIFEST} lists {file.parent.name!r}; add the file or take the name off the list"
        )
    return file
