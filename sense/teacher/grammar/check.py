"""Whether a drawn query is worth asking on its database: it returns something, there is one right answer, and every part matters.

A query passes if its result has a value; if there are rows to sort; if a LIMIT cuts off a row, and not between two rows that are
equal in the ORDER BY; and if each condition and each side of a set operation changes the result, so that an answer without it is
wrong when it is executed.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlglot import exp

from sense.teacher.grammar.sql.text import sql_text


def is_worth_asking(connection: sqlite3.Connection, tree: exp.Query, sql: str) -> bool:
    """True if `sql`, the text of `tree`, is worth asking on the database behind `connection`."""
    rows = _execute(connection, sql)
    if not rows or all(value is None for row in rows for value in row) or rows == [(0,)]:
        return False
    if sorts_one_row(tree, rows):
        return False
    ends = [end for select in tree.find_all(exp.Select) if (end := cut(select))]
    if not all(end.problem(_execute(connection, sql_text(end.keys))) is None for end in ends):
        return False
    expected = multiset(rows)
    return all(multiset(_execute(connection, sql_text(reduced))) != expected for reduced in without_one_part(tree))


def sorts_one_row(tree: exp.Query, rows: Sequence[Sequence[Any]]) -> bool:
    """True if the query sorts its result, which has one row, and not only to cut it off."""
    return bool(tree.args.get("order")) and not tree.args.get("limit") and len(rows) == 1


class Cut(NamedTuple):
    """Where LIMIT and OFFSET cut: rows `first` to `last`, without `last`, of those whose sort keys the query `keys` returns."""

    keys: exp.Query
    first: int
    last: int

    def problem(self, keys: Sequence[Sequence[Any]]) -> str | None:
        """What is wrong by the sort keys of the first `last` + 1 rows: nothing is cut off, or one of two equal rows."""
        if len(keys) <= self.last:
            return "LIMIT cuts nothing off"
        ties = keys[self.last - 1] == keys[self.last] or (self.first > 0 and keys[self.first - 1] == keys[self.first])
        return "tie at LIMIT" if ties else None


def cut(tree: exp.Select) -> Cut | None:
    """Where LIMIT cuts the rows that this SELECT sorts; None if it does not sort, or has no LIMIT."""
    order, limit = tree.args.get("order"), tree.args.get("limit")
    if order is None or limit is None:
        return None
    offset = tree.args.get("offset")
    first = int(offset.expression.name) if offset else 0
    last = first + int(limit.expression.name)
    keyed = tree.copy()
    keyed.set("expressions", [key.this.copy() for key in order.expressions])
    keyed.set("distinct", None)
    keyed.set("offset", None)
    keyed.set("limit", exp.Limit(expression=exp.Literal.number(last + 1)))
    return Cut(keyed, first, last)


def without_one_part(tree: exp.Query) -> Iterator[exp.Query]:
    """The tree without one of its conditions, for each of them; of a set operation also each side alone."""
    if isinstance(tree, exp.SetOperation):
        for side in (tree.this, tree.expression):
            alone = side.copy()
            alone.set("distinct", exp.Distinct())
            yield alone
    for index, clause in enumerate(tree.find_all(exp.Where, exp.Having)):
        units = _units(clause.this)
        if len(units) == 1:
            reduced = tree.copy()
            _nth_clause(reduced, index).pop()
            yield reduced
            continue
        for number in range(len(units)):
            reduced = tree.copy()
            unit = _units(_nth_clause(reduced, index).this)[number]
            connector = _connector(unit)
            other = connector.right if connector.left is _with_parens(unit, connector) else connector.left
            connector.replace(other.copy())
            yield reduced


def _nth_clause(tree: exp.Query, index: int) -> exp.Expr:
    return list(tree.find_all(exp.Where, exp.Having))[index]


def _units(node: exp.Expr) -> list[exp.Expr]:
    """The conditions of a clause, those within parentheses too."""
    if isinstance(node, exp.Paren):
        return _units(node.this)
    if isinstance(node, exp.Connector):
        return _units(node.left) + _units(node.right)
    return [node]


def _connector(unit: exp.Expr) -> exp.Connector:
    """The AND or OR that joins a condition with another."""
    node = unit.parent
    while not isinstance(node, exp.Connector):
        if node is None:
            raise ValueError("the condition stands alone")
        node = node.parent
    return node


def _with_parens(unit: exp.Expr, connector: exp.Connector) -> exp.Expr:
    """The condition with the parentheses around it, as the child of `connector`."""
    node = unit
    while node.parent is not connector:
        assert node.parent is not None  # noqa: S101
        node = node.parent
    return node


def _execute(connection: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql).fetchall()


def multiset(rows: Sequence[Sequence[Any]]) -> list[str]:
    """The rows in an order that does not depend on theirs."""
    return sorted(map(repr, rows))
