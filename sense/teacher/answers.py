"""Drafts read out of a model's answers.

What a model writes is hostile text, so `parse_draft` is strict in what it takes over: the schema is parsed and written anew, rows
are read as literals and never run as SQL, and the SQL must be one SELECT. In what form the answer stands is `answer_fields`' to
read.
"""

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from sense.records import Hardness
from sense.sql.extract import extract
from sense.sql.parse import check_select, tidy
from sense.sql.tree import parse_statements
from sense.teacher import CellValue, Draft, TableRows
from sense.teacher.answer_fields import FIELDS, UnusableError, read_fields

MAX_TABLES = 12
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
            "required": [*FIELDS],
            "additionalProperties": False,
        },
    },
}
"""Structured output as OpenAI, vLLM and their like take it: the form of an answer as a JSON schema."""
_NAME = re.compile(r"\w[\w .%#()&/+-]{0,62}")  # as real databases have them; whoever writes one puts it in quotes
_FENCED = re.compile(r"\s*+(`{3,}+|~{3,}+)[^\n`~]*+\n(?P<sql>.*?)(?:\1\s*+)?\Z", re.DOTALL)
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|#39);")


@dataclass(frozen=True)
class _DraftTable:
    """A table of a draft: its name, its columns in order, and its CREATE TABLE statement as sqlglot writes it."""

    name: str
    columns: tuple[str, ...]
    ddl: str


@dataclass(frozen=True)
class WrittenDatabase:
    """A database as a model wrote it: its domain, a name for its files, CREATE TABLE statements and rows."""

    domain: str
    slug: str
    ddl: tuple[str, ...]
    rows: TableRows


def parse_draft(text: str, index: int, level: Hardness) -> Draft:
    """Draft number `index`, read from a model's answer; raises UnusableError."""
    fields = read_fields(text)
    tables, inserts = _parse_tables(fields["schema"])
    sql = parse_sql(fields["sql"])
    database = _database(fields["domain"], tables, [*inserts, *fields["rows"]])
    return Draft(
        db_id=f"{database.slug}_{index:06d}",
        domain=database.domain,
        ddl=database.ddl,
        rows=database.rows,
        question=" ".join(fields["question"].split()),
        sql=sql,
        level=level,
    )


def parse_database(domain: str, schema: Sequence[str], rows: Sequence[str | tuple[str, list[Any]]]) -> WrittenDatabase:
    """The database of an answer, of which `schema` and `rows` are as in `read_fields`; raises UnusableError."""
    tables, inserts = _parse_tables(schema)
    return _database(domain, tables, [*inserts, *rows])


def parse_sql(text: str) -> str:
    """The one SELECT in the text of an answer's SQL; raises UnusableError."""
    sql = tidy(html.unescape(text) if _ENTITY.search(text) else text)
    if not sql[:1].isalpha():  # in a fence or a tag
        sql = extract(sql)
    problem = check_select(sql)
    if problem:
        raise UnusableError("not a select", problem)
    return sql


def _database(
    text: str, tables: dict[str, "_DraftTable"], rows: Sequence[str | exp.Expr | tuple[str, list[Any]]]
) -> WrittenDatabase:
    domain = " ".join(text.lower().split())[:80]
    slug = re.sub(r"[^a-z0-9]+", "_", domain).strip("_")[:40].strip("_") or "database"
    return WrittenDatabase(domain, slug, tuple(table.ddl for table in tables.values()), _parse_rows(rows, tables))


def _parse_statements(text: str, reason: str) -> list[exp.Expr]:
    """The SQLite statements in a text, fenced or not, without those that say nothing about tables and rows.

    These are comments, indexes, the beginning and end of a transaction, and PRAGMA foreign_keys.
    """
    fenced = _FENCED.match(text)
    try:
        statements = parse_statements(fenced["sql"] if fenced else text)
    except (SqlglotError, RecursionError) as error:
        raise UnusableError(reason, f"cannot be parsed ({type(error).__name__}): {text[:120]}") from None
    return [statement for statement in statements if not _says_nothing(statement)]


def _says_nothing(statement: exp.Expr) -> bool:
    if isinstance(statement, exp.Pragma):
        return statement.sql("sqlite").upper().startswith("PRAGMA FOREIGN_KEYS")
    index = isinstance(statement, exp.Create) and statement.args.get("kind") == "INDEX"
    return index or isinstance(statement, (exp.Transaction, exp.Commit))


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


def _parse_tables(texts: Sequence[str]) -> tuple[dict[str, _DraftTable], list[exp.Insert]]:
    """The tables that the statements create, by their names in lower case, and the INSERTs among them."""
    inserts: list[exp.Insert] = []
    tables: dict[str, _DraftTable] = {}
    for statement in [statement for text in texts for statement in _parse_statements(text, "bad schema")]:
        if isinstance(statement, exp.Insert):
            inserts.append(statement)
        elif not _drops_nothing(statement, tables):
            table = _parse_create_table(statement)
            if table.name.lower() in tables:
                raise UnusableError("bad schema", f"two tables called {table.name}")
            tables[table.name.lower()] = table
    if not 1 <= len(tables) <= MAX_TABLES:
        raise UnusableError("bad schema", f"{len(tables)} tables; 1 to {MAX_TABLES} are allowed")
    return tables, inserts


def _drops_nothing(statement: exp.Expr, tables: dict[str, _DraftTable]) -> bool:
    """Whether this is DROP TABLE IF EXISTS in front of the CREATE TABLE."""
    if not isinstance(statement, exp.Drop) or statement.args.get("kind") != "TABLE" or not statement.args.get("exists"):
        return False
    return not any(_plain_name(table, "bad schema").lower() in tables for table in statement.args["tables"])


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


def _parse_rows(items: Sequence[str | exp.Expr | tuple[str, list[Any]]], tables: dict[str, _DraftTable]) -> TableRows:
    """The rows that INSERT statements or lists hold, each in its table's column order; a column not named is NULL."""
    rows_by_table: dict[str, list[tuple[CellValue, ...]]] = {name: [] for name in tables}

    def add(name: str, order: Sequence[str] | None, cells: Sequence[CellValue]) -> None:
        """Takes over a row of the table `name`, whose cells stand in the order of the columns `order`, or of the table's."""
        if name.lower() not in tables:
            raise UnusableError("bad rows", f"rows for {name}, which is not a table of this schema")
        columns = [column.lower() for column in tables[name.lower()].columns]
        order = columns if order is None else [column.lower() for column in order]
        if len(set(order)) < len(order) or not set(order) <= set(columns):
            raise UnusableError("bad rows", f"{name}({', '.join(order)}): not columns of this table, each at most once")
        if len(cells) != len(order):
            raise UnusableError("bad rows", f"{len(cells)} values for {len(order)} columns of {name}")
        by_column = dict(zip(order, cells, strict=True))
        rows_by_table[name.lower()].append(tuple(by_column.get(column) for column in columns))

    for item in items:
        if isinstance(item, tuple):
            for row in item[1]:
                add(item[0], list(row) if isinstance(row, dict) else None, list(map(_cell, _cells(row))))
            continue
        for statement in _parse_statements(item, "bad rows") if isinstance(item, str) else [item]:
            name, order, values = _parse_insert(statement)
            for row in values:
                cells = [_parse_literal(cell) for cell in row.expressions] if isinstance(row, exp.Tuple) else []
                add(name, order, cells)
    if not any(rows_by_table.values()):
        raise UnusableError("bad rows", "no rows at all")
    return tuple((tables[name].name, tuple(rows)) for name, rows in rows_by_table.items())


def _parse_insert(statement: exp.Expr) -> tuple[str, list[str] | None, list[exp.Expr]]:
    """The table of an INSERT, its columns if it names them, and its rows."""
    plain = isinstance(statement, exp.Insert) and _parts(statement) == {"this", "expression"}
    values = statement.args.get("expression")
    if not (plain and isinstance(values, exp.Values)):
        raise UnusableError("bad rows", f"not a plain INSERT INTO ... VALUES: {type(statement).__name__}")
    if not isinstance(statement.this, exp.Schema):
        return _plain_name(statement.this, "bad rows"), None, values.expressions
    columns = [_plain_name(part, "bad rows") for part in statement.this.expressions]
    return _plain_name(statement.this.this, "bad rows"), columns, values.expressions


def _cells(row: Any) -> list[Any]:
    return list(row.values()) if isinstance(row, dict) else row


def _cell(value: Any) -> CellValue:
    """A value of JSON as SQLite holds it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else float(value)
    if math.isfinite(value):
        return float(value)
    raise UnusableError("bad rows", f"not a value that SQLite can hold: {value}")


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
