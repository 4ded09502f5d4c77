"""Parts that requests of several kinds have: conditions, measures."""

from sense.records import Hardness
from sense.teacher.grammar.database import GrammarColumn, GrammarTable
from sense.teacher.grammar.domains import NUMBERS
from sense.teacher.grammar.draw import Draw, NoFit
from sense.teacher.grammar.filters import FilterDraw, comparison
from sense.teacher.grammar.meaning import (
    Aggregate,
    AggregateFunction,
    Attribute,
    Count,
    CountIf,
    Either,
    Filter,
    Measure,
    Spread,
    Total,
)

_CONDITIONS: dict[Hardness, tuple[tuple[int, float], ...]] = {
    "easy": ((0, 3), (1, 7)),
    "medium": ((0, 4), (1, 5), (2, 3), (3, 5)),
    "hard": ((0, 2), (1, 5), (2, 3), (3, 6)),
    "extra": ((0, 1), (1, 4), (2, 4), (3, 10)),
}
_DEPTHS: dict[Hardness, int] = {"easy": 0, "medium": 1, "hard": 2, "extra": 3}
_PLAIN: dict[Hardness, float] = {"easy": 1.0, "medium": 0.55, "hard": 0.3, "extra": 0.35}


def conditions(draw: Draw, table: GrammarTable, level: Hardness, joins_down: bool = False) -> tuple[tuple[Filter, ...], bool]:
    """Conditions on the rows of `table`, and whether one of them joins a table of children."""
    filters = FilterDraw(draw, joins_down)
    drawn = filters.filters(table, draw.weighted(_CONDITIONS[level]), _DEPTHS[level], (), _PLAIN[level])
    return drawn, filters.joined_down


def columns_of(filters: tuple[Filter, ...]) -> list[GrammarColumn]:
    """The columns on which there are conditions, which are not worth asking for, sorting by or counting."""
    columns = []
    for one in filters:
        if isinstance(one, Either):
            columns += [one.first.attribute.column, one.second.attribute.column]
        attribute = getattr(one, "attribute", None)
        if isinstance(attribute, Attribute) and not attribute.path:
            columns.append(attribute.column)
    return columns


def _counts(column: GrammarColumn) -> bool:
    """Whether the values of a column are numbers of something."""
    return column.spec is not None and bool(column.spec.countable)


def products(draw: Draw, table: GrammarTable) -> list[Total]:
    """A price times a number of pieces."""
    prices = draw.columns(table, lambda c: c.kind == "price")
    pieces = draw.columns(table, lambda c: c.kind == "integer" and c.spec and c.spec.countable)
    return [Total("*", Attribute(table, price), Attribute(table, piece)) for price in prices for piece in pieces]


def measures_of(draw: Draw, table: GrammarTable, level: Hardness, filters: tuple[Filter, ...]) -> tuple[Measure, ...]:
    """Numbers about the rows of `table` that meet `filters`: how many, an aggregate or several, a share."""
    share = draw.rng.random()
    fixed = columns_of(filters)
    if share < 0.4:
        return (Count(),)
    if share < 0.55:
        column = draw.pick(
            draw.columns(
                table, lambda c: 1 < len(c.distinct) < len(c.values) and c.kind != "flag" and c not in fixed and not _counts(c)
            )
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
        totals = products(draw, table)
        return (Aggregate("SUM" if draw.chance(0.7) else "AVG", draw.pick(totals)),)
    attribute = draw.number(table, fixed) if draw.chance(0.8) else draw.sortable(table, fixed)
    first = Aggregate(draw.function(attribute.column), attribute)
    if level == "easy" or draw.chance(0.65):
        rounded = first.function == "AVG" and draw.chance(0.08)
        return (Aggregate(first.function, attribute, rounded),)
    if draw.chance(0.25):
        return Count(), first
    functions: tuple[AggregateFunction, ...] = ("MIN", "MAX", "AVG")
    others = [f for f in functions if f != first.function and (f != "AVG" or attribute.column.kind in NUMBERS)]
    chosen = draw.rng.sample(others, 1 if len(others) < 2 or draw.chance(0.6) else 2)
    if draw.chance(0.35):
        other = draw.number(table, [*fixed, attribute.column])
        return first, Aggregate(draw.function(other.column), other)
    return first, *(Aggregate(function, attribute) for function in chosen)
