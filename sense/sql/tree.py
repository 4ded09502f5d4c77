"""sqlglot trees of queries in SQLite's dialect: the one place that parses them."""

import logging

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

MAX_LENGTH = 100_000  # characters; no honest query is longer, and a parser's time and memory stay small

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of every statement it does not know


def parse_query(sql: str) -> exp.Query | None:
    """The tree of one query in SQLite's dialect, or None where sqlglot cannot parse it, or it is too long or too deep."""
    if len(sql) > MAX_LENGTH:
        return None
    try:
        parsed = sqlglot.parse(sql, read="sqlite")
    except (SqlglotError, RecursionError):
        return None
    statements = [statement for statement in parsed if statement is not None and not isinstance(statement, exp.Semicolon)]
    return statements[0] if len(statements) == 1 and isinstance(statements[0], exp.Query) else None
