"""Questions that a model wrote for SQL: how they are read, and what is wrong with them."""

import pytest

from sense.teacher.question_values import missing_values, sql_in_words
from sense.teacher.sql_first import question_fault, read_questions

SQL = "SELECT name FROM singer WHERE city = 'Rome' AND born > '1990-05-01' AND age <= 12 ORDER BY age LIMIT 3"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("The three youngest from rome born after 1990-05-01, at most 12 years old?", []),
        ("The 3 youngest from Rome born after May 1, 1990, at most twelve years old?", []),
        ("The 3 youngest from ROME born after 5/1/1990, at most 12?", []),
        ("The youngest from Rome born after 1990-05-01, at most 12?", ["3"]),
        ("The three youngest from Milan born after 1990, at most 12?", ["Rome", "1990-05-01"]),
    ],
)
def test_values_are_named_in_any_usual_spelling(text: str, missing: list[str]):
    assert missing_values(SQL, text) == missing


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT name FROM pet WHERE vaccinated = 1 ORDER BY age LIMIT 1", "Who is the youngest vaccinated pet?"),
        ("SELECT name FROM pet WHERE STRFTIME('%Y', born) = '2020'", "Which pets were born in 2020?"),
        ("SELECT name FROM pet WHERE STRFTIME('%m', born) = '07'", "Which pets were born in July?"),
        ("SELECT name FROM pet WHERE name LIKE '%Rex%'", "Which pets have rex in their name?"),
        ("SELECT name FROM pet WHERE price > 12500.0", "Which pets cost more than 12,500?"),
        ("SELECT name FROM pet WHERE share >= 0.25", "Which pets have at least 25 percent?"),
        ("SELECT name FROM pet WHERE depth < -3", "Which pets are below minus 3?"),
    ],
)
def test_what_only_the_form_of_the_sql_asks_for_is_no_value(sql: str, text: str):
    assert missing_values(sql, text) == []


@pytest.mark.parametrize(
    ("text", "leak"),
    [
        ("Which pets are older than three?", None),
        ("Select the names of pets grouped by city.", None),
        ("SELECT name of pets", "SELECT"),
        ("Which pets have age >= 3?", ">="),
        ("Which T1.name is it?", "T1.n"),
        ("select name from pet where age is 3", "select name from pet where"),
    ],
)
def test_sql_among_the_words(text: str, leak: str | None):
    assert sql_in_words(text) == leak


@pytest.mark.parametrize(
    ("question", "evidence", "style", "reason"),
    [
        ("Which singers are older than 30?", "", "question", None),
        ("Which singers are old?", "old means older than 30", "with evidence", None),
        ("Which singers are old?", "", "question", "value not named"),
        ("Which singers are old?", "SELECT name FROM singer WHERE age > 30", "with evidence", "SQL in the question"),
        ("show me singers older than 30", "", "colloquial", None),
        ("show me singers older than 30.", "", "command", "question reads badly"),
        ("", "", "question", "bad field"),
        ("Which singers\x00 are older than 30?", "", "question", "bad field"),
    ],
)
def test_faults_of_a_question(question: str, evidence: str, style, reason: str | None):
    fault = question_fault(question, "SELECT name FROM singer WHERE age > 30", evidence, style)
    assert (fault[0] if fault else None) == reason


@pytest.mark.parametrize(
    "text",
    [
        '{"questions": [{"number": 1, "question": "Who?", "evidence": ""}, {"number": 2, "question": "Where?"}]}',
        '```json\n[{"number": "1", "question": "Who?"}, {"number": 2, "question": "Where?"}]\n```',
        'Here they are: {"number": 1, "question": "Who?"}\n{"number": 2, "question": "Where?"}',
        "<think>{1}</think>{'questions': [{number: 1, question: 'Who?'}, {number: 2, question: 'Where?'},]}",
        '{"questions": [{"number": 1, "question": "Who?"}, {"number": 2, "question": "Where?"}, {"number": 3, "quest',
        '{"questions": [{"number": 1, "question": "Who?"}, {"number": 2, "question": "Where?"}, {"number": 3, "question": "A?"},'
        ' {"number": 3, "question": "B?"}]}',
    ],
)
def test_forms_in_which_models_write_questions(text: str):
    assert {number: wording.question for number, wording in read_questions(text).items()} == {1: "Who?", 2: "Where?"}


@pytest.mark.parametrize("text", ["", "I cannot.", "{", '{"questions": 3}', '{"questions": [{"question": "Who?"}]}', "[[[["])
def test_what_holds_no_question(text: str):
    assert read_questions(text) == {}
