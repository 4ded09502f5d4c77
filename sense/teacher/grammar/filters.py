"""Conditions drawn on a database. Their literals come from its rows, so that some rows meet them and some do not."""

from collections.abc import Collection
from datetime import date, datetime

from sense.teacher import CellValue
from sense.teacher.grammar.database import GrammarColumn, GrammarTable
from sense.teacher.grammar.domains import GROUPS, NAMES, NUMBERS
from sense.teacher.grammar.draw import ORDERED, TIMES, Draw, NoFit, is_group
from sense.teacher.grammar.meaning import (
    Across,
    AgainstAggregate,
    AgainstNamed,
    AgainstOther,
    AgainstParent,
    AggregateFunction,
    Attribute,
    Comparison,
    Either,
    Entity,
    Filter,
    Inequality,
    OfCommonest,
    OfParent,
    Operator,
    Shape,
    WithChildren,
)

_RANGES: tuple[tuple[Operator, float], ...] = ((">", 34), ("<", 34), (">=", 12), ("<=", 12), ("between", 10))
_MAX_NAMES = 3


def comparison(draw: Draw, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> Comparison:
    """A condition on a column: on a category, flag, quantity or date, on a part of a name or of a date, on a missing value."""
    names = [column.name for column in exclude]
    options: list[tuple[GrammarColumn, float]] = []
    for column in draw.columns(table, lambda c: len(c.distinct) > 1 and c.name not in names):
        if column.kind in GROUPS or column.kind == "flag":
            options.append((column, 3.0))
        elif column.kind in ORDERED:
            options.append((column, 2.0))
        elif column.kind in NAMES:
            options.append((column, 0.7))
    column = draw.weighted(options)
    if not column.has_no_null and column.kind != "flag" and draw.chance(0.25):
        return Comparison(Attribute(table, column), "null" if draw.chance(0.6) else "not null")
    if column.kind in NAMES:
        return part_of_name(draw, table, column)
    if column.kind == "date":
        return _on_date(draw, table, column)
    if column.kind in ORDERED:
        return _on_quantity(draw, table, column)
    return _on_category(draw, table, column)


def named(draw: Draw, table: GrammarTable) -> Comparison:
    """The condition that picks rows by their label."""
    label = draw.label(table)
    return Comparison(label, "=", (draw.pick(label.column.non_null),))


def part_of_name(draw: Draw, table: GrammarTable, column: GrammarColumn | None = None) -> Comparison:
    """A condition on a part of a name: a word in it, its beginning or its end, or its length."""
    column = column or draw.pick(draw.columns(table, lambda c: c.kind in NAMES and len(c.distinct) > 2))
    text = str(draw.pick(column.non_null))
    if column.kind == "person" and draw.chance(0.1):
        lengths = sorted(len(str(value)) for value in column.non_null)
        return Comparison(Attribute(table, column, (), "length"), draw.pick((">", "<")), (lengths[len(lengths) // 2],))
    words = text.split()
    operators: tuple[Operator, ...] = ("contains", "starts", "ends")
    operator = "starts" if column.kind == "code" else draw.rng.choice(operators)
    word = words[0] if operator == "starts" else words[-1] if operator == "ends" else draw.pick(words)
    if column.kind == "code":
        word = word[: draw.rng.randint(1, 3)]
    elif operator != "contains" and draw.chance(0.4):
        word = word[:1] if operator == "starts" else word[-2:]
    if "%" in word or "_" in word:
        raise NoFit
    return Comparison(Attribute(table, column), operator, (word,))


def _on_category(draw: Draw, table: GrammarTable, column: GrammarColumn) -> Comparison:
    attribute = Attribute(table, column)
    draw_share = draw.rng.random()
    if column.kind != "flag" and len(column.distinct) > 3 and draw_share < 0.12:
        values = tuple(draw.rng.sample(column.distinct, draw.rng.randint(2, min(_MAX_NAMES, len(column.distinct) - 1))))
        return Comparison(attribute, "in" if draw.chance(0.75) else "not in", values)
    if column.kind != "flag" and draw_share < 0.24:
        return Comparison(attribute, "!=", (draw.pick(column.distinct),))
    return Comparison(attribute, "=", (draw.pick(column.non_null),))


def _on_quantity(draw: Draw, table: GrammarTable, column: GrammarColumn) -> Comparison:
    """A comparison of a quantity or a year with a value from its middle."""
    attribute = Attribute(table, column)
    repeats = column.kind in ("integer", "year") and len(column.distinct) < len(column.non_null) * 0.8
    if repeats and draw.chance(0.25):
        value = draw.pick(column.non_null)
        return Comparison(attribute, "=", (int(str(value)) if column.number_as_text else value,))
    operator = draw.weighted(_RANGES)
    if operator == "between":
        return Comparison(attribute, operator, draw.bounds(column))
    return Comparison(attribute, operator, (draw.threshold(column),))


def _on_date(draw: Draw, table: GrammarTable, column: GrammarColumn) -> Comparison:
    """A condition on a date: before or after it, in a year, since a year, in a month."""
    dates = [parsed_date(column, value) for value in column.non_null]
    some = draw.pick(dates)
    share = draw.rng.random()
    if column.date_format or share < 0.35:
        if draw.chance(0.25):
            return Comparison(Attribute(table, column, (), "month"), "=", (some.month,))
        return Comparison(Attribute(table, column, (), "year"), "=", (some.year,))
    if share < 0.5:
        return Comparison(Attribute(table, column, (), "year"), draw.pick((">", "<", ">=", "<=")), (some.year,))
    operator = draw.weighted(_RANGES)
    if operator == "between":
        return Comparison(Attribute(table, column), operator, draw.bounds(column))
    return Comparison(Attribute(table, column), operator, (draw.threshold(column),))


def parsed_date(column: GrammarColumn, value: CellValue) -> date:
    """The date that `value` stands for in a column of dates."""
    text = str(value)
    if not column.date_format:
        return date.fromisoformat(text[:10])
    return datetime.strptime(text, column.date_format).date()


def either(draw: Draw, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> Either:
    """One condition or another: on one column, or on two."""
    first = comparison(draw, table, exclude)
    second = comparison(draw, table, [*exclude, first.attribute.column])
    if "null" in first.operator or "null" in second.operator:
        raise NoFit
    return Either(first, second)


class FilterDraw:
    """Draws conditions for one request; `joins_down` tells whether a table of children may be joined without doubling rows."""

    def __init__(self, draw: Draw, joins_down: bool) -> None:
        self.draw, self.joins_down = draw, joins_down
        self.joined_down = False

    def filters(
        self, table: GrammarTable, count: int, depth: int, exclude: Collection[GrammarColumn] = (), plain: float = 0.6
    ) -> tuple[Filter, ...]:
        """`count` different conditions on rows of `table`; those on other tables go `depth` foreign keys far at most.

        `plain` is the share of conditions on the table's own columns.
        """
        filters: list[Filter] = []
        used = list(exclude)
        for _ in range(count):
            one = self.filter(table, depth, used, plain)
            if any(type(one) is type(other) and not isinstance(one, Comparison) for other in filters):
                raise NoFit
            if isinstance(one, Either) and count > 1:
                raise NoFit  # beside an "or", an "and" leaves open how far it reaches
            if isinstance(one, (Comparison, AgainstAggregate, AgainstNamed, AgainstOther, AgainstParent, OfCommonest)):
                used.append(one.attribute.column)
            elif isinstance(one, Either):
                used += [one.first.attribute.column, one.second.attribute.column]
            filters.append(one)
        return tuple(sorted(filters, key=lambda one: not isinstance(one, Comparison)))

    def filter(self, table: GrammarTable, depth: int, exclude: Collection[GrammarColumn] = (), plain: float = 0.6) -> Filter:
        """One condition on rows of `table`."""
        draw = self.draw
        if draw.chance(plain):
            return comparison(draw, table, exclude)
        options: list[tuple[str, float]] = [
            ("either", 1.2),
            ("aggregate", 1.3),
            ("named", 0.7),
            ("other", 0.5),
            ("commonest", 0.4),
        ]
        if depth > 0:
            options += [("parent", 5.0)] if draw.parents(table) else []
            options += [("children", 4.0)] if draw.children(table) else []
            options += [("across", 3.0)] if draw.junctions(table) else []
            options += [("superior", 2.0)] if draw.own(table) else []
        match draw.weighted(options):
            case "either":
                return either(draw, table, exclude)
            case "aggregate":
                return self.against_aggregate(table, exclude)
            case "named":
                return self.against_named(table, exclude)
            case "other":
                return self.against_other(table)
            case "commonest":
                return OfCommonest(draw.group(table, exclude), draw.chance(0.8))
            case "parent":
                return self.of_parent(table, depth)
            case "children":
                return self.with_children(table, depth)
            case "across":
                return self.across(table, depth)
            case _:
                return self.against_parent(table)

    def of_parent(self, table: GrammarTable, depth: int) -> OfParent:
        """A condition on the row that a foreign key leads to."""
        draw = self.draw
        link = draw.pick([*draw.parents(table), *draw.own(table)])
        parent = draw.parent(link)
        if parent.label and draw.chance(0.4):
            filters: tuple[Filter, ...] = (named(draw, parent),)
        else:
            filters = self.filters(parent, 2 if draw.chance(0.15) else 1, depth - 1, (), 0.75)
        if any(isinstance(one, WithChildren) and one.link == link for one in filters):
            raise NoFit  # hives in an apiary that contains a hive
        shape: Shape = "join" if draw.chance(0.8) else "in"
        column = table.column(link.column)
        negated = shape == "in" and draw.chance(0.35) and column.has_no_null
        return OfParent(link, Entity(parent, filters), shape, negated)

    def with_children(self, table: GrammarTable, depth: int) -> WithChildren:
        """A condition on the rows that refer to this one: that there are any, none, or how many."""
        draw = self.draw
        link = draw.pick([*draw.children(table), *draw.own(table)])
        child = draw.child(link)
        share = draw.rng.random()
        filters = () if share > 0.6 else self.filters(child, 1, depth - 1, (), 0.85)
        if any(isinstance(one, OfParent) and one.link == link for one in filters):
            raise NoFit  # apiaries that contain a hive in an apiary
        if not filters and draw.chance(0.3):
            operator: Inequality = draw.pick((">=", ">", "="))
            return WithChildren(link, Entity(child), "in", False, operator, draw.rng.randint(2, 3))
        negated = draw.chance(0.6 if not filters else 0.3)
        if negated and any(_denies(one) for one in filters):
            raise NoFit  # grapes without wines that are not from China
        if negated:
            return WithChildren(link, Entity(child, filters), "in" if draw.chance(0.6) else "exists", True)
        return WithChildren(link, Entity(child, filters), self._shape(), False)

    def across(self, table: GrammarTable, depth: int) -> Across:
        """A condition on the rows of another table that a junction joins with this one."""
        draw = self.draw
        junction, here, there = draw.pick(draw.junctions(table))
        other = draw.parent(there)
        if other.label and draw.chance(0.5):
            filters: tuple[Filter, ...] = (named(draw, other),)
        else:
            filters = self.filters(other, 1, 0, (), 1.0)
        negated = draw.chance(0.25) and not any(_denies(one) for one in filters)
        shape = ("in" if draw.chance(0.6) else "exists") if negated else self._shape()
        del depth
        return Across(junction, here, there, Entity(other, filters), shape, negated)

    def _shape(self) -> Shape:
        if self.joins_down and not self.joined_down and self.draw.chance(0.75):
            self.joined_down = True
            return "join"
        return "in" if self.draw.chance(0.6) else "exists"

    def against_aggregate(self, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> AgainstAggregate:
        """A quantity above or below the average, or equal to the highest or lowest one, of all rows or of some."""
        draw = self.draw
        share = draw.rng.random()
        among = Entity(table)
        if share < 0.35:
            function: AggregateFunction = "MAX" if draw.chance(0.6) else "MIN"
            return AgainstAggregate(draw.sortable(table, exclude), "=", function, among)
        attribute = draw.number(table, exclude)
        if draw.chance(0.3):
            among = Entity(table, (comparison(draw, table, [attribute.column]),))
        if among.filters and draw.chance(0.3):
            return AgainstAggregate(attribute, ">" if draw.chance(0.5) else "<", "MAX" if draw.chance(0.5) else "MIN", among)
        return AgainstAggregate(attribute, ">" if draw.chance(0.65) else "<", "AVG", among)

    def against_named(self, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> AgainstNamed:
        """A quantity compared with that of a named row, or a category that is the same."""
        draw = self.draw
        label = draw.label(table)
        value = draw.pick(label.column.non_null)
        if draw.chance(0.5):
            group = draw.pick(draw.columns(table, lambda c: is_group(c) and c.name not in [x.name for x in exclude]))
            return AgainstNamed(Attribute(table, group), "=", value)
        attribute = draw.number(table, exclude)
        return AgainstNamed(attribute, ">" if draw.chance(0.6) else "<", value)

    def against_parent(self, table: GrammarTable) -> AgainstParent:
        """A quantity compared with that of the row that the table's reference to itself leads to."""
        draw = self.draw
        link = draw.pick(draw.own(table))
        attribute = draw.sortable(table)
        return AgainstParent(attribute, ">" if draw.chance(0.6) else "<", link)

    def against_other(self, table: GrammarTable) -> AgainstOther:
        """A quantity compared with another of the same unit in the same row."""
        draw = self.draw
        first, second = draw.pick(comparable(draw, table))
        return AgainstOther(first, ">" if draw.chance(0.6) else "<", second)


def _denies(one: Filter) -> bool:
    """Whether a condition says what a row is not."""
    return isinstance(one, Comparison) and one.operator in ("!=", "not in", "null")


def comparable(draw: Draw, table: GrammarTable) -> list[tuple[Attribute, Attribute]]:
    """Pairs of quantities of one kind and unit whose ranges overlap, so that a comparison and a difference make sense."""
    numbers = draw.columns(table, lambda c: c.kind in NUMBERS | TIMES and not c.date_format and len(c.distinct) > 3)
    pairs = []
    for first in numbers:
        for second in numbers:
            if first.name >= second.name or first.spec is None or second.spec is None or first.kind != second.kind:
                continue
            if first.spec.unit != second.spec.unit or not _overlap(first, second):
                continue
            if first.spec.unit or first.kind in ("price", "date", "year"):
                pairs.append((Attribute(table, first), Attribute(table, second)))
    return pairs


def _overlap(first: GrammarColumn, second: GrammarColumn) -> bool:
    one, other = first.spec, second.spec
    if one is None or other is None or one.low is None or other.low is None or one.high is None or other.high is None:
        return False
    return one.low < other.high and other.low < one.high
