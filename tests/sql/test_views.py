"""Views run as the tables under them do, whatever kind of table that is; what has side effects is refused in a view too."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sense.evaluation.score import ScoringItem, score
from sense.records import digest
from sense.sql import modes
from sense.sql.execute import Executor
from sense.sql.result import Failure, Result

TABLES = """
CREATE VIRTUAL TABLE doc USING fts5(title, body);
INSERT INTO doc VALUES ('greeting', 'hello world'), ('farewell', 'bye world');
CREATE VIRTUAL TABLE term USING fts5vocab(doc, row);
CREATE VIRTUAL TABLE stemmed USING fts5(body, content = '', tokenize = 'porter unicode61');
INSERT INTO stemmed(rowid, body) VALUES (7, 'running dogs');
CREATE VIRTUAL TABLE old USING fts4(title, body);
INSERT INTO old SELECT title, body FROM doc;
CREATE VIRTUAL TABLE box USING rtree(id, low, high);
INSERT INTO box VALUES (1, 0, 5), (2, 9, 10);
CREATE TABLE paper (id INTEGER PRIMARY KEY, data TEXT, author TEXT GENERATED ALWAYS AS (data ->> '$.author') VIRTUAL, long TEXT AS
    (upper(data)) STORED);
INSERT INTO paper(id, data) VALUES (1, '{"author": "Ann", "pages": [3, 5]}');
CREATE INDEX paper_author ON paper(author);
CREATE TABLE note(title TEXT, body TEXT);
CREATE TRIGGER note_doc INSTEAD OF INSERT ON full_text BEGIN INSERT INTO doc VALUES (new.title, new.body); END;
"""
VIEWS = [
    ("full_text", "SELECT title, body FROM doc", [("greeting", "hello world"), ("farewell", "bye world")]),
    ("matching", "SELECT title FROM doc WHERE doc MATCH 'hello'", [("greeting",)]),
    ("ranked", "SELECT title FROM doc WHERE doc MATCH 'hello OR bye' ORDER BY bm25(doc), title", [("farewell",), ("greeting",)]),
    ("by_rank", "SELECT title FROM doc WHERE doc MATCH 'bye' ORDER BY rank", [("farewell",)]),
    ("snippets", "SELECT snippet(doc, 1, '[', ']', '', 4) FROM doc WHERE doc MATCH 'bye'", [("[bye] world",)]),
    ("highlights", "SELECT highlight(doc, 1, '<', '>') FROM doc WHERE doc MATCH 'bye'", [("<bye> world",)]),
    ("terms", "SELECT term, doc FROM term WHERE doc > 1", [("world", 2)]),
    ("stems", "SELECT rowid FROM stemmed WHERE stemmed MATCH 'run'", [(7,)]),
    ("old_snippets", "SELECT snippet(old) FROM old WHERE old MATCH 'hello'", [("<b>hello</b> world",)]),
    ("boxes", "SELECT id FROM box WHERE low < 3", [(1,)]),
    ("authors", "SELECT author FROM paper WHERE author = 'Ann'", [("Ann",)]),
    ("json", "SELECT json_extract(data, '$.pages[1]') FROM paper", [(5,)]),
    ("pages", "SELECT value FROM paper, json_each(data, '$.pages')", [(3,), (5,)]),
    ("view_of_views", "SELECT m.title, b.id FROM matching m JOIN boxes b", [("greeting", 1)]),
]
REFUSED = [
    ("extension", "SELECT load_extension('x')"),
    ("tokenizer", "SELECT fts3_tokenizer('simple')"),
    ("tokenizer_of_a_table", "SELECT fts3_tokenizer('simple', x'00') FROM doc"),
    ("merging", "SELECT optimize(old) FROM old"),
    ("settings", "SELECT * FROM pragma_journal_mode"),
    ("schema_of", "SELECT * FROM pragma_table_info('note')"),
    ("pages_of_the_file", "SELECT * FROM sqlite_dbpage"),
    ("file", "SELECT readfile('/etc/hostname')"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "library.sqlite"
    views = "".join(f"CREATE VIEW {name} AS {sql};" for name, sql, *_ in [*VIEWS, *REFUSED])
    first_view, _, rest = views.partition(";")
    with closing(sqlite3.connect(path)) as connection:
        tables, _, trigger = TABLES.partition("CREATE TRIGGER")
        connection.executescript(f"{tables}{first_view};CREATE TRIGGER{trigger}{rest}")
    return path


@pytest.mark.parametrize(("name", "sql", "rows"), VIEWS)
def test_a_view_gives_what_its_query_gives(executor: Executor, library: Path, name: str, sql: str, rows: list[tuple[object]]):
    for query in (f"SELECT * FROM {name}", sql):
        outcome = executor.run(library, query)
        assert isinstance(outcome, Result), (query, outcome)
        assert outcome.rows == rows
    with closing(sqlite3.connect(f"{library.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute(f"SELECT * FROM {name}").fetchall() == rows


@pytest.mark.parametrize(("name", "sql"), REFUSED)
def test_what_has_side_effects_or_reads_files_is_refused_in_a_view_too(executor: Executor, library: Path, name: str, sql: str):
    before = digest(library)
    for query in (f"SELECT * FROM {name}", sql):
        outcome = executor.run(library, query)
        assert isinstance(outcome, Failure), (query, outcome)
        assert outcome.verdict in ("error", "rejected")
    assert digest(library) == before
    assert [file.name for file in library.parent.iterdir()] == [library.name]


@pytest.mark.parametrize("mode", modes.MODES)
def test_a_view_over_a_full_text_table_is_scored(executor: Executor, library: Path, mode: str):
    item = ScoringItem("one", library, "SELECT title FROM matching", "SELECT title FROM doc WHERE body LIKE 'hello%'")
    assert [verdict.verdict for verdict in score(executor, [item], "views", mode)] == ["match"]
