"""Answers with several questions: read in the forms that models write, and a broken item is lost alone."""

import json
from typing import Any

import pytest

from sense.teacher.answer_fields import UnusableError
from sense.teacher.unit_answers import Item, read_items, read_unit

QUESTIONS: list[dict[str, Any]] = [
    {"n": 1, "q": "Which bells are there?", "s": "SELECT name FROM bell"},
    {"n": 2, "q": "How many bells are heavy?", "s": "SELECT count(*) FROM bell WHERE kg > 90", "e": "Heavy means over 90 kg."},
    {"n": 3, "q": "What does Emma weigh?", "s": "SELECT kg FROM bell WHERE name = 'Emma'"},
]
UNIT = {
    "domain": "Bell foundry",
    "schema": ["CREATE TABLE bell (id INTEGER PRIMARY KEY, name TEXT, kg REAL)"],
    "rows": [{"t": "bell", "r": [[1, "Emma", 81.5], [2, None, 120]]}],
    "questions": QUESTIONS,
}
ITEMS = {each["n"]: Item(each["q"], each["s"], each.get("e", "")) for each in QUESTIONS}


def unit(**changes: Any) -> str:
    return json.dumps(UNIT | changes)


LONG_NAMES = [{"number": each["n"], "question": each["q"], "sql": each["s"], "evidence": each.get("e", "")} for each in QUESTIONS]


@pytest.mark.parametrize(
    "text",
    [
        unit(),
        f"Here it is:\n```json\n{unit()}\n```\nAnything else?",
        json.dumps({"data": UNIT}),
        unit(rows=["INSERT INTO bell VALUES (1, 'Emma', 81.5), (2, NULL, 120)"]),
        unit(questions=LONG_NAMES),
        unit(questions=[{name: part for name, part in each.items() if name != "n"} for each in QUESTIONS]),
        unit(questions=[[each["q"], each["s"], each.get("e", "")] for each in QUESTIONS]),
        unit().replace('"questions"', "'questions'").replace("}]}", "},]}"),
    ],
    ids=["plain", "fence", "inner object", "INSERT", "long names", "no numbers", "lists", "no strict JSON"],
)
def test_forms(text):
    database, items = read_unit(text)
    assert (database.domain, database.slug) == ("bell foundry", "bell_foundry")
    assert database.rows == (("bell", ((1, "Emma", 81.5), (2, None, 120))),)
    assert items == ITEMS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"s": ""}, "missing field"),
        ({"q": None}, "missing field"),
        ({"s": "DELETE FROM bell"}, "not a select"),
        ({"q": "Which\u0001?"}, "bad field"),
        ({"e": "x" * 2000}, "bad field"),
        ({"e": 4}, "bad field"),
    ],
)
def test_a_broken_item_is_lost_alone(change, reason):
    _, items = read_unit(unit(questions=[QUESTIONS[0], QUESTIONS[1] | change, QUESTIONS[2]]))
    broken = items.pop(2)
    assert isinstance(broken, UnusableError)
    assert broken.reason == reason
    assert items == {1: ITEMS[1], 3: ITEMS[3]}


def test_an_item_that_breaks_the_json_or_an_end_that_is_missing_loses_no_other():
    text = unit().replace('"n": 2, "q": "How', '"n": 2 "q" "How')
    assert read_unit(text).items == {1: ITEMS[1], 3: ITEMS[3]}
    whole = unit()
    assert read_unit(whole[: whole.index("What does") + 4]).items == {1: ITEMS[1], 2: ITEMS[2]}


def test_of_two_with_one_number_neither_is_taken():
    _, items = read_unit(unit(questions=[*QUESTIONS, QUESTIONS[0] | {"n": 3}]))
    assert isinstance(items[3], UnusableError)
    assert (items[1], items[2]) == (ITEMS[1], ITEMS[2])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I would rather not.", "not json"),
        ("", "empty answer"),
        (unit(schema=[]), "missing field"),
        (unit(schema=["DROP TABLE bell"]), "bad schema"),
        (unit(rows=[{"t": "horn", "r": [[1]]}]), "bad rows"),
        (unit()[:60], "not json"),
        (unit() + unit(domain="horns"), "several answers"),
    ],
)
def test_without_a_database_there_is_no_unit(text, reason):
    with pytest.raises(UnusableError) as error:
        read_unit(text)
    assert error.value.reason == reason


@pytest.mark.parametrize(
    "text", [json.dumps({"questions": QUESTIONS}), json.dumps(QUESTIONS), f"So: {json.dumps(QUESTIONS)[1:-1]}"]
)
def test_questions_alone(text):
    assert read_items(text) == ITEMS
