"""Questions with a query in a condition: comparison with an average or a named row, membership, absence."""

from typing import Any

from sqlglot import exp

from sense.teacher.grammar import conditions
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.pieces import Aggregate, Column, Link, Side, Table
from sense.teacher.grammar.tree import aggregate, both, col, compare, condition, count, inside, join, select

Item = tuple[exp.Query, dict[str, Any]]


def _beyond(number: Column, side: Side, table: Table, where: exp.Expr | None = None) -> exp.Expr:
    """n > (SELECT AVG(n) FROM t)."""
    return compare(col(number), side.operator, select([aggregate(Aggregate("AVG", number))], table, where=where))


def above_average(draw: Draw) -> Item:
    """SELECT a FROM t WHERE n > (SELECT AVG(n) FROM t)."""
    table = draw.table()
    number, side = draw.number(table), draw.side()
    shown = draw.shown(table, [number])
    tree = select([col(shown)], table, where=_beyond(number, side, table))
    return tree, {"table": table, "shown": shown, "number": number, "side": side}


def pairs_above_average(draw: Draw) -> Item:
    """SELECT a, b FROM t WHERE n > (SELECT AVG(n) FROM t)."""
    table = draw.table()
    number, side = draw.number(table), draw.side()
    shown = draw.several(table)
    tree = select([col(column) for column in shown], table, where=_beyond(number, side, table))
    return tree, {"table": table, "shown": shown, "number": number, "side": side}


def above_average_sorted(draw: Draw) -> Item:
    """SELECT a FROM t WHERE n > (SELECT AVG(n) FROM t) ORDER BY m."""
    table = draw.table()
    number, side, order = draw.number(table), draw.side(), draw.order(table)
    shown = draw.shown(table)
    tree = select([col(shown)], table, where=_beyond(number, side, table), order=col(order.column), down=order.down)
    return tree, {"table": table, "shown": shown, "number": number, "side": side, "order": order}


def counted_above_average(draw: Draw) -> Item:
    """SELECT COUNT(*) FROM t WHERE n > (SELECT AVG(n) FROM t)."""
    table = draw.table()
    number, side = draw.number(table), draw.side()
    return select([count()], table, where=_beyond(number, side, table)), {"table": table, "number": number, "side": side}


def above_group_average(draw: Draw) -> Item:
    """SELECT a FROM t WHERE n > (SELECT AVG(n) FROM t WHERE x)."""
    table = draw.table()
    number, side = draw.number(table), draw.side()
    shown = draw.shown(table, [number])
    where = conditions.on(draw, table, [number])
    tree = select([col(shown)], table, where=_beyond(number, side, table, condition(where)))
    return tree, {"table": table, "shown": shown, "number": number, "side": side, "where": where}


def joined_above_average(draw: Draw) -> Item:
    """SELECT child.a FROM child JOIN parent ON ... WHERE parent.x AND child.n > (SELECT AVG(n) FROM child)."""
    link, child, parent = draw.link()
    number, side = draw.number(child), draw.side()
    shown = draw.shown(child, [number])
    where = conditions.on(draw, parent)
    average = select([aggregate(Aggregate("AVG", number))], child)
    condition_ = both(condition(where, True), compare(col(number, child), side.operator, average))
    tree = select([col(shown, child)], child, joins=[join(link, parent)], where=condition_)
    return tree, {"child": child, "parent": parent, "shown": shown, "number": number, "side": side, "where": where}


def groups_above_average(draw: Draw) -> Item:
    """SELECT g, AVG(n) FROM t GROUP BY g HAVING AVG(n) > (SELECT AVG(n) FROM t)."""
    table = draw.table()
    group, made, side = draw.group(table), draw.average(table), draw.side()
    having = compare(aggregate(made), side.operator, select([aggregate(made)], table))
    tree = select([col(group), aggregate(made)], table, group=col(group), having=having)
    return tree, {"table": table, "group": group, "number": made.column, "side": side}


def at_extreme(draw: Draw) -> Item:
    """SELECT a FROM t WHERE n = (SELECT MAX(n) FROM t)."""
    table = draw.table()
    made = Aggregate("MAX" if draw.rank().down else "MIN", draw.number(table))
    shown = draw.shown(table, [made.column])
    tree = select([col(shown)], table, where=compare(col(made.column), "=", select([aggregate(made)], table)))
    return tree, {"table": table, "shown": shown, "number": made.column, "aggregate": made}


def same_as(draw: Draw) -> Item:
    """SELECT a FROM t WHERE g = (SELECT g FROM t WHERE label = 'v')."""
    table = draw.table(lambda table: table.label)
    group, where = draw.group(table), conditions.naming(draw, table)
    shown = draw.shown(table, [group])
    tree = select([col(shown)], table, where=compare(col(group), "=", select([col(group)], table, where=condition(where))))
    return tree, {"table": table, "shown": shown, "group": group, "where": where}


def more_than_named(draw: Draw) -> Item:
    """SELECT a FROM t WHERE n > (SELECT n FROM t WHERE label = 'v')."""
    table = draw.table(lambda table: table.label)
    number, side, where = draw.number(table), draw.side(), conditions.naming(draw, table)
    shown = draw.shown(table, [number])
    tree = select(
        [col(shown)], table, where=compare(col(number), side.operator, select([col(number)], table, where=condition(where)))
    )
    return tree, {"table": table, "shown": shown, "number": number, "side": side, "where": where}


def _key(draw: Draw, parent: Table) -> Column:
    return draw.pick([parent.key] if parent.key else [])


def _children(link: Link, child: Table, where: exp.Expr | None = None) -> exp.Select:
    """SELECT fk FROM child WHERE x."""
    return select([col(child.column(link.column))], child, where=where)


def childless(draw: Draw) -> Item:
    """SELECT a FROM parent WHERE id NOT IN (SELECT parent_id FROM child)."""
    link, child, parent = draw.link()
    shown = draw.shown(parent)
    tree = select([col(shown)], parent, where=inside(col(_key(draw, parent)), _children(link, child), negated=True))
    return tree, {"child": child, "parent": parent, "shown": shown}


def childless_where(draw: Draw) -> Item:
    """SELECT a FROM parent WHERE x AND id NOT IN (SELECT parent_id FROM child)."""
    link, child, parent = draw.link()
    shown = draw.shown(parent)
    where = conditions.on(draw, parent, [shown])
    absent = inside(col(_key(draw, parent)), _children(link, child), negated=True)
    tree = select([col(shown)], parent, where=both(condition(where), absent))
    return tree, {"child": child, "parent": parent, "shown": shown, "where": where}


def counted_childless(draw: Draw) -> Item:
    """SELECT COUNT(*) FROM parent WHERE id NOT IN (SELECT parent_id FROM child)."""
    link, child, parent = draw.link()
    tree = select([count()], parent, where=inside(col(_key(draw, parent)), _children(link, child), negated=True))
    return tree, {"child": child, "parent": parent}


def in_children(draw: Draw) -> Item:
    """SELECT a FROM parent WHERE id IN (SELECT parent_id FROM child WHERE x)."""
    return _in_children(draw, False)


def pairs_in_children(draw: Draw) -> Item:
    """SELECT a, b FROM parent WHERE id IN (SELECT parent_id FROM child WHERE x)."""
    return _in_children(draw, True)


def _in_children(draw: Draw, several: bool) -> Item:
    link, child, parent = draw.link()
    shown = draw.several(parent) if several else [draw.shown(parent)]
    where = conditions.on(draw, child)
    found = inside(col(_key(draw, parent)), _children(link, child, condition(where)))
    tree = select([col(column) for column in shown], parent, where=found)
    return tree, {"child": child, "parent": parent, "shown": shown, "where": where}


def in_above_average(draw: Draw) -> Item:
    """SELECT a FROM parent WHERE id IN (SELECT parent_id FROM child WHERE n > (SELECT AVG(n) FROM child))."""
    link, child, parent = draw.link()
    shown = draw.shown(parent)
    number, side = draw.number(child), draw.side()
    found = inside(col(_key(draw, parent)), _children(link, child, _beyond(number, side, child)))
    return select([col(shown)], parent, where=found), {
        "child": child,
        "parent": parent,
        "shown": shown,
        "number": number,
        "side": side,
    }


def in_parents(draw: Draw) -> Item:
    """SELECT a FROM child WHERE parent_id IN (SELECT id FROM parent WHERE x)."""
    link, child, parent = draw.link()
    shown = draw.shown(child)
    where = conditions.on(draw, parent)
    found = inside(col(child.column(link.column)), select([col(_key(draw, parent))], parent, where=condition(where)))
    return select([col(shown)], child, where=found), {"child": child, "parent": parent, "shown": shown, "where": where}
