"""Questions over two and three foreign keys."""

from sense.records import Hardness
from sense.teacher.grammar.database import GrammarTable, Link
from sense.teacher.grammar.draw import Draw, NoFit
from sense.teacher.grammar.filters import comparison, either, named
from sense.teacher.grammar.meaning import Attribute, Combining, Entity, Filter, Listing, Measuring, OfParent, OrderKey, Request
from sense.teacher.grammar.requests.parts import columns_of, measures_of


def far(draw: Draw, level: Hardness) -> Request:
    """Over two foreign keys, or three: conditions on, and columns of, the rows that they lead to."""
    table = draw.table(lambda table: any(draw.parents(draw.parent(link)) for link in draw.parents(table)))
    near = draw.pick([link for link in draw.parents(table) if draw.parents(draw.parent(link)) and not link.role])
    link = draw.pick(draw.parents(draw.parent(near)))
    middle, end = draw.parent(near), draw.parent(link)
    path = (near, link)

    def at_end() -> OfParent:
        where: tuple[Filter, ...] = (named(draw, end) if end.label and draw.chance(0.35) else comparison(draw, end),)
        also: tuple[Filter, ...] = ()
        if draw.chance(0.25):
            where = either_or_both(draw, end)
        elif draw.chance(0.15):
            also = (comparison(draw, middle),)
        return OfParent(near, Entity(middle, (*also, OfParent(link, Entity(end, where), "join"))), "join")

    def of_end() -> Attribute:
        attribute = draw.attribute(end)
        if attribute.column.spec is None:
            raise NoFit
        return Attribute(end, attribute.column, path)

    share = draw.rng.random()
    if share < 0.3:
        own = (comparison(draw, table),) if level == "extra" and draw.chance(0.5) else ()
        return Listing(Entity(table, (*own, at_end())), tuple(draw.attributes(table, draw.weighted(((1, 5), (2, 3))))))
    if share < 0.47:
        entity = Entity(table, (at_end(),))
        return Measuring(entity, measures_of(draw, table, "medium", entity.filters))
    if share < 0.62:
        return Listing(Entity(table), (*draw.attributes(table, draw.weighted(((1, 5), (2, 2)))), of_end()))
    if share < 0.76:
        own = (comparison(draw, table),) if draw.chance(0.8) else ()
        return Listing(Entity(table, own), (of_end(),))
    if share < 0.86:
        order = OrderKey(draw.sortable(table), draw.chance(0.7))
        return Listing(Entity(table), (of_end(),), False, (order,), 1)
    item = draw.group(table) if draw.chance(0.6) else draw.label(table)
    first_list, second_list = (Listing(Entity(table, (at_end(),)), (item,)) for _ in range(2))
    return Combining("INTERSECT", first_list, second_list)


def either_or_both(draw: Draw, table: GrammarTable) -> tuple[Filter, ...]:
    """Two conditions on different columns, of which both must hold or one."""
    first = comparison(draw, table)
    second = comparison(draw, table, [first.attribute.column])
    return (first, second) if draw.chance(0.7) else (either(draw, table),)


def far_apart(draw: Draw, level: Hardness) -> Listing:
    """Columns of a row and of the rows that several foreign keys lead to, three joins or more."""
    table = draw.table(lambda table: len(_paths(draw, table, 3)) >= 3)
    paths = _paths(draw, table, 3)
    longest = [path for path in paths if len(path) == 3]
    ends = [draw.pick(longest)] if longest and draw.chance(0.6) else draw.rng.sample(paths, 3)
    items = [Attribute(draw.parent(path[-1]), draw.attribute(draw.parent(path[-1])).column, path) for path in ends]
    if any(item.column.spec is None for item in items):
        raise NoFit
    if len({item.path[-1].role or item.table.name for item in items}) < len(items):
        raise NoFit  # two rows of one table, which the question would call the same
    where = (comparison(draw, table),) if draw.chance(0.6 if level == "extra" else 0.2) else ()
    return Listing(Entity(table, where), (draw.attribute(table, columns_of(where)), *items))


def _paths(draw: Draw, table: GrammarTable, length: int) -> list[tuple[Link, ...]]:
    """The ways over at most `length` foreign keys to parents, and to their parents."""
    paths: list[tuple[Link, ...]] = []
    for link in draw.parents(table):
        paths.append((link,))
        if length > 1 and not link.role:
            paths += [(link, *path) for path in _paths(draw, draw.parent(link), length - 1)]
    return paths
