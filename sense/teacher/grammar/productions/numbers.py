"""Questions for numbers on one table: counts and aggregates, of all rows or for each group."""

from typing import Any

from sqlglot import exp

from sense.teacher.grammar import conditions
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.tree import aggregate, both, col, compare, condition, count, literal, select

Item = tuple[exp.Query, dict[str, Any]]


def counted(draw: Draw) -> Item:
    """SELECT COUNT(*) FROM t."""
    table = draw.table()
    return select([count()], table), {"table": table}


def counted_where(draw: Draw) -> Item:
    """SELECT COUNT(*) FROM t WHERE x."""
    table = draw.table()
    where = conditions.on(draw, table)
    return select([count()], table, where=condition(where)), {"table": table, "where": where}


def counted_both(draw: Draw) -> Item:
    """SELECT COUNT(*) FROM t WHERE x AND y."""
    table = draw.table()
    first = conditions.on(draw, table)
    second = conditions.on(draw, table, [first.column])
    tree = select([count()], table, where=both(condition(first), condition(second)))
    return tree, {"table": table, "first": first, "second": second}


def counted_distinct(draw: Draw) -> Item:
    """SELECT COUNT(DISTINCT g) FROM t."""
    table = draw.table()
    group = draw.group(table)
    return select([count(col(group))], table), {"table": table, "group": group}


def counted_distinct_where(draw: Draw) -> Item:
    """SELECT COUNT(DISTINCT g) FROM t WHERE x."""
    table = draw.table()
    group = draw.group(table)
    where = conditions.on(draw, table, [group])
    return select([count(col(group))], table, where=condition(where)), {"table": table, "group": group, "where": where}


def aggregated(draw: Draw) -> Item:
    """SELECT AVG(n) FROM t."""
    table = draw.table()
    made = draw.aggregate(table)
    return select([aggregate(made)], table), {"table": table, "aggregate": made}


def aggregated_where(draw: Draw) -> Item:
    """SELECT AVG(n) FROM t WHERE x."""
    table = draw.table()
    made = draw.aggregate(table)
    where = conditions.on(draw, table, [made.column])
    return select([aggregate(made)], table, where=condition(where)), {"table": table, "aggregate": made, "where": where}


def extremes(draw: Draw) -> Item:
    """SELECT MIN(n), MAX(n) FROM t."""
    table = draw.table()
    made = draw.extremes(table)
    return select([aggregate(one) for one in made], table), {"table": table, "aggregate": made}


def extremes_where(draw: Draw) -> Item:
    """SELECT MIN(n), MAX(n) FROM t WHERE x."""
    table = draw.table()
    made = draw.extremes(table)
    where = conditions.on(draw, table, [made[0].column])
    tree = select([aggregate(one) for one in made], table, where=condition(where))
    return tree, {"table": table, "aggregate": made, "where": where}


def counts_per(draw: Draw) -> Item:
    """SELECT g, COUNT(*) FROM t GROUP BY g."""
    table = draw.table()
    group = draw.group(table)
    return select([col(group), count()], table, group=col(group)), {"table": table, "group": group}


def aggregate_per(draw: Draw) -> Item:
    """SELECT g, AVG(n) FROM t GROUP BY g."""
    table = draw.table()
    group = draw.group(table)
    made = draw.aggregate(table)
    tree = select([col(group), aggregate(made)], table, group=col(group))
    return tree, {"table": table, "group": group, "aggregate": made}


def repeated(draw: Draw) -> Item:
    """SELECT g FROM t GROUP BY g HAVING COUNT(*) >= k."""
    table = draw.table()
    group = draw.group(table)
    bound = conditions.size(draw, group)
    having = compare(count(), bound.operator, literal(bound.value))
    return select([col(group)], table, group=col(group), having=having), {"table": table, "group": group, "bound": bound}


def average_groups(draw: Draw) -> Item:
    """SELECT g FROM t GROUP BY g HAVING AVG(n) > v."""
    table = draw.table()
    group = draw.group(table)
    made = draw.average(table)
    bound = conditions.level(draw, made.column)
    having = compare(aggregate(made), bound.operator, literal(bound.value))
    pieces = {"table": table, "group": group, "aggregate": made, "bound": bound}
    return select([col(group)], table, group=col(group), having=having), pieces


def counts_over(draw: Draw) -> Item:
    """SELECT g, COUNT(*) FROM t GROUP BY g HAVING COUNT(*) > k."""
    table = draw.table()
    group = draw.group(table)
    bound = conditions.size(draw, group)
    having = compare(count(), bound.operator, literal(bound.value))
    tree = select([col(group), count()], table, group=col(group), having=having)
    return tree, {"table": table, "group": group, "bound": bound}


def average_over(draw: Draw) -> Item:
    """SELECT g, AVG(n) FROM t GROUP BY g HAVING AVG(n) > v."""
    table = draw.table()
    group = draw.group(table)
    made = draw.average(table)
    bound = conditions.level(draw, made.column)
    having = compare(aggregate(made), bound.operator, literal(bound.value))
    tree = select([col(group), aggregate(made)], table, group=col(group), having=having)
    return tree, {"table": table, "group": group, "aggregate": made, "bound": bound}


def commonest(draw: Draw) -> Item:
    """SELECT g FROM t GROUP BY g ORDER BY COUNT(*) DESC LIMIT 1."""
    table = draw.table()
    group = draw.group(table)
    often = draw.rank()
    tree = select([col(group)], table, group=col(group), order=count(), down=often.down, limit=1)
    return tree, {"table": table, "group": group, "often": often}


def filtered_commonest(draw: Draw) -> Item:
    """SELECT g FROM t WHERE x GROUP BY g ORDER BY COUNT(*) DESC LIMIT 1."""
    table = draw.table()
    group = draw.group(table)
    where = conditions.on(draw, table, [group])
    often = draw.rank()
    tree = select([col(group)], table, where=condition(where), group=col(group), order=count(), down=often.down, limit=1)
    return tree, {"table": table, "group": group, "where": where, "often": often}


def best_group(draw: Draw) -> Item:
    """SELECT g FROM t GROUP BY g ORDER BY AVG(n) DESC LIMIT 1."""
    table = draw.table()
    group = draw.group(table)
    made = draw.average(table)
    often = draw.rank()
    tree = select([col(group)], table, group=col(group), order=aggregate(made), down=often.down, limit=1)
    return tree, {"table": table, "group": group, "aggregate": made, "often": often}
