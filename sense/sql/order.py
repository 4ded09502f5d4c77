"""The outermost ORDER BY of a query: whether there is one, and which columns of the result it sorts by."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlglot import exp

from sense.sql.lexer import code
from sense.sql.tree import parse_query


def is_ordered(sql: str) -> bool:
    """True if the outermost query of `sql` has an ORDER BY, so that the order of its rows is part of the answer."""
    last = ""
    for token in code(sql):
        if token.depth == 0 and last == "ORDER" and token.text == "BY":
            return True
        last = token.text if token.kind == "word" and token.depth == 0 else ""
    return False


def order_columns(sql: str) -> tuple[int, ...] | None:
    """The positions of the ORDER BY keys among the result's columns; None unless every key is one of them.

    Rows that agree in these columns are ties, and any order among ties is right.
    """
    tree = parse_query(sql)
    order = None if tree is None else tree.args.get("order")
    if tree is None or order is None:
        return None
    select: exp.Expr = tree
    while isinstance(select, (exp.SetOperation, exp.Subquery)):
        select = select.this
    columns = list(select.expressions)
    if any(column.is_star for column in columns):
        return None
    try:
        places = _places(columns)
        found = [_position(key.this, places) for key in order.expressions]
    except RecursionError:  # an expression that sqlglot parses but cannot write
        return None
    return None if None in found else tuple(position for position in found if position is not None)


class _Places(NamedTuple):
    """The first column of each alias, text and name, these in lower case; `bare` those that are named without their table."""

    number: int
    aliases: dict[str, int]
    texts: dict[str, int]
    names: dict[str, int]
    bare: dict[str, int]


def _places(columns: Sequence[exp.Expr]) -> _Places:
    places = _Places(len(columns), {}, {}, {}, {})
    for index, column in enumerate(columns):
        places.aliases.setdefault(column.alias.lower(), index)
        inner = column.unalias()
        places.texts.setdefault(_text(inner), index)
        if isinstance(inner, exp.Column):
            places.names.setdefault(inner.name.lower(), index)
            if not inner.table:
                places.bare.setdefault(inner.name.lower(), index)
    return places


def _position(key: exp.Expr, places: _Places) -> int | None:
    """Where `key` stands among the columns: a number, an alias, an expression written like a column's, or the same column, named
    with its table in one place and without in the other.
    """
    if isinstance(key, exp.Literal) and not key.is_string:
        position = int(key.name) - 1 if key.name.isdigit() else -1
        return position if 0 <= position < places.number else None
    name = key.name.lower() if isinstance(key, exp.Column) else ""
    if name and not key.args.get("table") and name in places.aliases:
        return places.aliases[name]
    text = _text(key)
    if text in places.texts:
        return places.texts[text]
    if not isinstance(key, exp.Column):
        return None
    return (places.bare if key.table else places.names).get(name)


def _text(node: exp.Expr) -> str:
    """An expression's text; without regard to case, as SQLite compares names."""
    return node.sql(dialect="sqlite", comments=False).lower()
