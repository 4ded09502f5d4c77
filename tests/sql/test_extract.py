"""The SQL of a completion comes back whole, however models write it; SQL that is wrong is not cut until it runs."""

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sense.sql.extract import extract, without_thoughts
from sense.sql.parse import MAX_LENGTH, tokens
from tests.sql.completions import NAMES, STATEMENTS, completion, misspell, reformat, without_layout

SPIDER = Path(__file__).parents[3] / "shared" / "spider"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_statement_comes_back_whole(name, sql):
    """Once as it was written, five times laid out at random: with blank lines, comments and other capitals."""
    rng = Random(f"{name} {sql}")
    for layout in [sql, *(reformat(sql, rng) for _ in range(5))]:
        assert without_layout(extract(completion(name, layout))) == without_layout(layout), completion(name, layout)


@pytest.mark.spider
def test_every_gold_of_spider_comes_back_whole():
    """Each of the 3,776 different golds in three of the completions."""
    if not SPIDER.is_dir():
        pytest.skip(f"no Spider training set at {SPIDER}")
    golds = sorted({row["query"].strip(" ;\n\t") for row in json.loads((SPIDER / "train_spider.json").read_text())})
    rng = Random(0)
    for number, gold in enumerate(golds):
        layout = reformat(gold, rng) if number % 3 else gold
        for name in rng.sample(NAMES, 3):
            assert without_layout(extract(completion(name, layout))) == without_layout(layout), completion(name, layout)


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_misspelt_statement_does_not_become_another(sql):
    rng = Random(sql)
    for _ in range(20):
        wrong = misspell(sql, rng)
        for name in (
            "bare",
            "fence",
            "fence and prose",
            "prose behind",
            "table behind",
            "draft before",
            "other way behind",
            "JSON",
        ):
            extracted = without_layout(extract(completion(name, wrong)))
            assert extracted.startswith(without_layout(wrong)), completion(name, wrong)


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("  select a from t ;\n", "select a from t"),
        ("SELECT 1\n```\nThe end of SELECT", "SELECT 1"),
        ("```python\nprint(1)\n```\nSQL: SELECT 1", "SELECT 1"),
        ("We SELECT nothing here.\n```\nSELECT 1\n```", "SELECT 1"),
        ("To select names, run SELECT name FROM pets.", "SELECT name FROM pets"),
        ("SELECT name FROM pets. It lists all.", "SELECT name FROM pets"),
        ('The query is "SELECT "a" FROM t" and no other.', 'SELECT "a" FROM t'),
        ("SELECT a; DROP TABLE t; SELECT b", "SELECT a"),
        ("SELECT a FROM t WHERE b > 40.", "SELECT a FROM t WHERE b > 40"),
        ("SELECT t.a FROM t\n\nExplanation\n\nIt lists all of them.", "SELECT t.a FROM t"),
        ("SELECT x.a FROM t\n\nx", "SELECT x.a FROM t\n\nx"),
        ("SELECT a FROM t UNION\n\nSELECT b FROM u\n\nSELECT c", "SELECT a FROM t UNION\n\nSELECT b FROM u"),
        ("CREATE VIEW v AS\nSELECT a FROM t", "SELECT a FROM t"),
        ('{"sql": "SELECT "a" FROM t"}', 'SELECT "a" FROM t'),
        ("{'sql': 'SELECT a FROM t WHERE b = \\'x\\''}", "SELECT a FROM t WHERE b = 'x'"),
        ('{"sql": """\nSELECT a\nFROM t\n"""}', "SELECT a\nFROM t"),
        ("**SELECT price * 2 FROM pet**", "SELECT price * 2 FROM pet"),
        ('{"sql": "SELECT a FROM t", "output": "we select all of them"}', "SELECT a FROM t"),
        ("SELECT [analysis] FROM t\n\nThis lists the analysis.", "SELECT [analysis] FROM t"),
        ("SELECT a FROM t WHERE b = '<sql>' OR b = '</s>'", "SELECT a FROM t WHERE b = '<sql>' OR b = '</s>'"),
        ("<think>SELECT never ends", ""),
        ("I cannot answer this.", ""),
        ("", ""),
        ("DROP TABLE t", ""),
        ("selection", ""),
    ],
)
def test_where_a_statement_begins_and_ends(text, sql):
    assert extract(text) == sql
    assert extract(sql) == sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*)) FROM t",
        "SELECT a FROM t\nWHRE b = 1",
        "SELECT a\n\nFROM t\n\nWHERE b = 1 ADN c = 2",
        "SELECT a FROM t ORDER BY a\n\nUNION SELECT b FROM u",
        "SELECT a FROM t\n\nWHERE b =",
        "SELECT a FROM (\nSELECT b FROM t\nWHERE",
        "SELECT a FRM t UNION\nSELECT b FROM u",
        "SELECT a FROM t WHERE b = 'it",
        "SELECT a -- that. This\nFRM t",
        "SELECT T1. Name FROM t AS T1 WHRE b = 1",
        "SELECT a, lag(a) OVER w FROM t\n\nWINDOW w (ORDER BY a)",
    ],
)
def test_what_is_wrong_stays_wrong(sql):
    assert extract(sql) == sql
    assert extract(f"```sql\n{sql}\n```") == sql


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It is 1.", "It is 1."),
        ("<think>1?</think>2", "2"),
        ("1?</think>2", "2"),
        ("<think>1?</think>2<think>3?</think>4", "4"),
        ("2<think>3?", "2"),
        ("<|channel|>analysis<|message|>1?<|end|><|start|>assistant<|channel|>final<|message|>2", "2"),
        ("<|channel|>analysis<|message|>1?", ""),
        ("<|START_THINKING|>1?<|END_THINKING|>2", "2"),
        ("<seed:think>1?</seed:think>2", "2"),
        ("the assistant finally thinks", "the assistant finally thinks"),
    ],
)
def test_thoughts_are_left_out(text, answer):
    assert without_thoughts(text) == answer


BLANKS = " " * (MAX_LENGTH - 100)


@pytest.mark.parametrize(
    "text",
    [
        *(f"SELECT{BLANKS};x", f"SELECT{BLANKS}\n1", f"SELECT 1{BLANKS}\n\n\n", "SELECT 1" + "\n" * 99_000 + "x"),
        *(
            piece * (MAX_LENGTH // len(piece))
            for piece in (
                *(
                    "WITH [",
                    "SELECT\n\n",
                    "SELECT 1\n\n",
                    "SELECT '",
                    "SELECT (`",
                    "SELECT 1;",
                    "Select.\n",
                    "select a from t. A ",
                    "`",
                    "~",
                ),
                *(
                    '{"sql": "',
                    "<think>",
                    "<answer>",
                    "<sql>",
                    "-- SELECT\n",
                    "/*",
                    ": ",
                    "***",
                    "SQL",
                    "assistantfinal",
                    "SELECT a FROM t\n\nThis ",
                ),
            )
        ),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_long_texts_of_little_are_read_at_once(text):
    """A pattern that tries each sign anew takes the square of their number: minutes."""
    assert len(extract(text)) <= len(text)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from(
            [*"\n;'\"`<>|*#.:{}()", "SELECT", "FROM t", "a", "```sql", "</think>", "<answer>", '"sql": "', "--", "\0", "\ud83d"]
        )
    )
)
def test_no_text_is_too_odd(pieces):
    text = " ".join(pieces)
    assert all(token.text in text for token in tokens(extract(text)) if token.kind == "word")
