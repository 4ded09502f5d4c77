"""Thirty-odd forms in which models write one and the same answer: all are read alike, and each keeps its meaning."""

import json
from typing import Any

import pytest

from sense.teacher import Draft
from sense.teacher.answer_fields import UnusableError
from sense.teacher.answers import parse_draft

CREATE = "CREATE TABLE bell (id INTEGER PRIMARY KEY, name TEXT, mass REAL)"
INSERT = "INSERT INTO bell VALUES (1, 'Emma', 12.5), (2, 'Otto', -3)"
QUESTION = "Which bells weigh more than 10 tonnes?"
SQL = "SELECT name FROM bell WHERE mass > 10"
POINT: dict[str, Any] = {"domain": "bell foundry", "schema": [CREATE], "rows": [INSERT], "question": QUESTION, "sql": SQL}
WHOLE = json.dumps(POINT)
EXPECTED = Draft(
    db_id="bell_foundry_000000",
    domain="bell foundry",
    ddl=(CREATE,),
    rows=(("bell", ((1, "Emma", 12.5), (2, "Otto", -3))),),
    question=QUESTION,
    sql=SQL,
    level="easy",
)


def with_fields(**changes: Any) -> str:
    return json.dumps(POINT | changes)


FORMS = {
    "one object": WHOLE,
    "indented": json.dumps(POINT, indent=4),
    "a fence with json": f"```json\n{WHOLE}\n```",
    "a fence without a language": f"```\n{WHOLE}\n```",
    "a fence that is not closed": f"```json\n{WHOLE}",
    "tildes and JSON5": f"~~~json5\n{WHOLE}\n~~~",
    "prose around it": f"Sure! Here is one more data point:\n\n{WHOLE}\n\nLet me know if you need {{more}}.",
    "thoughts before it": f"<think>Bells {{perhaps}}? {{'a': 1}}</think>\n{WHOLE}",
    "a list of one": f"[{WHOLE}]",
    "within another object": json.dumps({"data_points": [POINT]}),
    "a list of several": json.dumps([POINT, POINT | {"sql": "SELECT 1"}]),
    "an object for each field": "\n".join(json.dumps({name: value}) for name, value in POINT.items()),
    "a JSON text of JSON": json.dumps(WHOLE),
    "names in other case": json.dumps({name.title(): value for name, value in POINT.items()}),
    "other names": json.dumps(
        {
            "topic": "bell foundry",
            "ddl": CREATE,
            "insert_statements": [INSERT],
            "natural language question": QUESTION,
            "query": SQL,
        }
    ),
    "a comma at the end": json.dumps(POINT, indent=1).replace("\n}", ",\n}").replace("\n ]", ",\n ]"),
    "single quotes, as Python prints it": repr(POINT),
    "single quotes, each in place of a double one": WHOLE.replace('"', "'"),
    "names without quotes": WHOLE.replace('"domain"', "domain").replace('"sql"', "sql"),
    "comments in JSON": json.dumps(POINT, indent=1).replace("\n", " // so\n", 2).replace('"sql"', '/* the gold */ "sql"'),
    "triple quotes": json.dumps(POINT).replace(json.dumps(SQL), f'"""\n{SQL}\n"""'),
    "backticks": json.dumps(POINT).replace(json.dumps(SQL), f"`{SQL}`"),
    "typographic quotes": f"{{“domain”: “bell foundry”, “schema”: [“{CREATE}”], “rows”: [“{INSERT}”], "
    f"“question”: “{QUESTION}”, “sql”: “{SQL}”}}",
    "line breaks in texts": with_fields(sql="SELECT name FROM bell\nWHERE mass > 10").replace("\\n", "\n").replace("\n", " "),
    "a list as a text": with_fields(schema=f"{CREATE};", rows=f"{INSERT};"),
    "a list as a JSON text": with_fields(schema=json.dumps([CREATE]), rows=json.dumps([INSERT])),
    "a table's name before its DDL": with_fields(schema={"bell": CREATE}),
    "objects in the list": with_fields(schema=[{"table": "bell", "sql": CREATE}], rows=[{"table": "bell", "insert": INSERT}]),
    "rows as lists": with_fields(rows={"bell": [[1, "Emma", 12.5], [2, "Otto", -3]]}),
    "rows as objects": with_fields(
        rows={"Bell": [{"id": 1, "name": "Emma", "mass": 12.5}, {"mass": -3, "id": 2, "name": "Otto"}]}
    ),
    "rows of a named table": with_fields(rows=[{"table": "bell", "rows": [[1, "Emma", 12.5], [2, "Otto", -3]]}]),
    "an index among the DDL": with_fields(schema=[CREATE, "CREATE INDEX bell_name ON bell (name)"]),
    "a script as the schema": with_fields(
        schema=[f"PRAGMA foreign_keys = ON;\nBEGIN;\nDROP TABLE IF EXISTS bell;\n-- all bells\n{CREATE}; /* done */\nCOMMIT;"]
    ),
    "INSERTs behind the DDL": with_fields(
        schema=[CREATE, INSERT.replace(", (2, 'Otto', -3)", "")], rows=["INSERT INTO bell VALUES (2, 'Otto', -3)"]
    ),
    "comments in SQL": with_fields(
        schema=[CREATE.replace("(id", "( -- the bells\n id")],
        rows=[f"-- two\n{INSERT} -- of them"],
        sql=f"-- heavy ones\n{SQL}; -- only",
    ),
    "SQL in fences": with_fields(
        schema=[f"```sql\n{CREATE};\n```"], rows=[f"```sql\n{INSERT};\n```"], sql=f"```sql\n{SQL};\n```"
    ),
    "entities": with_fields(sql=SQL.replace(">", "&gt;")),
    "numbered lines": (
        f"1. Domain: bell foundry\n2. Schema: {CREATE};\n3. Rows: {INSERT};\n4. Question: {QUESTION}\n5. SQL: {SQL};"
    ),
    "bold headings and fences": (
        f"**Domain:** bell foundry\n\n**Schema:**\n```sql\n{CREATE};\n```\n\n**Rows:**\n```sql\n{INSERT};\n```\n\n"
        f"**Question:** {QUESTION}\n\n**SQL:**\n```sql\n{SQL}\n```"
    ),
    "Markdown headings": (
        f"Here you are.\n\n## 1. Domain\nbell foundry\n\n## 2. Schema\n\n```sql\n{CREATE};\n```\n---\n"
        f"## 3. INSERT statements\n- `{INSERT}`\n\n## 4. Natural-language question\n{QUESTION}\n\n"
        f"### 5. SQL query\n~~~sql\n{SQL}\n~~~\nThis answers the question."
    ),
    "YAML": (f'domain: bell foundry\nschema:\n  - "{CREATE}"\nrows:\n  - "{INSERT}"\nquestion: "{QUESTION}"\nsql: |\n  {SQL}\n'),
    "tags": (
        f"<domain>bell foundry</domain>\n<schema>\n{CREATE};\n</schema>\n<rows>{INSERT}</rows>\n"
        f"<question>{QUESTION}</question>\n<sql>\n{SQL}\n</sql>"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_answer_is_read_in_each_form(form: str):
    assert parse_draft(FORMS[form], 0, "easy") == EXPECTED


UNREADABLE = {
    "a refusal": ("I'm sorry, I can't help with that.", "not json"),
    "it breaks off within the SQL": (WHOLE[: -len(' > 10"}')], "not json"),
    "single quotes, breaking off": (repr(POINT)[:-5], "not json"),
    "headings without SQL": (f"1. Domain: bells\n2. Schema: {CREATE}\n3. Rows: {INSERT}\n4. Question: {QUESTION}", "not json"),
    "two different answers": (f"{WHOLE}\n{with_fields(sql='SELECT 1')}", "several answers"),
    "two different answers in loose JSON": (f"{POINT!r}\n{POINT | {'sql': 'SELECT 1'}!r}", "several answers"),
    "two different headings": (f"{FORMS['numbered lines']}\n6. SQL: SELECT 1", "several answers"),
    "a text that its quotes tear apart": (with_fields(sql="SELECT 'a', 'b'").replace('"', "'"), "not json"),
    "rows made by SQL": (with_fields(rows=["INSERT INTO bell SELECT 1, 'Emma', 2"]), "bad rows"),
    "a table dropped after all": (with_fields(schema=[CREATE, "DROP TABLE IF EXISTS bell"]), "bad schema"),
    "no rows": (with_fields(rows=["-- none"]), "bad rows"),
    "rows nested without end": (with_fields(schema=json.loads("[" * 30 + f'"{CREATE}"' + "]" * 30)), "bad field"),
}


@pytest.mark.parametrize("form", UNREADABLE)
def test_what_cannot_be_read_is_refused_with_a_reason(form: str):
    text, reason = UNREADABLE[form]
    with pytest.raises(UnusableError) as caught:
        parse_draft(text, 0, "easy")
    assert caught.value.reason == reason
    assert caught.value.detail


@pytest.mark.parametrize(
    "text",
    [
        *("{'" * 60_000, '{"a": "' + '" ' * 90_000, "{'a': '" + "\\'" * 90_000, "{" + "/*" * 90_000, '{"a": ' + "[" * 150_000),
        *("## " * 60_000, "**sql" * 30_000, "<sql>" * 39_000, "```\n" * 49_000, "1. sql:\n" * 24_000, "{a:1," * 39_000),
    ],
)
def test_hostile_answers_are_refused_in_a_time_that_grows_with_their_length(text: str):
    with pytest.raises(UnusableError):
        parse_draft(text, 0, "easy")


def test_an_escape_in_loose_json_means_what_it_means_in_json():
    text = with_fields(question='é 😀 "q" it\'s \\ so?').replace("}", ",}")
    assert parse_draft(text, 0, "easy").question == 'é 😀 "q" it\'s \\ so?'
