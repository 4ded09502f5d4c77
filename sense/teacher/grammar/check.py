"""Whether a drawn query is worth asking on its database: it answers something, in one way only, and every part matters.

A query passes if it has a row with a value in it; if its order leaves no ties (at the cut of a LIMIT, or anywhere), so
that there is one right answer, and a LIMIT cuts something off; and if each condition and each side of a set operation
changes the result, so that leaving one out is caught when the SQL is executed.
"""

import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from sqlglot import exp

from sense.teacher.grammar.tree import render

Rows = list[tuple[Any, ...]]


def answers(connection: sqlite3.Connection, tree: exp.Query, sql: str) -> bool:
    """True if `sql`, the text of `tree`, is worth asking on the database behind `connection`."""
    rows = _run(connection, sql)
    if not rows or all(value is None for row in rows for value in row) or rows == [(0,)]:
        return False
    if isinstance(tree, exp.Select) and not _settled(connection, tree):
        return False
    expected = _bag(rows)
    return all(_bag(_run(connection, render(less))) != expected for less in _reduced(tree))


def _settled(connection: sqlite3.Connection, tree: exp.Select) -> bool:
    """True if the ORDER BY leaves no ties among the rows that are kept, nor between them and the next, which must exist."""
    order, limit = tree.args.get("order"), tree.args.get("limit")
    if order is None:
        return True
    keyed = tree.copy()
    keyed.set("expressions", [order.expressions[0].this.copy()])
    least = 2
    if limit is not None:
        least = int(limit.expression.name) + 1
        keyed.set("limit", exp.Limit(expression=exp.Literal.number(least)))
    keys = _run(connection, render(keyed))
    return len(keys) >= least and all(one != two for one, two in pairwise(keys))


def _reduced(tree: exp.Query) -> Iterator[exp.Query]:
    """The tree with one condition less, for each of its conditions; for a set operation, each of its sides alone."""
    if isinstance(tree, exp.SetOperation):
        for side in (tree.this, tree.expression):
            alone = side.copy()
            alone.set("distinct", exp.Distinct())
            yield alone
    clauses = list(tree.find_all(exp.Where, exp.Having))
    for place, clause in enumerate(clauses):
        sides = [clause.this.left, clause.this.right] if isinstance(clause.this, exp.Connector) else [None]
        for side in sides:
            less = tree.copy()
            twin = list(less.find_all(exp.Where, exp.Having))[place]
            if side is None:
                twin.pop()
            else:
                twin.set("this", side.copy())
            yield less


def _run(connection: sqlite3.Connection, sql: str) -> Rows:
    return connection.execute(sql).fetchall()


def _bag(rows: Rows) -> list[str]:
    return sorted(map(repr, rows))
