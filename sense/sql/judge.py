"""Verdicts on predictions, in the worker process: the gold is executed once, predictions run against it as streams.

Each scoring mode has a function that consumes a prediction's rows, which stops it as soon as it is known to differ, and one that
compares what was consumed. `modes.py` is the other half: it cleans the texts, in the parent process.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

from sense.sql import compare
from sense.sql.database_file import DatabaseFile
from sense.sql.result import Failure, Result, ResultRow
from sense.sql.sandbox import Consume, FileState, Sandbox, fetch_all
from sense.sql.ties import Ordering, TiedResult, fetch_tied
from sense.verdicts import Mismatch, VerdictFields

T = TypeVar("T")

# Cells of golds cached for later batches, 64 bytes of text or blob counted as one; mostly that is all of them.
_MAX_CACHED_CELLS = 200_000
# R-VES: executions of prediction and gold, and the reward from each ratio of their times on.
_TIMINGS = 100
_REWARDS = ((2.0, 1.25), (1.0, 1.0), (0.5, 0.75), (0.25, 0.5), (0.0, 0.25))


class Batch(NamedTuple):
    """Scoring items of one gold under one mode, for one worker: the predictions are (SQL, the reason to reject it or "").

    All `files` decide: a prediction is right if it is right on each; `main` is the position of the main one. `ordered` and
    `order_columns` are those of compare.compare(), `ordering` is that of ties.fetch_tied(); the modes that do without them ignore
    them.
    """

    mode: str
    files: tuple[DatabaseFile, ...]
    gold: str
    ordered: bool
    order_columns: tuple[int, ...] | None
    ordering: Ordering | None
    predictions: tuple[tuple[str, str], ...]
    main: int = 0


class MismatchError(Exception):
    """Raised while rows are consumed, once the result cannot equal the gold's."""

    def __init__(self, kind: Mismatch, detail: str) -> None:
        super().__init__(detail)
        self.verdict = VerdictFields(False, "mismatch", detail, kind=kind)


class GoldCache:
    """The outcomes of golds by database content and SQL; the least recently used are forgotten first."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._outcomes: OrderedDict[tuple[FileState, str, str, bool], Result | TiedResult | Failure] = OrderedDict()
        self._cells = 0

    def get(
        self, file: DatabaseFile, sql: str, decode_errors: str, ordering: Ordering | None, announce: Callable[[], None]
    ) -> Result | TiedResult | Failure:
        """The outcome of a gold, executed now unless it is cached, with its ties if there is an `ordering`.

        `announce` is called before each execution.
        """
        try:
            key = (self._sandbox.file_state(file), sql, decode_errors, ordering is not None)
        except OSError:
            key = None
        if key is not None and key in self._outcomes:
            self._outcomes.move_to_end(key)
            return self._outcomes[key]

        def run(statement: str, consume: Consume[T]) -> T | Failure:
            announce()
            return self._sandbox.run(file, statement, consume, decode_errors)

        outcome = fetch_tied(run, sql, ordering) if ordering else as_result(run(sql, fetch_all))
        if key is not None:
            self._outcomes[key] = outcome
            self._cells += _count_cells(outcome)
            while self._cells > _MAX_CACHED_CELLS and len(self._outcomes) > 1:
                self._cells -= _count_cells(self._outcomes.popitem(last=False)[1])
        return outcome


def as_result(fetched: tuple[tuple[str, ...], list[ResultRow]] | Failure) -> Result | Failure:
    """The outcome of a statement that fetch_all has read; what gives no columns, such as an empty text, is no SELECT."""
    if isinstance(fetched, Failure):
        return fetched
    return Result(*fetched) if fetched[0] else Failure("rejected", "not a SELECT: it has no result")


def _count_cells(outcome: Result | TiedResult | Failure) -> int:
    if isinstance(outcome, Failure):
        return 1
    columns, rows = (outcome.result.columns, outcome.pool) if isinstance(outcome, TiedResult) else outcome
    texts = sum(len(value) for row in rows for value in row if isinstance(value, (str, bytes)))
    return 1 + len(rows) * len(columns) + (texts + sum(map(len, columns))) // 64


class GoldResult:
    """The gold's result on one database: what the predictions of a batch are compared with; `tied` if it has an ordering."""

    def __init__(self, file: DatabaseFile, outcome: Result | TiedResult, batch: Batch) -> None:
        self.file, self.batch = file, batch
        self.tied = outcome if isinstance(outcome, TiedResult) else None
        self.result = outcome.result if isinstance(outcome, TiedResult) else outcome

    @cached_property
    def distinct(self) -> dict[ResultRow, None]:
        """Its distinct rows, in their order."""
        return dict.fromkeys(self.result.rows)


def judge(sandbox: Sandbox, golds: GoldCache, batch: Batch, announce: Callable[[int, bool], None]) -> Iterator[VerdictFields]:
    """The verdicts on the predictions of `batch`, in their order.

    `announce(number, comparing)` is called before anything that takes time: the number of the prediction, -1 for the gold, and
    whether it is work that no limit stops (a comparison) rather than a statement.
    """
    mode = _MODES[batch.mode]
    gold_results = []
    for place, file in enumerate(batch.files):
        outcome = golds.get(file, batch.gold, mode.decode_errors, batch.ordering, partial(announce, -1, False))
        if isinstance(outcome, Failure):
            if mode.leaves_out and place != batch.main:
                continue
            verdict = gold_error(outcome, file.name if len(batch.files) > 1 else "")
            yield from (verdict for _ in batch.predictions)
            return
        gold_results.append(GoldResult(file, outcome, batch))
    empty = not any(gold.result.rows for gold in gold_results)
    for number, (sql, reason) in enumerate(batch.predictions):
        verdict = VerdictFields(False, "rejected", reason, score=mode.lowest_score)
        if not reason:
            verdict = _judge_on_all(sandbox, mode, gold_results, sql, partial(announce, number))
        left_out = len(batch.files) - len(gold_results)
        yield verdict._replace(vacuous=verdict.correct and empty, left_out=left_out)


def gold_error(failure: Failure, database: str = "") -> VerdictFields:
    """The verdict on any prediction whose gold has failed; `database` is the name of its file if there are several."""
    where = f"{database}: " if database else ""
    return VerdictFields(False, "gold_error", f"gold: {where}{failure.verdict}: {failure.detail}", limit=failure.limit)


def failure_verdict(failure: Failure, mode: str) -> VerdictFields:
    """The verdict on a prediction that has no result; its score is the mode's lowest, None in modes without a score."""
    return VerdictFields(False, failure.verdict, failure.detail, limit=failure.limit, score=_MODES[mode].lowest_score)


class _Mode(NamedTuple):
    """How a mode judges: `decode_errors` is how texts that are no UTF-8 are read; `timed` that R-VES times right predictions.

    `leaves_out`: a further database on which the gold fails does not count; elsewhere it makes the gold one that has failed.
    """

    decode_errors: str
    consume: Callable[[GoldResult, tuple[str, ...], Iterator[ResultRow]], Any]
    compare: Callable[[GoldResult, Any], VerdictFields]
    lowest_score: float | None = None
    timed: bool = False
    leaves_out: bool = False


def _judge_on_all(
    sandbox: Sandbox, mode: _Mode, golds: Sequence[GoldResult], sql: str, announce: Callable[[bool], None]
) -> VerdictFields:
    """The verdict on the first database on which a prediction is wrong, or on the last if it is right on all."""
    for gold in golds:
        verdict = _judge_one(sandbox, mode, gold, sql, announce)
        if not verdict.correct:
            break
    main = next(each for each in golds if each.file == gold.batch.files[gold.batch.main])
    if verdict.correct or gold is main:
        return verdict
    right_on_main = main in golds[: golds.index(gold)] or _judge_one(sandbox, mode, main, sql, announce).correct
    return verdict._replace(instance=gold.file.name if right_on_main else "")


def _judge_one(sandbox: Sandbox, mode: _Mode, gold: GoldResult, sql: str, announce: Callable[[bool], None]) -> VerdictFields:
    """The verdict on a prediction on one database."""
    announce(False)
    try:
        consumed = sandbox.run(gold.file, sql, partial(mode.consume, gold), mode.decode_errors)
    except MismatchError as mismatch:
        return mismatch.verdict._replace(score=mode.lowest_score)
    if isinstance(consumed, Failure):
        return failure_verdict(consumed, gold.batch.mode)
    announce(True)
    try:
        verdict = mode.compare(gold, consumed)
    except MemoryError:
        return failure_verdict(
            Failure("too_large", "the comparison needs more memory than it may use", "memory"), gold.batch.mode
        )
    if mode.timed:
        score = reward(sandbox, gold.file, sql, gold.batch.gold, partial(announce, False)) if verdict.correct else 0.0
        return verdict._replace(score=score)
    return verdict


def _check_width(gold: GoldResult, columns: tuple[str, ...]) -> None:
    if len(columns) != len(gold.result.columns):
        raise MismatchError("columns", f"columns ({len(columns)} against {len(gold.result.columns)})")


def _take_rows(gold: GoldResult, columns: tuple[str, ...], rows: Iterator[ResultRow]) -> Result:
    """The rows, if there are not more than the gold has; MismatchError as soon as there are."""
    limit = len(gold.result.rows)
    predicted: list[ResultRow] = []
    for row in rows:
        if len(predicted) >= limit:
            raise MismatchError("rows", f"rows (more than {limit})")
        predicted.append(row)
    return Result(columns, predicted)


def _verdict(kind: Mismatch | None, predicted: Result, gold: GoldResult) -> VerdictFields:
    if kind is None:
        return VerdictFields(True, "match")
    detail = f"rows ({len(predicted.rows)} against {len(gold.result.rows)})" if kind == "rows" else kind
    return VerdictFields(False, "mismatch", detail, kind=kind)


# --- strict@1 and strict@2


def _consume_strict(gold: GoldResult, columns: tuple[str, ...], rows: Iterator[ResultRow]) -> Result:
    _check_width(gold, columns)
    return _take_rows(gold, columns, rows)


def _compare_strict(gold: GoldResult, predicted: Result) -> VerdictFields:
    return _verdict(compare.compare(predicted, gold.result, gold.batch.ordered, gold.batch.order_columns), predicted, gold)


def _compare_strict_tied(gold: GoldResult, predicted: Result) -> VerdictFields:
    if gold.tied is None:
        return _verdict(compare.compare(predicted, gold.result, ordered=False), predicted, gold)
    verdict = _verdict(compare.compare_tied(predicted, gold.tied), predicted, gold)
    if verdict.kind in ("order", "values") and gold.tied.problem:
        return verdict._replace(detail=f"{verdict.detail} (the gold's ties are not known: {gold.tied.problem})")
    return verdict


# --- spider-exec@1


def _consume_spider(gold: GoldResult, columns: tuple[str, ...], rows: Iterator[ResultRow]) -> Result:
    if gold.result.rows:  # two empty results are the same, whatever their columns
        _check_width(gold, columns)
    return _take_rows(gold, columns, rows)


def _compare_spider(gold: GoldResult, predicted: Result) -> VerdictFields:
    """test-suite-sql-eval's result_eq: equal after some permutation of the columns, if its quick rejection lets it through."""
    rows, gold_rows = predicted.rows, gold.result.rows
    if len(rows) != len(gold_rows):
        return _verdict("rows", predicted, gold)
    if not rows:
        return VerdictFields(True, "match")
    if not _passes_quick_rejection(rows, gold_rows, gold.batch.ordered):
        kind: Mismatch = "order" if gold.batch.ordered and _passes_quick_rejection(rows, gold_rows, False) else "values"
        return _verdict(kind, predicted, gold)
    return _verdict(compare.compare(predicted, gold.result, gold.batch.ordered, exact=True), predicted, gold)


def _passes_quick_rejection(rows: Sequence[ResultRow], gold_rows: Sequence[ResultRow], ordered: bool) -> bool:
    """The original's quick rejection. It sorts the cells of a row by their text, so 1 beside 10 is not what 1.0 beside 10 is."""
    if repr(rows) == repr(gold_rows):
        return True
    one, other = [_sorted_by_text(row) for row in rows], [_sorted_by_text(row) for row in gold_rows]
    return one == other if ordered else set(one) == set(other)


def _sorted_by_text(row: ResultRow) -> ResultRow:
    return tuple(sorted(row, key=lambda cell: str(cell) + str(type(cell))))


# --- bird-ex@1


def _consume_set(gold: GoldResult, columns: tuple[str, ...], rows: Iterator[ResultRow]) -> set[ResultRow]:
    """The distinct rows; MismatchError at the first that the gold has not."""
    expected = gold.distinct
    predicted = set()
    for row in rows:
        if row not in expected:
            _check_width(gold, columns)
            raise MismatchError("values", "values (a row that the gold has not)" if expected else "rows (more than 0)")
        predicted.add(row)
    return predicted


def _compare_set(gold: GoldResult, predicted: set[ResultRow]) -> VerdictFields:
    expected = len(gold.distinct)
    if len(predicted) == expected:
        return VerdictFields(True, "match")
    return VerdictFields(False, "mismatch", f"rows ({len(predicted)} distinct against {expected})", kind="rows")


# --- bird-f1@1


def _consume_distinct(_gold: GoldResult, _columns: tuple[str, ...], rows: Iterator[ResultRow]) -> list[ResultRow]:
    return list(dict.fromkeys(rows))


def _compare_f1(gold: GoldResult, predicted: list[ResultRow]) -> VerdictFields:
    """BIRD's soft F1: the distinct rows of both in their order, cell by cell as far as both go."""
    expected = list(gold.distinct)
    if not predicted and not expected:
        return VerdictFields(True, "match", score=1.0)
    hits = extra = missed = 0.0
    for row, gold_row in zip(predicted, expected, strict=False):
        held = sum(cell in gold_row for cell in row)
        hits += held / len(gold_row)
        extra += (len(row) - held) / len(gold_row)
        missed += sum(cell not in row for cell in gold_row) / len(gold_row)
    extra += max(len(predicted) - len(expected), 0)
    missed += max(len(expected) - len(predicted), 0)
    precision = hits / (hits + extra) if hits + extra > 0 else 0.0
    recall = hits / (hits + missed) if hits + missed > 0 else 0.0
    score = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
    if score == 1.0:
        return VerdictFields(True, "match", score=score)
    return VerdictFields(False, "mismatch", f"F1 {score:.4f}", kind="values", score=score)


# --- bird-rves@1


def reward(sandbox: Sandbox, file: DatabaseFile, predicted: str, gold: str, announce: Callable[[], None]) -> float:
    """BIRD's R-VES of a right query: 0.25 to 1.25, 1 for one as fast as its gold; 0 if either fails when it is run again.

    After `evaluation_ves.py` of BIRD's mini_dev: both are executed 100 times, or as often as fits into twice the time limit of
    one query, ratios of their times beyond three standard deviations are left out, and the mean of the others is turned into a
    reward by steps. A model's R-VES is the mean of 100 times the root of its rewards. Unlike the original we time on open
    connections: reading the schema is no part of a query's speed. `announce` is called before each execution.
    """
    ratios: list[float] = []
    end = time.perf_counter() + 2 * sandbox.limits.timeout_s
    while len(ratios) < _TIMINGS and (time.perf_counter() < end or not ratios):
        seconds = []
        for sql in (predicted, gold):
            announce()
            start = time.perf_counter()
            if isinstance(sandbox.run(file, sql, fetch_all, "strict"), Failure):
                return 0.0
            seconds.append(time.perf_counter() - start)
        ratios.append(seconds[1] / seconds[0])
    ratio = _mean_without_outliers(ratios)
    return next(value for least, value in _REWARDS if ratio >= least)


def _mean_without_outliers(ratios: Sequence[float]) -> float:
    """The mean of the ratios within three standard deviations of their mean, and of all if there are none."""
    mean = math.fsum(ratios) / len(ratios)
    deviation = math.sqrt(math.fsum((ratio - mean) ** 2 for ratio in ratios) / len(ratios))
    inside = [ratio for ratio in ratios if abs(ratio - mean) < 3 * deviation]
    return math.fsum(inside) / len(inside) if inside else mean


_MODES = {
    "strict@1": _Mode("surrogateescape", _consume_strict, _compare_strict),
    "strict@2": _Mode("surrogateescape", _consume_strict, _compare_strict_tied),
    "strict-ts@1": _Mode("surrogateescape", _consume_strict, _compare_strict_tied, leaves_out=True),
    "spider-exec@1": _Mode("ignore", _consume_spider, _compare_spider),
    "bird-ex@1": _Mode("strict", _consume_set, _compare_set),
    "bird-f1@1": _Mode("strict", _consume_distinct, _compare_f1, lowest_score=0.0),
    "bird-rves@1": _Mode("strict", _consume_set, _compare_set, lowest_score=0.0, timed=True),
}
