"""The names and the texts in a query: where they stand, and which texts still mean the same under other words.

SQLite takes what stands in double quotes for a text where no column of that name can be seen; Spider's queries rely on it.
"""

import re
from collections.abc import Mapping, Set
from functools import lru_cache
from typing import Literal, NamedTuple

from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite
from sqlglot.tokenizer_core import TokenType

from sense.schema import Schema
from sense.sql.parse import CLOSING_QUOTES
from sense.sql.tree import parse_query

# How a text is used. `whole`: a column is compared with it. `pattern`: it is what LIKE compares a column with. `other`: a
# function's argument, a bound, a part of another text, a result.
TextUse = Literal["whole", "pattern", "other"]

_ROW_IDS = frozenset(("rowid", "oid", "_rowid_"))
_KEEPS_WORDS = (exp.Lower, exp.Upper, exp.Trim)  # functions that leave the words of a text as they are, but for their case


class SqlPart(NamedTuple):
    """A name or a text in a query, written at sql[start:end]; `text` is what it says without its quotes.

    `use` is None for a name.
    """

    start: int
    end: int
    text: str
    use: TextUse | None


@lru_cache(maxsize=16)  # all copies of an example, one after the other
def find_parts(sql: str, schema: Schema) -> tuple[SqlPart, ...] | None:
    """All names and texts of the query in their order; None if it cannot be said for certain what they are.

    That is so for what cannot be parsed, and for a query on anything but tables of the schema and of its own WITH.
    """
    tree = parse_query(sql)
    if tree is None:
        return None
    columns = {table.name.lower(): {column.name.lower() for column in table.columns} for table in schema.tables}
    own_tables = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or table.name.lower() not in columns.keys() | own_tables:
            return None
    parts = [_part(node, sql, columns) for node in tree.find_all(exp.Identifier, exp.Literal) if not _is_number(node)]
    certain = [part for part in parts if part is not None]
    if len(certain) < len(parts) or not _is_complete(certain, sql, schema):
        return None
    return tuple(sorted(certain))


def quoted(text: str, written: str) -> str:
    """`text` in the quotes of `written`, bare if that is bare."""
    closing = CLOSING_QUOTES.get(written[0])
    return f"{written[0]}{text.replace(closing, closing * 2)}{closing}" if closing else text


def _is_number(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string


def _part(node: exp.Expr, sql: str, columns: Mapping[str, Set[str]]) -> SqlPart | None:
    """The name or text that a node stands for; None if it cannot be found in the query."""
    start, end = node.meta.get("start", 0), node.meta.get("end", -1) + 1
    if end <= start or quoted(node.name, sql[start:end]) != sql[start:end]:
        return None
    if isinstance(node, exp.Literal):
        return SqlPart(start, end, node.name, _use(node))
    column = node.parent
    is_text = sql[start] == '"' and isinstance(column, exp.Column) and not column.table and not _is_visible(column, columns)
    return SqlPart(start, end, node.name, _use(column) if is_text and column else None)


def _is_complete(parts: list[SqlPart], sql: str, schema: Schema) -> bool:
    """Whether every token that could be one of the schema's names, or a text, is among the parts."""
    names = {name.lower() for table in schema.tables for name in (table.name, *(column.name for column in table.columns))}
    starts = {part.start for part in parts}
    tokens = SQLite().tokenize(sql)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.start in starts:
            continue
        is_function = following is not None and following.token_type == TokenType.L_PAREN
        if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
            return False
        if token.token_type == TokenType.VAR and token.text.lower() in names and not is_function:
            return False
    return True


def _is_visible(column: exp.Column, columns: Mapping[str, Set[str]]) -> bool:
    """Whether SQLite finds a column of that name, which has no table before it, in its own query or in those around it."""
    names = set(_ROW_IDS)
    query = column.parent
    while query is not None:
        if isinstance(query, exp.Select):
            names |= {expression.alias.lower() for expression in query.expressions if expression.alias}
            for source in query.find_all(exp.Table, exp.Subquery):
                if source.parent_select is query and isinstance(source.parent, (exp.From, exp.Join)):
                    names |= _source_names(source, columns)
        elif isinstance(query, exp.SetOperation):
            names |= _result_names(query, columns)
        query = query.parent
    for cte in column.root().find_all(exp.CTE):
        names |= _result_names(cte, columns)
    return column.name.lower() in names


def _source_names(source: exp.Expr, columns: Mapping[str, Set[str]]) -> Set[str]:
    """The names of the columns of a table, or of a query in FROM, in lower case."""
    return _result_names(source, columns) if isinstance(source, exp.Subquery) else columns.get(source.name.lower(), set())


def _result_names(query: exp.Expr, columns: Mapping[str, Set[str]]) -> set[str]:
    """The names that the columns of a query's result may have, in lower case."""
    names = {expression.alias_or_name.lower() for select in query.find_all(exp.Select) for expression in select.expressions}
    names |= {name.name.lower() for alias in query.find_all(exp.TableAlias) for name in alias.columns}
    if query.find(exp.Star):
        names = names.union(*(columns.get(table.name.lower(), set()) for table in query.find_all(exp.Table)))
    return names


def _use(node: exp.Expr) -> TextUse:
    """How the text is used that a node stands for."""
    parent = node.parent
    while isinstance(parent, (exp.Paren, exp.Collate)) and parent.this is node:
        node, parent = parent, parent.parent
    if isinstance(parent, (exp.EQ, exp.NEQ, exp.Is)):
        return "whole" if _is_column(parent.expression if parent.this is node else parent.this) else "other"
    if isinstance(parent, exp.In) and parent.this is not node:
        return "whole" if _is_column(parent.this) else "other"
    if isinstance(parent, exp.Like) and parent.expression is node:
        return "pattern" if _is_column(parent.this) else "other"
    if isinstance(parent, exp.If) and parent.this is node and isinstance(parent.parent, exp.Case):
        return "whole" if _is_column(parent.parent.this) else "other"
    return "other"


def _is_column(node: exp.Expr | None) -> bool:
    """Whether a value is a column's, of which at most the case of letters or the blanks around are changed."""
    while isinstance(node, (exp.Paren, exp.Collate, *_KEEPS_WORDS)):
        node = node.this
    return isinstance(node, exp.Column)


def cut_words(pattern: str) -> set[str]:
    """The words of a LIKE pattern, in lower case, that may be parts of words: those beside a % or _."""
    return {match[0].lower() for match in re.finditer(r"(?<=[%_])[^\W\d_]+|[^\W\d_]+(?=[%_])", pattern)}
