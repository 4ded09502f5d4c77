"""Lists of rows: of one table and of the rows that it refers to, the best of each group, pairs."""

from typing import Literal

from sense.records import Hardness
from sense.teacher.grammar.database import GrammarTable, Link
from sense.teacher.grammar.domains import NUMBERS
from sense.teacher.grammar.draw import Draw, NoFit, is_unique
from sense.teacher.grammar.filters import FilterDraw, comparable, comparison, named, part_of_name
from sense.teacher.grammar.meaning import (
    AgainstAggregate,
    Attribute,
    BestOfGroup,
    Changed,
    Classed,
    Entity,
    Filter,
    Item,
    Joined,
    Listing,
    OfParent,
    OrderKey,
    Ranked,
    Running,
    Total,
    Twins,
    WithChildren,
)
from sense.teacher.grammar.requests.parts import columns_of, conditions, products

_ITEMS: dict[Hardness, tuple[tuple[int, float], ...]] = {
    "easy": ((1, 9), (0, 0.8)),
    "medium": ((1, 5), (2, 4), (3, 2), (4, 0.7), (0, 0.5)),
    "hard": ((1, 6), (2, 3), (3, 1.5), (4, 0.8), (0, 0.2)),
    "extra": ((1, 4), (2, 4), (3, 2), (4, 1), (5, 0.3), (0, 0.15)),
}
_ORDERED: dict[Hardness, float] = {"easy": 0.12, "medium": 0.3, "hard": 0.35, "extra": 0.5}


def listing(draw: Draw, level: Hardness) -> Listing:
    """Rows of a table: some of their columns, perhaps of the rows that they refer to, in some order."""
    table = draw.table()
    filters, joined_down = conditions(draw, table, level, joins_down=True)
    items = _items(draw, table, level, filters)
    distinct = joined_down
    order: tuple[OrderKey, ...] = ()
    limit, offset = None, 0
    if not distinct and draw.chance(_ORDERED[level]):
        order = _order(draw, table, level, filters)
        if draw.chance(0.5 if len(order) == 1 else 0.15):
            limit = draw.weighted(((1, 6), (3, 2), (2, 1), (5, 2), (10, 0.5)))
            if len(order) > 1 and any(item == order[0].item for item in items):
                raise NoFit  # the first city in the order of cities
            offset = 1 if limit == 1 and draw.chance(0.06) else 0
    elif not distinct and len(items) <= 2 and items and draw.chance(0.12):
        distinct = not any(isinstance(item, Attribute) and item.column is table.key for item in items)
    return Listing(Entity(table, filters), tuple(items), distinct, order, limit, offset)


def _items(draw: Draw, table: GrammarTable, level: Hardness, filters: tuple[Filter, ...]) -> list[Item]:
    count = draw.weighted(_ITEMS[level])
    if count == 0:
        return []
    fixed = columns_of(filters)
    spoken_of = [one.link for one in filters if isinstance(one, OfParent)]
    links = [link for link in draw.parents(table) if link not in spoken_of]
    items: list[Item] = []
    if links and level != "easy" and draw.chance(0.45):
        link = draw.pick(links)
        parent = draw.parent(link)
        item = draw.attribute(parent)
        path: tuple[Link, ...] = (link,)
        further = draw.parents(parent) if not link.role else []
        if further and level in ("hard", "extra") and draw.chance(0.3):
            second = draw.pick(further)
            item, path = draw.attribute(draw.parent(second)), (link, second)
        if item.column.spec is not None:
            items.append(Attribute(item.table, item.column, path))
    if len(items) < count or draw.chance(0.3):
        items = [*draw.attributes(table, max(1, count - len(items)), fixed), *items]
    return items


def _order(draw: Draw, table: GrammarTable, level: Hardness, filters: tuple[Filter, ...]) -> tuple[OrderKey, ...]:
    fixed = columns_of(filters)
    if level != "easy" and draw.chance(0.55):
        first = draw.group(table, fixed)
        return OrderKey(first, draw.chance(0.2)), OrderKey(draw.sortable(table, [*fixed, first.column]), draw.chance(0.6))
    if draw.chance(0.2) and table.label and is_unique(table.label):
        return (OrderKey(draw.label(table), draw.chance(0.25)),)
    return (OrderKey(draw.sortable(table, fixed), draw.chance(0.6)),)


def looked_up(draw: Draw, level: Hardness) -> Listing:
    """Some columns of one row, which is named."""
    table = draw.table(lambda table: table.label)
    where = named(draw, table)
    count = 1 if level == "easy" else draw.weighted(((1, 3), (2, 3), (3, 1)))
    return Listing(Entity(table, (where,)), tuple(draw.attributes(table, count, [where.attribute.column])))


def looked_up_beyond(draw: Draw, level: Hardness) -> Listing:
    """Columns of the rows that refer to a named row, or of the row that a named row refers to."""
    table = draw.table(lambda table: draw.parents(table) and table.label)
    link = draw.pick(draw.parents(table))
    parent = draw.parent(link)
    where = named(draw, table)
    count = 1 if level == "medium" else 2
    items = [Attribute(parent, item.column, (link,)) for item in draw.attributes(parent, count) if item.column.spec is not None]
    if not items:
        raise NoFit
    return Listing(Entity(table, (where,)), tuple(items))


def narrowed(draw: Draw, level: Hardness) -> Listing:
    """Rows that meet three conditions on their own columns."""
    table = draw.table()
    filters = FilterDraw(draw, False).filters(table, 3, 0, (), 1.0)
    del level
    return Listing(Entity(table, filters), tuple(draw.attributes(table, draw.weighted(((1, 3), (2, 1))), columns_of(filters))))


def related(draw: Draw, level: Hardness) -> Listing:
    """A column of the rows that each row refers to; or of the rows to which any row refers, each value once."""
    table = draw.table(draw.parents)
    link = draw.pick(draw.parents(table))
    parent = draw.parent(link)
    if draw.chance(0.5) or link.role:
        item = draw.attribute(parent)
        if item.column.spec is None:
            raise NoFit
        return Listing(Entity(table), (Attribute(parent, item.column, (link,)),))
    del level
    return Listing(Entity(parent, (WithChildren(link, Entity(table), "join"),)), (draw.attribute(parent),), True)


def different(draw: Draw, level: Hardness) -> Listing:
    """The different values of a column."""
    table = draw.table()
    item = draw.group(table) if draw.chance(0.8) else draw.attribute(table, [table.label] if table.label else [])
    filters, _ = conditions(draw, table, level) if draw.chance(0.6) else ((), False)
    if any(item.column is column for column in columns_of(filters)):
        raise NoFit
    order = (OrderKey(item, False),) if draw.chance(0.15) else ()
    return Listing(Entity(table, filters), (item,), True, order)


def name_matched(draw: Draw, level: Hardness) -> Listing:
    """Rows by a part of their name."""
    table = draw.table()
    where = part_of_name(draw, table)
    count = draw.weighted(((1, 5), (2, 3)))
    del level
    return Listing(
        Entity(table, (where,)), tuple(draw.attributes(table, count, [where.attribute.column] if draw.chance(0.7) else []))
    )


def changed(draw: Draw, level: Hardness) -> Listing:
    """Rows with a computed column: arithmetic, a text in another form, one of two words."""
    table = draw.table()
    filters, _ = conditions(draw, table, level)
    if any(isinstance(one, AgainstAggregate) and one.operator == "=" for one in filters):
        raise NoFit  # a column of each of the oldest
    first = draw.attribute(table, columns_of(filters))
    extra = draw.pick((_total, _total, _text, _text, _joined, _classed, _classed, _classed))(draw, table)
    changes = [
        one for one in (getattr(extra, name, None) for name in ("attribute", "first", "second")) if isinstance(one, Attribute)
    ]
    alone = (isinstance(extra, (Joined, Changed)) and draw.chance(0.5)) or any(one.column is first.column for one in changes)
    items: tuple[Item, ...] = (extra,) if alone else (first, extra)
    return Listing(Entity(table, filters), items)


def _total(draw: Draw, table: GrammarTable) -> Item:
    options = [Total("-", second, first) for first, second in comparable(draw, table) if first.column.kind in NUMBERS]
    options += products(draw, table)
    return draw.pick(options)


def _text(draw: Draw, table: GrammarTable) -> Item:
    column = draw.pick(draw.columns(table, lambda c: c.kind in ("person", "title", "code", "city", "country", "category")))
    named = column.kind in ("person", "title")
    function: Literal["upper", "lower", "length", "initial"] = draw.weighted(
        (("upper", 3), ("lower", 1), ("length", 3 if named else 0), ("initial", 1))
    )
    return Changed(function, Attribute(table, column))


def _joined(draw: Draw, table: GrammarTable) -> Item:
    label = draw.label(table)
    second = draw.pick(
        draw.columns(
            table, lambda c: c.kind in ("city", "country", "category", "code") and c is not label.column and c.has_no_null
        )
    )
    return Joined(label, Attribute(table, second), draw.pick((", ", " - ", " / ", ": ")))


def _classed(draw: Draw, table: GrammarTable) -> Item:
    attribute = draw.number(table)
    words = draw.pick((("high", "low"), ("large", "small"), ("above", "below"), ("yes", "no")))
    return Classed(attribute, draw.threshold(attribute.column), *words)


def ranked(draw: Draw, level: Hardness) -> Listing:
    """Rows with their rank, or with a sum up to each of them."""
    table = draw.table()
    filters, _ = conditions(draw, table, level) if draw.chance(0.5) else ((), False)
    if draw.chance(0.3):
        by = draw.sortable(table)
        if by.column.kind not in ("date", "year"):
            raise NoFit
        attribute = draw.number(table)
        if attribute.column.spec is None or not attribute.column.spec.sum or attribute.column.kind == "rating":
            raise NoFit
        return Listing(Entity(table, filters), (by, attribute, Running(attribute, by)))
    attribute = draw.sortable(table)
    within = draw.group(table) if draw.chance(0.5) else None
    first = draw.label(table) if table.label else draw.attribute(table)
    columns = (first, within) if within else (first,)
    return Listing(Entity(table, filters), (*columns, Ranked(attribute, draw.chance(0.75), within)))


def superiors(draw: Draw, level: Hardness) -> Listing:
    """Rows with a column of the row that they refer to in their own table."""
    table = draw.table(lambda table: table.label and draw.own(table))
    link = draw.pick(draw.own(table))
    label = draw.label(table)
    filters, _ = conditions(draw, table, "easy") if level != "medium" else ((), False)
    other = label if draw.chance(0.7) else draw.attribute(table)
    if other.column.spec is None:
        raise NoFit
    return Listing(Entity(table, filters), (label, Attribute(table, other.column, (link,))))


def best_of_group(draw: Draw, level: Hardness) -> BestOfGroup:
    """For each value of a column, the row with the highest or lowest quantity."""
    table = draw.table(lambda table: table.label)
    key = draw.group(table)
    by = draw.sortable(table)
    items = [draw.label(table)]
    if draw.chance(0.4):
        items.append(by)
    filters = (comparison(draw, table, [key.column, by.column]),) if level == "extra" and draw.chance(0.3) else ()
    return BestOfGroup(Entity(table, filters), tuple(items), key, by, draw.chance(0.75), draw.chance(0.6))


def twins(draw: Draw, level: Hardness) -> Twins:
    """Pairs of rows with the same value of a column."""
    table = draw.table(lambda table: table.label and table.key)
    same = draw.group(table)
    del level
    return Twins(Entity(table), draw.label(table), same)
