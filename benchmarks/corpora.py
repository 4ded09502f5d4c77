"""What `benchmarks.synthesis` measures: questions with SQL on databases, of whatever origin."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sqlglot import exp

from benchmarks.structures import without_quoted_values
from sense import ingest, records
from sense.records import Hardness
from sense.sql.hardness import hardness
from sense.sql.parse import tidy
from sense.sql.tree import parse_query

SPLITS = ("strong", "unseen", "heldout")


@dataclass(frozen=True)
class Row:
    """A question with its SQL; `columns` are those of each table of its database, `split` is one of SPLITS or empty."""

    question: str
    sql: str
    db_id: str
    columns: Mapping[str, list[str]] = field(repr=False)
    evidence: str = ""
    domain: str = ""
    split: str = ""

    @cached_property
    def tree(self) -> exp.Query | None:
        """The SQL's tree, texts in double quotes as texts; None if it cannot be parsed."""
        tree = parse_query(self.sql)
        return tree if tree is None else without_quoted_values(tree, self.columns)

    @cached_property
    def hardness(self) -> Hardness:
        return hardness(self.sql)


@dataclass(frozen=True)
class Corpus:
    """Rows and their databases, by db_id, all of which are asked about."""

    name: str
    rows: list[Row]
    databases: dict[str, Path]

    def first(self, count: int) -> "Corpus":
        """The first `count` rows with their databases."""
        rows = self.rows[:count]
        db_ids = {row.db_id for row in rows}
        return Corpus(self.name, rows, {db_id: file for db_id, file in self.databases.items() if db_id in db_ids})


def open_readonly(database: Path) -> sqlite3.Connection:
    """A connection that cannot write; what is no UTF-8 is read with replacement characters."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    connection.text_factory = lambda data: data.decode(errors="replace")
    return connection


def table_columns(database: Path) -> dict[str, list[str]]:
    """Table -> its columns."""
    with closing(open_readonly(database)) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            )
        ]
        return {name: [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))] for name in names}


def read_data(data: Path, name: str) -> Corpus:
    """The folders strong, unseen and heldout in `data`, as `sense synthesize` writes them, the rows in the order of their ids."""
    rows: list[tuple[str, Row]] = []
    databases: dict[str, Path] = {}
    for split in SPLITS:
        examples = records.read_dataset(data / split)
        files = {db_id: records.database_path(data / split, db_id) for db_id in sorted({example.db_id for example in examples})}
        columns = {db_id: table_columns(file) for db_id, file in files.items()}
        databases |= files
        for example in examples:
            row = Row(
                example.question, example.sql, example.db_id, columns[example.db_id], example.evidence, example.domain, split
            )
            rows.append((example.id, row))
    return Corpus(name, [row for _, row in sorted(rows, key=lambda pair: pair[0])], databases)


def read_questions(seeds: Path, name: str, folder: Path) -> Corpus:
    """Human-written questions in one of the layouts that `ingest` reads; their databases are written to `folder`."""
    source = ingest.read_seeds(seeds)
    questions = [*source.seed, *(source.dev or ())]
    databases: dict[str, Path] = {}
    for db_id in _sorted(question.db_id for question in questions):
        if source.write_database(db_id, folder / db_id) is None:
            databases[db_id] = folder / db_id / f"{db_id}.sqlite"
    columns = {db_id: table_columns(file) for db_id, file in databases.items()}
    rows = [
        Row(question.question, tidy(question.sql), question.db_id, columns[question.db_id], question.evidence, question.domain)
        for question in questions
        if question.db_id in databases
    ]
    return Corpus(name, rows, databases)


def _sorted(db_ids: Iterable[str]) -> list[str]:
    return sorted(set(db_ids))
