"""A statement was cut at a blank line inside it, and what was left ran and answered another question.

Reports: supabase-community/postgres-language-server #372 (formatters put blank lines between CTEs), vanna-ai/vanna #751 (queries
of several CTEs are extracted in part). Right is the result of the whole statement.
"""

import sqlite3
from contextlib import closing

import pytest

from tests.serving.model_server import ModelServer
from tests.serving.running import Running, settings

CREW = """
CREATE TABLE crew(id INTEGER PRIMARY KEY, name TEXT, born INT, ship TEXT);
INSERT INTO crew VALUES (1, 'Una', 1990, 'A'), (2, 'Bo', 1996, 'B'), (3, 'Kim', 1977, 'A'), (4, 'Lea', 1996, 'B');
"""


@pytest.fixture
def answer(tmp_path):
    """Asks a gateway on a database of four people, whose model writes the completion."""
    (tmp_path / "crew").mkdir()
    with closing(sqlite3.connect(tmp_path / "crew" / "crew.sqlite")) as connection:
        connection.executescript(CREW)

    def ask(completion):
        with ModelServer(write=lambda body, index: completion) as model, Running(settings(model.url, tmp_path)) as gateway:
            return gateway.ask("Who?", database="crew").json()

    return ask


@pytest.mark.parametrize(
    ("completion", "rows"),
    [
        (
            " WITH old AS (\n  SELECT id FROM crew WHERE born < 1995\n),\n\n"
            "named AS (\n  SELECT c.name FROM crew c JOIN old o ON o.id = c.id\n)\n\nSELECT count(*) FROM named",
            [[2]],
        ),
        (" SELECT count(*)\n\nAS people\n\nFROM crew", [[4]]),
        (" SELECT name FROM crew ORDER BY born\n\nDESC, name\n\nLIMIT 1", [["Bo"]]),
        (" SELECT name FROM crew WHERE id\n\nIN (2, 4)", [["Bo"], ["Lea"]]),
        (" SELECT name FROM crew WHERE born\n\nBETWEEN 1980\n\nAND 1995", [["Una"]]),
        (" SELECT name,\n\n       born\nFROM crew WHERE id = 3", [["Kim", 1977]]),
        (" SELECT CASE\n\nWHEN born > 1990 THEN 'young'\n\nELSE 'old'\n\nEND FROM crew WHERE id = 1", [["old"]]),
        (" SELECT name FROM crew WHERE born < 1980\n\nThis is the eldest.", [["Kim"]]),
    ],
)
def test_the_whole_statement_answers(answer, completion, rows):
    assert answer(completion)["rows"] == rows
