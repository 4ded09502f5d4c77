"""Questions on the rows of one table: which columns, of which rows, in which order."""

from sense.teacher.grammar import conditions
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.pieces import Condition, DrawnQuery
from sense.teacher.grammar.tree import both, col, condition, either, select


def listed(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t."""
    table = draw.table()
    selected = draw.selected_column(table)
    return select([col(selected)], table), {"table": table, "selected": selected}


def pairs(draw: Draw) -> DrawnQuery:
    """SELECT a, b FROM t."""
    table = draw.table()
    selected = draw.selected_columns(table)
    return select([col(column) for column in selected], table), {"table": table, "selected": selected}


def distinct(draw: Draw) -> DrawnQuery:
    """SELECT DISTINCT g FROM t."""
    table = draw.table()
    group = draw.group(table)
    return select([col(group)], table, distinct=True), {"table": table, "group": group}


def filtered(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE x."""
    table = draw.table()
    selected = draw.selected_column(table)
    where = conditions.any_condition(draw, table, [selected])
    return select([col(selected)], table, where=condition(where)), {"table": table, "selected": selected, "where": where}


def pairs_where(draw: Draw) -> DrawnQuery:
    """SELECT a, b FROM t WHERE x."""
    table = draw.table()
    where = conditions.any_condition(draw, table)
    selected = draw.selected_columns(table, [where.column])
    tree = select([col(column) for column in selected], table, where=condition(where))
    return tree, {"table": table, "selected": selected, "where": where}


def distinct_where(draw: Draw) -> DrawnQuery:
    """SELECT DISTINCT g FROM t WHERE x."""
    table = draw.table()
    group = draw.group(table)
    where = conditions.any_condition(draw, table, [group])
    tree = select([col(group)], table, where=condition(where), distinct=True)
    return tree, {"table": table, "group": group, "where": where}


def looked_up(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE label = 'v'."""
    table = draw.table(lambda table: table.label)
    where = conditions.label_condition(draw, table)
    selected = draw.selected_column(table, [where.column])
    return select([col(selected)], table, where=condition(where)), {"table": table, "selected": selected, "where": where}


def missing(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE b IS NULL."""
    table = draw.table(lambda table: any(not column.has_no_null for column in table.data_columns))
    column = draw.pick([column for column in table.data_columns if not column.has_no_null])
    where = Condition(table, column, "null" if draw.chance(0.6) else "not null", ())
    selected = draw.selected_column(table, [column])
    return select([col(selected)], table, where=condition(where)), {"table": table, "selected": selected, "where": where}


def named_like(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE b LIKE '%v%'."""
    table = draw.table()
    where = conditions.like_condition(draw, table)
    selected = draw.selected_column(table)
    return select([col(selected)], table, where=condition(where)), {"table": table, "selected": selected, "where": where}


def both_(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE x AND y."""
    table = draw.table()
    selected = draw.selected_column(table)
    first = conditions.any_condition(draw, table, [selected])
    second = conditions.any_condition(draw, table, [selected, first.column])
    tree = select([col(selected)], table, where=both(condition(first), condition(second)))
    return tree, {"table": table, "selected": selected, "first": first, "second": second}


def either_(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE x OR y."""
    table = draw.table()
    selected = draw.selected_column(table)
    first = conditions.any_condition(draw, table, [selected])
    second = conditions.any_condition(draw, table, [selected])
    tree = select([col(selected)], table, where=either(condition(first), condition(second)))
    return tree, {"table": table, "selected": selected, "first": first, "second": second}


def sorted_(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t ORDER BY n."""
    table = draw.table()
    selected = draw.selected_column(table)
    order = draw.order(table)
    return select([col(selected)], table, order=col(order.column), descending=order.descending), {
        "table": table,
        "selected": selected,
        "order": order,
    }


def pairs_sorted(draw: Draw) -> DrawnQuery:
    """SELECT a, b FROM t ORDER BY n."""
    table = draw.table()
    selected = draw.selected_columns(table)
    order = draw.order(table)
    tree = select([col(column) for column in selected], table, order=col(order.column), descending=order.descending)
    return tree, {"table": table, "selected": selected, "order": order}


def filtered_sorted(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE x ORDER BY n."""
    table = draw.table()
    selected = draw.selected_column(table)
    order = draw.order(table)
    where = conditions.any_condition(draw, table, [selected])
    tree = select([col(selected)], table, where=condition(where), order=col(order.column), descending=order.descending)
    return tree, {"table": table, "selected": selected, "where": where, "order": order}


def topmost(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t ORDER BY n DESC LIMIT 1."""
    return _top(draw, 1)


def topmost_few(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t ORDER BY n DESC LIMIT 3."""
    return _top(draw, draw.rng.randint(2, 5))


def _top(draw: Draw, limit: int) -> DrawnQuery:
    table = draw.table()
    order = draw.order(table)
    selected = draw.selected_column(table, [order.column])
    tree = select([col(selected)], table, order=col(order.column), descending=order.descending, limit=limit)
    return tree, {"table": table, "selected": selected, "order": order, "count": limit}


def filtered_topmost(draw: Draw) -> DrawnQuery:
    """SELECT a FROM t WHERE x ORDER BY n DESC LIMIT 1."""
    table = draw.table()
    order = draw.order(table)
    selected = draw.selected_column(table, [order.column])
    where = conditions.any_condition(draw, table, [selected, order.column])
    tree = select([col(selected)], table, where=condition(where), order=col(order.column), descending=order.descending, limit=1)
    return tree, {"table": table, "selected": selected, "where": where, "order": order}
