"""The outermost ORDER BY of a query: whether there is one, and which columns of the result it sorts by."""

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
        found = [_position(key.this, columns) for key in order.expressions]
    except RecursionError:  # an expression that sqlglot parses but cannot write
        return None
    return None if None in found else tuple(position for position in found if position is not None)


def _position(key: exp.Expr, columns: list[exp.Expr]) -> int | None:
    """Where `key` (a number, an alias, or an expression written like a column's) stands among `columns`."""
    if isinstance(key, exp.Literal) and not key.is_string:
        position = int(key.name) - 1 if key.name.isdigit() else -1
        return position if 0 <= position < len(columns) else None
    for same in (_same_alias, _same_text, _same_name):
        positions = [index for index, column in enumerate(columns) if same(key, column)]
        if positions:
            return positions[0]
    return None


def _same_alias(key: exp.Expr, column: exp.Expr) -> bool:
    return isinstance(key, exp.Column) and not key.table and key.name.lower() == column.alias.lower()


def _same_text(key: exp.Expr, column: exp.Expr) -> bool:
    return _text(key) == _text(column.unalias())


def _same_name(key: exp.Expr, column: exp.Expr) -> bool:
    """The same column, named with its table in one place and without in the other."""
    column = column.unalias()
    if not (isinstance(key, exp.Column) and isinstance(column, exp.Column)):
        return False
    return key.name.lower() == column.name.lower() and not (key.table and column.table)


def _text(node: exp.Expr) -> str:
    """An expression's text; without regard to case, as SQLite compares names."""
    return node.sql(dialect="sqlite", comments=False).lower()
