"""The values of data columns: names, categories, quantities and dates, and how they are stored in a database that is untidy.

Each kind of untidiness occurs in a part of the databases; which ones is drawn once for a database. What a question must know
of it is noted in the column: that numbers are texts, how dates are written, what codes stand for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, lru_cache
from math import prod
from random import Random
from string import capwords
from typing import Any

from sense.teacher import CellValue
from sense.teacher.grammar.database import GrammarColumn
from sense.teacher.grammar.domains import GROUPS, NAMES, NUMBERS, ColumnSpec, shared_lists
from sense.teacher.grammar.references import weights

Drawing = Callable[[], CellValue]
"""A function that draws a value of a column."""
UNTIDY_SHARE = 0.11
"""The share of databases in which each kind of untidiness occurs."""
UNTIDY_TEXTS_SHARE = 0.3
"""The share of databases whose texts that nobody asks about have stray spaces and capitals; only some have such texts."""
_FLAGS: tuple[tuple[CellValue, CellValue], ...] = (
    ("yes", "no"),
    ("yes", "no"),
    ("true", "false"),
    ("Y", "N"),
    (1, 0),
    (1, 0),
    ("T", "F"),
    ("Yes", "No"),
)
_DATE_FORMATS = ("%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d.%m.%Y", "%Y/%m/%d")
_ROUND_STEPS = (1000, 500, 100, 50, 10, 5)
_MAX_CODES = 8


@dataclass(frozen=True)
class ValueStyle:
    """How the values of one database are stored.

    The shares are probabilities per column. `null_columns` is the one that a column, neither key nor label, has NULLs, and
    `nulls` the share of NULLs in such a column. `casing` changes the case of all values of a category.
    """

    flags: tuple[CellValue, CellValue]
    null_columns: float
    nulls: float
    numbers_as_text: float
    date_format: str
    coded: float
    casing: Callable[[str], str] | None
    accented: bool
    apostrophes: bool
    quoted_titles: bool
    untidy_texts: bool


def draw_value_style(rng: Random) -> ValueStyle:
    """A style of values."""

    def untidy() -> bool:
        return rng.random() < UNTIDY_SHARE

    many_nulls = untidy()
    return ValueStyle(
        flags=rng.choice(_FLAGS),
        null_columns=0.45 if many_nulls else 0.12,
        nulls=0.3 if many_nulls else 0.1,
        numbers_as_text=0.4 if untidy() else 0,
        date_format=rng.choice(_DATE_FORMATS) if untidy() else "",
        coded=0.5 if untidy() else 0,
        casing=rng.choice((str.upper, capwords)) if untidy() else None,
        accented=untidy(),
        apostrophes=untidy(),
        quoted_titles=untidy(),
        untidy_texts=rng.random() < UNTIDY_TEXTS_SHARE,
    )


def fill_column(
    column: GrammarColumn, spec: ColumnSpec, count: int, label: bool, whole_numbers: bool, style: ValueStyle, rng: Random
) -> GrammarColumn:
    """`column` with `count` values; those of a label are all different, if there are enough names.

    With `whole_numbers`, a quantity without a fraction is an integer.
    """
    values = _values(spec, count, label, style, rng)
    changes: dict[str, Any] = {}
    if column.kind == "date" and style.date_format:
        values = [date.fromisoformat(str(value)).strftime(style.date_format) for value in values]
        changes["date_format"] = style.date_format
    elif column.kind in NUMBERS and rng.random() < style.numbers_as_text:
        values = [str(value) for value in values]
        changes["number_as_text"] = True
    elif column.kind == "category" and not column.distractor and len(spec.of) <= _MAX_CODES and rng.random() < style.coded:
        codes = _codes(spec.of, rng)
        values = [codes[str(value)] for value in values]
        changes["meanings"] = {code: meaning for meaning, code in codes.items()}
    elif column.kind == "category" and style.casing:
        values = [style.casing(str(value)) for value in values]
    elif whole_numbers:
        values = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    if style.untidy_texts and not label and (column.distractor or column.kind in ("email", "phone")):
        values = [_untidy_text(value, rng) if isinstance(value, str) else value for value in values]
    if not label:
        values = _with_nulls(values, column, style, rng)
    return replace(column, values=tuple(values), **changes)


def name_count(spec: ColumnSpec, style: ValueStyle) -> int:
    """How many different names a column may hold."""
    return prod(map(len, _name_parts(spec, style)[0]))


def _with_nulls(values: list[CellValue], column: GrammarColumn, style: ValueStyle, rng: Random) -> list[CellValue]:
    column_share, share = (0.5, 0.5) if column.distractor else (style.null_columns, style.nulls)
    if rng.random() >= column_share:
        return values
    return [None if rng.random() < share else value for value in values]


def _values(spec: ColumnSpec, count: int, label: bool, style: ValueStyle, rng: Random) -> list[CellValue]:
    if spec.kind in NAMES:
        return _names(spec, count, label or spec.kind == "code", style, rng)
    if spec.kind in GROUPS or spec.kind == "flag":
        options = style.flags if spec.kind == "flag" else _options(spec, style)
        pool = rng.sample(options, min(len(options), rng.randint(3, max(4, min(count // 4, 20)))))
        return list(rng.choices(pool, weights(len(pool)), k=count))
    draw = _DRAWINGS[spec.kind](spec, rng)
    values = [draw() for _ in range(count)]
    different = len(set(values))
    return values if different == count or 2 * different < count else _with_fewer_repeats(values, draw)


def _with_fewer_repeats(values: Sequence[CellValue], draw: Drawing) -> list[CellValue]:
    """The values; one that has occurred already is drawn again, at most three times."""
    seen: set[CellValue] = set()
    spread: list[CellValue] = []
    for first in values:
        value = first
        for _again in range(3):
            if value not in seen:
                break
            value = draw()
        seen.add(value)
        spread.append(value)
    return spread


def _names(spec: ColumnSpec, count: int, different: bool, style: ValueStyle, rng: Random) -> list[CellValue]:
    parts, separator = _name_parts(spec, style)
    space = prod(map(len, parts))
    numbers = rng.sample(range(space), min(count if different else max(2, count // 2), space))
    words: list[list[str]] = []
    for choices in reversed(parts):  # the digits of the numbers, in a system whose bases are the lengths of the parts
        words.append([choices[number % len(choices)] for number in numbers])
        numbers = [number // len(choices) for number in numbers]
    names: list[CellValue] = [separator.join(name) for name in zip(*reversed(words), strict=True)]
    if spec.kind == "title" and (style.quoted_titles or style.apostrophes):
        names = [_untidy_title(str(name), style, rng) for name in names]
    return names if len(names) == count else list(rng.choices(names, k=count))


def _untidy_text(text: str, rng: Random) -> str:
    """A text that somebody typed: perhaps in capitals, or with a space at an end."""
    return rng.choices((text, text.upper(), f"{text} ", f" {text}"), (8, 1, 1, 1))[0]


def _untidy_title(title: str, style: ValueStyle, rng: Random) -> str:
    """A title whose first word is perhaps in quotes, or a name with an apostrophe before it."""
    first, space, rest = title.partition(" ")
    if style.quoted_titles and space and rng.random() < 0.25:
        return f'"{first}" {rest}'
    if style.apostrophes and space and rng.random() < 0.25:
        return f"{first}'s {rest}"
    return title


def _phones(_spec: ColumnSpec, rng: Random) -> Drawing:
    return lambda: f"555-{rng.randrange(10_000):04d}"


def _emails(_spec: ColumnSpec, rng: Random) -> Drawing:
    first_names, last_names = shared_lists().first_names, shared_lists().last_names
    return lambda: f"{rng.choice(first_names)}.{rng.choice(last_names)}@example.com".lower()  # noqa: PLW0108  (drawn anew)


def _dates(spec: ColumnSpec, rng: Random) -> Drawing:
    start, end = date(int(spec.low or 0), 1, 1).toordinal(), date(int(spec.high or 0), 12, 31).toordinal()
    shape = _shape(start, end + 1, True, rng)
    return lambda: date.fromordinal(min(end, int(shape()))).isoformat()


def _years(spec: ColumnSpec, rng: Random) -> Drawing:
    high = int(spec.high or 0)
    shape = _shape(spec.low or 0, high + 1, True, rng)
    return lambda: min(high, int(shape()))


def _ratings(spec: ColumnSpec, rng: Random) -> Drawing:
    low, high = spec.low or 0, spec.high or 0
    steps = 2 if rng.random() < 0.3 else 10
    return lambda: round((high - (high - low) * rng.random() ** 1.7) * steps) / steps


def _integers(spec: ColumnSpec, rng: Random) -> Drawing:
    low, high = int(spec.low or 0), int(spec.high or 0)
    shape, step = _shape(low, high, False, rng), _step(spec, rng)
    start = low if step == spec.step else 0  # round numbers are multiples, whatever the lowest value is
    return lambda: min(high, max(low, start + round((shape() - start) / step) * step))


def _prices(spec: ColumnSpec, rng: Random) -> Drawing:
    low, high = spec.low or 0, spec.high or 0
    shape = _shape(low, high, False, rng)
    if rng.random() < 0.3 and high - low > 10:
        return lambda: float(min(high, max(low, int(shape()) + rng.choice((0.0, 0.49, 0.5, 0.95, 0.99, 0.99)))))
    return lambda: round(shape(), 2)


def _measures(spec: ColumnSpec, rng: Random) -> Drawing:
    shape = _shape(spec.low or 0, spec.high or 0, False, rng)
    return lambda: round(shape(), spec.digits)


_DRAWINGS: dict[str, Callable[[ColumnSpec, Random], Drawing]] = {
    "phone": _phones,
    "email": _emails,
    "date": _dates,
    "year": _years,
    "rating": _ratings,
    "integer": _integers,
    "price": _prices,
    "measure": _measures,
}


def _shape(low: float, high: float, late: bool, rng: Random) -> Callable[[], float]:
    """A function that draws from `low` to `high`: small values are more likely, as with prices; with `late`, high ones."""
    span = high - low
    match rng.choices(("triangular", "tail", "bell", "even"), (35, 25, 20, 20))[0]:
        case "triangular":
            mode = low + (0.85 if late else 0.3) * span
            return lambda: rng.triangular(low, high, mode)
        case "tail" if late:
            return lambda: high - span * rng.random() ** 2.5
        case "tail":
            return lambda: low + span * rng.random() ** 2.5
        case "bell":
            return lambda: low + span * (rng.random() + rng.random() + rng.random()) / 3
        case _:
            return lambda: low + span * rng.random()


def _step(spec: ColumnSpec, rng: Random) -> int:
    """The step between values: that of the specification, or a larger one where people rounded."""
    span = (spec.high or 0) - (spec.low or 0)
    if rng.random() < 0.25:
        return next((step for step in _ROUND_STEPS if step % spec.step == 0 and step * 15 <= span), spec.step)
    return spec.step


def _codes(meanings: Sequence[str], rng: Random) -> dict[str, CellValue]:
    """A code for each meaning: a number, or its first letters."""
    if rng.random() < 0.35:
        return {meaning: number for number, meaning in enumerate(meanings, start=1)}
    for length in (1, 2, 3):
        codes: dict[str, CellValue] = {meaning: meaning.replace(" ", "")[:length].upper() for meaning in meanings}
        if len(set(codes.values())) == len(codes):
            return codes
    return {meaning: f"{meaning[0].upper()}{number}" for number, meaning in enumerate(meanings, start=1)}


def _options(spec: ColumnSpec, style: ValueStyle) -> Sequence[str]:
    if spec.kind == "city":
        return _mixed_cities() if style.accented else shared_lists().cities
    return shared_lists().countries if spec.kind == "country" else spec.of


def _name_parts(spec: ColumnSpec, style: ValueStyle) -> tuple[Sequence[Sequence[str]], str]:
    """The lists of which names are made, one word or sign of each, and what stands between."""
    if spec.kind == "person":
        return _person_parts(style.accented, style.apostrophes), " "
    if spec.kind == "code":
        return _code_parts(spec.form), ""
    return spec.parts, " "


@cache
def _person_parts(accented: bool, apostrophes: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """First and last names; about a fifth is of a kind that is wanted."""
    lists = shared_lists()
    first, last = lists.first_names, lists.last_names
    if accented:
        first = first[: 4 * len(lists.accented_first_names)] + lists.accented_first_names
        last = last[: 4 * len(lists.accented_last_names)] + lists.accented_last_names
    return first, last[: 4 * len(lists.apostrophe_last_names)] + lists.apostrophe_last_names if apostrophes else last


@cache
def _mixed_cities() -> tuple[str, ...]:
    lists = shared_lists()
    return lists.cities[: 3 * len(lists.accented_cities)] + lists.accented_cities


@lru_cache(maxsize=1000)
def _code_parts(form: str) -> tuple[str, ...]:
    return tuple({"#": "0123456789", "L": "ABCDEFGHJKLMNPRSTVWXYZ"}.get(sign, sign) for sign in form)
