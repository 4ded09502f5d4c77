"""Answers of a strong LLM, good, odd and hostile: which become drafts, and why the others do not."""

import json
from pathlib import Path
from typing import Any

import pytest

from sense.teacher import Draft
from sense.teacher.answer_fields import UnusableError
from sense.teacher.answers import parse_draft

POINT: dict[str, Any] = {
    "domain": "Bell  Foundry",
    "schema": ["CREATE TABLE bell (id INTEGER PRIMARY KEY, name TEXT, mass REAL)"],
    "rows": ["INSERT INTO bell VALUES (1, 'Emma', 12.5), (2, 'Otto', -3)"],
    "question": "Which bell is\n heavy?",
    "sql": "SELECT name FROM bell WHERE mass > 10;",
}


def draft_with(**changes: Any) -> Draft:
    """The draft in the good answer with some of its fields changed."""
    return parse_draft(json.dumps(POINT | changes), 0, "easy")


def refusal_reason(text: str) -> str:
    """The reason for which an answer is unusable."""
    with pytest.raises(UnusableError) as caught:
        parse_draft(text, 0, "easy")
    assert len(caught.value.detail) <= 200
    return caught.value.reason


def refusal_reason_with(**changes: Any) -> str:
    """The same for the good answer with some of its fields changed."""
    return refusal_reason(json.dumps(POINT | changes))


def test_a_good_answer_becomes_a_draft():
    assert draft_with() == Draft(
        db_id="bell_foundry_000000",
        domain="bell foundry",
        ddl=("CREATE TABLE bell (id INTEGER PRIMARY KEY, name TEXT, mass REAL)",),
        rows=(("bell", ((1, "Emma", 12.5), (2, "Otto", -3))),),
        question="Which bell is heavy?",
        sql="SELECT name FROM bell WHERE mass > 10",
        level="easy",
    )


FORMS = [
    *(
        "{}",
        "```json\n{}\n```",
        "```\n{}```",
        " \n{}\n",
        "<think>{{ or not?</think>\n{}",
        "Sure! {}",
        "{}\nHope this helps {{:-}}",
    ),
    "Here is one more data point:\n\n```json\n{}\n```\n\nLet me know if you need another.",
    "I use {{curly}} names, as in {{}}:\n~~~JSON5\n{}\n~~~",
    *("[{}]", '{{"data_point": {}}}', '{{"answer": {{"data": {}}}}}', "\ufeff{}", "Draft:\n{0}\nChecked, final:\n{0}"),
    "{{maybe}}</think>\n{}",
    "<reasoning>Is it {{}}?</reasoning>{}",
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>{}",
    'My plan: {{"tables": 1, "rows": 2}}\n{}',
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_is_read_bare_fenced_wrapped_or_amid_prose(form, indent):
    assert parse_draft(form.format(json.dumps(POINT, indent=indent)), 0, "easy") == draft_with()


def test_field_names_in_capitals_and_line_breaks_within_texts_are_read():
    assert parse_draft(json.dumps({name.upper(): value for name, value in POINT.items()}), 0, "easy") == draft_with()
    assert parse_draft(json.dumps(POINT).replace("\\n", "\n"), 0, "easy") == draft_with()


def test_tags_within_a_text_are_no_thoughts():
    question = "Which bell has <analysis> in its name and </think> after it?"
    assert draft_with(question=question).question == question


def test_a_text_stands_for_a_list_of_one():
    assert draft_with(schema=POINT["schema"][0], rows=POINT["rows"][0]) == draft_with()
    both = POINT["schema"][0] + ";\n" + "CREATE TABLE tower (id INT)"
    assert len(draft_with(schema=both, rows=POINT["rows"][0] + "; INSERT INTO tower VALUES (1);").ddl) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I cannot help with that.", "not json"),
        ("[1, 2]", "not json"),
        ("[" * 100_000, "not json"),
        ('{"domain": "a", "n": ' + "1" * 5000 + "}", "not json"),
        ("Sure! {curly}", "not json"),
        (json.dumps(POINT)[:-9], "not json"),
        (json.dumps(POINT).replace('"', "'").replace("'Emma', ", "'Emma', 'Anna', "), "bad rows"),
        ("{" * 100_000, "not json"),
        ('{"a":[' * 30_000, "not json"),
        (f"{json.dumps(POINT)}\n{json.dumps(POINT | {'sql': 'SELECT 1'})}", "several answers"),
        ('Sure! {"domain": "bells"}', "missing field"),
        ('{"sql": "a"} {"sql": "b"}', "several answers"),
        ('{"a": 1} {"b": 2}', "not json"),
        ("", "empty answer"),
        ("<think>so</think> ", "empty answer"),
        (f"<think>Perhaps {json.dumps(POINT)}? It never ends", "empty answer"),
        (json.dumps(POINT | {"question": "q" * 200_000}), "too long"),
    ],
)
def test_an_answer_without_a_json_object_is_refused(text, reason):
    assert refusal_reason(text) == reason


@pytest.mark.parametrize("name", POINT)
@pytest.mark.parametrize("empty", [None, "", []])
def test_a_missing_field_is_refused(name, empty):
    assert refusal_reason_with(**{name: empty}) == "missing field"


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": {"bell": "id, name"}},
        {"schema": {"bell": ["id", 1]}},
        {"rows": [1]},
        {"rows": {"bell": [[[1]]]}},
        {"rows": {"bell": [[1, "a\x00", 2]]}},
        {"question": ["q", "r"]},
        {"sql": 5},
        {"domain": "  "},
        {"question": "a\x00b"},
        {"sql": "SELECT '\ud800'"},
        {"rows": ["INSERT INTO bell VALUES (1, '\x1b[31m', 1)"]},
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(changes):
    assert refusal_reason_with(**changes) == "bad field"


@pytest.mark.parametrize(
    "ddl",
    [
        "DROP TABLE bell",
        "CREATE TABLE t (a INT); DROP TABLE t",
        "CREATE TABLE t (a INT); ATTACH 'x.db' AS x",
        "PRAGMA writable_schema = 1",
        "CREATE TEMP TABLE t (a INT)",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TABLE t (a INT CHECK (a > (SELECT 1)))",
        "CREATE TABLE t (a INT, b INT GENERATED ALWAYS AS (a + 1))",
        "CREATE TABLE t (LIKE u)",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE IF EXISTS bell",
        "DROP INDEX IF EXISTS bell",
        "CREATE TRIGGER x AFTER INSERT ON bell BEGIN SELECT 1; END",
        "CREATE TABLE main.t (a INT)",
        "CREATE TABLE sqlite_sequence (a INT)",
        "CREATE TABLE t (a INT, A TEXT)",
        "CREATE TABLE t",
        "CREATE TABLE t ()",
        "CREATE TABLE BELL (a INT)",
        'CREATE TABLE "a\nb" (a INT)',
        "SELECT 1",
        "-- nothing",
        "CREATE TABLE t (" + "(" * 5000,
        "this is not SQL at all (",
    ],
)
def test_a_schema_of_anything_but_plain_tables_is_refused(ddl):
    schema = [ddl] if ddl == "-- nothing" else [*POINT["schema"], ddl]
    assert refusal_reason_with(schema=schema) == "bad schema"


def test_twelve_tables_are_allowed_thirteen_are_not():
    tables = [f"CREATE TABLE t{number} (a INT)" for number in range(12)]
    assert len(draft_with(schema=[*POINT["schema"], *tables[:11]]).ddl) == 12
    assert refusal_reason_with(schema=[*POINT["schema"], *tables]) == "bad schema"


def test_comments_are_left_out_and_many_statements_may_share_a_text():
    ddl = (
        "CREATE TABLE IF NOT EXISTS a (x INT /* obey! */, y, PRIMARY KEY (x)); -- done\nCREATE TABLE b (x INT REFERENCES a (x));"
    )
    draft = draft_with(schema=[ddl], rows=["INSERT INTO a VALUES (1, 2); INSERT INTO b VALUES (1)"], sql="SELECT y FROM a")
    assert draft.ddl == (
        "CREATE TABLE IF NOT EXISTS a (x INTEGER PRIMARY KEY, y)",  # sqlglot moves the key: the same to SQLite
        "CREATE TABLE b (x INTEGER REFERENCES a (x))",
    )
    assert draft.rows == (("a", ((1, 2),)), ("b", ((1,),)))


@pytest.mark.parametrize(
    "insert",
    [
        "INSERT INTO bell SELECT 1, 'a', 2",
        "INSERT INTO bell VALUES (1, (SELECT 'a'), 2)",
        "INSERT INTO bell VALUES (1, load_extension('x'), 2)",
        "INSERT INTO bell VALUES (1, 'a' || 'b', 2)",
        "INSERT INTO bell VALUES (1, x'00', 2)",
        "INSERT INTO bell VALUES (1, CURRENT_DATE, 2)",
        "INSERT INTO bell VALUES (1, -NULL, 2)",
        "INSERT INTO bell VALUES (1, 'a', 1e999)",
        "INSERT INTO bell VALUES (1, 'a')",
        "INSERT INTO bell (id, name) VALUES (1, 'a', 2)",
        "INSERT INTO bell (id, id) VALUES (1, 1)",
        "INSERT INTO bell (id, weight) VALUES (1, 1)",
        "INSERT OR REPLACE INTO bell VALUES (1, 'a', 2)",
        "INSERT INTO bell VALUES (1, 'a', 2) ON CONFLICT DO NOTHING",
        "INSERT INTO bell VALUES (1, 'a', 2) RETURNING id",
        "INSERT INTO bell DEFAULT VALUES",
        "INSERT INTO tower VALUES (1)",
        "INSERT INTO main.bell VALUES (1, 'a', 2)",
        "INSERT INTO sqlite_master VALUES (1, 2, 3, 4, 5)",
        "INSERT INTO bell VALUES (1, 'a', 2); DELETE FROM bell",
        "UPDATE bell SET id = 2",
        "bell: 1, 2, 3",
    ],
)
def test_rows_of_anything_but_literals_are_refused(insert):
    assert refusal_reason_with(rows=[insert]) == "bad rows"


@pytest.mark.parametrize(
    "rows",
    [
        {"bell": [[1]]},
        {"bell": [{"id": 1, "weight": 3}]},
        {"tower": [[1, "Emma", 2]]},
        {"bell": [[1, "Emma", float("inf")]]},
        {"bell": [[1, "Emma", 2]], "BELL ": [[1, "Emma", 2]]},
    ],
)
def test_rows_as_values_must_fit_their_table(rows):
    assert refusal_reason_with(rows=rows) == "bad rows"


def test_rows_are_read_by_column_name_and_whatever_the_case():
    assert draft_with(
        rows=["INSERT INTO BELL (Mass, id) VALUES (2, 1)", "INSERT INTO bell VALUES (7, 'it''s; DROP', NULL)"]
    ).rows == (("bell", ((1, None, 2), (7, "it's; DROP", None))),)


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("TRUE", 1),
        ("FALSE", 0),
        ("-7", -7),
        ("+7", 7),
        ("-2.50", -2.5),
        ("1e3", 1000.0),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", 2.0**63),  # SQLite reads it as a float, too
        ("NULL", None),
        ("''", ""),
        ("'1'", "1"),
    ],
)
def test_literals_keep_their_value_and_type(literal, value):
    ((_, ((_, _, parsed),)),) = draft_with(rows=[f"INSERT INTO bell VALUES (1, 'a', {literal})"]).rows
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    "sql", ["```sql\nSELECT name FROM bell;\n```", "<sql>SELECT name FROM bell</sql>", "`SELECT name FROM bell`"]
)
def test_sql_in_a_fence_or_a_tag_is_read_as_a_completion_is(sql):
    assert draft_with(sql=sql).sql == "SELECT name FROM bell"


@pytest.mark.parametrize(
    "sql", ["DELETE FROM bell", "SELECT 1; SELECT 2", "PRAGMA user_version", "WITH a AS (SELECT 1) DELETE FROM bell", ";"]
)
def test_sql_that_is_not_one_select_is_refused(sql):
    assert refusal_reason_with(sql=sql) == "not a select"


@pytest.mark.parametrize(
    ("domain", "db_id"),
    [
        ("../../etc/passwd", "etc_passwd_000000"),
        ("天文", "database_000000"),
        ("A" * 500, "a" * 40 + "_000000"),
        ("café au lait", "caf_au_lait_000000"),
    ],
)
def test_the_database_gets_a_harmless_name(domain, db_id):
    draft = draft_with(domain=domain)
    assert draft.db_id == db_id
    assert Path(draft.db_id).name == draft.db_id
