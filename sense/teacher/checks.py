"""Whether drafts on one database can be kept: it is built, every SQL executed in a sandbox, and every label tested.

What drafts on several databases have to do with one another (the same question again) is no matter of these checks, so that
databases can be shared out among processes: `UnitWorker` is what each process has.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from sense.config import SynthesizeConfig
from sense.errors import InputError
from sense.records import Hardness
from sense.schema import introspect, schema_text
from sense.sql.analysis import Analysis, analyze
from sense.sql.database_file import sqlite_files
from sense.sql.execute import Executor
from sense.sql.result import Failure, Outcome, Result
from sense.suite import SuiteCounts
from sense.teacher import Draft, RejectedDraft, UnitTeacher, build_database
from sense.teacher.faults import broken_keys, sql_fault
from sense.teacher.labels import Label, label
from sense.teacher.votes import Vote, vote

MUTANT_STEPS = 2_000_000
"""Instructions of SQLite's virtual machine that a mutant may take, some hundredths of a second."""
REASONS = {"rejected": "SQL rejected", "error": "SQL fails", "timeout": "SQL times out", "too_large": "result too large"}
"""The verdict on a draft's SQL -> the reason for which the draft is rejected."""


@dataclass(frozen=True)
class CheckedDraft:
    """A draft whose SQL returns a value, without `ddl` and `rows`: its database has been built, with a test suite."""

    draft: Draft
    analysis: Analysis
    label: Label


class CheckedUnit(NamedTuple):
    """What has become of the drafts on one database, in their order; how the golds do on its suite; the bytes of its files.

    `repaired` tells of which drafts a teacher was asked for once more; it is empty if of none.
    """

    drafts: list[CheckedDraft | RejectedDraft]
    suite: SuiteCounts
    size: int
    repaired: Sequence[bool] = ()


def join_units(drafts: Sequence[RejectedDraft | None], units: Mapping[Sequence[int], CheckedUnit]) -> CheckedUnit:
    """Units on several databases as one: `units` by the positions of their drafts among all; other `drafts` are rejected.

    Its size is the mean of theirs.
    """
    joined: list[CheckedDraft | RejectedDraft | None] = [*drafts]
    for positions, unit in units.items():
        for position, draft in zip(positions, unit.drafts, strict=True):
            joined[position] = draft
    suite = sum((unit.suite for unit in units.values()), start=SuiteCounts())
    sizes = [unit.size for unit in units.values() if unit.size]
    whole = [draft for draft in joined if draft is not None]
    return CheckedUnit(whole, suite, round(sum(sizes) / len(sizes)) if sizes else 0)


class DraftChecker:
    """Builds the databases of drafts in `folder` and checks the drafts on them; use it in a `with` block."""

    def __init__(self, folder: Path, config: SynthesizeConfig) -> None:
        limits = config.execution.model_copy(update={"workers": 1})
        self._folder, self._suite, self._seed = folder, config.suite, config.seed
        self._llm = config.llm if config.teacher == "llm" and config.llm and config.llm.strategy == "question-first" else None
        self._own = bool(config.own)  # whose rows are as they are
        self._executor = Executor(limits)
        # A mutant may join every row with every other one. It is wrong as well if it is not executed to the end.
        self._mutant_executor = Executor(limits.model_copy(update={"max_steps": min(limits.max_steps, MUTANT_STEPS)}))

    def __enter__(self) -> "DraftChecker":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.close()
        self._mutant_executor.close()

    def database(self, db_id: str) -> Path:
        """Where the database of this name is built."""
        return self._folder / db_id / f"{db_id}.sqlite"

    def vote(self, draft: Draft, answers: Sequence[str]) -> Vote:
        """How answers to the question of a draft, whose database has been built, do against its SQL."""
        return vote(self._executor, self.database(draft.db_id), draft.sql, answers)

    def check(self, drafts: Sequence[Draft | RejectedDraft]) -> CheckedUnit:
        """Checks drafts that are all on one database; those that the teacher has rejected remain so."""
        written = [draft for draft in drafts if isinstance(draft, Draft)]
        if not written:
            return CheckedUnit([draft for draft in drafts if isinstance(draft, RejectedDraft)], SuiteCounts(), 0)
        database = self.database(written[0].db_id)
        try:
            build_database(written[0], database)
        except InputError as error:
            return CheckedUnit(_rejected(drafts, "database cannot be built", str(error)), SuiteCounts(), 0)
        if self._llm and not self._own and (problem := broken_keys(database)):
            return CheckedUnit(_rejected(drafts, "broken foreign key", problem), SuiteCounts(), 0)
        outcomes = iter(self._executor.run_all(database, [draft.sql for draft in written]))
        results = [
            self._fault(database, draft, next(outcomes)) or draft if isinstance(draft, Draft) else draft for draft in drafts
        ]
        golds = list(dict.fromkeys(result.sql for result in results if isinstance(result, Draft)))
        try:
            labels, counts = label(self._mutant_executor, database, golds, self._suite, f"{self._seed}-{written[0].db_id}")
        except InputError as error:
            return CheckedUnit(_rejected(drafts, "no suite can be built", str(error)), SuiteCounts(), 0)
        checked = [_checked(result, labels[result.sql]) if isinstance(result, Draft) else result for result in results]
        return CheckedUnit(checked, counts, sum(file.stat().st_size for file in sqlite_files(database.parent)))

    def _fault(self, database: Path, draft: Draft, outcome: Outcome) -> RejectedDraft | None:
        """Why a draft whose SQL has this outcome is rejected; None if it is not.

        What the grammar writes has been drawn until no part of its SQL is idle.
        """
        fault = _without_value(draft, outcome)
        if fault is None and self._llm and isinstance(outcome, Result):
            fault = sql_fault(self._executor, database, draft, outcome, self._llm.match_level)
        return fault


def _rejected(drafts: Sequence[Draft | RejectedDraft], reason: str, detail: str) -> list[CheckedDraft | RejectedDraft]:
    return [draft if isinstance(draft, RejectedDraft) else RejectedDraft(reason, detail, draft.level) for draft in drafts]


def _checked(draft: Draft, draft_label: Label) -> CheckedDraft:
    return CheckedDraft(replace(draft, ddl=(), rows=()), analyze(draft.sql), draft_label)


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

    def __init__(self, make_teacher: Callable[[], UnitTeacher] | None, folder: Path, config: SynthesizeConfig) -> None:
        """`make_teacher` makes the teacher whose units are written here; None if drafts come from elsewhere."""
        self._teacher = make_teacher() if make_teacher else None
        self._checker = DraftChecker(folder, config)

    def __enter__(self) -> "UnitWorker":
        return self

    def __exit__(self, *_: object) -> None:
        self._checker.__exit__()

    def vote(self, draft: Draft, answers: Sequence[str]) -> Vote:
        """How answers to the question of a draft, whose database was built here, do against its SQL."""
        return self._checker.vote(draft, answers)

    def prompt_schema(self, db_id: str) -> str:
        """The schema of a database that was built here, as a text with values."""
        return schema_text(introspect(self._checker.database(db_id), samples=3), "ddl")

    def write(self, number: int, levels: Sequence[Hardness]) -> CheckedUnit:
        """Writes the drafts on the teacher's database `number`, one for each of `levels`, and checks them."""
        return self.check(self._unit(number, levels))

    def draft(self, number: int, levels: Sequence[Hardness]) -> tuple[list[Draft | RejectedDraft], str]:
        """The same drafts unchecked, and the schema of their database as a text with values, empty if all are rejected."""
        drafts = self._unit(number, levels)
        written = next((draft for draft in drafts if isinstance(draft, Draft)), None)
        if written is None:
            return drafts, ""
        with tempfile.TemporaryDirectory() as folder:
            database = Path(folder) / f"{written.db_id}.sqlite"
            build_database(written, database)
            return drafts, schema_text(introspect(database, samples=3), "ddl")

    def _unit(self, number: int, levels: Sequence[Hardness]) -> list[Draft | RejectedDraft]:
        if self._teacher is None:
            raise TypeError("this worker has no teacher")
        return self._teacher.unit(number, levels)

    def check(self, drafts: Sequence[Draft | RejectedDraft]) -> CheckedUnit:
        """Checks drafts on one database."""
        return self._checker.check(drafts)
