"""A small database that the tests of this folder share."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sense.config import ExecutionConfig
from sense.sql.execute import Executor

SCRIPT = """
CREATE TABLE owner(id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE pet(id INTEGER PRIMARY KEY, name TEXT, kind TEXT, weight REAL, owner_id INTEGER REFERENCES owner(id));
INSERT INTO owner VALUES (1, 'Ann'), (2, 'Bob');
INSERT INTO pet VALUES (1, 'Rex', 'dog', 30.5, 1), (2, 'Tom', 'cat', 4.0, 1), (3, 'Kit', 'cat', 3.5, 2),
    (4, 'Ace', NULL, NULL, NULL);
"""


@pytest.fixture(scope="session")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("databases") / "pets #1?.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCRIPT)
    return path


@pytest.fixture(scope="session")
def executor() -> Iterator[Executor]:
    with Executor(ExecutionConfig(timeout_s=5, max_rows=100, max_bytes=10_000, max_steps=1_000_000, workers=2)) as running:
        yield running
