"""Verdicts on predictions, in the worker: the gold is executed once, predictions run against it as streams.

A mode has a way to take a prediction's rows, which stops it as soon as the difference shows, and a way to compare
what was taken. `modes.py` is the other half: it cleans the texts, in the parent.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

from sense.sql import compare
from sense.sql.efficiency import reward
from sense.sql.result import Failure, Result
from sense.sql.statement import Place, Row, Session, collect
from sense.verdicts import Kind, Limit, Mismatch, VerdictName

_KEPT = 200_000  # cells of golds kept for later tasks, 64 bytes of text or blob counted as one; mostly that is all of them


class Task(NamedTuple):
    """One gold under one mode, and the predictions to judge: (SQL, reason to reject it or "").

    `ordered` and `keys` are compare()'s; the modes that do without them ignore them.
    """

    mode: str
    places: tuple[Place, ...]
    gold: str
    ordered: bool
    keys: tuple[int, ...] | None
    predictions: tuple[tuple[str, str], ...]


class Ruling(NamedTuple):
    """A verdict, whatever the id; the fields are those of records.Verdict."""

    correct: bool
    verdict: VerdictName
    detail: str = ""
    vacuous: bool = False
    kind: Kind = ""
    limit: Limit = ""
    score: float | None = None


class Different(Exception):  # noqa: N818  (an outcome rather than an error)
    """The result cannot equal the gold's."""

    def __init__(self, kind: Mismatch, detail: str) -> None:
        super().__init__(detail)
        self.ruling = Ruling(False, "mismatch", detail, kind=kind)


class Golds:
    """Results of golds by database content and SQL, the least recently used forgotten first."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kept: OrderedDict[Any, Result | Failure] = OrderedDict()
        self._size = 0

    def get(self, place: Place, sql: str, errors: str) -> Result | Failure:
        """The outcome of a gold."""
        try:
            key = (self._session.state(place), sql, errors)
        except OSError:
            key = None
        if key is not None and key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = self._session.run(place, sql, collect, errors)
        outcome = found if isinstance(found, Failure) else Result(*found)
        if key is not None:
            self._kept[key] = outcome
            self._size += _size(outcome)
            while self._size > _KEPT and len(self._kept) > 1:
                self._size -= _size(self._kept.popitem(last=False)[1])
        return outcome


def _size(outcome: Result | Failure) -> int:
    if isinstance(outcome, Failure):
        return 1
    texts = sum(len(value) for row in outcome.rows for value in row if isinstance(value, (str, bytes)))
    return 1 + len(outcome.rows) * len(outcome.columns) + (texts + sum(map(len, outcome.columns))) // 64


class Gold:
    """What predictions on one database are compared with."""

    def __init__(self, place: Place, result: Result, task: Task) -> None:
        self.place, self.result, self.task = place, result, task

    @cached_property
    def distinct(self) -> dict[Row, None]:
        """Its distinct rows, in their order."""
        return dict.fromkeys(self.result.rows)


def judge(session: Session, golds: Golds, task: Task, tell: Callable[[int, bool], None]) -> Iterator[Ruling]:
    """The rulings on the predictions of `task`, in their order.

    `tell` is called before anything that takes time with the number of the prediction, -1 for the gold, and whether
    it is work that no limit stops (a comparison) rather than a statement.
    """
    mode = _MODES[task.mode]
    found = []
    for place in task.places:
        tell(-1, False)
        outcome = golds.get(place, task.gold, mode.errors)
        if isinstance(outcome, Failure):
            ruling = gold_error(outcome, place.path if len(task.places) > 1 else "")
            yield from (ruling for _ in task.predictions)
            return
        found.append(Gold(place, outcome, task))
    empty = not any(gold.result.rows for gold in found)
    for number, (sql, reason) in enumerate(task.predictions):
        ruling = Ruling(False, "rejected", reason, score=mode.worst)
        if not reason:
            for gold in found:
                ruling = _one(session, mode, gold, sql, partial(tell, number))
                if not ruling.correct:
                    break
        yield ruling._replace(vacuous=ruling.correct and empty)


def gold_error(failure: Failure, where: str = "") -> Ruling:
    """The ruling on any prediction whose gold has failed."""
    place = f"{where}: " if where else ""
    return Ruling(False, "gold_error", f"gold: {place}{failure.verdict}: {failure.detail}", limit=failure.limit)


def worst(mode: str) -> float | None:
    """The score of a prediction that has no result; None in modes without a score."""
    return _MODES[mode].worst


class _Mode(NamedTuple):
    """How texts that are no UTF-8 are read, how a prediction's rows are taken, and how they are compared."""

    errors: str
    take: Callable[[Gold, tuple[str, ...], Iterator[Row]], Any]
    rule: Callable[[Gold, Any], Ruling]
    worst: float | None = None
    timed: bool = False


def _one(session: Session, mode: _Mode, gold: Gold, sql: str, tell: Callable[[bool], None]) -> Ruling:
    """The ruling on a prediction on one database."""
    tell(False)
    try:
        taken = session.run(gold.place, sql, partial(mode.take, gold), mode.errors)
    except Different as different:
        return different.ruling._replace(score=mode.worst)
    if isinstance(taken, Failure):
        return Ruling(False, taken.verdict, taken.detail, limit=taken.limit, score=mode.worst)
    tell(True)
    try:
        ruling = mode.rule(gold, taken)
    except MemoryError:
        return Ruling(False, "too_large", "the comparison needs more memory than it may use", limit="memory", score=mode.worst)
    if mode.timed:
        score = reward(session, gold.place, sql, gold.task.gold, partial(tell, False)) if ruling.correct else 0.0
        return ruling._replace(score=score)
    return ruling


def _bounded(gold: Gold, columns: tuple[str, ...], rows: Iterator[Row]) -> Result:
    """The rows, if there are not more than the gold has; Different as soon as there are."""
    limit = len(gold.result.rows)
    taken: list[Row] = []
    for row in rows:
        if len(taken) >= limit:
            raise Different("rows", f"rows (more than {limit})")
        taken.append(row)
    return Result(columns, taken)


def _same_width(gold: Gold, columns: tuple[str, ...]) -> None:
    if len(columns) != len(gold.result.columns):
        raise Different("columns", f"columns ({len(columns)} against {len(gold.result.columns)})")


def _ruling(kind: Mismatch | None, predicted: Result, gold: Gold) -> Ruling:
    if kind is None:
        return Ruling(True, "match")
    detail = f"rows ({len(predicted.rows)} against {len(gold.result.rows)})" if kind == "rows" else kind
    return Ruling(False, "mismatch", detail, kind=kind)


def _take_strict(gold: Gold, columns: tuple[str, ...], rows: Iterator[Row]) -> Result:
    _same_width(gold, columns)
    return _bounded(gold, columns, rows)


def _rule_strict(gold: Gold, predicted: Result) -> Ruling:
    return _ruling(compare.compare(predicted, gold.result, gold.task.ordered, gold.task.keys), predicted, gold)


def _take_spider(gold: Gold, columns: tuple[str, ...], rows: Iterator[Row]) -> Result:
    if gold.result.rows:  # two empty results are the same, whatever their columns
        _same_width(gold, columns)
    return _bounded(gold, columns, rows)


def _rule_spider(gold: Gold, predicted: Result) -> Ruling:
    """test-suite-sql-eval's result_eq: equal after some permutation of the columns, if its quick rejection lets it through."""
    mine, theirs = predicted.rows, gold.result.rows
    if len(mine) != len(theirs):
        return _ruling("rows", predicted, gold)
    if not mine:
        return Ruling(True, "match")
    if not _lets_through(mine, theirs, gold.task.ordered):
        kind: Mismatch = "order" if gold.task.ordered and _lets_through(mine, theirs, False) else "values"
        return _ruling(kind, predicted, gold)
    return _ruling(compare.compare(predicted, gold.result, gold.task.ordered, exact=True), predicted, gold)


def _lets_through(mine: Sequence[Row], theirs: Sequence[Row], ordered: bool) -> bool:
    """Its quick rejection, which orders the cells of a row by their text: so a 1 beside a 10 is not what 1.0 beside a 10 is."""
    if repr(mine) == repr(theirs):
        return True
    one, other = [_by_text(row) for row in mine], [_by_text(row) for row in theirs]
    return one == other if ordered else set(one) == set(other)


def _by_text(row: Row) -> Row:
    return tuple(sorted(row, key=lambda cell: str(cell) + str(type(cell))))


def _take_set(gold: Gold, columns: tuple[str, ...], rows: Iterator[Row]) -> set[Row]:
    """The distinct rows; Different at the first that the gold has not."""
    wanted = gold.distinct
    taken = set()
    for row in rows:
        if row not in wanted:
            _same_width(gold, columns)
            raise Different("values", "values (a row that the gold has not)" if wanted else "rows (more than 0)")
        taken.add(row)
    return taken


def _rule_set(gold: Gold, taken: set[Row]) -> Ruling:
    wanted = len(gold.distinct)
    if len(taken) == wanted:
        return Ruling(True, "match")
    return Ruling(False, "mismatch", f"rows ({len(taken)} distinct against {wanted})", kind="rows")


def _take_distinct(_gold: Gold, _columns: tuple[str, ...], rows: Iterator[Row]) -> list[Row]:
    return list(dict.fromkeys(rows))


def _rule_f1(gold: Gold, mine: list[Row]) -> Ruling:
    """BIRD's soft F1: the distinct rows of both in their order, cell by cell as far as both go."""
    theirs = list(gold.distinct)
    if not mine and not theirs:
        return Ruling(True, "match", score=1.0)
    hits = extra = missed = 0.0
    for row, wanted in zip(mine, theirs, strict=False):
        held = sum(cell in wanted for cell in row)
        hits += held / len(wanted)
        extra += (len(row) - held) / len(wanted)
        missed += sum(cell not in row for cell in wanted) / len(wanted)
    extra += max(len(mine) - len(theirs), 0)
    missed += max(len(theirs) - len(mine), 0)
    precision = hits / (hits + extra) if hits + extra > 0 else 0.0
    recall = hits / (hits + missed) if hits + missed > 0 else 0.0
    score = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
    if score == 1.0:
        return Ruling(True, "match", score=score)
    return Ruling(False, "mismatch", f"F1 {score:.4f}", kind="values", score=score)


_MODES = {
    "strict@1": _Mode("surrogateescape", _take_strict, _rule_strict),
    "spider-exec@1": _Mode("ignore", _take_spider, _rule_spider),
    "bird-ex@1": _Mode("strict", _take_set, _rule_set),
    "bird-f1@1": _Mode("strict", _take_distinct, _rule_f1, worst=0.0),
    "bird-rves@1": _Mode("strict", _take_set, _rule_set, worst=0.0, timed=True),
}
