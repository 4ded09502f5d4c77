"""Questions for numbers on one table: counts and aggregates, of all rows or for each group."""

from sense.teacher.grammar import conditions
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.pieces import DrawnQuery
from sense.teacher.grammar.tree import aggregate_call, both, col, compare, condition, count, literal, select


def counted(draw: Draw) -> DrawnQuery:
    """SELECT COUNT(*) FROM t."""
    table = draw.table()
    return select([count()], table), {"table": table}


def counted_where(draw: Draw) -> DrawnQuery:
    """SELECT COUNT(*) FROM t WHERE x."""
    table = draw.table()
    where = conditions.any_condition(draw, table)
    return select([count()], table, where=condition(where)), {"table": table, "where": where}


def counted_both(draw: Draw) -> DrawnQuery:
    """SELECT COUNT(*) FROM t WHERE x AND y."""
    table = draw.table()
    first = conditions.any_condition(draw, table)
    second = conditions.any_condition(draw, table, [first.column])
    tree = select([count()], table, where=both(condition(first), condition(second)))
    return tree, {"table": table, "first": first, "second": second}


def counted_distinct(draw: Draw) -> DrawnQuery:
    """SELECT COUNT(DISTINCT g) FROM t."""
    table = draw.table()
    group = draw.group(table)
    return select([count(col(group))], table), {"table": table, "group": group}


def counted_distinct_where(draw: Draw) -> DrawnQuery:
    """SELECT COUNT(DISTINCT g) FROM t WHERE x."""
    table = draw.table()
    group = draw.group(table)
    where = conditions.any_condition(draw, table, [group])
    return select([count(col(group))], table, where=condition(where)), {"table": table, "group": group, "where": where}


def aggregated(draw: Draw) -> DrawnQuery:
    """SELECT AVG(n) FROM t."""
    table = draw.table()
    aggregate = draw.aggregate(table)
    return select([aggregate_call(aggregate)], table), {"table": table, "aggregate": aggregate}


def aggregated_where(draw: Draw) -> DrawnQuery:
    """SELECT AVG(n) FROM t WHERE x."""
    table = draw.table()
    aggregate = draw.aggregate(table)
    where = conditions.any_condition(draw, table, [aggregate.column])
    return select([aggregate_call(aggregate)], table, where=condition(where)), {
        "table": table,
        "aggregate": aggregate,
        "where": where,
    }


def extremes(draw: Draw) -> DrawnQuery:
    """SELECT MIN(n), MAX(n) FROM t."""
    table = draw.table()
    aggregate = draw.extremes(table)
    return select([aggregate_call(one) for one in aggregate], table), {"table": table, "aggregate": aggregate}


def extremes_where(draw: Draw) -> DrawnQuery:
    """SELECT MIN(n), MAX(n) FROM t WHERE x."""
    table = draw.table()
    aggregate = draw.extremes(table)
    where = conditions.any_condition(draw, table, [aggregate[0].column])
    tree = select([aggregate_call(one) for one in aggregate], table, where=condition(where))
    return tree, {"table": table, "aggregate": aggregate, "where": where}


def counts_per(draw: Draw) -> DrawnQuery:
    """SELECT g, COUNT(*) FROM t GROUP BY g."""
    table = draw.table()
    group = draw.group(table)
    return select([col(group), count()], table, group=col(group)), {"table": table, "group": group}


def aggregate_per(draw: Draw) -> DrawnQuery:
    """SELECT g, AVG(n) FROM t GROUP BY g."""
    table = draw.table()
    group = draw.group(table)
    aggregate = draw.aggregate(table)
    tree = select([col(group), aggregate_call(aggregate)], table, group=col(group))
    return tree, {"table": table, "group": group, "aggregate": aggregate}


def repeated(draw: Draw) -> DrawnQuery:
    """SELECT g FROM t GROUP BY g HAVING COUNT(*) >= k."""
    table = draw.table()
    group = draw.group(table)
    bound = conditions.count_bound(draw, group)
    having = compare(count(), bound.operator, literal(bound.value))
    return select([col(group)], table, group=col(group), having=having), {"table": table, "group": group, "bound": bound}


def average_groups(draw: Draw) -> DrawnQuery:
    """SELECT g FROM t GROUP BY g HAVING AVG(n) > v."""
    table = draw.table()
    group = draw.group(table)
    aggregate = draw.average(table)
    bound = conditions.average_bound(draw, aggregate.column)
    having = compare(aggregate_call(aggregate), bound.operator, literal(bound.value))
    pieces = {"table": table, "group": group, "aggregate": aggregate, "bound": bound}
    return select([col(group)], table, group=col(group), having=having), pieces


def counts_over(draw: Draw) -> DrawnQuery:
    """SELECT g, COUNT(*) FROM t GROUP BY g HAVING COUNT(*) > k."""
    table = draw.table()
    group = draw.group(table)
    bound = conditions.count_bound(draw, group)
    having = compare(count(), bound.operator, literal(bound.value))
    tree = select([col(group), count()], table, group=col(group), having=having)
    return tree, {"table": table, "group": group, "bound": bound}


def average_over(draw: Draw) -> DrawnQuery:
    """SELECT g, AVG(n) FROM t GROUP BY g HAVING AVG(n) > v."""
    table = draw.table()
    group = draw.group(table)
    aggregate = draw.average(table)
    bound = conditions.average_bound(draw, aggregate.column)
    having = compare(aggregate_call(aggregate), bound.operator, literal(bound.value))
    tree = select([col(group), aggregate_call(aggregate)], table, group=col(group), having=having)
    return tree, {"table": table, "group": group, "aggregate": aggregate, "bound": bound}


def commonest(draw: Draw) -> DrawnQuery:
    """SELECT g FROM t GROUP BY g ORDER BY COUNT(*) DESC LIMIT 1."""
    table = draw.table()
    group = draw.group(table)
    often = draw.rank()
    tree = select([col(group)], table, group=col(group), order=count(), descending=often.descending, limit=1)
    return tree, {"table": table, "group": group, "often": often}


def filtered_commonest(draw: Draw) -> DrawnQuery:
    """SELECT g FROM t WHERE x GROUP BY g ORDER BY COUNT(*) DESC LIMIT 1."""
    table = draw.table()
    group = draw.group(table)
    where = conditions.any_condition(draw, table, [group])
    often = draw.rank()
    tree = select(
        [col(group)], table, where=condition(where), group=col(group), order=count(), descending=often.descending, limit=1
    )
    return tree, {"table": table, "group": group, "where": where, "often": often}


def best_group(draw: Draw) -> DrawnQuery:
    """SELECT g FROM t GROUP BY g ORDER BY AVG(n) DESC LIMIT 1."""
    table = draw.table()
    group = draw.group(table)
    aggregate = draw.average(table)
    often = draw.rank()
    tree = select([col(group)], table, group=col(group), order=aggregate_call(aggregate), descending=often.descending, limit=1)
    return tree, {"table": table, "group": group, "aggregate": aggregate, "often": often}
