"""The vote among candidates: each is for its result, whatever its SQL looks like."""

import hashlib
import marshal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sense.sql.compare import compare
from sense.sql.result import Outcome, Result, Value

_DIGITS = 9  # of a floating-point number that count at first; compare() is asked where they differ
_CELLS = 100_000  # looked at by compare() in one vote at most, which is some tenths of a second


@dataclass(frozen=True)
class Vote:
    """`votes`: for each candidate how many have its result, itself among them, 0 if it has none.

    `agreeing` are the candidates of the largest group, of equally large ones that with the earliest candidate, none if no
    candidate ran; `tied` says that another is as large.
    """

    votes: tuple[int, ...]
    agreeing: tuple[int, ...]
    tied: bool

    @property
    def winner(self) -> int | None:
        """The earliest of those that agree; None if no candidate ran."""
        return self.agreeing[0] if self.agreeing else None


def vote(outcomes: Sequence[Outcome]) -> Vote:
    """Counts the candidates with equal results. An empty result is a result; rows count in any order, columns too."""
    groups: list[list[int]] = []
    heads: list[Result] = []
    known: dict[object, int] = {}  # which group, by the result as an object and by its key
    left = _CELLS
    for number, outcome in enumerate(outcomes):
        if not isinstance(outcome, Result):
            continue
        group = known.get(id(outcome))
        if group is None:
            key = _key(outcome)
            group = known.get(key)
            if group is None:
                group, left = _near(outcome, heads, left)
            if group is None:
                group = len(groups)
                groups.append([])
                heads.append(outcome)
            known[id(outcome)] = known[key] = group
        groups[group].append(number)
    votes = {number: len(group) for group in groups for number in group}
    most: list[int] = max(groups, key=len, default=[])
    return Vote(
        votes=tuple(votes.get(number, 0) for number in range(len(outcomes))),
        agreeing=tuple(most),
        tied=sum(len(group) == len(most) for group in groups) > 1,
    )


def _key(result: Result) -> object:
    """Equal for results that are the same but for the order of rows and columns and the last digits of numbers.

    Columns are put in an order by what they hold. Where two hold the same values, or a digit is rounded to either side, keys
    of equal results can differ. Rows are sorted as bytes rather than looked up: rows of numbers whose hashes, which are known,
    are all the same would take the square of their number.
    """
    columns = [_rounded(column) for column in zip(*result.rows, strict=True)]
    columns.sort(key=lambda column: hash(frozenset(Counter(column).items())))
    rows = sorted(marshal.dumps(row, 2) for row in zip(*columns, strict=True))  # version 2: the same bytes for the same values
    return len(result.columns), len(rows), hashlib.blake2b(b"".join(rows)).digest()


def _rounded(column: tuple[Value, ...]) -> tuple[Value, ...]:
    if not any(isinstance(value, float) for value in column):
        return column
    return tuple(_near_number(value) if isinstance(value, (int, float)) else value for value in column)


def _near_number(value: int | float) -> int | float:
    near = float(f"{value:.{_DIGITS}g}")
    return int(near) if near.is_integer() else near  # 1.0 is 1


def _near(result: Result, heads: Sequence[Result], left: int) -> tuple[int | None, int]:
    """The group whose first result compare() finds equal, and how many cells may still be looked at."""
    cells = max(1, len(result.rows) * len(result.columns))
    for group, head in enumerate(heads):
        alike = len(head.rows) == len(result.rows) and len(head.columns) == len(result.columns)
        if alike and cells <= left:
            left -= cells
            if compare(result, head, ordered=False) is None:
                return group, left
    return None, left
