"""Questions with two queries side by side: EXCEPT, INTERSECT and UNION."""

from sqlglot import exp

from sense.teacher.grammar import conditions
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.pieces import Condition, DrawnQuery, GrammarColumn, GrammarTable, Link
from sense.teacher.grammar.tree import col, condition, join, select


def excepted(draw: Draw) -> DrawnQuery:
    """SELECT g FROM t WHERE x EXCEPT SELECT g FROM t WHERE y."""
    return _groups(draw, exp.Except)


def intersected(draw: Draw) -> DrawnQuery:
    """SELECT g FROM t WHERE x INTERSECT SELECT g FROM t WHERE y."""
    return _groups(draw, exp.Intersect)


def united(draw: Draw) -> DrawnQuery:
    """SELECT g FROM t WHERE x UNION SELECT g FROM t WHERE y."""
    return _groups(draw, exp.Union)


def _groups(draw: Draw, operation: type[exp.SetOperation]) -> DrawnQuery:
    table = draw.table()
    group = draw.heading(table)
    first, second = conditions.any_condition(draw, table, [group]), conditions.any_condition(draw, table, [group])
    left, right = (select([col(group)], table, where=condition(test)) for test in (first, second))
    return _put(operation, left, right), {"table": table, "group": group, "first": first, "second": second}


def parents_except(draw: Draw) -> DrawnQuery:
    """SELECT label FROM parent EXCEPT SELECT parent.label FROM parent JOIN child ON ... WHERE child.x."""
    link, child, parent = draw.link()
    selected = draw.name(parent)
    where = conditions.any_condition(draw, child)
    tree = _put(exp.Except, select([col(selected)], parent), _having(selected, parent, link, child, where))
    return tree, {"child": child, "parent": parent, "verb": link, "selected": selected, "where": where}


def both_kinds(draw: Draw) -> DrawnQuery:
    """SELECT parent.label FROM parent JOIN child ON ... WHERE child.x INTERSECT the same WHERE child.y."""
    return _kinds(draw, exp.Intersect)


def one_kind_only(draw: Draw) -> DrawnQuery:
    """SELECT parent.label FROM parent JOIN child ON ... WHERE child.x EXCEPT the same WHERE child.y."""
    return _kinds(draw, exp.Except)


def either_kind(draw: Draw) -> DrawnQuery:
    """SELECT parent.label FROM parent JOIN child ON ... WHERE child.x UNION the same WHERE child.y."""
    return _kinds(draw, exp.Union)


def _kinds(draw: Draw, operation: type[exp.SetOperation]) -> DrawnQuery:
    link, child, parent = draw.link()
    selected = draw.name(parent)
    first, second = conditions.any_condition(draw, child), conditions.any_condition(draw, child)
    left, right = (_having(selected, parent, link, child, test) for test in (first, second))
    pieces = {"child": child, "parent": parent, "verb": link, "selected": selected, "first": first, "second": second}
    return _put(operation, left, right), pieces


def _having(selected: GrammarColumn, parent: GrammarTable, link: Link, child: GrammarTable, where: Condition) -> exp.Select:
    """SELECT parent.label FROM parent JOIN child ON ... WHERE child.x."""
    return select([col(selected, parent)], parent, joins=[join(link, child)], where=condition(where, True))


def _put(operation: type[exp.SetOperation], left: exp.Select, right: exp.Select) -> exp.SetOperation:
    return operation(this=left, expression=right, distinct=True)
