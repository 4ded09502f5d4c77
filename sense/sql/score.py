"""Verdicts on predictions: each is executed, its gold is executed, and the results are compared."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sense import console
from sense.records import Verdict, VerdictName
from sense.sql.compare import Mismatch, compare, is_ordered, order_columns
from sense.sql.execute import Executor, Failure, Job, Outcome, Result

Item = tuple[str, Path, str, str]  # id, database, predicted SQL, gold SQL


class Ruling(NamedTuple):
    """A verdict, whatever the id."""

    correct: bool
    verdict: VerdictName
    detail: str = ""
    vacuous: bool = False


def score(executor: Executor, items: Sequence[Item], label: str) -> list[Verdict]:
    """The verdicts on `items` (id, database, predicted SQL, gold SQL), in their order; `label` names the progress bar.

    The same SQL on the same database is executed once, however often it occurs. Where the gold does not run, the
    verdict is gold_error; where both results are empty, they match, but the verdict is marked as vacuous.
    """
    tasks = {(database, gold): None for _, database, _, gold in items}
    predictions: dict[Job, dict[str, None]] = {task: {} for task in tasks}
    for _, database, predicted, gold in items:
        predictions[database, gold][predicted] = None
    rulings: dict[tuple[Path, str, str], Ruling] = {}
    waiting = Counter((database, predicted, gold) for _, database, predicted, gold in items)
    with console.bar(label, total=len(items)) as progress:
        outcomes = _Outcomes(executor, [(task[0], sql) for task in tasks for sql in (task[1], *predictions[task])])
        for database, gold in tasks:
            judge = _Judge(gold, outcomes.take())
            for predicted in predictions[database, gold]:
                rulings[database, predicted, gold] = judge.rule(outcomes.take())
                progress.advance(waiting[database, predicted, gold])
    return [Verdict(id=identity, **rulings[database, predicted, gold]._asdict()) for identity, database, predicted, gold in items]


class _Outcomes:
    """The outcomes of `jobs` one by one; each job is executed once, and its outcome kept until its last use."""

    def __init__(self, executor: Executor, jobs: Sequence[Job]) -> None:
        self._jobs = iter(jobs)
        self._uses = Counter(jobs)
        self._running = executor.map(list(self._uses))
        self._kept: dict[Job, Outcome] = {}

    def take(self) -> Outcome:
        """The outcome of the next job."""
        job = next(self._jobs)
        outcome = self._kept.pop(job) if job in self._kept else next(self._running)
        self._uses[job] -= 1
        if self._uses[job]:
            self._kept[job] = outcome
        return outcome


class _Judge:
    """Compares predictions with one gold."""

    def __init__(self, sql: str, gold: Outcome) -> None:
        self._gold = gold
        self._ordered = is_ordered(sql)
        self._keys = order_columns(sql) if self._ordered else None

    def rule(self, predicted: Outcome) -> Ruling:
        """The verdict on one prediction."""
        gold = self._gold
        if isinstance(gold, Failure):
            return Ruling(False, "gold_error", f"gold: {gold.verdict}: {gold.detail}")
        if isinstance(predicted, Failure):
            return Ruling(False, predicted.verdict, predicted.detail)
        difference = compare(predicted, gold, self._ordered, self._keys)
        if difference is None:
            return Ruling(True, "match", vacuous=not gold.rows)
        return Ruling(False, "mismatch", _detail(difference, predicted, gold))


def _detail(difference: Mismatch, predicted: Result, gold: Result) -> str:
    if difference == "columns":
        return f"columns ({len(predicted.columns)} against {len(gold.columns)})"
    if difference == "rows":
        return f"rows ({len(predicted.rows)} against {len(gold.rows)})"
    return difference
