"""sqlglot trees of SQL: the one place that parses it."""

import logging
from functools import cache
from typing import Any

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError

MAX_LENGTH = 100_000  # characters; no honest query is longer, and a parser's time and memory stay small
_AGAIN = 4  # tokens read again for each that there is; of Spider's queries none needs more than 1.6
_FREE = 1_000  # and as many more, so that short queries may be odd

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of every statement it does not know


class ReadAgainError(SqlglotError):
    """sqlglot would read too much of a text again. Not one of its ParseErrors, on which it tries the next way to read it."""


def statements(sql: str, dialect: str = "sqlite") -> list[exp.Expr]:
    """The trees of all statements in `sql`, in time that grows about linearly with its length.

    SqlglotError where sqlglot cannot parse it, or goes back too often; RecursionError where it is too deep.
    """
    reader, kind = _reader(dialect)
    tokens = reader.tokenize(sql)
    parser = kind(dialect=reader)
    parser.left = _AGAIN * len(tokens) + _FREE
    parsed = parser.parse(tokens, sql)
    return [statement for statement in parsed if statement is not None and not isinstance(statement, exp.Semicolon)]


@cache
def _reader(dialect: str) -> tuple[Dialect, Any]:
    """A dialect, and its parser with a bound on what is read again.

    Where sqlglot cannot tell what a token begins, it reads on, goes back, and reads on in another way. In one another such
    places double the time each: JOINs without ON, calls that look like types (date(date(...)).
    """
    reader = Dialect.get_or_raise(dialect)
    whole: Any = reader.parser_class

    class Frugal(whole):  # type: ignore[misc]  # its base is known when it runs
        left = 0

        def _retreat(self, index: int) -> None:
            self.left -= max(0, self._index - index)
            if self.left < 0:
                raise ReadAgainError("too much of it would have to be read again and again")
            super()._retreat(index)

    return reader, Frugal


def parse_query(sql: str) -> exp.Query | None:
    """The tree of one query in SQLite's dialect, or None where sqlglot cannot parse it, or it is too long or too deep."""
    if len(sql) > MAX_LENGTH:
        return None
    try:
        found = statements(sql)
    except (SqlglotError, RecursionError):
        return None
    return found[0] if len(found) == 1 and isinstance(found[0], exp.Query) else None
