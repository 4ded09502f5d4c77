"""Questions over one foreign key: children by their parent, parents by their children."""

from sense.teacher.grammar import conditions
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.pieces import Bound, DrawnQuery, Rank
from sense.teacher.grammar.tree import aggregate_call, col, compare, condition, count, join, literal, select


def children_of(draw: Draw) -> DrawnQuery:
    """SELECT child.a FROM child JOIN parent ON ... WHERE parent.x."""
    link, child, parent = draw.link()
    selected = draw.selected_column(child)
    where = conditions.any_condition(draw, parent)
    tree = select([col(selected, child)], child, joins=[join(link, parent)], where=condition(where, True))
    return tree, {"child": child, "parent": parent, "selected": selected, "where": where}


def parents_with(draw: Draw) -> DrawnQuery:
    """SELECT DISTINCT parent.a FROM parent JOIN child ON ... WHERE child.x."""
    link, child, parent = draw.link()
    selected = draw.selected_column(parent)
    where = conditions.any_condition(draw, child)
    tree = select([col(selected, parent)], parent, joins=[join(link, child)], where=condition(where, True), distinct=True)
    return tree, {"child": child, "parent": parent, "verb": link, "selected": selected, "where": where}


def counted_children(draw: Draw) -> DrawnQuery:
    """SELECT COUNT(*) FROM child JOIN parent ON ... WHERE parent.x."""
    link, child, parent = draw.link()
    where = conditions.any_condition(draw, parent)
    tree = select([count()], child, joins=[join(link, parent)], where=condition(where, True))
    return tree, {"child": child, "parent": parent, "where": where}


def aggregate_children(draw: Draw) -> DrawnQuery:
    """SELECT AVG(child.n) FROM child JOIN parent ON ... WHERE parent.x."""
    link, child, parent = draw.link()
    aggregate = draw.aggregate(child)
    where = conditions.any_condition(draw, parent)
    tree = select([aggregate_call(aggregate, child)], child, joins=[join(link, parent)], where=condition(where, True))
    return tree, {"child": child, "parent": parent, "aggregate": aggregate, "where": where}


def paired(draw: Draw) -> DrawnQuery:
    """SELECT child.a, parent.b FROM child JOIN parent ON ..."""
    link, child, parent = draw.link()
    mine, theirs = draw.selected_column(child), draw.selected_column(parent)
    tree = select([col(mine, child), col(theirs, parent)], child, joins=[join(link, parent)])
    return tree, {"child": child, "parent": parent, "mine": mine, "theirs": theirs}


def looked_through(draw: Draw) -> DrawnQuery:
    """SELECT parent.a FROM parent JOIN child ON ... WHERE child.label = 'v'."""
    link, child, parent = draw.link(lambda child, _: child.label)
    selected = draw.selected_column(parent)
    where = conditions.label_condition(draw, child)
    tree = select([col(selected, parent)], parent, joins=[join(link, child)], where=condition(where, True))
    return tree, {"child": child, "parent": parent, "selected": selected, "where": where}


def children_per(draw: Draw) -> DrawnQuery:
    """SELECT parent.g, COUNT(*) FROM parent JOIN child ON ... GROUP BY parent.g."""
    link, child, parent = draw.link()
    heading = draw.heading(parent)
    tree = select([col(heading, parent), count()], parent, joins=[join(link, child)], group=col(heading, parent))
    return tree, {"child": child, "parent": parent, "heading": heading}


def aggregate_per_parent(draw: Draw) -> DrawnQuery:
    """SELECT parent.g, AVG(child.n) FROM parent JOIN child ON ... GROUP BY parent.g."""
    link, child, parent = draw.link()
    heading = draw.heading(parent)
    aggregate = draw.aggregate(child)
    columns = [col(heading, parent), aggregate_call(aggregate, child)]
    tree = select(columns, parent, joins=[join(link, child)], group=col(heading, parent))
    return tree, {"child": child, "parent": parent, "heading": heading, "aggregate": aggregate}


def busy(draw: Draw) -> DrawnQuery:
    """SELECT parent.label FROM parent JOIN child ON ... GROUP BY parent.label HAVING COUNT(*) >= k."""
    link, child, parent = draw.link(lambda _, parent: parent.label)
    selected = draw.name(parent)
    bound = conditions.count_bound(draw, child.column(link.column))
    having = compare(count(), bound.operator, literal(bound.value))
    tree = select([col(selected, parent)], parent, joins=[join(link, child)], group=col(selected, parent), having=having)
    return tree, {"child": child, "parent": parent, "verb": link, "selected": selected, "bound": bound}


def busy_where(draw: Draw) -> DrawnQuery:
    """SELECT parent.label FROM parent JOIN child ON ... WHERE child.x GROUP BY parent.label HAVING COUNT(*) >= k."""
    link, child, parent = draw.link()
    selected = draw.name(parent)
    where = conditions.any_condition(draw, child)
    bound = Bound(">=", draw.rng.randint(2, 3))
    having = compare(count(), bound.operator, literal(bound.value))
    tree = select(
        [col(selected, parent)],
        parent,
        joins=[join(link, child)],
        where=condition(where, True),
        group=col(selected, parent),
        having=having,
    )
    return tree, {"child": child, "parent": parent, "verb": link, "selected": selected, "where": where, "bound": bound}


def children_sorted(draw: Draw) -> DrawnQuery:
    """SELECT child.a FROM child JOIN parent ON ... WHERE parent.x ORDER BY child.n."""
    return _ordered(draw, None)


def joined_topmost(draw: Draw) -> DrawnQuery:
    """SELECT child.a FROM child JOIN parent ON ... WHERE parent.x ORDER BY child.n DESC LIMIT 1."""
    return _ordered(draw, 1)


def _ordered(draw: Draw, limit: int | None) -> DrawnQuery:
    link, child, parent = draw.link()
    order = draw.order(child)
    selected = draw.selected_column(child, [order.column] if limit else [])
    where = conditions.any_condition(draw, parent)
    tree = select(
        [col(selected, child)],
        child,
        joins=[join(link, parent)],
        where=condition(where, True),
        order=col(order.column, child),
        descending=order.descending,
        limit=limit,
    )
    return tree, {"child": child, "parent": parent, "selected": selected, "where": where, "order": order}


def parent_of_topmost(draw: Draw) -> DrawnQuery:
    """SELECT parent.a FROM parent JOIN child ON ... ORDER BY child.n DESC LIMIT 1."""
    link, child, parent = draw.link()
    selected = draw.selected_column(parent)
    order = draw.order(child)
    tree = select(
        [col(selected, parent)],
        parent,
        joins=[join(link, child)],
        order=col(order.column, child),
        descending=order.descending,
        limit=1,
    )
    return tree, {"child": child, "parent": parent, "selected": selected, "order": order}


def counts_per_parent_where(draw: Draw) -> DrawnQuery:
    """SELECT parent.g, COUNT(*) FROM parent JOIN child ON ... WHERE child.x GROUP BY parent.g."""
    link, child, parent = draw.link()
    heading = draw.heading(parent)
    where = conditions.any_condition(draw, child)
    columns = [col(heading, parent), count()]
    tree = select(columns, parent, joins=[join(link, child)], where=condition(where, True), group=col(heading, parent))
    return tree, {"child": child, "parent": parent, "heading": heading, "where": where}


def busiest(draw: Draw) -> DrawnQuery:
    """SELECT parent.label FROM parent JOIN child ON ... GROUP BY parent.label ORDER BY COUNT(*) DESC LIMIT 1."""
    link, child, parent = draw.link()
    selected = draw.name(parent)
    group = col(selected, parent)
    tree = select(
        [col(selected, parent)], parent, joins=[join(link, child)], group=group, order=count(), descending=True, limit=1
    )
    return tree, {"child": child, "parent": parent, "selected": selected, "often": Rank(True)}


def busiest_where(draw: Draw) -> DrawnQuery:
    """SELECT parent.label FROM parent JOIN child ON ... WHERE child.x GROUP BY parent.label ORDER BY COUNT(*) DESC LIMIT 1."""
    link, child, parent = draw.link()
    selected = draw.name(parent)
    where = conditions.any_condition(draw, child)
    tree = select(
        [col(selected, parent)],
        parent,
        joins=[join(link, child)],
        where=condition(where, True),
        group=col(selected, parent),
        order=count(),
        descending=True,
        limit=1,
    )
    return tree, {"child": child, "parent": parent, "selected": selected, "where": where, "often": Rank(True)}


def best_parent(draw: Draw) -> DrawnQuery:
    """SELECT parent.label FROM parent JOIN child ON ... GROUP BY parent.label ORDER BY AVG(child.n) DESC LIMIT 1."""
    link, child, parent = draw.link()
    selected = draw.name(parent)
    aggregate = draw.average(child)
    often = draw.rank()
    order = aggregate_call(aggregate, child)
    group = col(selected, parent)
    tree = select(
        [col(selected, parent)], parent, joins=[join(link, child)], group=group, order=order, descending=often.descending, limit=1
    )
    return tree, {"child": child, "parent": parent, "selected": selected, "aggregate": aggregate, "often": often}
