"""The fields of an answer: domain, schema, rows, question and SQL, in whatever form a model has written them.

The form asked for is one JSON object. Models also put it into a fence, amid prose, into a list, a text or another object, write
it in JSON that only they take for it, under other names, or as headings, tags or lines with a name before a colon. Of several
answers in one list the first is taken; of two different ones amid prose none, and what breaks off is refused.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sense.errors import SenseError
from sense.sql.extract import without_thoughts
from sense.teacher.loose_json import parse_object

MAX_ANSWER_CHARS = 200_000
MAX_BRACES = 50  # an opening brace where no JSON begins costs time in proportion to the whole answer
MAX_LOOSE_BRACES = 10  # where it costs more
FIELDS = ("domain", "schema", "rows", "question", "sql")
_SYNONYMS = {
    "domain": "topic subject database_domain",
    "schema": "database_schema ddl tables create_table create_tables create_statements create_table_statements sql_schema",
    "rows": "insert insert_statements insert_into insert_into_statements inserts sample_rows sample_data data records table_rows",
    "question": "natural_language_question nl_question user_question question_text",
    "sql": "query sql_query gold_sql sql_answer select answer_sql sqlite_query sql_statement",
}
_FIELD_OF = {synonym: field for field, synonyms in _SYNONYMS.items() for synonym in synonyms.split()}
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # control characters, halves of surrogate pairs
_DECODER = json.JSONDecoder(strict=False)  # models break lines within a text; other control characters are refused later
_MAX_NESTING = 6  # of a JSON text within a JSON text, and of lists within lists

_LABEL = "|".join(name.replace("_", r"[\ _-]") for name in sorted([*FIELDS, *_FIELD_OF], key=len, reverse=True))
# A heading: `## 2. Schema`, `**Schema:**`, `2) Schema: CREATE ...`; without marks it needs the colon.
_HEADING = re.compile(
    rf"""^[ \t]*+
    (?:(?P<marks>\#{{1,6}}[ \t]*+(?:\d+[.)][ \t]*+)?[*_]{{0,2}}|(?:(?:\d+[.)]|[-*])[ \t]*+)?\*\*[ \t]*+(?:\d+[.)][ \t]*+)?)
      |(?:\d+[.)]|[-*])[ \t]++)?
    (?P<label>{_LABEL})
    (?:[*_]{{0,2}}[ \t]*+:[ \t]*+[*_]{{0,2}}|(?(marks)[*_]{{0,2}}[ \t]*+$|(?!)))""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_TAG = re.compile(rf"<(?P<end>/?)(?P<label>{_LABEL})>", re.IGNORECASE)
_FENCE = re.compile(
    r"^[ \t]*+(?P<fence>`{3,}+|~{3,}+)[^\n`~]*+\n(?P<text>.*?)(?:^[ \t]*+(?P=fence)|\Z)", re.DOTALL | re.MULTILINE
)
_RULE = re.compile(r"^[ \t]*+(?:-{3,}+|\*{3,}+|_{3,}+)[ \t]*+$", re.MULTILINE)
_STATEMENT = re.compile(r"\s*+(?:create|insert|--|/\*|`{3})", re.IGNORECASE)
_BLOCK = re.compile(r"[|>][+-]?[ \t]*+\n")  # YAML's sign before a text of several lines
_BULLET = re.compile(r"^[ \t]*+[-*\u2022][ \t]++", re.MULTILINE)


class UnusableError(SenseError):
    """An answer from which no draft can be read: a short reason to count by, and a detail for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, " ".join(detail.split())[:200]


def read_fields(text: str) -> dict[str, Any]:
    """The FIELDS in an answer, each a text, and of schema and rows what stood in their place; raises UnusableError.

    The schema is a list of texts; rows are a list whose items are texts, or a table's name with its rows as lists or objects.
    """
    text = (text if is_json(text) else without_thoughts(text)).strip()
    if not 0 < len(text) <= MAX_ANSWER_CHARS:
        detail = f"{len(text)} characters, allowed are 1 to {MAX_ANSWER_CHARS}"
        raise UnusableError("too long" if text else "empty answer", detail)
    fields = _find_fields(text)
    for name in FIELDS:
        if fields.get(name) in (None, "", [], {}):
            raise UnusableError("missing field", name)
    return {
        "domain": _text(fields, "domain"),
        "schema": schema_texts(fields["schema"]),
        "rows": row_items(fields["rows"]),
        "question": _text(fields, "question"),
        "sql": _text(fields, "sql"),
    }


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return checked_text(value, name)


def checked_text(value: Any, name: str) -> str:
    """The value of the field `name`; UnusableError if it is no text that can be used."""
    if not isinstance(value, str) or not value.strip() or _FORBIDDEN.search(value):
        raise UnusableError("bad field", f"{name} must be text without control characters, not {type(value).__name__}")
    return value


def schema_texts(value: Any) -> list[str]:
    """The statements of the schema: a text, a list of texts or of objects with one each, or an object with one for each table."""
    return [checked_text(text, "schema") for text in _statement_texts(value, "schema", 0)]


def _statement_texts(value: Any, name: str, depth: int) -> Iterator[Any]:
    """The texts in `value`; of an object in a list, that which looks like a statement."""
    if depth > _MAX_NESTING:
        raise UnusableError("bad field", f"{name} is nested too deeply")
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        value = _decoded(value)
    if isinstance(value, list):
        for item in value:
            yield from _statement_texts(item, name, depth + 1)
    elif isinstance(value, dict):
        statements = [text for text in value.values() if isinstance(text, str) and _STATEMENT.match(text)]
        containers = [inner for inner in value.values() if isinstance(inner, (list, dict))]
        items: list[Any] = [*statements] or [*containers] or [None]
        for item in items:
            yield from _statement_texts(item, name, depth + 1)
    else:
        yield value


def _decoded(text: str) -> Any:
    """The value that a text stands for as JSON, the text itself if it is none."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return text


def row_items(value: Any) -> list[str | tuple[str, list[Any]]]:
    """The rows: statements, as those of the schema, or lists and objects of values for each table."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        value = _decoded(value)
    if isinstance(value, dict) and all(isinstance(rows, list) and _are_rows(rows) for rows in value.values()):
        return [(table, _checked_rows(rows)) for table, rows in value.items()]
    items: list[str | tuple[str, list[Any]]] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and (table := _table_item(item)):
            items.append((table[0], _checked_rows(table[1])))
        else:
            items += [checked_text(text, "rows") for text in _statement_texts(item, "rows", 0)]
    return items


def _are_rows(rows: list[Any]) -> bool:
    return bool(rows) and (all(isinstance(row, list) for row in rows) or all(isinstance(row, dict) for row in rows))


def _table_item(item: Mapping[str, Any]) -> tuple[str, list[Any]] | None:
    """The table and the rows in {"table": "bell", "rows": [[1, "Emma"]]}."""
    names = [
        value for key, value in item.items() if isinstance(value, str) and key.lower() in ("table", "name", "table_name", "t")
    ]
    rows = [value for value in item.values() if isinstance(value, list) and _are_rows(value)]
    return (names[0], rows[0]) if len(names) == len(rows) == 1 else None


def _checked_rows(rows: list[Any]) -> list[Any]:
    for row in rows:
        for cell in row.values() if isinstance(row, dict) else row:
            if not (cell is None or isinstance(cell, (str, int, float))) or (isinstance(cell, str) and _FORBIDDEN.search(cell)):
                raise UnusableError("bad field", "rows must hold texts without control characters, numbers and null alone")
    return rows


# --- Where the fields stand


def is_json(text: str) -> bool:
    """Whether a text is JSON as a whole, line breaks within its texts allowed."""
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _find_fields(text: str) -> dict[str, Any]:
    """The fields by their names: those of the only object in the text with all of them, or of its headings or tags."""
    answers: list[dict[str, Any]] = []
    for read in (strict_objects, loose_objects, _sections, _tags):
        answers = [fields for fields in map(named_fields, read(text)) if fields]
        whole = [fields for fields in answers if fields.keys() >= set(FIELDS)]
        if any(fields != whole[0] for fields in whole):
            raise UnusableError("several answers", f"{len(whole)} of them: {text[:80]!r}")
        if whole:
            return whole[0]
    parts = [fields for fields in map(named_fields, strict_objects(text)) if fields]
    if not parts:
        raise UnusableError("not json", f"no JSON object with {', '.join(FIELDS)}: {text[:80]!r}")
    if len(set().union(*parts)) == sum(map(len, parts)):  # an object for each field
        return {name: value for fields in parts for name, value in fields.items()}
    if any(fields != parts[0] for fields in parts):
        raise UnusableError("several answers", f"{len(parts)} JSON objects: {text[:80]!r}")
    return parts[0]


def strict_objects(text: str, names: Sequence[str] = FIELDS) -> Iterator[dict[str, Any]]:
    """The JSON objects in the text that are in no other one; those in a JSON text or list too, of which the first is taken if it
    has all fields `names`.
    """
    value: Any = text
    for _ in range(_MAX_NESTING):
        if not isinstance(value, str):
            break
        try:
            value = _DECODER.decode(value)
        except (ValueError, RecursionError):
            break
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list) and value and isinstance(value[0], dict) and named_fields(value[0], names).keys() >= set(names):
        yield value[0]
    else:
        yield from _objects(value if isinstance(value, str) else text, _DECODER.raw_decode, MAX_BRACES)


def loose_objects(text: str) -> Iterator[dict[str, Any]]:
    """The same, where they are JSON for those who wrote them alone."""
    return _objects(text, parse_object, MAX_LOOSE_BRACES)


def _objects(text: str, decode: Callable[[str, int], tuple[Any, int]], most: int) -> Iterator[dict[str, Any]]:
    """What `decode` reads at an opening brace, from the start, and not within another; fewer than `most` begin none."""
    failures, start = 0, text.find("{")
    while start >= 0 and failures < most:
        try:
            value, end = decode(text, start)
            yield value
        except (ValueError, RecursionError):
            failures, end = failures + 1, start + 1
        start = text.find("{", end)


def named_fields(fields: dict[str, Any], names: Sequence[str] = FIELDS) -> dict[str, Any]:
    """The fields `names` under our own names, of the object within objects of one key such as {"data_point": {...}} as well."""
    while len(fields) == 1 and not fields.keys() & set(names):
        inner = next(iter(fields.values()))
        if isinstance(inner, list) and inner and all(isinstance(item, dict) for item in inner):
            inner = inner[0]
        if not isinstance(inner, dict):
            break
        fields = inner
    plain = {re.sub(r"[\s-]+", "_", name.strip().lower()): value for name, value in fields.items()}
    named = {name: plain[name] for name in names if name in plain}
    for name, value in plain.items():
        if _FIELD_OF.get(name) in names:
            named.setdefault(_FIELD_OF[name], value)
    return named


def _sections(text: str) -> Iterator[dict[str, Any]]:
    """What stands below the headings, if each field has one; where a heading comes twice, its texts must be equal."""
    sections: dict[str, Any] = {}
    headings = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    for heading, end in zip(headings, ends, strict=False):  # without headings, there is an end
        section = _section_text(text[heading.end() : end])
        name = re.sub(r"[\s-]+", "_", heading["label"].lower())
        name = _FIELD_OF.get(name, name)
        if section and sections.setdefault(name, section) != section:
            raise UnusableError("several answers", f"{name} stands there twice: {text[:80]!r}")
    if sections.keys() >= set(FIELDS):
        yield sections


def _section_text(text: str) -> str:
    """What a section holds: its fences if it has some, else all of it, without YAML's signs and without bullets."""
    fences = [match["text"].strip() for match in _FENCE.finditer(text)]
    if fences:
        return "\n".join(fences)
    text = _RULE.sub("", text).strip()
    if block := _BLOCK.match(text):
        text = text[block.end() :]
    lines = _BULLET.sub("", text)
    items = [_unquoted(line) for line in lines.splitlines()] if lines != text else [_unquoted(text)]
    return "\n".join(items).strip()


def _unquoted(line: str) -> str:
    line = line.strip()
    return line[1:-1] if len(line) > 1 and line[0] == line[-1] and line[0] in "\"'`" and line[0] not in line[1:-1] else line


def _tags(text: str) -> Iterator[dict[str, Any]]:
    """The texts in <domain>, <schema> and so on; the same tag may come several times for schema and rows."""
    sections: dict[str, list[str]] = {}
    begin: re.Match[str] | None = None
    for tag in _TAG.finditer(text):
        if begin and tag["end"] and tag["label"].lower() == begin["label"].lower():
            name = begin["label"].lower()
            sections.setdefault(_FIELD_OF.get(name, name), []).append(_section_text(text[begin.end() : tag.start()]))
            begin = None
        elif not begin and not tag["end"]:
            begin = tag
    if sections.keys() >= set(FIELDS):
        yield {name: texts if name in ("schema", "rows") else texts[0] for name, texts in sections.items()}
