"""Questions with a query in a condition: comparison with an average or a named row, membership, absence."""

from sqlglot import exp

from sense.teacher.grammar import conditions
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.pieces import Aggregate, DrawnQuery, GrammarColumn, GrammarTable, Link, Side
from sense.teacher.grammar.tree import aggregate_call, both, col, compare, condition, count, inside, join, select


def _beyond(number: GrammarColumn, side: Side, table: GrammarTable, where: exp.Expr | None = None) -> exp.Expr:
    """n > (SELECT AVG(n) FROM t)."""
    return compare(col(number), side.operator, select([aggregate_call(Aggregate("AVG", number))], table, where=where))


def above_average(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE n > (SELECT AVG(n) FROM t)."""
    table = draw.table()
    number, side = draw.number(table), draw.side()
    selected = draw.selected_column(table, [number])
    tree = select([col(selected)], table, where=_beyond(number, side, table))
    return tree, {"table": table, "selected": selected, "number": number, "side": side}


def pairs_above_average(draw: Draw) -> DrawnQuery:
    """SELECT a, b FROM t WHERE n > (SELECT AVG(n) FROM t)."""
    table = draw.table()
    number, side = draw.number(table), draw.side()
    selected = draw.selected_columns(table)
    tree = select([col(column) for column in selected], table, where=_beyond(number, side, table))
    return tree, {"table": table, "selected": selected, "number": number, "side": side}


def above_average_sorted(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE n > (SELECT AVG(n) FROM t) ORDER BY m."""
    table = draw.table()
    number, side, order = draw.number(table), draw.side(), draw.order(table)
    selected = draw.selected_column(table)
    tree = select(
        [col(selected)], table, where=_beyond(number, side, table), order=col(order.column), descending=order.descending
    )
    return tree, {"table": table, "selected": selected, "number": number, "side": side, "order": order}


def counted_above_average(draw: Draw) -> DrawnQuery:
    """SELECT COUNT(*) FROM t WHERE n > (SELECT AVG(n) FROM t)."""
    table = draw.table()
    number, side = draw.number(table), draw.side()
    return select([count()], table, where=_beyond(number, side, table)), {"table": table, "number": number, "side": side}


def above_group_average(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE n > (SELECT AVG(n) FROM t WHERE x)."""
    table = draw.table()
    number, side = draw.number(table), draw.side()
    selected = draw.selected_column(table, [number])
    where = conditions.any_condition(draw, table, [number])
    tree = select([col(selected)], table, where=_beyond(number, side, table, condition(where)))
    return tree, {"table": table, "selected": selected, "number": number, "side": side, "where": where}


def joined_above_average(draw: Draw) -> DrawnQuery:
    """SELECT child.a FROM child JOIN parent ON ... WHERE parent.x AND child.n > (SELECT AVG(n) FROM child)."""
    link, child, parent = draw.link()
    number, side = draw.number(child), draw.side()
    selected = draw.selected_column(child, [number])
    where = conditions.any_condition(draw, parent)
    average = select([aggregate_call(Aggregate("AVG", number))], child)
    condition_ = both(condition(where, True), compare(col(number, child), side.operator, average))
    tree = select([col(selected, child)], child, joins=[join(link, parent)], where=condition_)
    return tree, {"child": child, "parent": parent, "selected": selected, "number": number, "side": side, "where": where}


def groups_above_average(draw: Draw) -> DrawnQuery:
    """SELECT g, AVG(n) FROM t GROUP BY g HAVING AVG(n) > (SELECT AVG(n) FROM t)."""
    table = draw.table()
    group, aggregate, side = draw.group(table), draw.average(table), draw.side()
    having = compare(aggregate_call(aggregate), side.operator, select([aggregate_call(aggregate)], table))
    tree = select([col(group), aggregate_call(aggregate)], table, group=col(group), having=having)
    return tree, {"table": table, "group": group, "number": aggregate.column, "side": side}


def at_extreme(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE n = (SELECT MAX(n) FROM t)."""
    table = draw.table()
    aggregate = Aggregate("MAX" if draw.rank().descending else "MIN", draw.number(table))
    selected = draw.selected_column(table, [aggregate.column])
    tree = select([col(selected)], table, where=compare(col(aggregate.column), "=", select([aggregate_call(aggregate)], table)))
    return tree, {"table": table, "selected": selected, "number": aggregate.column, "aggregate": aggregate}


def same_as(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE g = (SELECT g FROM t WHERE label = 'v')."""
    table = draw.table(lambda table: table.label)
    group, where = draw.group(table), conditions.label_condition(draw, table)
    selected = draw.selected_column(table, [group])
    tree = select([col(selected)], table, where=compare(col(group), "=", select([col(group)], table, where=condition(where))))
    return tree, {"table": table, "selected": selected, "group": group, "where": where}


def more_than_named(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE n > (SELECT n FROM t WHERE label = 'v')."""
    table = draw.table(lambda table: table.label)
    number, side, where = draw.number(table), draw.side(), conditions.label_condition(draw, table)
    selected = draw.selected_column(table, [number])
    tree = select(
        [col(selected)], table, where=compare(col(number), side.operator, select([col(number)], table, where=condition(where)))
    )
    return tree, {"table": table, "selected": selected, "number": number, "side": side, "where": where}


def _key(draw: Draw, parent: GrammarTable) -> GrammarColumn:
    return draw.pick([parent.key] if parent.key else [])


def _children(link: Link, child: GrammarTable, where: exp.Expr | None = None) -> exp.Select:
    """SELECT fk FROM child WHERE x."""
    return select([col(child.column(link.column))], child, where=where)


def childless(draw: Draw) -> DrawnQuery:
    """SELECT a FROM parent WHERE id NOT IN (SELECT parent_id FROM child)."""
    link, child, parent = draw.link()
    selected = draw.selected_column(parent)
    tree = select([col(selected)], parent, where=inside(col(_key(draw, parent)), _children(link, child), negated=True))
    return tree, {"child": child, "parent": parent, "selected": selected}


def childless_where(draw: Draw) -> DrawnQuery:
    """SELECT a FROM parent WHERE x AND id NOT IN (SELECT parent_id FROM child)."""
    link, child, parent = draw.link()
    selected = draw.selected_column(parent)
    where = conditions.any_condition(draw, parent, [selected])
    absent = inside(col(_key(draw, parent)), _children(link, child), negated=True)
    tree = select([col(selected)], parent, where=both(condition(where), absent))
    return tree, {"child": child, "parent": parent, "selected": selected, "where": where}


def counted_childless(draw: Draw) -> DrawnQuery:
    """SELECT COUNT(*) FROM parent WHERE id NOT IN (SELECT parent_id FROM child)."""
    link, child, parent = draw.link()
    tree = select([count()], parent, where=inside(col(_key(draw, parent)), _children(link, child), negated=True))
    return tree, {"child": child, "parent": parent}


def in_children(draw: Draw) -> DrawnQuery:
    """SELECT a FROM parent WHERE id IN (SELECT parent_id FROM child WHERE x)."""
    return _in_children(draw, False)


def pairs_in_children(draw: Draw) -> DrawnQuery:
    """SELECT a, b FROM parent WHERE id IN (SELECT parent_id FROM child WHERE x)."""
    return _in_children(draw, True)


def _in_children(draw: Draw, several: bool) -> DrawnQuery:
    link, child, parent = draw.link()
    selected = draw.selected_columns(parent) if several else [draw.selected_column(parent)]
    where = conditions.any_condition(draw, child)
    membership = inside(col(_key(draw, parent)), _children(link, child, condition(where)))
    tree = select([col(column) for column in selected], parent, where=membership)
    return tree, {"child": child, "parent": parent, "selected": selected, "where": where}


def in_above_average(draw: Draw) -> DrawnQuery:
    """SELECT a FROM parent WHERE id IN (SELECT parent_id FROM child WHERE n > (SELECT AVG(n) FROM child))."""
    link, child, parent = draw.link()
    selected = draw.selected_column(parent)
    number, side = draw.number(child), draw.side()
    membership = inside(col(_key(draw, parent)), _children(link, child, _beyond(number, side, child)))
    return select([col(selected)], parent, where=membership), {
        "child": child,
        "parent": parent,
        "selected": selected,
        "number": number,
        "side": side,
    }


def in_parents(draw: Draw) -> DrawnQuery:
    """SELECT a FROM child WHERE parent_id IN (SELECT id FROM parent WHERE x)."""
    link, child, parent = draw.link()
    selected = draw.selected_column(child)
    where = conditions.any_condition(draw, parent)
    membership = inside(col(child.column(link.column)), select([col(_key(draw, parent))], parent, where=condition(where)))
    return select([col(selected)], child, where=membership), {
        "child": child,
        "parent": parent,
        "selected": selected,
        "where": where,
    }
