"""A strong LLM's answer as a draft: strict, since what a model writes is hostile text.

The schema is parsed and written anew, rows are read as literals and never run as SQL, the SQL must be one SELECT.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from sense.errors import SenseError
from sense.records import Hardness
from sense.sql.parse import check_select
from sense.sql.tree import parse_statements
from sense.teacher import Draft, Rows, Value

MAX_TABLES = 12
MAX_ANSWER = 200_000  # characters
FIELDS: dict[str, type] = {"domain": str, "schema": list, "rows": list, "question": str, "sql": str}
UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # control characters, halves of surrogate pairs
NAME = re.compile(r"\w[\w ]{0,62}")


class UnusableError(SenseError):
    """An answer that is no data point: a short reason to count by, and a detail for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, " ".join(detail.split())[:200]


@dataclass(frozen=True)
class _Table:
    """A table of a draft: its name, its columns in order and its statement as sqlglot writes it."""

    name: str
    columns: tuple[str, ...]
    ddl: str


def read(text: str, index: int, level: Hardness) -> Draft:
    """The draft in a model's answer; raises UnusableError."""
    fields = _fields(text)
    tables = _tables(fields["schema"])
    sql = fields["sql"].strip().rstrip(";").strip()
    problem = check_select(sql)
    if problem:
        raise UnusableError("not a select", problem)
    domain = " ".join(fields["domain"].lower().split())[:80]
    slug = re.sub(r"[^a-z0-9]+", "_", domain).strip("_")[:40].strip("_") or "database"
    return Draft(
        db_id=f"{slug}_{index:06d}",
        domain=domain,
        ddl=tuple(table.ddl for table in tables.values()),
        rows=_rows(fields["rows"], tables),
        question=" ".join(fields["question"].split()),
        sql=sql,
        level=level,
    )


def _fields(text: str) -> dict[str, Any]:
    """The fields of the JSON object that is the answer, bare or fenced, each present and of its type."""
    text = text.rpartition("</think>")[2].strip()  # a reasoning model's thoughts come first
    if not 0 < len(text) <= MAX_ANSWER:
        raise UnusableError("too long" if text else "empty answer", f"{len(text)} characters, 1 to {MAX_ANSWER} are taken")
    fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL | re.IGNORECASE)
    try:
        value = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UnusableError("not json", f"no JSON object: {text[:80]!r}")
    for name, kind in FIELDS.items():
        if value.get(name) in (None, "", []):
            raise UnusableError("missing field", name)
        items = value[name] if isinstance(value[name], list) else [value[name]]
        texts = all(isinstance(item, str) and item.strip() and not UNWRITABLE.search(item) for item in items)
        if not (isinstance(value[name], kind) and texts):
            raise UnusableError(
                "bad field", f"{name} must be {'a list of texts' if kind is list else 'a text'} without control characters"
            )
    return value


def _statements(texts: Sequence[str], reason: str) -> list[exp.Expr]:
    """The statements in `texts`, parsed for SQLite; a comment after a semicolon is none."""
    try:
        return [statement for text in texts for statement in parse_statements(text)]
    except (SqlglotError, RecursionError) as error:
        raise UnusableError(reason, f"cannot be parsed ({type(error).__name__})") from None


def _given(node: exp.Expr) -> set[str]:
    """The names of the parts that a parsed statement has."""
    return {name for name, part in node.args.items() if part}


def _name(node: Any, reason: str) -> str:
    """The plain name in a table, column or identifier node."""
    plain = isinstance(node, (exp.Identifier, exp.ColumnDef)) or (isinstance(node, exp.Table) and _given(node) == {"this"})
    name = node.name if plain else ""
    if not NAME.fullmatch(name) or name.lower().startswith("sqlite_"):
        raise UnusableError(reason, f"not a name to use: {name!r}")
    return str(name)


def _tables(texts: Sequence[str]) -> dict[str, _Table]:
    """The tables that the statements create, by their names in lower case."""
    statements = _statements(texts, "bad schema")
    tables = {table.name.lower(): table for table in map(_table, statements)}
    if len(tables) < len(statements) or not 1 <= len(tables) <= MAX_TABLES:
        raise UnusableError(
            "bad schema", f"{len(tables)} different names for {len(statements)} tables; at most {MAX_TABLES} are taken"
        )
    return tables


def _table(statement: exp.Expr) -> _Table:
    """One CREATE TABLE with columns to fill: no temporary or virtual one, none made by a SELECT."""
    body = statement.this if isinstance(statement, exp.Create) else None
    plain = _given(statement) <= {"this", "kind", "exists"} and statement.args.get("kind") == "TABLE"
    if not (plain and isinstance(body, exp.Schema)) or statement.find(exp.ComputedColumnConstraint, exp.Query, exp.LikeProperty):
        raise UnusableError("bad schema", f"not a plain CREATE TABLE: {type(statement).__name__}")
    columns = tuple(_name(part, "bad schema") for part in body.expressions if isinstance(part, (exp.ColumnDef, exp.Identifier)))
    if not columns or len({column.lower() for column in columns}) < len(columns):
        raise UnusableError("bad schema", "a table without columns, or with two of one name")
    return _Table(_name(body.this, "bad schema"), columns, statement.sql("sqlite", comments=False))


def _rows(texts: Sequence[str], tables: dict[str, _Table]) -> Rows:
    """The rows that the INSERT statements hold, each in its table's column order; a column not named is NULL."""
    found: dict[str, list[tuple[Value, ...]]] = {name: [] for name in tables}
    for statement in _statements(texts, "bad rows"):
        plain = isinstance(statement, exp.Insert) and _given(statement) == {"this", "expression"}
        values = statement.args.get("expression")
        if not (plain and isinstance(values, exp.Values)):
            raise UnusableError("bad rows", f"not a plain INSERT INTO ... VALUES: {type(statement).__name__}")
        named = statement.this if isinstance(statement.this, exp.Schema) else None
        name = _name(named.this if named else statement.this, "bad rows").lower()
        if name not in tables:
            raise UnusableError("bad rows", f"rows for {name}, which is not a table of this schema")
        columns = [column.lower() for column in tables[name].columns]
        order = [_name(part, "bad rows").lower() for part in named.expressions] if named else columns
        if len(set(order)) < len(order) or not set(order) <= set(columns):
            raise UnusableError("bad rows", f"{name}({', '.join(order)}): not columns of this table, each at most once")
        for row in values.expressions:
            cells = [_value(cell) for cell in row.expressions] if isinstance(row, exp.Tuple) else []
            if len(cells) != len(order):
                raise UnusableError("bad rows", f"{len(cells)} values for {len(order)} columns of {name}")
            given = dict(zip(order, cells, strict=True))
            found[name].append(tuple(given.get(column) for column in columns))
    return tuple((tables[name].name, tuple(rows)) for name, rows in found.items())


def _value(node: exp.Expr) -> Value:
    """The value of a literal: text, integer, finite float, TRUE, FALSE or NULL; beyond 64 bits a float, as in SQLite."""
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
