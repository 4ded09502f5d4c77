"""Values and comparisons: numbers stored as text, parts of dates, patterns of names."""

import re
from collections.abc import Sequence
from typing import Literal

from sqlglot import exp

from sense.teacher import CellValue
from sense.teacher.grammar.database import GrammarColumn
from sense.teacher.grammar.meaning import Attribute, Comparison, Inequality
from sense.teacher.grammar.sql.text import literal

_COMPARISONS: dict[str, type[exp.Binary]] = {
    "=": exp.EQ,
    "!=": exp.NEQ,
    ">": exp.GT,
    "<": exp.LT,
    ">=": exp.GTE,
    "<=": exp.LTE,
}
_PATTERNS = {"contains": "%{}%", "starts": "{}%", "ends": "%{}"}
_PART_LENGTHS = {"%Y": 4, "%m": 2, "%d": 2}


def comparison(left: exp.Expr, part: Comparison) -> exp.Expr:
    """The tree of a condition on the value `left`."""
    values = [_literal_for(part.attribute, value, part.operator) for value in part.values]
    match part.operator:
        case "between":
            return exp.Between(this=left, low=values[0], high=values[1])
        case "in":
            return exp.In(this=left, expressions=values)
        case "not in":
            return exp.Not(this=exp.In(this=left, expressions=values))
        case "contains" | "starts" | "ends":
            return exp.Like(this=left, expression=literal(_PATTERNS[part.operator].format(part.values[0])))
        case "null":
            return exp.Is(this=left, expression=exp.Null())
        case "not null":
            return exp.Not(this=exp.Is(this=left, expression=exp.Null()))
        case _:
            left = exp.Cast(this=left, to=exp.DataType.build("INTEGER")) if _is_later_year(part) else left
            return compare(left, part.operator, values[0])


def _is_later_year(part: Comparison) -> bool:
    """Whether the year of a date is compared as a number."""
    return part.attribute.part == "year" and part.operator not in ("=", "!=")


def _literal_for(attribute: Attribute, value: CellValue, operator: str) -> exp.Expr:
    """The literal to compare with: the year and the month of a date are texts, unless an inequality casts them."""
    if attribute.part == "year" and operator in ("=", "!=", "in", "not in"):
        return literal(str(value))
    if attribute.part == "month":
        return literal(f"{value:02d}" if isinstance(value, int) else value)
    return literal(value)


def compare(left: exp.Expr, operator: Inequality, right: exp.Expr) -> exp.Expr:
    """A comparison of two values."""
    return _COMPARISONS[operator](this=left, expression=right)


def inside(left: exp.Expr, query: exp.Query, negated: bool) -> exp.Expr:
    """`left` IN, or (`negated`) NOT IN, the rows of `query`."""
    membership = exp.In(this=left, query=exp.Subquery(this=query))
    return exp.Not(this=membership) if negated else membership


def all_of(parts: Sequence[exp.Expr | None]) -> exp.Expr | None:
    """The conditions that there are among `parts`, joined by AND; None if there are none."""
    whole: exp.Expr | None = None
    for part in parts:
        if part is not None:
            whole = part if whole is None else exp.And(this=whole, expression=part)
    return whole


def value_of(column: exp.Expr, attribute: Attribute) -> exp.Expr:
    """What is compared, sorted or computed with: see `Source.value`."""
    match attribute.part:
        case "year":
            return _date_part(column, attribute.column, "%Y")
        case "month":
            return _date_part(column, attribute.column, "%m")
        case "length":
            return exp.Length(this=column)
        case _:
            if attribute.column.number_as_text:
                whole = attribute.column.kind in ("integer", "year")
                return exp.Cast(this=column, to=exp.DataType.build("INTEGER" if whole else "REAL", dialect="sqlite"))
            return column


def date_part_start(date_format: str, part: str) -> int:
    """Where the year ("%Y") or the month ("%m") begins in a date that is written in `date_format`, counted from 1."""
    before = date_format[: date_format.index(part)]
    return 1 + len(re.sub("%[Ymd]", lambda match: "0" * _PART_LENGTHS[match.group()], before))


def _date_part(column: exp.Expr, spec: GrammarColumn, part: Literal["%Y", "%m"]) -> exp.Expr:
    """The year or month of a date, as text."""
    if not spec.date_format or spec.date_format.startswith("%Y-%m-%d"):
        return exp.Anonymous(this="STRFTIME", expressions=[literal(part), column])
    start = date_part_start(spec.date_format, part)
    return exp.Anonymous(this="SUBSTR", expressions=[column, literal(start), literal(_PART_LENGTHS[part])])
