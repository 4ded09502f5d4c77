"""Answers with several questions on one database: domain, schema, rows, and a list of questions with their SQL.

What is asked for is one JSON object with short names. What holds for answers with one question holds here too: it may stand in a
fence, amid prose, in another object, under other names. An item of the list that is broken is lost alone: where the whole cannot
be read, because an item breaks the JSON or the answer breaks off, the items that can be read are taken.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from sense.sql.extract import without_thoughts
from sense.teacher.answer_fields import (
    MAX_ANSWER_CHARS,
    UnusableError,
    checked_text,
    is_json,
    loose_objects,
    named_fields,
    row_items,
    schema_texts,
    strict_objects,
)
from sense.teacher.answers import WrittenDatabase, parse_database, parse_sql
from sense.teacher.exchanges import closed_object, json_format
from sense.teacher.loose_json import iter_objects

_ITEM = {"n": {"type": "integer"}, "q": {"type": "string"}, "s": {"type": "string"}}
_ITEMS = {"type": "array", "items": {"anyOf": [closed_object(_ITEM), closed_object(_ITEM | {"e": {"type": "string"}})]}}
_CELL = {"type": ["string", "number", "null"]}
FORMAT = json_format(
    "unit",
    {
        "domain": {"type": "string"},
        "schema": {"type": "array", "items": {"type": "string"}},
        "rows": {
            "type": "array",
            "items": closed_object({"t": {"type": "string"}, "r": {"type": "array", "items": {"type": "array", "items": _CELL}}}),
        },
        "questions": _ITEMS,
    },
)
"""Structured output: the form of an answer with a database and its questions as a JSON schema."""
QUESTIONS_FORMAT = json_format("unit_questions", {"questions": _ITEMS})
"""The same without the database, where that is there already."""
MAX_EVIDENCE_CHARS = 1200
_DATABASE = ("domain", "schema", "rows")
_UNIT = (*_DATABASE, "questions")
_NAMES = {
    "n": ("n", "number", "no", "id"),
    "q": ("q", "question", "question_text", "natural_language_question"),
    "s": ("s", "sql", "query", "sql_query", "select"),
    "e": ("e", "evidence", "hint"),
}
_LIST = re.compile(r"""["'`]?questions["'`]?\s*+:\s*+\[""", re.IGNORECASE)
_MAX_OBJECTS = 400  # that are looked for in the list of questions


class Item(NamedTuple):
    """A question as a model wrote it, with its SQL, one SELECT, and the evidence that belongs to it, empty without."""

    question: str
    sql: str
    evidence: str


class UnitAnswer(NamedTuple):
    """The database of an answer, and the items by their numbers: each, or why it cannot be used."""

    database: WrittenDatabase
    items: dict[int, Item | UnusableError]


def read_unit(text: str) -> UnitAnswer:
    """The database and the questions in an answer; UnusableError if there is no database to read."""
    text = _visible(text)
    fields = _whole(text) or _with_broken_list(text)
    if fields is None:
        raise UnusableError("not json", f"no JSON object with {', '.join(_UNIT)}: {text[:80]!r}")
    for name in _UNIT:
        if fields.get(name) in (None, "", [], {}):
            raise UnusableError("missing field", name)
    domain = checked_text(fields["domain"], "domain")
    database = parse_database(domain, schema_texts(fields["schema"]), row_items(fields["rows"]))
    questions = fields["questions"]
    return UnitAnswer(database, _items(questions if isinstance(questions, list) else [questions]))


def read_items(text: str) -> dict[int, Item | UnusableError]:
    """The questions by their numbers in an answer without a database, in whatever form the model wrote its JSON.

    >>> read_items('{"questions": [{"n": 2, "q": "Who sings?", "s": "SELECT name FROM singer"}]}')
    {2: Item(question='Who sings?', sql='SELECT name FROM singer', evidence='')}
    """
    return _items(_objects_from(_visible(text), 0))


def _visible(text: str) -> str:
    text = (text if is_json(text) else without_thoughts(text)).strip()
    if not 0 < len(text) <= MAX_ANSWER_CHARS:
        detail = f"{len(text)} characters, allowed are 1 to {MAX_ANSWER_CHARS}"
        raise UnusableError("too long" if text else "empty answer", detail)
    return text


def _whole(text: str) -> dict[str, Any] | None:
    """The fields of the one object in the text that has all of them."""
    for values in (strict_objects(text, _UNIT), loose_objects(text)):
        whole = [fields for fields in (named_fields(value, _UNIT) for value in values) if fields.keys() >= set(_UNIT)]
        if any(fields != whole[0] for fields in whole):
            raise UnusableError("several answers", f"{len(whole)} of them: {text[:80]!r}")
        if whole:
            return whole[0]
    return None


def _with_broken_list(text: str) -> dict[str, Any] | None:
    """The fields where the list of questions, the last of them, is no JSON as a whole: its items are those that are."""
    questions, start = _LIST.search(text), text.find("{")
    if questions is None or start < 0:
        return None
    head = text[start : questions.start()].rstrip().removesuffix(",") + "}"
    fields = next((value for values in (strict_objects(head, _DATABASE), loose_objects(head)) for value in values), None)
    return None if fields is None else named_fields(fields, _UNIT) | {"questions": _objects_from(text, questions.end())}


def _objects_from(text: str, start: int) -> list[dict[str, Any]]:
    """The objects from an offset on, each an item; where an object holds a list of them, its items."""
    values: list[dict[str, Any]] = []
    for value in iter_objects(text, start, _MAX_OBJECTS):
        inner = named_fields(value, _UNIT).get("questions")
        values += [each for each in inner if isinstance(each, dict)] if isinstance(inner, list) else [value]
    return values


def _items(values: Sequence[Any]) -> dict[int, Item | UnusableError]:
    """The items by their numbers, or by their places where none has a number; of two with one number neither can be used."""
    named = [_named(value) for value in values]
    numbered = any("n" in fields for fields in named)
    items: dict[int, Item | UnusableError] = {}
    for place, fields in enumerate(named, start=1):
        number = fields.get("n") if numbered else place
        number = int(number) if isinstance(number, str) and re.fullmatch(r"\d{1,4}", number) else number
        if type(number) is not int:
            continue
        try:
            item: Item | UnusableError = _item(fields)
        except UnusableError as error:
            item = error
        if number in items and items[number] != item:
            item = UnusableError("several answers", f"number {number} stands there twice")
        items[number] = item
    return items


def _named(value: Any) -> dict[str, Any]:
    """The fields of an item under our own names; a list of two texts is question and SQL."""
    if isinstance(value, list) and len(value) in (2, 3) and all(isinstance(part, str) for part in value[:2]):
        return dict(zip(("q", "s", "e"), value, strict=False))
    if not isinstance(value, dict):
        return {}
    plain = {re.sub(r"[\s-]+", "_", name.strip().lower()): part for name, part in value.items()}
    return {name: plain[other] for name, others in _NAMES.items() for other in reversed(others) if other in plain}


def _item(fields: dict[str, Any]) -> Item:
    for name, label in (("q", "question"), ("s", "sql")):
        if fields.get(name) in (None, ""):
            raise UnusableError("missing field", label)
    question, sql = checked_text(fields["q"], "question"), checked_text(fields["s"], "sql")
    evidence = fields.get("e") or ""
    if evidence:
        checked_text(evidence, "evidence")
    if len(evidence) > MAX_EVIDENCE_CHARS:
        raise UnusableError("bad field", f"evidence has {len(evidence)} characters, allowed are {MAX_EVIDENCE_CHARS}")
    return Item(" ".join(question.split()), parse_sql(sql), " ".join(evidence.split()))
