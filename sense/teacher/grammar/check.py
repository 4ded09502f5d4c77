"""Whether a drawn query is worth asking on its database: it returns something, there is one right answer, and every part matters.

A query passes if its result has a value; if its ORDER BY leaves no ties (none at the end of a LIMIT either), so that there is
one right answer, and a LIMIT cuts rows off; and if each condition and each side of a set operation changes the result, so that
an answer without it is found wrong when the SQL is executed.
"""

import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from sqlglot import exp

from sense.teacher.grammar.tree import sql_text


def is_worth_asking(connection: sqlite3.Connection, tree: exp.Query, sql: str) -> bool:
    """True if `sql`, the text of `tree`, is worth asking on the database behind `connection`."""
    rows = _execute(connection, sql)
    if not rows or all(value is None for row in rows for value in row) or rows == [(0,)]:
        return False
    if isinstance(tree, exp.Select) and not _has_unique_order(connection, tree):
        return False
    expected = _multiset(rows)
    return all(_multiset(_execute(connection, sql_text(reduced))) != expected for reduced in _without_one_part(tree))


def _has_unique_order(connection: sqlite3.Connection, tree: exp.Select) -> bool:
    """True if no two of the returned rows are equal in the ORDER BY, nor the last one and the first that LIMIT cuts off.

    With a LIMIT there must be such a row. Without an ORDER BY there is nothing to check.
    """
    order, limit = tree.args.get("order"), tree.args.get("limit")
    if order is None:
        return True
    keyed = tree.copy()
    keyed.set("expressions", [order.expressions[0].this.copy()])
    needed_rows = 2
    if limit is not None:
        needed_rows = int(limit.expression.name) + 1
        keyed.set("limit", exp.Limit(expression=exp.Literal.number(needed_rows)))
    keys = _execute(connection, sql_text(keyed))
    return len(keys) >= needed_rows and all(first != second for first, second in pairwise(keys))


def _without_one_part(tree: exp.Query) -> Iterator[exp.Query]:
    """The tree without one of its conditions, for each of them; of a set operation also each side alone."""
    if isinstance(tree, exp.SetOperation):
        for side in (tree.this, tree.expression):
            alone = side.copy()
            alone.set("distinct", exp.Distinct())
            yield alone
    clauses = list(tree.find_all(exp.Where, exp.Having))
    for index, clause in enumerate(clauses):
        sides = [clause.this.left, clause.this.right] if isinstance(clause.this, exp.Connector) else [None]
        for side in sides:
            reduced = tree.copy()
            twin = list(reduced.find_all(exp.Where, exp.Having))[index]
            if side is None:
                twin.pop()
            else:
                twin.set("this", side.copy())
            yield reduced


def _execute(connection: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql).fetchall()


def _multiset(rows: list[tuple[Any, ...]]) -> list[str]:
    return sorted(map(repr, rows))
