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


class FailedDraft(Record):
    """A line of the log: a draft whose exchange has failed."""

    index: int
    draft: RejectedDraft


class CheckedAnswer(NamedTuple):
    """What has become of a draft, and the domain that the teacher chose for it; none if there is no draft."""

    domain: str
    outcome: CheckedUnit | RejectedDraft

    @property
    def draft(self) -> CheckedDraft | RejectedDraft:
        """The one draft on its database."""
        return self.outcome.drafts[0] if isinstance(self.outcome, CheckedUnit) else self.outcome


class LoggedTeacher:
    """Asks `teacher` for drafts in at most `workers` threads and lets `check` check them.

    Failed exchanges are logged in the JSONL file `path`.
    """

    def __init__(self, teacher: Teacher, path: Path, workers: int, check: Callable[[Draft], CheckedUnit]) -> None:
        self._teacher, self._check = teacher, check
        self._log = Log(path, FailedDraft)
        self._failed: dict[int, RejectedDraft] = {line.index: line.draft for line in self._log.rows}
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
        draft = self._failed.get(index) or self._teacher.draft(index, level, avoid)
        if isinstance(draft, Draft):
            return CheckedAnswer(draft.domain, self._check(draft))
        with self._lock:
            if draft.failed_requests == 0:
                self._rejected.add(index)
            elif index not in self._failed:
                self._log.append([FailedDraft(index=index, draft=draft)])
        return CheckedAnswer("", draft)

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
