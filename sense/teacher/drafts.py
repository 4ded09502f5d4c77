"""Asking an LLM teacher for drafts, several at once.

The teacher keeps its answers itself. What is logged here, the moment it happens, is which exchanges have failed: a rerun after
a kill counts them as failed again, so that it ends as if it had not been killed. What is asked for depends on nothing but the
drafts before, in order of their index, so neither threads nor kills change the result. When a run ends because nothing can be
kept any more, the answers of which that was so are forgotten, and so are all exchanges that failed: a rerun, by then perhaps with
a mended endpoint, asks for them again.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from sense.records import Hardness, Log, Record
from sense.teacher import Draft, RejectedDraft, Teacher
from sense.teacher.checks import CheckedDraft, CheckedUnit
from sense.teacher.openai import NO_ANSWER

REPAIRABLE = (
    *("not json", "missing field", "bad field", "bad schema", "bad rows", "not a select", "several answers"),
    *("database cannot be built", "broken foreign key", "SQL rejected", "SQL fails", "SQL times out", "result too large"),
    *("SQL returns nothing", "SQL returns NULLs alone", "SQL counts nothing", "SQL cannot be checked", "misspelt column"),
    *("tie at LIMIT", "idle condition", "idle LIMIT", "idle ORDER BY", "level not met"),
)
"""Reasons whose detail tells the teacher what to do otherwise."""


class FailedDraft(Record):
    """A line of the log: a draft whose exchange has failed, the first one or that of its repair."""

    index: int
    draft: RejectedDraft
    repair: bool = False


class CheckedAnswer(NamedTuple):
    """What has become of a draft, and the domain that the teacher chose for it; none if there is no draft.

    `repaired` if this is about what the teacher wrote when it was told of a fault.
    """

    domain: str
    outcome: CheckedUnit | RejectedDraft
    repaired: bool = False

    @property
    def draft(self) -> CheckedDraft | RejectedDraft:
        """The one draft on its database."""
        return self.outcome.drafts[0] if isinstance(self.outcome, CheckedUnit) else self.outcome


class LoggedTeacher:
    """Asks `teacher` for drafts in at most `workers` threads and lets `check` check them.

    With `repair`, it is asked once more for a draft with a fault of REPAIRABLE. Failed exchanges are logged in the JSONL file
    `path`.
    """

    def __init__(
        self, teacher: Teacher, path: Path, workers: int, check: Callable[[Draft], CheckedUnit], repair: bool = False
    ) -> None:
        self._teacher, self._check, self._repair = teacher, check, repair
        self._log = Log(path, FailedDraft)
        self._failed = {(line.index, line.repair): line.draft for line in self._log.rows}
        self._requests: dict[int, tuple[Hardness, Sequence[str]]] = {}
        self._rejected: set[int] = set()  # answers from which no draft could be read
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="teacher")

    def request_draft(self, index: int, level: Hardness, avoid: Sequence[str]) -> Future[CheckedAnswer]:
        """What becomes of draft number `index`, as a future."""
        self._requests[index] = (level, avoid)
        return self._pool.submit(self._take_and_check, index, level, avoid)

    def forget(self, rejected: range) -> None:
        """Forgets, after the end, drafts numbered `rejected`, later ones that the teacher rejected, and failed exchanges."""
        for index in sorted({*rejected, *(index for index in self._rejected if index >= rejected.stop)}):
            self._teacher.forget(index, *self._requests[index])
        self._log.path.unlink()

    def _take_and_check(self, index: int, level: Hardness, avoid: Sequence[str]) -> CheckedAnswer:
        draft = self._failed.get((index, False)) or self._teacher.draft(index, level, avoid)
        answer = self._checked(index, draft, False)
        fault = answer.draft
        if not self._repair or not isinstance(fault, RejectedDraft) or fault.reason not in REPAIRABLE or fault.failed_requests:
            return answer
        draft = self._failed.get((index, True)) or self._teacher.repair(index, level, avoid, fault)
        second = self._checked(index, draft, True)
        unanswered = isinstance(draft, RejectedDraft) and draft.failed_requests and draft.reason != NO_ANSWER
        return answer._replace(repaired=True) if unanswered else second

    def _checked(self, index: int, draft: Draft | RejectedDraft, repair: bool) -> CheckedAnswer:
        """What becomes of a draft, or of its repair."""
        if isinstance(draft, Draft):
            return CheckedAnswer(draft.domain, self._check(draft), repair)
        with self._lock:
            if draft.failed_requests == 0:
                self._rejected.add(index)
            elif (index, repair) not in self._failed:
                self._log.append([FailedDraft(index=index, draft=draft, repair=repair)])
        return CheckedAnswer("", draft, repair)

    def __enter__(self) -> "LoggedTeacher":
        return self

    def __exit__(self, *_: object) -> None:
        self._teacher.close()
        self._pool.shutdown(cancel_futures=True)  # waits for what the teacher is writing, which is kept too
        self._log.__exit__()


def over_represented_domains(counts: Mapping[str, int], limit: int = 20) -> list[str]:
    """The domains with more than the mean number of examples so far, the most common first and `limit` at most.

    The paper's own list of domains to avoid is not in it: LlmTeacher adds that list, which holds before there is any example.
    """
    mean = sum(counts.values()) / max(len(counts), 1)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [name for name, count in ranked if count > mean][:limit]


def normalize_domain(domain: str) -> str:
    """A domain's name as it is counted: one line in lower case, at most 60 characters."""
    return " ".join(domain.lower().split())[:60] or "unnamed"
