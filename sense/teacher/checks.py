"""Whether drafts on one database can be kept: the database is built, and every SQL executed in a sandbox.

What drafts on several databases have to do with one another (the same question again) is no matter of these checks, so that
databases can be shared out among processes: `UnitWorker` is what each process has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sense.config import ExecutionConfig
from sense.errors import InputError
from sense.records import Hardness
from sense.sql.analysis import Analysis, analyze
from sense.sql.execute import Executor
from sense.sql.result import Failure, Outcome
from sense.teacher import Draft, RejectedDraft, UnitTeacher, build_database

REASONS = {"rejected": "SQL rejected", "error": "SQL fails", "timeout": "SQL times out", "too_large": "result too large"}
"""The verdict on a draft's SQL -> the reason for which the draft is rejected."""


@dataclass(frozen=True)
class CheckedDraft:
    """A draft that passed, without `ddl` and `rows`: its database has been built."""

    draft: Draft
    analysis: Analysis


class DraftChecker:
    """Builds the databases of drafts in `folder` and checks the drafts on them; use it in a `with` block."""

    def __init__(self, folder: Path, execution: ExecutionConfig) -> None:
        self._folder = folder
        self._executor = Executor(execution.model_copy(update={"workers": 1}))

    def __enter__(self) -> "DraftChecker":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.close()

    def check(self, drafts: Sequence[Draft]) -> list[CheckedDraft | RejectedDraft]:
        """The drafts, all on one database, as they passed, or why they are not kept; in their order."""
        database = self._folder / drafts[0].db_id / f"{drafts[0].db_id}.sqlite"
        try:
            build_database(drafts[0], database)
        except InputError as error:
            return [RejectedDraft("database cannot be built", str(error), draft.level) for draft in drafts]
        outcomes = self._executor.map((database, draft.sql) for draft in drafts)
        return [_without_value(draft, outcome) or _passed(draft) for draft, outcome in zip(drafts, outcomes, strict=True)]


def _passed(draft: Draft) -> CheckedDraft:
    return CheckedDraft(replace(draft, ddl=(), rows=()), analyze(draft.sql))


def _without_value(draft: Draft, outcome: Outcome) -> RejectedDraft | None:
    """Why a draft is rejected by the outcome of its SQL; None if that returns a value."""
    if isinstance(outcome, Failure):
        return RejectedDraft(REASONS[outcome.verdict], outcome.detail, draft.level)
    if not outcome.rows:
        return RejectedDraft("SQL returns nothing", draft.sql, draft.level)
    if all(value is None for row in outcome.rows for value in row):
        return RejectedDraft("SQL returns NULLs alone", draft.sql, draft.level)
    return None


class UnitWorker:
    """What a process needs to write and check drafts; use it in a `with` block."""

    def __init__(self, make_teacher: Callable[[], UnitTeacher] | None, folder: Path, execution: ExecutionConfig) -> None:
        """`make_teacher` makes the teacher whose units are written here; None if drafts come from elsewhere."""
        self._teacher = make_teacher() if make_teacher else None
        self._checker = DraftChecker(folder, execution)

    def __enter__(self) -> "UnitWorker":
        return self

    def __exit__(self, *_: object) -> None:
        self._checker.__exit__()

    def write(self, number: int, levels: Sequence[Hardness]) -> list[CheckedDraft | RejectedDraft]:
        """Writes the drafts on the teacher's database `number`, one for each of `levels`, and checks them."""
        if self._teacher is None:
            raise TypeError("this worker has no teacher")
        drafts = self._teacher.unit(number, levels)
        checked = iter(self.check([draft for draft in drafts if isinstance(draft, Draft)]))
        return [next(checked) if isinstance(draft, Draft) else draft for draft in drafts]

    def check(self, drafts: Sequence[Draft]) -> list[CheckedDraft | RejectedDraft]:
        """Checks drafts on one database."""
        return self._checker.check(drafts) if drafts else []
