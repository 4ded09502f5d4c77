"""Conditions drawn on a database. Their literals come from its rows, so that some rows meet them and some do not."""

from collections.abc import Collection, Sequence
from typing import Any

from sense.teacher import CellValue
from sense.teacher.grammar.domains import GROUPS, NAMES, NUMBERS
from sense.teacher.grammar.draw import ORDERED, Draw, NoFit
from sense.teacher.grammar.pieces import Bound, Condition, GrammarColumn, GrammarTable, Operator

ROUND_SHARE = 0.35
"""How often a threshold is rounded to two digits, as people write them."""

_RANGES: dict[Operator, int] = {">": 34, "<": 34, ">=": 12, "<=": 12, "between": 8}


def any_condition(draw: Draw, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> Condition:
    """A condition that some rows meet and some do not: on a category, flag, quantity or date, or on a name that repeats."""
    options = [c for c in table.data_columns if c.kind not in ("phone", "email") and len(c.distinct) > 1 and c not in exclude]
    column = draw.pick([c for c in options if c.kind not in NAMES or len(c.distinct) < len(c.non_null)])
    if column.kind in ORDERED:
        return _comparison(draw, table, column)
    operator: Operator = "!=" if column.kind in GROUPS and draw.chance(0.2) else "="
    return Condition(table, column, operator, (draw.pick(column.non_null),))


def label_condition(draw: Draw, table: GrammarTable) -> Condition:
    """The condition that picks one row by its label."""
    label = draw.name(table)
    return Condition(table, label, "=", (draw.pick(label.non_null),))


def like_condition(draw: Draw, table: GrammarTable) -> Condition:
    """A condition on a part of a name: a word in it, its beginning or its end."""
    column = draw.pick([c for c in table.data_columns if c.kind in ("person", "title") and len(c.distinct) > 2])
    words = str(draw.pick(column.non_null)).split()
    operators: tuple[Operator, ...] = ("contains", "starts", "ends")
    operator = draw.rng.choice(operators)
    word = words[0] if operator == "starts" else words[-1] if operator == "ends" else draw.pick(words)
    if operator != "contains" and len(word) > 4 and draw.chance(0.3):
        word = word[:2] if operator == "starts" else word[-2:]
    return Condition(table, column, operator, (word,))


def count_bound(draw: Draw, groups: GrammarColumn) -> Bound:
    """A bound on the number of rows per value of `groups`, such that some values meet it and some do not."""
    sizes = sorted({groups.values.count(value) for value in groups.distinct})
    least = draw.pick(sizes[1:])
    if least > 2 and draw.chance(0.3):
        return Bound(">", least - 1)
    return Bound("=" if draw.chance(0.15) else ">=", least)


def average_bound(draw: Draw, column: GrammarColumn) -> Bound:
    """A bound on the average of a quantity: one of the middle third of its values."""
    values = sorted(column.distinct, key=_sortable)
    third = len(values) // 3
    return Bound(draw.side().operator, _threshold(draw, column, values[third : len(values) - third]))


def _comparison(draw: Draw, table: GrammarTable, column: GrammarColumn) -> Condition:
    """A comparison of a quantity, a year or a date with a value from its middle."""
    if column.kind == "integer" and len(column.distinct) < len(column.non_null) * 0.7 and draw.chance(0.3):
        return Condition(table, column, "=", (draw.pick(column.non_null),))
    (operator,) = draw.rng.choices(list(_RANGES), list(_RANGES.values()))
    values = sorted(column.distinct, key=_sortable)
    if operator != "between":
        return Condition(table, column, operator, (_threshold(draw, column, values),))
    if len(values) < 4:
        raise NoFit
    low = draw.rng.randrange(0, len(values) // 2)
    high = draw.rng.randrange(low + 1, len(values) - 1 if low == 0 else len(values))
    return Condition(table, column, "between", (values[low], values[high]))


def _threshold(draw: Draw, column: GrammarColumn, values: Sequence[CellValue]) -> CellValue:
    """A value that splits `values` (sorted) in two parts, each at least about a sixth of them; a quantity may be rounded."""
    if len(values) < 3:
        raise NoFit
    value = values[draw.rng.randint(max(1, len(values) // 6), min(len(values) - 2, len(values) - 1 - len(values) // 6))]
    if column.kind in NUMBERS and isinstance(value, (int, float)) and draw.chance(ROUND_SHARE):
        return _rounded(value)
    return value


def _sortable(value: CellValue) -> tuple[bool, Any]:
    return (isinstance(value, str), value)


def _rounded(value: int | float) -> int | float:
    """`value` with two significant digits, as an int if that is a whole number."""
    rounded = float(f"{value:.2g}")
    return int(rounded) if rounded == int(rounded) else rounded
