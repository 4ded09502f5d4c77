"""The values that a column may get in a further database: its own, changed ones, and those beside the queries' literals."""

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from functools import lru_cache
from random import Random
from typing import Any

from sense.sql.result import Value
from sense.suite.conditions import Condition, LiteralValue

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?=$|[ T])")
_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,10})?")
_LITERAL_SHARE, _CHANGED_SHARE = 0.2, 0.15
_EXTREME_SHARE = 0.3  # of the numbers that are changed: just beside the least or the largest one
_MAX_INTEGER = 2**53
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbor", "iris", "juniper")  # of columns without values


class ColumnValues:
    """The values of one column. A column of one or two values, such as a flag, stays within them."""

    def __init__(self, affinity: str, values: Iterable[Value], conditions: Sequence[Condition]) -> None:
        """`values` are those of the original's rows; `conditions` those that queries have on the column."""
        self._affinity = affinity
        values = list(values)
        self.own = [value for value in values if value is not None]
        self.null_share = 1 - len(self.own) / len(values) if values else 0.0
        distinct = dict.fromkeys((type(value), value) for value in self.own)
        self._closed = len(distinct) <= 2 and len(self.own) >= 8
        self._changeable = len(distinct) > 0.3 * len(self.own) or all(isinstance(value, int | float) for value in self.own)
        self._numbers = [value for value in self.own if isinstance(value, int | float) and abs(value) < _MAX_INTEGER]
        self._extremes = (min(self._numbers, default=0), max(self._numbers, default=0))
        self._integers = [value for value in self.own if isinstance(value, int)]
        self._texts = [value for value in self.own if isinstance(value, str)]
        whole_numbers = bool(self._integers) and len(self._integers) == len(self.own)
        self._largest = max(self._integers, default=0) if affinity == "integer" or whole_numbers else None
        self._near_literal: dict[tuple[type, LiteralValue], list[Value]] = {}
        literals = dict.fromkeys((condition.operator, condition.value) for condition in conditions)
        self._beside = [value for _, literal in literals for value in self._near(literal)]

    @property
    def open(self) -> bool:
        """Whether a value that the original lacks would be of the column's kind: texts and integers, no flags, no dates."""
        first = self.own[0] if self.own else None
        return not self._closed and (isinstance(first, int) or (isinstance(first, str) and _day(first) is None))

    def draw(self, random: Random) -> Value:
        """A value that is not NULL, unless the column has nothing else."""
        share = random.random()
        if self._beside and share < _LITERAL_SHARE:
            return random.choice(self._beside)
        if not self.own:
            return self._invent(random)
        value = random.choice(self.own)
        if share > 1 - _CHANGED_SHARE and self._changeable and not self._closed:
            return self._change(value, random)
        return value

    def near(self, conditions: Sequence[Condition], random: Random) -> Value:
        """A literal of one of the conditions, or a value just beside it."""
        values = self._near(random.choice(conditions).value)
        return random.choice(values) if values else self.draw(random)

    def fitting(self, conditions: Sequence[Condition], random: Random) -> Value:
        """A value that satisfies the conditions, if one can be thought of; of several literals for equality, one is taken."""
        candidates: list[Value] = [value for condition in conditions for value in self._near(condition.value)]
        candidates += random.sample(self.own, min(len(self.own), 20))
        equal = [condition for condition in conditions if condition.operator == "="]
        chosen = [random.choice(equal)] if equal else list(conditions)
        fitting = candidates
        for condition in chosen:
            fitting = [value for value in fitting if _holds(value, condition)]
        return random.choice(fitting) if fitting else self.draw(random)

    def fresh(self, random: Random, number: int) -> Value:
        """A value that the column is unlikely to have yet, of the same form; `number` differs from call to call."""
        if self._largest is not None:
            return self._largest % _MAX_INTEGER + number
        if self._texts:
            return _same_form(random.choice(self._texts), random)
        if self.own and isinstance(self.own[0], float):
            return self.own[0] + number
        return self._invent(random) if self._affinity != "blob" else number

    def _near(self, literal: LiteralValue) -> list[Value]:
        """The literal, as the column stores it, and values beside it; texts that are numbers stay texts in a column of texts."""
        key = type(literal), literal
        if key not in self._near_literal:
            self._near_literal[key] = self._compute_near(literal)
        return self._near_literal[key]

    def _compute_near(self, literal: LiteralValue) -> list[Value]:
        value: LiteralValue = literal
        if isinstance(literal, str) and self._affinity in ("integer", "real", "numeric") and _NUMBER.fullmatch(literal):
            value = float(literal) if "." in literal else int(literal)
        if self._closed:
            return [own for own in dict.fromkeys(self.own) if own == value]
        if isinstance(value, int) and self._affinity == "text":
            return [str(value - 1), str(value), str(value), str(value + 1)]
        if isinstance(value, int):
            return [value - 1, value, value, value + 1]
        if isinstance(value, float):
            step = 10.0 ** -len(repr(value).partition(".")[2])
            return [round(value - step, 10), value, value, round(value + step, 10)]
        return list(_near_text(value))

    def _change(self, value: Value, random: Random) -> Value:
        if isinstance(value, str):
            return _changed_text(value, random)
        if not isinstance(value, int | float) or abs(value) >= _MAX_INTEGER:
            return value
        if random.random() < _EXTREME_SHARE:
            extreme = random.choice(self._extremes)
            return extreme + (1 if extreme == self._extremes[1] else -1)
        if isinstance(value, int):
            return value + random.choice((-1, 1))
        return round((value + random.choice(self._numbers)) / 2, 3)

    def _invent(self, random: Random) -> Value:
        """A value for a column that has none."""
        if self._affinity in ("integer", "numeric"):
            return random.randint(1, 20)
        return round(random.uniform(1, 20), 1) if self._affinity == "real" else random.choice(_WORDS)


def _changed_text(text: str, random: Random) -> str:
    """A date of a day before or after; any other text in other case or longer, and one that is a number as it is."""
    day = _day(text)
    if day is not None:
        return text.replace(text[:10], (day + timedelta(days=random.choice((-1, 1)))).isoformat(), 1)
    if _NUMBER.fullmatch(text):
        return text
    return random.choice((text.swapcase(), text.upper(), f"{text} {random.choice('ABC')}", f"The {text}"))


def _near_text(text: str) -> Iterable[Value]:
    """A text, or one that a pattern matches, and texts that differ from it in case, at its beginning, at its end."""
    if "%" in text or "_" in text or "*" in text:
        inside = text.replace("%", "").replace("*", "").replace("_", "a")
        yield from (inside, inside, f"{inside}x", f"x{inside}", f"x{inside}x", inside.swapcase(), inside[:-1])
        return
    yield from (text, text, text)
    day = _day(text)
    if day is not None:
        yield from (text.replace(text[:10], (day + timedelta(days=days)).isoformat(), 1) for days in (-1, 1))
    elif _NUMBER.fullmatch(text):
        if "." not in text:
            yield from (str(int(text) - 1), str(int(text) + 1))
    else:
        yield from (text.swapcase(), f"{text}s", f"A {text}")


def _day(text: str) -> date | None:
    match = _DATE.match(text)
    try:
        return date(int(match[1]), int(match[2]), int(match[3])) if match and 1 < int(match[1]) < 9998 else None
    except ValueError:
        return None


def _same_form(text: str, random: Random) -> str:
    """A text of the same form: two or more of its digits, else of its letters, are others."""
    positions = [i for i, sign in enumerate(text) if sign.isdecimal()] or [i for i, sign in enumerate(text) if sign.isalpha()]
    if not positions:
        return f"{text}{random.randrange(1000)}"
    signs = list(text)
    for position in random.sample(positions, min(len(positions), random.randint(2, 6))):
        letters = "0123456789" if text[position].isdecimal() else "abcdefghijklmnoprstuw"
        sign = random.choice(letters)
        signs[position] = sign.upper() if text[position].isupper() else sign
    return "".join(signs)


def _holds(value: Value, condition: Condition) -> bool:
    """Whether SQLite would find that a stored value satisfies a condition; values of different kinds never do here."""
    literal = condition.value
    if isinstance(value, str) != isinstance(literal, str):
        if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
            return False
        literal = str(literal)
    if condition.operator in ("like", "not like"):
        matches = _pattern(str(literal)).fullmatch(str(value)) is not None
        return matches == (condition.operator == "like")
    if isinstance(value, bytes) or value is None:
        return False
    one, other = (value, str(literal)) if isinstance(value, str) else (float(value), float(literal))
    return _COMPARE[condition.operator](one, other)


@lru_cache
def _pattern(like: str) -> re.Pattern[str]:
    signs = (".*" if sign == "%" else "." if sign == "_" else re.escape(sign) for sign in like)
    return re.compile("".join(signs), re.IGNORECASE | re.DOTALL)
