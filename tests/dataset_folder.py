"""A small dataset folder for a test: one database, made by statements of SQL, and questions on it."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from sense import records
from sense.records import Example


def write_dataset(folder: Path, db_id: str, statements: str, questions: Mapping[str, tuple[str, str]]) -> Path:
    """Makes the dataset folder `folder`; `questions` maps ids to a question and its gold. Returns the folder."""
    database = records.database_path(folder, db_id)
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(statements)
    rows = [
        Example(id=key, db_id=db_id, question=question, sql=sql, source="test", hardness="easy")
        for key, (question, sql) in questions.items()
    ]
    records.write_jsonl(folder / "examples.jsonl", rows)
    return folder
