"""Questions over one foreign key: children by their parent, parents by their children."""

from typing import Any

from sqlglot import exp

from sense.teacher.grammar import conditions
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.pieces import Bound, Rank
from sense.teacher.grammar.tree import aggregate, col, compare, condition, count, join, literal, select

Item = tuple[exp.Query, dict[str, Any]]


def children_of(draw: Draw) -> Item:
    """SELECT child.a FROM child JOIN parent ON ... WHERE parent.x."""
    link, child, parent = draw.link()
    shown = draw.shown(child)
    where = conditions.on(draw, parent)
    tree = select([col(shown, child)], child, joins=[join(link, parent)], where=condition(where, True))
    return tree, {"child": child, "parent": parent, "shown": shown, "where": where}


def parents_with(draw: Draw) -> Item:
    """SELECT DISTINCT parent.a FROM parent JOIN child ON ... WHERE child.x."""
    link, child, parent = draw.link()
    shown = draw.shown(parent)
    where = conditions.on(draw, child)
    tree = select([col(shown, parent)], parent, joins=[join(link, child)], where=condition(where, True), distinct=True)
    return tree, {"child": child, "parent": parent, "verb": link, "shown": shown, "where": where}


def counted_children(draw: Draw) -> Item:
    """SELECT COUNT(*) FROM child JOIN parent ON ... WHERE parent.x."""
    link, child, parent = draw.link()
    where = conditions.on(draw, parent)
    tree = select([count()], child, joins=[join(link, parent)], where=condition(where, True))
    return tree, {"child": child, "parent": parent, "where": where}


def aggregate_children(draw: Draw) -> Item:
    """SELECT AVG(child.n) FROM child JOIN parent ON ... WHERE parent.x."""
    link, child, parent = draw.link()
    made = draw.aggregate(child)
    where = conditions.on(draw, parent)
    tree = select([aggregate(made, child)], child, joins=[join(link, parent)], where=condition(where, True))
    return tree, {"child": child, "parent": parent, "aggregate": made, "where": where}


def paired(draw: Draw) -> Item:
    """SELECT child.a, parent.b FROM child JOIN parent ON ..."""
    link, child, parent = draw.link()
    mine, theirs = draw.shown(child), draw.shown(parent)
    tree = select([col(mine, child), col(theirs, parent)], child, joins=[join(link, parent)])
    return tree, {"child": child, "parent": parent, "mine": mine, "theirs": theirs}


def looked_through(draw: Draw) -> Item:
    """SELECT parent.a FROM parent JOIN child ON ... WHERE child.label = 'v'."""
    link, child, parent = draw.link(lambda child, _: child.label)
    shown = draw.shown(parent)
    where = conditions.naming(draw, child)
    tree = select([col(shown, parent)], parent, joins=[join(link, child)], where=condition(where, True))
    return tree, {"child": child, "parent": parent, "shown": shown, "where": where}


def children_per(draw: Draw) -> Item:
    """SELECT parent.g, COUNT(*) FROM parent JOIN child ON ... GROUP BY parent.g."""
    link, child, parent = draw.link()
    heading = draw.heading(parent)
    tree = select([col(heading, parent), count()], parent, joins=[join(link, child)], group=col(heading, parent))
    return tree, {"child": child, "parent": parent, "heading": heading}


def aggregate_per_parent(draw: Draw) -> Item:
    """SELECT parent.g, AVG(child.n) FROM parent JOIN child ON ... GROUP BY parent.g."""
    link, child, parent = draw.link()
    heading = draw.heading(parent)
    made = draw.aggregate(child)
    columns = [col(heading, parent), aggregate(made, child)]
    tree = select(columns, parent, joins=[join(link, child)], group=col(heading, parent))
    return tree, {"child": child, "parent": parent, "heading": heading, "aggregate": made}


def busy(draw: Draw) -> Item:
    """SELECT parent.label FROM parent JOIN child ON ... GROUP BY parent.label HAVING COUNT(*) >= k."""
    link, child, parent = draw.link(lambda _, parent: parent.label)
    shown = draw.name(parent)
    bound = conditions.size(draw, child.column(link.column))
    having = compare(count(), bound.operator, literal(bound.value))
    tree = select([col(shown, parent)], parent, joins=[join(link, child)], group=col(shown, parent), having=having)
    return tree, {"child": child, "parent": parent, "verb": link, "shown": shown, "bound": bound}


def busy_where(draw: Draw) -> Item:
    """SELECT parent.label FROM parent JOIN child ON ... WHERE child.x GROUP BY parent.label HAVING COUNT(*) >= k."""
    link, child, parent = draw.link()
    shown = draw.name(parent)
    where = conditions.on(draw, child)
    bound = Bound(">=", draw.rng.randint(2, 3))
    having = compare(count(), bound.operator, literal(bound.value))
    tree = select(
        [col(shown, parent)],
        parent,
        joins=[join(link, child)],
        where=condition(where, True),
        group=col(shown, parent),
        having=having,
    )
    return tree, {"child": child, "parent": parent, "verb": link, "shown": shown, "where": where, "bound": bound}


def children_sorted(draw: Draw) -> Item:
    """SELECT child.a FROM child JOIN parent ON ... WHERE parent.x ORDER BY child.n."""
    return _ordered(draw, None)


def joined_topmost(draw: Draw) -> Item:
    """SELECT child.a FROM child JOIN parent ON ... WHERE parent.x ORDER BY child.n DESC LIMIT 1."""
    return _ordered(draw, 1)


def _ordered(draw: Draw, limit: int | None) -> Item:
    link, child, parent = draw.link()
    order = draw.order(child)
    shown = draw.shown(child, [order.column] if limit else [])
    where = conditions.on(draw, parent)
    tree = select(
        [col(shown, child)],
        child,
        joins=[join(link, parent)],
        where=condition(where, True),
        order=col(order.column, child),
        down=order.down,
        limit=limit,
    )
    return tree, {"child": child, "parent": parent, "shown": shown, "where": where, "order": order}


def parent_of_topmost(draw: Draw) -> Item:
    """SELECT parent.a FROM parent JOIN child ON ... ORDER BY child.n DESC LIMIT 1."""
    link, child, parent = draw.link()
    shown = draw.shown(parent)
    order = draw.order(child)
    tree = select(
        [col(shown, parent)], parent, joins=[join(link, child)], order=col(order.column, child), down=order.down, limit=1
    )
    return tree, {"child": child, "parent": parent, "shown": shown, "order": order}


def counts_per_parent_where(draw: Draw) -> Item:
    """SELECT parent.g, COUNT(*) FROM parent JOIN child ON ... WHERE child.x GROUP BY parent.g."""
    link, child, parent = draw.link()
    heading = draw.heading(parent)
    where = conditions.on(draw, child)
    columns = [col(heading, parent), count()]
    tree = select(columns, parent, joins=[join(link, child)], where=condition(where, True), group=col(heading, parent))
    return tree, {"child": child, "parent": parent, "heading": heading, "where": where}


def busiest(draw: Draw) -> Item:
    """SELECT parent.label FROM parent JOIN child ON ... GROUP BY parent.label ORDER BY COUNT(*) DESC LIMIT 1."""
    link, child, parent = draw.link()
    shown = draw.name(parent)
    group = col(shown, parent)
    tree = select([col(shown, parent)], parent, joins=[join(link, child)], group=group, order=count(), down=True, limit=1)
    return tree, {"child": child, "parent": parent, "shown": shown, "often": Rank(True)}


def busiest_where(draw: Draw) -> Item:
    """SELECT parent.label FROM parent JOIN child ON ... WHERE child.x GROUP BY parent.label ORDER BY COUNT(*) DESC LIMIT 1."""
    link, child, parent = draw.link()
    shown = draw.name(parent)
    where = conditions.on(draw, child)
    tree = select(
        [col(shown, parent)],
        parent,
        joins=[join(link, child)],
        where=condition(where, True),
        group=col(shown, parent),
        order=count(),
        down=True,
        limit=1,
    )
    return tree, {"child": child, "parent": parent, "shown": shown, "where": where, "often": Rank(True)}


def best_parent(draw: Draw) -> Item:
    """SELECT parent.label FROM parent JOIN child ON ... GROUP BY parent.label ORDER BY AVG(child.n) DESC LIMIT 1."""
    link, child, parent = draw.link()
    shown = draw.name(parent)
    made = draw.average(child)
    often = draw.rank()
    order = aggregate(made, child)
    group = col(shown, parent)
    tree = select([col(shown, parent)], parent, joins=[join(link, child)], group=group, order=order, down=often.down, limit=1)
    return tree, {"child": child, "parent": parent, "shown": shown, "aggregate": made, "often": often}
