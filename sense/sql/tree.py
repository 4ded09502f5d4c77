"""sqlglot trees of SQL: the one place that parses it."""

import logging
from collections.abc import Iterable, Set

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

MAX_LENGTH = 100_000  # characters; no honest query is longer, and a parser's time and memory stay small
# Calls in one another of functions that are called like types, date(date(...)). sqlglot takes each for a type, reads on, and then
# reads it again as a function: each doubles the time.
_NESTED = 8

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of every statement it does not know


def statements(sql: str, dialect: str = "sqlite") -> list[exp.Expr]:
    """The trees of all statements in `sql`, in time that grows about linearly with its length.

    SqlglotError where sqlglot cannot parse it, or it nests too many calls of types; RecursionError where it is too deep.
    """
    reader = Dialect.get_or_raise(dialect)
    tokens = reader.tokenize(sql)
    if sql.count("(") > _NESTED and _nested(tokens, reader.parser_class.TYPE_TOKENS) > _NESTED:
        raise ParseError(f"more than {_NESTED} calls in one another of functions that are called like types")
    parsed = reader.parser().parse(tokens, sql)
    return [statement for statement in parsed if statement is not None and not isinstance(statement, exp.Semicolon)]


def _nested(tokens: Iterable[Token], types: Set[TokenType]) -> int:
    """How many parentheses behind a type's name are open at most at a time."""
    opened: list[bool] = []
    last: TokenType | None = None
    most = now = 0
    for token in tokens:
        if token.token_type == TokenType.L_PAREN:
            opened.append(last in types)
            now += opened[-1]
            most = max(most, now)
        elif token.token_type == TokenType.R_PAREN and opened:
            now -= opened.pop()
        last = token.token_type
    return most


def parse_query(sql: str) -> exp.Query | None:
    """The tree of one query in SQLite's dialect, or None where sqlglot cannot parse it, or it is too long or too deep."""
    if len(sql) > MAX_LENGTH:
        return None
    try:
        found = statements(sql)
    except (SqlglotError, RecursionError):
        return None
    return found[0] if len(found) == 1 and isinstance(found[0], exp.Query) else None
