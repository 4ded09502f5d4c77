"""How two results differ: which rows only one of them has."""

from collections import Counter
from collections.abc import Sequence

from sense.sql.result import Result, Value

_COLUMNS = 30  # beyond, columns are compared in their places


def only(one: Result, other: Result) -> tuple[list[int], list[int]] | None:
    """The rows of each result that the other lacks, by number, repetitions counted; None if they have not as many columns.

    Columns may stand in another order, as they may when a verdict is made; each is taken for the one most like it.
    """
    if len(one.columns) != len(other.columns):
        return None
    left = [tuple(map(_plain, row)) for row in one.rows]
    right = [tuple(map(_plain, row)) for row in other.rows]
    order = _alignment(left, right, len(one.columns))
    right = [tuple(row[column] for column in order) for row in right]
    return _lacking(left, right), _lacking(right, left)


def _plain(value: Value) -> Value:
    """Numbers that a verdict takes for the same, made the same, nearly always."""
    if isinstance(value, float):
        rounded = float(f"{value:.6g}")
        return int(rounded) if rounded.is_integer() else rounded
    return value


def _alignment(left: Sequence[tuple[Value, ...]], right: Sequence[tuple[Value, ...]], columns: int) -> list[int]:
    """For each column of the left rows the one of the right rows with the most values in common; of equals its own place."""
    if columns > _COLUMNS or not left or not right:
        return list(range(columns))
    mine = [Counter(values) for values in zip(*left, strict=True)]
    theirs = [Counter(values) for values in zip(*right, strict=True)]
    likeness = [
        ((mine[one] & theirs[other]).total(), one == other, -one, -other) for one in range(columns) for other in range(columns)
    ]
    order = [-1] * columns
    for _, _, one, other in sorted(likeness, reverse=True):
        if order[-one] < 0 and -other not in order:
            order[-one] = -other
    return order


def _lacking(rows: Sequence[tuple[Value, ...]], others: Sequence[tuple[Value, ...]]) -> list[int]:
    left = Counter(others)
    found = []
    for number, row in enumerate(rows):
        if left[row] > 0:
            left[row] -= 1
        else:
            found.append(number)
    return found
