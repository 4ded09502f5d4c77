"""Questions on the rows of one table: which columns, of which rows, in which order."""

from typing import Any

from sqlglot import exp

from sense.teacher.grammar import conditions
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.pieces import Condition
from sense.teacher.grammar.tree import both, col, condition, either, select

Item = tuple[exp.Query, dict[str, Any]]


def listed(draw: Draw) -> Item:
    """SELECT a FROM t."""
    table = draw.table()
    shown = draw.shown(table)
    return select([col(shown)], table), {"table": table, "shown": shown}


def pairs(draw: Draw) -> Item:
    """SELECT a, b FROM t."""
    table = draw.table()
    shown = draw.several(table)
    return select([col(column) for column in shown], table), {"table": table, "shown": shown}


def distinct(draw: Draw) -> Item:
    """SELECT DISTINCT g FROM t."""
    table = draw.table()
    group = draw.group(table)
    return select([col(group)], table, distinct=True), {"table": table, "group": group}


def filtered(draw: Draw) -> Item:
    """SELECT a FROM t WHERE x."""
    table = draw.table()
    shown = draw.shown(table)
    where = conditions.on(draw, table, [shown])
    return select([col(shown)], table, where=condition(where)), {"table": table, "shown": shown, "where": where}


def pairs_where(draw: Draw) -> Item:
    """SELECT a, b FROM t WHERE x."""
    table = draw.table()
    where = conditions.on(draw, table)
    shown = draw.several(table, [where.column])
    tree = select([col(column) for column in shown], table, where=condition(where))
    return tree, {"table": table, "shown": shown, "where": where}


def distinct_where(draw: Draw) -> Item:
    """SELECT DISTINCT g FROM t WHERE x."""
    table = draw.table()
    group = draw.group(table)
    where = conditions.on(draw, table, [group])
    tree = select([col(group)], table, where=condition(where), distinct=True)
    return tree, {"table": table, "group": group, "where": where}


def looked_up(draw: Draw) -> Item:
    """SELECT a FROM t WHERE label = 'v'."""
    table = draw.table(lambda table: table.label)
    where = conditions.naming(draw, table)
    shown = draw.shown(table, [where.column])
    return select([col(shown)], table, where=condition(where)), {"table": table, "shown": shown, "where": where}


def missing(draw: Draw) -> Item:
    """SELECT a FROM t WHERE b IS NULL."""
    table = draw.table(lambda table: any(not column.whole for column in table.plain))
    column = draw.pick([column for column in table.plain if not column.whole])
    where = Condition(table, column, "null" if draw.chance(0.6) else "known", ())
    shown = draw.shown(table, [column])
    return select([col(shown)], table, where=condition(where)), {"table": table, "shown": shown, "where": where}


def named_like(draw: Draw) -> Item:
    """SELECT a FROM t WHERE b LIKE '%v%'."""
    table = draw.table()
    where = conditions.like(draw, table)
    shown = draw.shown(table)
    return select([col(shown)], table, where=condition(where)), {"table": table, "shown": shown, "where": where}


def both_(draw: Draw) -> Item:
    """SELECT a FROM t WHERE x AND y."""
    table = draw.table()
    shown = draw.shown(table)
    first = conditions.on(draw, table, [shown])
    second = conditions.on(draw, table, [shown, first.column])
    tree = select([col(shown)], table, where=both(condition(first), condition(second)))
    return tree, {"table": table, "shown": shown, "first": first, "second": second}


def either_(draw: Draw) -> Item:
    """SELECT a FROM t WHERE x OR y."""
    table = draw.table()
    shown = draw.shown(table)
    first = conditions.on(draw, table, [shown])
    second = conditions.on(draw, table, [shown])
    tree = select([col(shown)], table, where=either(condition(first), condition(second)))
    return tree, {"table": table, "shown": shown, "first": first, "second": second}


def sorted_(draw: Draw) -> Item:
    """SELECT a FROM t ORDER BY n."""
    table = draw.table()
    shown = draw.shown(table)
    order = draw.order(table)
    return select([col(shown)], table, order=col(order.column), down=order.down), {"table": table, "shown": shown, "order": order}


def pairs_sorted(draw: Draw) -> Item:
    """SELECT a, b FROM t ORDER BY n."""
    table = draw.table()
    shown = draw.several(table)
    order = draw.order(table)
    tree = select([col(column) for column in shown], table, order=col(order.column), down=order.down)
    return tree, {"table": table, "shown": shown, "order": order}


def filtered_sorted(draw: Draw) -> Item:
    """SELECT a FROM t WHERE x ORDER BY n."""
    table = draw.table()
    shown = draw.shown(table)
    order = draw.order(table)
    where = conditions.on(draw, table, [shown])
    tree = select([col(shown)], table, where=condition(where), order=col(order.column), down=order.down)
    return tree, {"table": table, "shown": shown, "where": where, "order": order}


def topmost(draw: Draw) -> Item:
    """SELECT a FROM t ORDER BY n DESC LIMIT 1."""
    return _top(draw, 1)


def topmost_few(draw: Draw) -> Item:
    """SELECT a FROM t ORDER BY n DESC LIMIT 3."""
    return _top(draw, draw.rng.randint(2, 5))


def _top(draw: Draw, limit: int) -> Item:
    table = draw.table()
    order = draw.order(table)
    shown = draw.shown(table, [order.column])
    tree = select([col(shown)], table, order=col(order.column), down=order.down, limit=limit)
    return tree, {"table": table, "shown": shown, "order": order, "count": limit}


def filtered_topmost(draw: Draw) -> Item:
    """SELECT a FROM t WHERE x ORDER BY n DESC LIMIT 1."""
    table = draw.table()
    order = draw.order(table)
    shown = draw.shown(table, [order.column])
    where = conditions.on(draw, table, [shown, order.column])
    tree = select([col(shown)], table, where=condition(where), order=col(order.column), down=order.down, limit=1)
    return tree, {"table": table, "shown": shown, "where": where, "order": order}
