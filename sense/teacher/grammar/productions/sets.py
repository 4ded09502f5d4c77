"""Questions with two queries side by side: EXCEPT, INTERSECT and UNION."""

from typing import Any

from sqlglot import exp

from sense.teacher.grammar import conditions
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.pieces import Column, Condition, Link, Table
from sense.teacher.grammar.tree import col, condition, join, select

Item = tuple[exp.Query, dict[str, Any]]


def excepted(draw: Draw) -> Item:
    """SELECT g FROM t WHERE x EXCEPT SELECT g FROM t WHERE y."""
    return _groups(draw, exp.Except)


def intersected(draw: Draw) -> Item:
    """SELECT g FROM t WHERE x INTERSECT SELECT g FROM t WHERE y."""
    return _groups(draw, exp.Intersect)


def united(draw: Draw) -> Item:
    """SELECT g FROM t WHERE x UNION SELECT g FROM t WHERE y."""
    return _groups(draw, exp.Union)


def _groups(draw: Draw, operation: type[exp.SetOperation]) -> Item:
    table = draw.table()
    group = draw.heading(table)
    first, second = conditions.on(draw, table, [group]), conditions.on(draw, table, [group])
    left, right = (select([col(group)], table, where=condition(test)) for test in (first, second))
    return _put(operation, left, right), {"table": table, "group": group, "first": first, "second": second}


def parents_except(draw: Draw) -> Item:
    """SELECT label FROM parent EXCEPT SELECT parent.label FROM parent JOIN child ON ... WHERE child.x."""
    link, child, parent = draw.link()
    shown = draw.name(parent)
    where = conditions.on(draw, child)
    tree = _put(exp.Except, select([col(shown)], parent), _having(shown, parent, link, child, where))
    return tree, {"child": child, "parent": parent, "verb": link, "shown": shown, "where": where}


def both_kinds(draw: Draw) -> Item:
    """SELECT parent.label FROM parent JOIN child ON ... WHERE child.x INTERSECT the same WHERE child.y."""
    return _kinds(draw, exp.Intersect)


def one_kind_only(draw: Draw) -> Item:
    """SELECT parent.label FROM parent JOIN child ON ... WHERE child.x EXCEPT the same WHERE child.y."""
    return _kinds(draw, exp.Except)


def either_kind(draw: Draw) -> Item:
    """SELECT parent.label FROM parent JOIN child ON ... WHERE child.x UNION the same WHERE child.y."""
    return _kinds(draw, exp.Union)


def _kinds(draw: Draw, operation: type[exp.SetOperation]) -> Item:
    link, child, parent = draw.link()
    shown = draw.name(parent)
    first, second = conditions.on(draw, child), conditions.on(draw, child)
    left, right = (_having(shown, parent, link, child, test) for test in (first, second))
    pieces = {"child": child, "parent": parent, "verb": link, "shown": shown, "first": first, "second": second}
    return _put(operation, left, right), pieces


def _having(shown: Column, parent: Table, link: Link, child: Table, where: Condition) -> exp.Select:
    """SELECT parent.label FROM parent JOIN child ON ... WHERE child.x."""
    return select([col(shown, parent)], parent, joins=[join(link, child)], where=condition(where, True))


def _put(operation: type[exp.SetOperation], left: exp.Select, right: exp.Select) -> exp.SetOperation:
    return operation(this=left, expression=right, distinct=True)
