"""Mistakes in ORDER BY and LIMIT."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlglot import exp

from sense.sql.mutation.changes import Mistakes, changed, changed_all, replaced
from sense.sql.query_scope import Scope


def change_order(tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """ORDER BY turned round, dropped, or without one of its keys."""
    by_select = {id(scope.select): scope for scope in scopes}
    for query in list(tree.find_all(exp.Select, exp.SetOperation)):
        order, scope = query.args.get("order"), by_select.get(id(query))
        if order is None or not _order_counts(query, scope):
            continue
        keys = order.expressions
        for number, key in enumerate(keys):
            if number and scope is not None and _is_decided(scope, [earlier.this for earlier in keys[:number]]):
                break
            with turned(key):
                yield "order"
            if number:
                with changed(order, "expressions", keys[:number]):
                    yield "order"
        if scope is None or not _is_natural_order(scope, order):
            with changed(query, "order", None):
                yield "order"


def _order_counts(query: exp.Expr, scope: Scope | None) -> bool:
    """Whether the order of a SELECT's or set operation's rows changes the result."""
    if scope is None:
        return bool(query.args.get("limit")) or query.parent_select is None
    return scope.order_counts and not scope.is_single_row


def _is_decided(scope: Scope, keys: Sequence[exp.Expr]) -> bool:
    """Whether nothing is left to sort after `keys`: one is unique, or they are all that the rows have."""
    columns = [column.unalias() for column in scope.select.expressions]
    return any(map(scope.comes_once, keys)) or all(column in keys for column in columns)


@contextmanager
def turned(key: exp.Ordered) -> Iterator[None]:
    """A key of ORDER BY in the other direction."""
    down = not key.args.get("desc")
    with changed_all((key, "desc", down), (key, "nulls_first", not down)):
        yield


def _is_natural_order(scope: Scope, order: exp.Order) -> bool:
    """Whether SQLite would most likely return the rows in this order without being asked."""
    first = order.expressions[0]
    if first.args.get("desc"):
        return False
    return first.this in scope.group_keys or (len(scope.sources) == 1 and scope.is_unique(first.this))


def change_limits(tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """One row more, all rows, no OFFSET."""
    scalar = {id(scope.select) for scope in scopes if scope.role in ("scalar", "exists") or scope.is_single_row}
    for query in list(tree.find_all(exp.Select, exp.SetOperation)):
        limit = query.args.get("limit")
        if query.args.get("offset"):
            with changed(query, "offset", None):
                yield "order"
        if not isinstance(limit, exp.Limit) or id(query) in scalar:
            continue
        number = limit.expression
        if isinstance(number, exp.Literal) and number.name.isdigit():
            with replaced(number, exp.Literal.number(int(number.name) + 1)):
                yield "order"
        if not query.args.get("offset"):
            with changed(query, "limit", None):
                yield "order"
