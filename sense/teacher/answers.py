"""Drafts read out of a model's answers.

What a model writes is hostile text, so `parse_draft` is strict in what it takes over: the schema is parsed and written anew, rows
are read as literals and never run as SQL, and the SQL must be one SELECT.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from sense.errors import SenseError
from sense.records import Hardness
from sense.sql.extract import extract, without_thoughts
from sense.sql.parse import check_select, tidy
from sense.sql.tree import parse_statements
from sense.teacher import CellValue, Draft, TableRows

MAX_TABLES = 12
MAX_ANSWER_CHARS = 200_000
MAX_BRACES = 50  # an opening brace where no JSON begins costs time in proportion to the whole answer
RESPONSE_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "data_point",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "domain": {"type": "string"},
                "schema": {"type": "array", "items": {"type": "string"}},
                "rows": {"type": "array", "items": {"type": "string"}},
                "question": {"type": "string"},
                "sql": {"type": "string"},
            },
            "required": ["domain", "schema", "rows", "question", "sql"],
            "additionalProperties": False,
        },
    },
}
"""Structured output as OpenAI, vLLM and their like take it: the form of an answer as a JSON schema."""
FIELD_TYPES: dict[str, type] = {"domain": str, "schema": list, "rows": list, "question": str, "sql": str}
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # control characters, halves of surrogate pairs
_NAME = re.compile(r"\w[\w ]{0,62}")
_DECODER = json.JSONDecoder(strict=False)  # models break lines within a text; other control characters are refused later


class UnusableError(SenseError):
    """An answer from which no draft can be read: a short reason to count by, and a detail for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, " ".join(detail.split())[:200]


@dataclass(frozen=True)
class _DraftTable:
    """A table of a draft: its name, its columns in order, and its CREATE TABLE statement as sqlglot writes it."""

    name: str
    columns: tuple[str, ...]
    ddl: str


def parse_draft(text: str, index: int, level: Hardness) -> Draft:
    """Draft number `index`, read from a model's answer; raises UnusableError."""
    fields = _parse_fields(text)
    tables = _parse_tables(fields["schema"])
    sql = tidy(fields["sql"])
    if not sql[:1].isalpha():  # in a fence or a tag
        sql = extract(sql)
    problem = check_select(sql)
    if problem:
        raise UnusableError("not a select", problem)
    domain = " ".join(fields["domain"].lower().split())[:80]
    slug = re.sub(r"[^a-z0-9]+", "_", domain).strip("_")[:40].strip("_") or "database"
    return Draft(
        db_id=f"{slug}_{index:06d}",
        domain=domain,
        ddl=tuple(table.ddl for table in tables.values()),
        rows=_parse_rows(fields["rows"], tables),
        question=" ".join(fields["question"].split()),
        sql=sql,
        level=level,
    )


def _parse_fields(text: str) -> dict[str, Any]:
    """The fields of the one JSON object in the answer, each present and of its type; a text stands for a list of one text."""
    text = (text if _is_json(text) else without_thoughts(text)).strip()
    if not 0 < len(text) <= MAX_ANSWER_CHARS:
        detail = f"{len(text)} characters, allowed are 1 to {MAX_ANSWER_CHARS}"
        raise UnusableError("too long" if text else "empty answer", detail)
    fields = _find_fields(text)
    for name, expected in FIELD_TYPES.items():
        value = fields.get(name)
        if value in (None, "", []):
            raise UnusableError("missing field", name)
        if expected is list and isinstance(value, str):
            value = fields[name] = [value]
        items = value if isinstance(value, list) else [value]
        texts = all(isinstance(item, str) and item.strip() and not _FORBIDDEN.search(item) for item in items)
        if not (isinstance(value, expected) and texts):
            wording = "a list of texts" if expected is list else "a text"
            raise UnusableError("bad field", f"{name} must be {wording} without control characters")
    return fields


def _is_json(text: str) -> bool:
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _find_fields(text: str) -> dict[str, Any]:
    """The JSON object that is the answer: all of `text`, or the only one in it with fields of ours, fenced or amid prose."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        objects = list(_json_objects(text))
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    else:
        objects = [value] if isinstance(value, dict) else list(_json_objects(text))
        problem = "not an object"
    objects = [_unwrap(fields) for fields in objects]
    whole = [fields for fields in objects if fields.keys() >= FIELD_TYPES.keys()]
    answers = whole or [fields for fields in objects if fields.keys() & FIELD_TYPES.keys()] or objects[:1]
    if not answers:
        raise UnusableError("not json", f"no JSON object ({problem}): {text[:80]!r}")
    if any(fields != answers[0] for fields in answers):
        raise UnusableError("several answers", f"{len(answers)} JSON objects: {text[:80]!r}")
    return answers[0]


def _json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in `text`, from its start, that are in no other one; no more than MAX_BRACES begin none."""
    failures, start = 0, text.find("{")
    while start >= 0 and failures < MAX_BRACES:
        try:
            value, end = _DECODER.raw_decode(text, start)
            yield value
        except (ValueError, RecursionError):
            failures, end = failures + 1, start + 1
        start = text.find("{", end)


def _unwrap(fields: dict[str, Any]) -> dict[str, Any]:
    """The object within an object of one key, such as {"data_point": {...}}, and field names in lower case."""
    while len(fields) == 1 and isinstance(inner := next(iter(fields.values())), dict):
        fields = inner
    lower = {name.strip().lower(): value for name, value in fields.items()}
    return lower if len(lower) == len(fields) else fields


def _parse_statements(texts: Sequence[str], reason: str) -> list[exp.Expr]:
    """The SQLite statements in `texts`; a comment after a semicolon does not count as one."""
    try:
        return [statement for text in texts for statement in parse_statements(text)]
    except (SqlglotError, RecursionError) as error:
        raise UnusableError(reason, f"cannot be parsed ({type(error).__name__})") from None


def _parts(node: exp.Expr) -> set[str]:
    """The names of the arguments that a parsed statement has."""
    return {name for name, part in node.args.items() if part}


def _plain_name(node: Any, reason: str) -> str:
    """The unqualified name in a table, column or identifier node."""
    plain = isinstance(node, (exp.Identifier, exp.ColumnDef)) or (isinstance(node, exp.Table) and _parts(node) == {"this"})
    name = node.name if plain else ""
    if not _NAME.fullmatch(name) or name.lower().startswith("sqlite_"):
        raise UnusableError(reason, f"not a name to use: {name!r}")
    return str(name)


def _parse_tables(texts: Sequence[str]) -> dict[str, _DraftTable]:
    """The tables that the statements create, by their names in lower case."""
    statements = _parse_statements(texts, "bad schema")
    tables = {table.name.lower(): table for table in map(_parse_create_table, statements)}
    if len(tables) < len(statements) or not 1 <= len(tables) <= MAX_TABLES:
        detail = f"{len(tables)} different names for {len(statements)} tables; at most {MAX_TABLES} are allowed"
        raise UnusableError("bad schema", detail)
    return tables


def _parse_create_table(statement: exp.Expr) -> _DraftTable:
    """One CREATE TABLE whose columns can be filled: no temporary or virtual table, none made by a SELECT."""
    body = statement.this if isinstance(statement, exp.Create) else None
    plain = _parts(statement) <= {"this", "kind", "exists"} and statement.args.get("kind") == "TABLE"
    if not (plain and isinstance(body, exp.Schema)) or statement.find(exp.ComputedColumnConstraint, exp.Query, exp.LikeProperty):
        raise UnusableError("bad schema", f"not a plain CREATE TABLE: {type(statement).__name__}")
    definitions = [part for part in body.expressions if isinstance(part, (exp.ColumnDef, exp.Identifier))]
    columns = tuple(_plain_name(definition, "bad schema") for definition in definitions)
    if not columns or len({column.lower() for column in columns}) < len(columns):
        raise UnusableError("bad schema", "a table without columns, or with two of one name")
    return _DraftTable(_plain_name(body.this, "bad schema"), columns, statement.sql("sqlite", comments=False))


def _parse_rows(texts: Sequence[str], tables: dict[str, _DraftTable]) -> TableRows:
    """The rows that the INSERT statements hold, each in its table's column order; a column not named is NULL."""
    rows_by_table: dict[str, list[tuple[CellValue, ...]]] = {name: [] for name in tables}
    for statement in _parse_statements(texts, "bad rows"):
        plain = isinstance(statement, exp.Insert) and _parts(statement) == {"this", "expression"}
        values = statement.args.get("expression")
        if not (plain and isinstance(values, exp.Values)):
            raise UnusableError("bad rows", f"not a plain INSERT INTO ... VALUES: {type(statement).__name__}")
        with_columns = statement.this if isinstance(statement.this, exp.Schema) else None
        name = _plain_name(with_columns.this if with_columns else statement.this, "bad rows").lower()
        if name not in tables:
            raise UnusableError("bad rows", f"rows for {name}, which is not a table of this schema")
        columns = [column.lower() for column in tables[name].columns]
        order = [_plain_name(part, "bad rows").lower() for part in with_columns.expressions] if with_columns else columns
        if len(set(order)) < len(order) or not set(order) <= set(columns):
            raise UnusableError("bad rows", f"{name}({', '.join(order)}): not columns of this table, each at most once")
        for row in values.expressions:
            cells = [_parse_literal(cell) for cell in row.expressions] if isinstance(row, exp.Tuple) else []
            if len(cells) != len(order):
                raise UnusableError("bad rows", f"{len(cells)} values for {len(order)} columns of {name}")
            by_column = dict(zip(order, cells, strict=True))
            rows_by_table[name].append(tuple(by_column.get(column) for column in columns))
    return tuple((tables[name].name, tuple(rows)) for name, rows in rows_by_table.items())


def _parse_literal(node: exp.Expr) -> CellValue:
    """The value of a text, integer, finite float, TRUE, FALSE or NULL; an integer beyond 64 bits is a float, as in SQLite."""
    try:
        value = node.to_py() if isinstance(node, (exp.Literal, exp.Neg, exp.Null, exp.Boolean)) else node
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return int(value)
        if isinstance(value, (int, Decimal)) and math.isfinite(value):
            return float(value)
    except (ValueError, ArithmeticError):
        pass
    raise UnusableError("bad rows", f"not a literal value that SQLite can hold: {type(node).__name__}")
