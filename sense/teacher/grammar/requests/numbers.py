"""Numbers about rows: of all of them, group by group, differences."""

from sense.records import Hardness
from sense.teacher.grammar.database import GrammarColumn, GrammarTable, Link
from sense.teacher.grammar.draw import Draw, NoFit, is_group, number_values
from sense.teacher.grammar.filters import FilterDraw, comparison
from sense.teacher.grammar.meaning import (
    AboveMeanGroups,
    AgainstAggregate,
    Aggregate,
    AggregateFunction,
    Attribute,
    Comparison,
    Contrast,
    Count,
    CountIf,
    Entity,
    Filter,
    Grouping,
    Having,
    Inequality,
    Measure,
    Measuring,
    OfParent,
    OrderKey,
)
from sense.teacher.grammar.requests.parts import columns_of, conditions, measures_of


def measured(draw: Draw, level: Hardness) -> Measuring:
    """How many rows, or aggregates of them."""
    table = draw.table()
    filters, joined_down = conditions(draw, table, level, joins_down=bool(table.key))
    if any(isinstance(one, AgainstAggregate) and one.operator == "=" for one in filters):
        raise NoFit  # a number about the oldest of all
    if joined_down and table.key:
        return Measuring(Entity(table, filters), (Count(Attribute(table, table.key)),))
    return Measuring(Entity(table, filters), measures_of(draw, table, level, filters))


def grouped(draw: Draw, level: Hardness) -> Grouping:
    """Numbers for each value of a column, for each year, or for each row of a table that is referred to."""
    table = draw.table()
    keys, identity = _keys(draw, table, level)
    filters: tuple[Filter, ...] = ()
    if draw.chance({"easy": 0.0, "medium": 0.15, "hard": 0.6, "extra": 0.7}[level]):
        depth = {"easy": 0, "medium": 0, "hard": 1, "extra": 2}[level]
        filters = FilterDraw(draw, False).filters(table, 1, depth, [key.column for key in keys], 0.85)
    if keys[0].path and any(isinstance(one, OfParent) and one.link == keys[0].path[0] for one in filters):
        raise NoFit  # gates at a large airport, for each airport
    if identity and draw.chance(0.35 if level in ("medium", "hard", "extra") else 0):
        return _owners(draw, level, Entity(table, filters), keys)
    measures = _group_measures(draw, table, [*(key.column for key in keys), *columns_of(filters)])
    if filters and any(isinstance(one, CountIf) for one in measures):
        raise NoFit  # the share of some rows among others, for each group
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
        if further and level in ("hard", "extra") and draw.chance(0.4):
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
    if level != "easy" and draw.chance(0.75):
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
    functions: tuple[AggregateFunction, ...] = ("MIN", "MAX", "AVG")
    other = draw.pick([f for f in functions if f != first.function])
    return first, Aggregate(other, attribute)


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


def above_mean_groups(draw: Draw, level: Hardness) -> AboveMeanGroups:
    """Groups with more rows, or a higher total, than the mean of all groups."""
    table = draw.table()
    key = draw.group(table)
    measure: Measure = Count()
    if draw.chance(0.4):
        attribute = draw.number(table)
        if attribute.column.spec is None or not attribute.column.spec.sum or attribute.column.kind == "rating":
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
