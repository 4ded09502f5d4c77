"""The vote of several answers to a question: what confirms the gold, and what is hard or ambiguous."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sense.config import ExecutionConfig
from sense.sql.execute import Executor
from sense.teacher.agreement import answer_sql
from sense.teacher.votes import vote

GOLD = "SELECT name FROM pet WHERE age > 3"


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(ExecutionConfig(workers=1)) as running:
        yield running


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database on which `age >= 3` is right by chance, and an instance of its suite on which it is not."""
    folder = tmp_path_factory.mktemp("data") / "pets"
    folder.mkdir()
    for file, ages in (("pets", (2, 4, 5)), ("suite_01", (3, 4, 6))):
        with closing(sqlite3.connect(folder / f"{file}.sqlite")) as connection:
            connection.execute("CREATE TABLE pet (name TEXT, age INTEGER)")
            connection.executemany("INSERT INTO pet VALUES (?, ?)", zip("abc", ages, strict=True))
            connection.commit()
    return folder / "pets.sqlite"


@pytest.mark.parametrize(
    ("answers", "groups", "reason"),
    [
        ([GOLD], (0,), None),
        (["SELECT name FROM pet WHERE NOT age <= 3"], (0,), None),
        (["SELECT name FROM pet WHERE age >= 3"], (1,), "hard"),
        (["SELECT nothing FROM pet"], (-1,), "hard"),
        (["DROP TABLE pet", ""], (-1, -1), "hard"),
        ([GOLD, "SELECT age FROM pet", "SELECT nothing"], (0, 1, -1), None),
        ([GOLD, "SELECT age FROM pet", "SELECT DISTINCT age FROM pet"], (0, 1, 1), "ambiguous"),
        ([GOLD, "SELECT age FROM pet", GOLD, "SELECT age FROM pet"], (0, 1, 0, 1), None),
        (["SELECT age FROM pet", "SELECT name FROM pet", "SELECT 1"], (1, 2, 3), "hard"),
        (["SELECT age FROM pet", "SELECT nothing", "SELECT age FROM pet WHERE 1"], (1, -1, 1), "ambiguous"),
    ],
)
def test_the_gold_needs_a_vote_and_no_other_result_may_have_more(
    executor: Executor, database: Path, answers: list[str], groups: tuple[int, ...], reason: str | None
):
    result = vote(executor, database, GOLD, answers)
    assert (result.groups, result.reason) == (groups, reason)


@pytest.mark.parametrize(
    "text", ['{"sql": "SELECT 1"}', "```sql\nSELECT 1\n```", 'So: {"sql": "```sql\\nSELECT 1\\n```"}', "SELECT 1;"]
)
def test_an_answer_may_have_any_form(text: str):
    assert answer_sql(text).rstrip(";") == "SELECT 1"
