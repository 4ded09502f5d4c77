"""Whether two results are the same answer: strict about what a question asks for, and about nothing else.

Column names do not matter, nor does the order of the columns; rows are a bag, unless the gold query sorts them; then those that
tie are a bag.
Numbers are equal to a relative 1e-6, integers to one another exactly; texts and blobs are equal byte for byte.
"""

import math
import random
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from sense.sql.result import Result, ResultRow, Value
from sense.sql.ties import TiedResult
from sense.verdicts import Mismatch

_RELATIVE, _ABSOLUTE = 1e-6, 1e-9  # the tolerances of math.isclose()
# Cells looked at before two results count as different: at least, and as a multiple of the result's. Finding which column
# is which takes a few times the size of a result; only columns made to be confused with one another (it is graph
# isomorphism then) take more.
_MIN_CELLS, _CELLS_FACTOR = 5_000_000, 30
# The first group's number, which nobody knows: pairs of it and a value are looked up by their hashes, and Python's hashes of
# numbers are known, so that a result could be made of values whose pairs all have the same.
_FIRST_GROUP = random.SystemRandom().getrandbits(60)


def compare(
    predicted: Result, gold: Result, ordered: bool, order_columns: Sequence[int] | None = None, exact: bool = False
) -> Mismatch | None:
    """None if the results are the same, else the first of these that differs: columns, rows (their numbers), order, values.

    `ordered` says that the order of rows counts (`tree.is_ordered`). With `order_columns`, the positions of the gold columns
    that are sorted by (`tree.order_columns`), rows that agree in all of them may still change places. With `exact`, numbers are
    the same only if Python says so (1 is 1.0, 0.1 + 0.2 is not 0.3).

    >>> compare(Result(("a", "b"), [(1, "x"), (2, "y")]), Result(("c", "d"), [("y", 2), ("x", 1)]), ordered=False)
    >>> compare(Result(("a",), [(2,), (1,)]), Result(("a",), [(1,), (2,)]), ordered=True)
    'order'
    """
    if len(predicted.columns) != len(gold.columns):
        return "columns"
    if len(predicted.rows) != len(gold.rows):
        return "rows"
    if predicted.rows == gold.rows:
        return None
    match = _ColumnMatch(_columns(predicted.rows, exact), _columns(gold.rows, exact))
    one_group = [0] * len(gold.rows)
    if not ordered:
        return None if match.exists(one_group, one_group) else "values"
    row_groups = range(_FIRST_GROUP, _FIRST_GROUP + len(gold.rows))
    same_order = (
        match.exists(row_groups, row_groups)
        if order_columns is None
        else match.exists(one_group, one_group, in_place=order_columns)
    )
    if same_order:
        return None
    return "order" if match.exists(one_group, one_group) else "values"


def compare_tied(predicted: Result, gold: TiedResult) -> Mismatch | None:
    """As compare(), where each row of the prediction must be one of those that tie with the gold's row at the same place.

    No row of the gold's pool may be taken twice. So groups that LIMIT and OFFSET leave whole are equal as bags, and of those at
    the edges any rows will do.
    """
    result = gold.result
    if len(predicted.columns) != len(result.columns):
        return "columns"
    if len(predicted.rows) != len(result.rows):
        return "rows"
    if predicted.rows == result.rows:
        return None
    match = _ColumnMatch(_columns(predicted.rows, False), _columns(gold.pool, False))
    groups = [_FIRST_GROUP + group for group in gold.groups]
    inside = groups[gold.start :][: len(result.rows)]
    if match.exists(inside, groups):
        return None
    cut = {
        group
        for group, rows in ((inside[0], gold.pool[: gold.start]), (inside[-1], gold.pool[gold.start + len(inside) :]))
        if rows
    }
    required = [number for number, group in enumerate(groups) if group not in cut]
    return "order" if match.exists([0] * len(inside), [0] * len(groups), required=required) else "values"


class _Column:
    """A column with what is computed of it once and needed many times."""

    def __init__(self, values: tuple[Value, ...], exact: bool) -> None:
        self.values = values
        self.real = not exact and any(isinstance(value, float) for value in values)  # equal within a tolerance
        self.numbers = sorted(value for value in values if isinstance(value, (int, float)))
        self.others = frozenset(Counter(value for value in values if not isinstance(value, (int, float))).items())
        self.key = (self.real, values)  # columns of the same key can stand in for one another
        self.hash = hash(self.key)

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Column) and self.hash == other.hash and self.key == other.key

    def may_equal(self, other: "_Column") -> bool:
        """False if the other cannot hold the values of this one, in whatever order, nor the same values if it is as long."""
        if len(self.values) < len(other.values):
            return len(self.numbers) <= len(other.numbers)
        if len(self.numbers) != len(other.numbers) or self.others != other.others:
            return False
        if not (self.real or other.real):
            return self.numbers == other.numbers
        return all(map(_close, self.numbers, other.numbers))


def _columns(rows: Sequence[ResultRow], exact: bool) -> list[_Column]:
    return [_Column(values, exact) for values in zip(*rows, strict=True)]


def _holds(all_codes: Sequence[Hashable], codes: Sequence[Hashable]) -> bool:
    """Whether `codes` are among the others, each at least as often; as many of them must be the same bag."""
    all_counts, counts = Counter(all_codes), Counter(codes)
    if len(codes) == len(all_codes):
        return dict.__eq__(all_counts, counts)  # Counter's own is no C code
    return all(all_counts[code] >= count for code, count in counts.items())


class _ColumnMatch:
    """The search for the predicted column that is each gold column, such that the rows agree as wholes.

    Rows start in groups of those not told apart yet. Each column that is matched splits the groups, and the two
    results must split alike; so a wrong choice shows at once or, where columns are much alike, some columns later. The gold
    may have more rows than the prediction, any of which may be left out unless they are required.
    """

    def __init__(self, predicted: list[_Column], gold: list[_Column]) -> None:
        self._predicted, self._gold = predicted, gold
        self._codes: dict[tuple[_Column, _Column], tuple[Sequence[Value], Sequence[Value]]] = {}
        self._cells_left = 0
        self._required: Sequence[int] = ()

    def exists(
        self, groups: Sequence[int], gold_groups: Sequence[int], in_place: Sequence[int] = (), required: Sequence[int] = ()
    ) -> bool:
        """True if there is a match of the columns, rows only matching those of their group.

        Those of the gold columns `in_place` must agree row by row. The gold's rows numbered in `required` must be matched.
        """
        self._cells_left = max(_MIN_CELLS, _CELLS_FACTOR * len(gold_groups) * len(self._gold))
        self._required = required
        choices = [self._choices(column, number in in_place) for number, column in enumerate(self._gold)]
        if not all(choices):
            return False
        order = sorted(range(len(choices)), key=lambda number: len(choices[number]))
        used: list[int] = []
        pending = [self._splits(self._gold[order[0]], choices[order[0]], used, groups, gold_groups)]
        while pending:
            step = next(pending[-1], None)
            if step is None:
                pending.pop()
                del used[-1:]
                continue
            choice, mine, theirs = step
            if len(pending) == len(order):
                return True
            used.append(choice)
            number = order[len(pending)]
            pending.append(self._splits(self._gold[number], choices[number], used, mine, theirs))
        return False

    def _choices(self, gold: _Column, in_place: bool) -> list[int]:
        """The predicted columns that hold the same values as `gold`."""
        fits: dict[_Column, bool] = {}
        for column in self._predicted:
            if column not in fits:
                fits[column] = self._cells_left > 0 and column.may_equal(gold) and self._fits(column, gold, in_place)
        return [number for number, column in enumerate(self._predicted) if fits[column]]

    def _fits(self, column: _Column, gold: _Column, in_place: bool) -> bool:
        if not (in_place or column.real or gold.real):
            return True  # nothing but the order can differ
        codes, gold_codes = self._encode(column, gold)
        return list(codes) == list(gold_codes) if in_place else _holds(gold_codes, codes)

    def _splits(
        self, gold: _Column, choices: list[int], used: list[int], mine: Sequence[int], theirs: Sequence[int]
    ) -> Iterator[tuple[int, list[int], list[int]]]:
        """The choices for `gold` that split the groups of both results alike, with the groups after it."""
        tried: set[_Column] = set()
        for number in choices:
            column = self._predicted[number]
            if number in used or column in tried or self._cells_left <= 0:
                continue
            tried.add(column)
            my_codes, their_codes = self._encode(column, gold)
            names: dict[tuple[int, Value], int] = {}
            my_groups = [names.setdefault(pair, _FIRST_GROUP + len(names)) for pair in zip(mine, my_codes, strict=True)]
            their_groups = [names.setdefault(pair, _FIRST_GROUP + len(names)) for pair in zip(theirs, their_codes, strict=True)]
            if _holds(their_groups, my_groups) and self._has_required(my_groups, their_groups):
                yield number, my_groups, their_groups

    def _has_required(self, mine: Sequence[int], theirs: Sequence[int]) -> bool:
        return not self._required or _holds(mine, [theirs[row] for row in self._required])

    def _encode(self, mine: _Column, theirs: _Column) -> tuple[Sequence[Value], Sequence[Value]]:
        """The values of the two columns, numbers that count as equal made the same."""
        self._cells_left -= len(theirs.values)
        if not (mine.real or theirs.real):
            return mine.values, theirs.values
        if (mine, theirs) not in self._codes:
            same = _equal_numbers([*mine.numbers, *theirs.numbers])
            self._codes[mine, theirs] = _replace_numbers(mine.values, same), _replace_numbers(theirs.values, same)
        return self._codes[mine, theirs]


def _replace_numbers(values: Sequence[Value], same: dict[float, float]) -> list[Value]:
    return [same[value] if isinstance(value, (int, float)) else value for value in values]


def _equal_numbers(values: Sequence[float]) -> dict[float, float]:
    """Maps each number to the least of those that it is equal to.

    Neighbours are joined nearest first, as long as all numbers joined are within the tolerance of one another: so
    rounding noise is never cut in two, and a long row of close numbers does not become one.
    """
    numbers = sorted(set(values))
    first, last = list(range(len(numbers))), list(range(len(numbers)))  # of the run that begins or ends at an index
    gaps = [index for index in range(len(numbers) - 1) if _close(numbers[index], numbers[index + 1])]
    for index in sorted(gaps, key=lambda index: numbers[index + 1] - numbers[index]):
        start, end = first[index], last[index + 1]
        if _close(numbers[start], numbers[end]):
            first[end], last[start] = start, end
    same: dict[float, float] = {}
    index = 0
    while index < len(numbers):
        for member in range(index, last[index] + 1):
            same[numbers[member]] = numbers[index]
        index = last[index] + 1
    return same


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
