"""The vote among candidates by their results, by which the gateway answers and which `evaluate` measures."""

import hashlib
import marshal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sense.sql.compare import compare
from sense.sql.result import Outcome, Result, Value

_DIGITS = 9  # significant digits of a floating-point number in a key; compare() decides where keys differ
_MAX_COMPARED_CELLS = 100_000  # by compare() in one vote, which takes some tenths of a second


@dataclass(frozen=True)
class Vote:
    """`votes` holds, for each candidate, how many have its result, itself among them; 0 if it has none.

    `agreeing` are the candidates of the largest group, or of the one with the earliest candidate if several are as large; empty
    if no candidate ran. `tied` says that another group is as large.
    """

    votes: tuple[int, ...]
    agreeing: tuple[int, ...]
    tied: bool

    @property
    def winner(self) -> int | None:
        """The earliest of the agreeing candidates; None if no candidate ran."""
        return self.agreeing[0] if self.agreeing else None


def vote(outcomes: Sequence[Outcome]) -> Vote:
    """Counts the candidates with equal results. An empty result is a result; rows count in any order, columns too."""
    groups: list[list[int]] = []
    heads: list[Result] = []  # the first result of each group
    group_of: dict[object, int] = {}  # by the identity of a result, and by its key
    cells_left = _MAX_COMPARED_CELLS
    for number, outcome in enumerate(outcomes):
        if not isinstance(outcome, Result):
            continue
        group = group_of.get(id(outcome))
        if group is None:
            key = _key(outcome)
            group = group_of.get(key)
            if group is None:
                group, cells_left = _equal_group(outcome, heads, cells_left)
            if group is None:
                group = len(groups)
                groups.append([])
                heads.append(outcome)
            group_of[id(outcome)] = group_of[key] = group
        groups[group].append(number)
    votes = {number: len(group) for group in groups for number in group}
    largest: list[int] = max(groups, key=len, default=[])
    return Vote(
        votes=tuple(votes.get(number, 0) for number in range(len(outcomes))),
        agreeing=tuple(largest),
        tied=sum(len(group) == len(largest) for group in groups) > 1,
    )


def _key(result: Result) -> object:
    """The same for results that differ only in the order of rows or columns and in the last digits of numbers.

    Columns are ordered by the values they hold. If two columns hold the same values, or a digit is rounded to either side, keys
    of equal results can differ. Rows are sorted as bytes and not counted in a dict: rows of numbers that all have one hash, which
    a hostile result could hold, would take quadratic time.
    """
    columns = [_rounded(column) for column in zip(*result.rows, strict=True)]
    columns.sort(key=lambda column: hash(frozenset(Counter(column).items())))
    rows = sorted(marshal.dumps(row, 2) for row in zip(*columns, strict=True))  # version 2: the same bytes for the same values
    return len(result.columns), len(rows), hashlib.blake2b(b"".join(rows)).digest()


def _rounded(column: tuple[Value, ...]) -> tuple[Value, ...]:
    if not any(isinstance(value, float) for value in column):
        return column
    return tuple(_round(value) if isinstance(value, (int, float)) else value for value in column)


def _round(value: int | float) -> int | float:
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded  # 1.0 equals 1


def _equal_group(result: Result, heads: Sequence[Result], cells_left: int) -> tuple[int | None, int]:
    """The group whose first result equals `result` by compare(), and how many cells may still be compared."""
    cells = max(1, len(result.rows) * len(result.columns))
    for group, head in enumerate(heads):
        same_shape = len(head.rows) == len(result.rows) and len(head.columns) == len(result.columns)
        if same_shape and cells <= cells_left:
            cells_left -= cells
            if compare(result, head, ordered=False) is None:
                return group, cells_left
    return None, cells_left
