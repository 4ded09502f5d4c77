"""Requests drawn on a database: which kind for which hardness, and the parts of each.

The hardness of the SQL is measured afterwards; the weights here only make the wanted one likely.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from sense.records import Hardness
from sense.teacher.grammar.database import GrammarColumn, GrammarTable, Link
from sense.teacher.grammar.domains import NUMBERS
from sense.teacher.grammar.draw import Draw, NoFit, is_group, is_unique, number_values
from sense.teacher.grammar.filters import FilterDraw, comparable, comparison, named, part_of_name
from sense.teacher.grammar.meaning import (
    AboveMeanGroups,
    Aggregate,
    Attribute,
    BestOfGroup,
    Changed,
    Classed,
    Combining,
    Comparison,
    Contrast,
    Count,
    CountIf,
    Entity,
    Filter,
    Grouping,
    Having,
    Inequality,
    Item,
    Joined,
    Listing,
    Measure,
    Measuring,
    OfParent,
    OrderKey,
    Ranked,
    Request,
    Running,
    Spread,
    Total,
    Twins,
    WithChildren,
)

Weights = tuple[tuple[int, float], ...]

_CONDITIONS: dict[Hardness, Weights] = {
    "easy": ((0, 3), (1, 7)),
    "medium": ((0, 4), (1, 5), (2, 3)),
    "hard": ((0, 2), (1, 5), (2, 3), (3, 1.5)),
    "extra": ((0, 1), (1, 4), (2, 4), (3, 3)),
}
_ITEMS: dict[Hardness, Weights] = {
    "easy": ((1, 9), (0, 0.8)),
    "medium": ((1, 5), (2, 4), (3, 2), (4, 0.7), (0, 0.5)),
    "hard": ((1, 6), (2, 3), (3, 1.5), (4, 0.8), (0, 0.2)),
    "extra": ((1, 4), (2, 4), (3, 2), (4, 1), (5, 0.3), (0, 0.15)),
}
_DEPTHS: dict[Hardness, int] = {"easy": 0, "medium": 1, "hard": 2, "extra": 3}
_PLAIN: dict[Hardness, float] = {"easy": 1.0, "medium": 0.55, "hard": 0.3, "extra": 0.35}
_ORDERED: dict[Hardness, float] = {"easy": 0.12, "medium": 0.3, "hard": 0.35, "extra": 0.5}


def draw_request(draw: Draw, level: Hardness) -> Request:
    """A request whose SQL is likely of hardness `level`; NoFit if the database lacks what was drawn."""
    return draw.weighted(_KINDS[level])(draw, level)


# --- lists


def _conditions(draw: Draw, table: GrammarTable, level: Hardness, joins_down: bool = False) -> tuple[tuple[Filter, ...], bool]:
    """Conditions on the rows of `table`, and whether one of them joins a table of children."""
    filters = FilterDraw(draw, joins_down)
    drawn = filters.filters(table, draw.weighted(_CONDITIONS[level]), _DEPTHS[level], (), _PLAIN[level])
    return drawn, filters.joined_down


def _columns_of(filters: tuple[Filter, ...]) -> list[GrammarColumn]:
    """The columns on which there are conditions, which are not worth asking for, sorting by or counting."""
    columns = []
    for one in filters:
        attribute = getattr(one, "attribute", None)
        if isinstance(attribute, Attribute) and not attribute.path:
            columns.append(attribute.column)
    return columns


def listing(draw: Draw, level: Hardness) -> Listing:
    """Rows of a table: some of their columns, perhaps of the rows that they refer to, in some order."""
    table = draw.table()
    filters, joined_down = _conditions(draw, table, level, joins_down=True)
    items = _items(draw, table, level, filters)
    distinct = joined_down
    order: tuple[OrderKey, ...] = ()
    limit, offset = None, 0
    if not distinct and draw.chance(_ORDERED[level]):
        order = _order(draw, table, level, filters)
        if draw.chance(0.5):
            limit = draw.weighted(((1, 6), (3, 2), (2, 1), (5, 2), (10, 0.5)))
            offset = 1 if limit == 1 and draw.chance(0.06) else 0
    elif not distinct and len(items) <= 2 and items and draw.chance(0.12):
        distinct = not any(isinstance(item, Attribute) and item.column is table.key for item in items)
    return Listing(Entity(table, filters), tuple(items), distinct, order, limit, offset)


def _items(draw: Draw, table: GrammarTable, level: Hardness, filters: tuple[Filter, ...]) -> list[Item]:
    count = draw.weighted(_ITEMS[level])
    if count == 0:
        return []
    fixed = _columns_of(filters)
    links = draw.parents(table)
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
    fixed = _columns_of(filters)
    if level != "easy" and draw.chance(0.3):
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


def different(draw: Draw, level: Hardness) -> Listing:
    """The different values of a column."""
    table = draw.table()
    item = draw.group(table) if draw.chance(0.8) else draw.attribute(table, [table.label] if table.label else [])
    filters, _ = _conditions(draw, table, level) if draw.chance(0.6) else ((), False)
    if any(item.column is column for column in _columns_of(filters)):
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
    filters, _ = _conditions(draw, table, level)
    first = draw.attribute(table)
    extra = draw.pick((_total, _total, _text, _text, _joined, _classed))(draw, table)
    changes = [one for one in (getattr(extra, "attribute", None), getattr(extra, "first", None)) if isinstance(one, Attribute)]
    alone = (isinstance(extra, (Joined, Changed)) and draw.chance(0.5)) or any(one.column is first.column for one in changes)
    items: tuple[Item, ...] = (extra,) if alone else (first, extra)
    return Listing(Entity(table, filters), items)


def _total(draw: Draw, table: GrammarTable) -> Item:
    options = [Total("-", second, first) for first, second in comparable(draw, table) if first.column.kind in NUMBERS]
    options += _products(draw, table)
    return draw.pick(options)


def _products(draw: Draw, table: GrammarTable) -> list[Total]:
    """A price times a number of pieces."""
    prices = draw.columns(table, lambda c: c.kind == "price")
    pieces = draw.columns(table, lambda c: c.kind == "integer" and c.spec and c.spec.countable)
    return [Total("*", Attribute(table, price), Attribute(table, piece)) for price in prices for piece in pieces]


def _text(draw: Draw, table: GrammarTable) -> Item:
    column = draw.pick(draw.columns(table, lambda c: c.kind in ("person", "title", "code", "city", "country", "category")))
    function: Literal["upper", "lower", "length", "initial"] = draw.weighted(
        (("upper", 3), ("lower", 1), ("length", 2), ("initial", 1))
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
    filters, _ = _conditions(draw, table, level) if draw.chance(0.5) else ((), False)
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
    shown = (first, within) if within else (first,)
    return Listing(Entity(table, filters), (*shown, Ranked(attribute, draw.chance(0.75), within)))


def far(draw: Draw, level: Hardness) -> Request:
    """Over two foreign keys, or three: conditions on, and columns of, the rows that they lead to."""
    table = draw.table(lambda table: any(draw.parents(draw.parent(link)) for link in draw.parents(table)))
    near = draw.pick([link for link in draw.parents(table) if draw.parents(draw.parent(link)) and not link.role])
    link = draw.pick(draw.parents(draw.parent(near)))
    middle, end = draw.parent(near), draw.parent(link)
    path = (near, link)

    def at_end() -> OfParent:
        where = named(draw, end) if end.label and draw.chance(0.35) else comparison(draw, end)
        return OfParent(near, Entity(middle, (OfParent(link, Entity(end, (where,)), "join"),)), "join")

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
        return Measuring(entity, _measures(draw, table, "medium", entity.filters))
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


def far_apart(draw: Draw, level: Hardness) -> Listing:
    """Columns of a row and of the rows that several foreign keys lead to, three joins or more."""
    table = draw.table(lambda table: len(_paths(draw, table, 3)) >= 3)
    paths = _paths(draw, table, 3)
    longest = [path for path in paths if len(path) == 3]
    ends = [draw.pick(longest)] if longest and draw.chance(0.6) else draw.rng.sample(paths, 3)
    items = [Attribute(draw.parent(path[-1]), draw.attribute(draw.parent(path[-1])).column, path) for path in ends]
    if any(item.column.spec is None for item in items):
        raise NoFit
    where = (comparison(draw, table),) if draw.chance(0.6 if level == "extra" else 0.2) else ()
    return Listing(Entity(table, where), (draw.attribute(table), *items))


def _paths(draw: Draw, table: GrammarTable, length: int) -> list[tuple[Link, ...]]:
    """The ways over at most `length` foreign keys to parents, and to their parents."""
    paths: list[tuple[Link, ...]] = []
    for link in draw.parents(table):
        paths.append((link,))
        if length > 1 and not link.role:
            paths += [(link, *path) for path in _paths(draw, draw.parent(link), length - 1)]
    return paths


def superiors(draw: Draw, level: Hardness) -> Listing:
    """Rows with a column of the row that they refer to in their own table."""
    table = draw.table(lambda table: table.label and draw.own(table))
    link = draw.pick(draw.own(table))
    label = draw.label(table)
    filters, _ = _conditions(draw, table, "easy") if level != "medium" else ((), False)
    other = label if draw.chance(0.7) else draw.attribute(table)
    if other.column.spec is None:
        raise NoFit
    return Listing(Entity(table, filters), (label, Attribute(table, other.column, (link,))))


# --- numbers


def measured(draw: Draw, level: Hardness) -> Measuring:
    """How many rows, or aggregates of them."""
    table = draw.table()
    filters, joined_down = _conditions(draw, table, level, joins_down=bool(table.key))
    if joined_down and table.key:
        return Measuring(Entity(table, filters), (Count(Attribute(table, table.key)),))
    return Measuring(Entity(table, filters), _measures(draw, table, level, filters))


def _measures(draw: Draw, table: GrammarTable, level: Hardness, filters: tuple[Filter, ...]) -> tuple[Measure, ...]:
    share = draw.rng.random()
    fixed = _columns_of(filters)
    if share < 0.4:
        return (Count(),)
    if share < 0.55:
        column = draw.pick(
            draw.columns(table, lambda c: 1 < len(c.distinct) < len(c.values) and c.kind != "flag" and c not in fixed)
        )
        return (Count(Attribute(table, column)),)
    if share < 0.62 and level != "easy":
        return (Spread(draw.number(table, fixed)),)
    if share < 0.7 and level != "easy":
        condition = comparison(draw, table, fixed)
        if condition.operator in ("null", "not null"):
            raise NoFit
        return (CountIf(condition, draw.chance(0.7)),)
    if share < 0.75 and level != "easy":
        totals = _products(draw, table)
        return (Aggregate("SUM" if draw.chance(0.7) else "AVG", draw.pick(totals)),)
    attribute = draw.number(table, fixed) if draw.chance(0.8) else draw.sortable(table, fixed)
    first = Aggregate(draw.function(attribute.column), attribute)
    if level == "easy" or draw.chance(0.65):
        rounded = first.function == "AVG" and draw.chance(0.08)
        return (Aggregate(first.function, attribute, rounded),)
    if draw.chance(0.25):
        return Count(), first
    others = [f for f in ("MIN", "MAX", "AVG") if f != first.function and (f != "AVG" or attribute.column.kind in NUMBERS)]
    chosen = draw.rng.sample(others, 1 if len(others) < 2 or draw.chance(0.6) else 2)
    if draw.chance(0.35):
        other = draw.number(table, [*fixed, attribute.column])
        return first, Aggregate(draw.function(other.column), other)
    return first, *(Aggregate(function, attribute) for function in chosen)  # type: ignore[arg-type]


# --- groups


def grouped(draw: Draw, level: Hardness) -> Grouping:
    """Numbers for each value of a column, for each year, or for each row of a table that is referred to."""
    table = draw.table()
    keys, identity = _keys(draw, table, level)
    filters: tuple[Filter, ...] = ()
    if draw.chance({"easy": 0.0, "medium": 0.15, "hard": 0.6, "extra": 0.7}[level]):
        depth = {"easy": 0, "medium": 0, "hard": 1, "extra": 2}[level]
        filters = FilterDraw(draw, False).filters(table, 1, depth, [key.column for key in keys], 0.85)
    if identity and draw.chance(0.35 if level in ("medium", "hard", "extra") else 0):
        return _owners(draw, level, Entity(table, filters), keys)
    measures = _group_measures(draw, table, [*(key.column for key in keys), *_columns_of(filters)])
    having: Having | None = None
    order: tuple[OrderKey, ...] = ()
    limit = None
    hidden = False
    share = draw.rng.random()
    if share < 0.3 or (level == "easy"):
        measure = Count() if draw.chance(0.7) else measures[0]
        having = _having(draw, measure)
        hidden = level == "easy" or draw.chance(0.6)
    elif (share < 0.72 and level != "medium") or share < 0.5:
        last = measures[-1]
        if isinstance(last, Aggregate) and last.function in ("MIN", "MAX"):
            raise NoFit
        order = (OrderKey(last, draw.chance(0.75)),)
        if draw.chance(0.65):
            limit = draw.weighted(((1, 8), (3, 1.5), (5, 0.5)))
            hidden = draw.chance(0.65)
    return Grouping(
        Entity(table, filters),
        tuple(keys),
        () if hidden else measures,
        identity,
        None,
        having,
        order,
        limit,
        draw.chance(0.25),
        identity and draw.chance(0.2),
    )


def _owners(draw: Draw, level: Hardness, entity: Entity, keys: list[Attribute]) -> Grouping:
    """Rows of a table that is referred to, by how many rows refer to them: some of their columns."""
    owner, path = keys[0].table, keys[0].path
    others = draw.weighted(((0, 5), (1, 3), (2, 1.5))) if level != "hard" else 0
    used = [key.column for key in keys]
    for _ in range(others - len(keys) + 1):
        further = draw.attribute(owner, used)
        used.append(further.column)
        keys.append(Attribute(owner, further.column, path))
    if draw.chance(0.5):
        return Grouping(entity, tuple(keys), (), True, None, _having(draw, Count()), strict=draw.chance(0.15))
    limit = draw.weighted(((1, 8), (3, 1.5)))
    return Grouping(entity, tuple(keys), (), True, None, None, (OrderKey(Count(), draw.chance(0.8)),), limit)


def _keys(draw: Draw, table: GrammarTable, level: Hardness) -> tuple[list[Attribute], bool]:
    """What to group by, and whether that is one row of a table that is referred to."""
    links = [link for link in draw.parents(table) if not link.role] + draw.own(table)
    share = draw.rng.random()
    if links and level != "easy" and share < 0.5:
        link = draw.pick(links)
        parent = draw.parent(link)
        path: tuple[Link, ...] = (link,)
        further = draw.parents(parent) if not link.role else []
        if further and level in ("hard", "extra") and draw.chance(0.3):
            second = draw.pick(further)
            parent, path = draw.parent(second), (link, second)
        if parent.label and draw.chance(0.65):
            keys = [Attribute(parent, parent.label, path)]
            if draw.chance(0.2):
                second_key = draw.attribute(parent, [parent.label])
                if second_key.column.spec is not None:
                    keys.append(Attribute(parent, second_key.column, path))
            return keys, True
        return [Attribute(parent, draw.group(parent).column, path)], False
    dates = draw.columns(table, lambda c: c.kind == "date" and c.has_no_null)
    if dates and share > 0.9:
        return [Attribute(table, draw.pick(dates), (), "year" if draw.chance(0.7) else "month")], False
    first = draw.group(table)
    if level != "easy" and draw.chance(0.35):
        return [first, draw.group(table, [first.column])], False
    return [first], False


def _group_measures(draw: Draw, table: GrammarTable, exclude: list[GrammarColumn]) -> tuple[Measure, ...]:
    share = draw.rng.random()
    if share < 0.5:
        return (Count(),)
    if share < 0.57:
        condition = comparison(draw, table, exclude)
        if condition.operator in ("null", "not null"):
            raise NoFit
        return (CountIf(condition, draw.chance(0.6)),)
    if share < 0.62:
        columns = draw.columns(table, lambda c: is_group(c) and c.name not in [x.name for x in exclude])
        return (Count(Attribute(table, draw.pick(columns))),)
    attribute = draw.number(table, exclude)
    first = Aggregate(draw.function(attribute.column), attribute)
    if share < 0.85:
        return (first,)
    if share < 0.93:
        return Count(), first
    other = draw.pick([f for f in ("MIN", "MAX", "AVG") if f != first.function])
    return first, Aggregate(other, attribute)  # type: ignore[arg-type]


def _having(draw: Draw, measure: Measure) -> Having:
    """A bound for the groups, of those that the measure can have."""
    if isinstance(measure, Count) and measure.distinct is None:
        least = draw.rng.randint(2, 4)
        operator: Inequality = draw.weighted(((">=", 5), (">", 3), ("=", 1), ("<", 1)))
        return Having(measure, operator, least - 1 if operator == ">" else least)
    if isinstance(measure, Aggregate) and isinstance(measure.of, Attribute) and measure.function != "SUM":
        values = sorted(number_values(measure.of.column))
        third = len(values) // 3
        return Having(measure, draw.pick((">", "<")), draw.pick(values[third : len(values) - third]))
    raise NoFit


def outer_grouped(draw: Draw, level: Hardness) -> Grouping:
    """How many rows refer to each row of a table, those with none too."""
    table = draw.table(lambda table: table.label and table.key and draw.children(table))
    link = draw.pick([link for link in draw.children(table) if not link.role])
    child = draw.child(link)
    filters: tuple[Filter, ...] = ()
    if level in ("hard", "extra") and draw.chance(0.4):
        filters = (comparison(draw, child),)
    keys = [draw.label(table)]
    if draw.chance(0.2):
        keys.append(draw.attribute(table, [keys[0].column]))
    order = (OrderKey(Count(), True),) if draw.chance(0.2) else ()
    return Grouping(Entity(child, filters), tuple(keys), (Count(),), True, link, None, order)


# --- two lists, and what needs a window, a CTE or a table twice


def combined(draw: Draw, level: Hardness) -> Combining:
    """Two lists of the same column in one."""
    operator: Literal["INTERSECT", "EXCEPT", "UNION"] = draw.weighted((("INTERSECT", 5), ("EXCEPT", 4), ("UNION", 2)))
    share = draw.rng.random()
    if share < 0.12:
        return _of_two_tables(draw, operator)
    if share < 0.2:
        return _unreferred(draw)
    depth = 1 if level == "hard" else 2
    plain = 0.6 if level == "hard" else 0.35
    table = draw.table()
    if share < 0.5 and draw.parents(table):
        return _by_parents(draw, operator, table, level)
    if operator == "EXCEPT" and draw.chance(0.4) and draw.children(table) and table.label:
        first: tuple[Filter, ...] = () if level == "hard" or draw.chance(0.6) else (comparison(draw, table),)
        link = draw.pick(draw.children(table))
        child = draw.child(link)
        inner = (comparison(draw, child),) if draw.chance(0.5) else ()
        items = [draw.label(table)] if draw.chance(0.8) else draw.attributes(table, 2)
        sides = (first, (WithChildren(link, Entity(child, inner), "join"),))
        first_list, second_list = (Listing(Entity(table, side), tuple(items)) for side in sides)
        return Combining(operator, first_list, second_list)
    item = draw.group(table) if draw.chance(0.55) else draw.label(table)
    items = [item, draw.group(table, [item.column])] if draw.chance(0.12) else [item]
    fixed = [each.column for each in items]
    count = 2 if level == "extra" and draw.chance(0.3) else 1
    sides = tuple(FilterDraw(draw, True).filters(table, count, depth, fixed, plain) for _ in range(2))  # type: ignore[assignment]
    if item.column is not table.label and draw.chance(0.15):
        sides = ((), sides[1])
    if (operator == "INTERSECT" and not sides[0]) or sides[0] == sides[1] or (operator == "UNION" and not sides[0]):
        raise NoFit
    first_list, second_list = (Listing(Entity(table, side), tuple(items)) for side in sides)
    return Combining(operator, first_list, second_list)


def _of_two_tables(draw: Draw, operator: Literal["INTERSECT", "EXCEPT", "UNION"]) -> Combining:
    """The values of one kind in two tables: cities with customers and suppliers."""
    kinds = ("city", "country")
    columns = [
        Attribute(table, column)
        for table in draw.database.tables.values()
        for column in draw.columns(table, lambda c: c.kind in kinds and not c.meanings)
    ]
    first = draw.pick(columns)
    second = draw.pick([other for other in columns if other.table is not first.table and other.column.kind == first.column.kind])
    first_list, second_list = (Listing(Entity(one.table), (one,)) for one in (first, second))
    return Combining(operator, first_list, second_list)


def _unreferred(draw: Draw) -> Combining:
    """The keys of the rows to which no other row refers."""
    table = draw.table(lambda table: table.key and draw.children(table))
    link = draw.pick([link for link in draw.children(table) if table.key and link.key == table.key.name])
    child = draw.child(link)
    key, foreign = Attribute(table, table.column(link.key)), Attribute(child, child.column(link.column))
    return Combining("EXCEPT", Listing(Entity(table), (key,)), Listing(Entity(child), (foreign,)), link)


def _by_parents(draw: Draw, operator: Literal["INTERSECT", "EXCEPT", "UNION"], table: GrammarTable, level: Hardness) -> Combining:
    """Values of the rows of one parent, or of one kind of parents, and of another one."""
    link = draw.pick(draw.parents(table))
    parent = draw.parent(link)
    filters = FilterDraw(draw, False)
    item = draw.group(table)
    if level == "extra" and draw.chance(0.4):
        item = Attribute(parent, draw.group(parent).column, (link,))
        conditions = [(comparison(draw, table),), (comparison(draw, table),)]
        if draw.chance(0.4):
            conditions = [(filters.of_parent(table, 2),), (filters.of_parent(table, 2),)]  # type: ignore[list-item]
        first_list, second_list = (Listing(Entity(table, each), (item,)) for each in conditions)
        return Combining(operator, first_list, second_list)
    drawn = comparison(draw, parent) if draw.chance(0.7) or not parent.label else named(draw, parent)
    other = (
        comparison(draw, parent)
        if drawn.operator != "="
        else Comparison(drawn.attribute, "=", (draw.pick(drawn.attribute.column.non_null),))
    )
    if other == drawn:
        raise NoFit
    sides = [OfParent(link, Entity(parent, (one,)), "join") for one in (drawn, other)]
    first_list, second_list = (Listing(Entity(table, (side,)), (item,)) for side in sides)
    return Combining(operator, first_list, second_list)


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


def above_mean_groups(draw: Draw, level: Hardness) -> AboveMeanGroups:
    """Groups with more rows, or a higher total, than the mean of all groups."""
    table = draw.table()
    key = draw.group(table)
    measure: Measure = Count()
    if draw.chance(0.4):
        attribute = draw.number(table)
        if attribute.column.spec is None or not attribute.column.spec.sum:
            raise NoFit
        measure = Aggregate("SUM", attribute)
    filters = (comparison(draw, table, [key.column]),) if level == "extra" and draw.chance(0.4) else ()
    return AboveMeanGroups(Entity(table, filters), key, measure, ">" if draw.chance(0.75) else "<", draw.chance(0.5))


def contrast(draw: Draw, level: Hardness) -> Contrast:
    """The difference between a number about two values of a category."""
    table = draw.table()
    group = draw.group(table)
    values = draw.rng.sample(group.column.distinct, 2)
    attribute = draw.number(table)
    measure: Measure = Aggregate("AVG", attribute) if draw.chance(0.6) else Count()
    del level
    entities = [Entity(table, (Comparison(group, "=", (value,)),)) for value in values]
    return Contrast(measure, entities[0], entities[1])


def twins(draw: Draw, level: Hardness) -> Twins:
    """Pairs of rows with the same value of a column."""
    table = draw.table(lambda table: table.label and table.key)
    same = draw.group(table)
    del level
    return Twins(Entity(table), draw.label(table), same)


Kind = Callable[[Draw, Hardness], Request]

_KINDS: Mapping[Hardness, tuple[tuple[Kind, float], ...]] = {
    "easy": ((listing, 40), (looked_up, 8), (different, 9), (measured, 33), (grouped, 12), (changed, 3)),
    "medium": (
        (listing, 42),
        (looked_up, 5),
        (looked_up_beyond, 4),
        (different, 4),
        (name_matched, 3),
        (measured, 14),
        (grouped, 22),
        (outer_grouped, 4),
        (changed, 6),
        (ranked, 3),
        (superiors, 3),
        (far, 4),
        (twins, 2),
    ),
    "hard": (
        (listing, 40),
        (looked_up_beyond, 3),
        (measured, 11),
        (grouped, 17),
        (outer_grouped, 4),
        (combined, 14),
        (changed, 4),
        (ranked, 4),
        (far, 10),
        (far_apart, 3),
        (superiors, 2),
        (best_of_group, 4),
        (above_mean_groups, 4),
        (contrast, 2.5),
        (twins, 2),
    ),
    "extra": (
        (listing, 42),
        (measured, 9),
        (grouped, 22),
        (outer_grouped, 3),
        (combined, 14),
        (changed, 4),
        (ranked, 4),
        (far, 12),
        (far_apart, 6),
        (best_of_group, 5),
        (above_mean_groups, 5),
        (contrast, 3),
    ),
}
