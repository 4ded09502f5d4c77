"""Asking an LLM teacher for drafts, several at once.

Every draft goes to a log the moment it arrives, and a rerun after a kill takes it from there, so no answer of an endpoint is
paid for twice. What is asked for depends on nothing but the drafts before, in order of their index, so neither threads nor
kills change the result. When a run ends because nothing can be kept any more, the drafts of which that was so are taken out of
the log, and so are all exchanges that failed: a rerun, by then perhaps with a mended endpoint, asks for them again.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from sense.records import Hardness, Log, Record, read_jsonl, write_jsonl
from sense.teacher import Draft, RejectedDraft, Teacher
from sense.teacher.checks import CheckedUnit


class LoggedDraft(Record):
    """A line of the log."""

    index: int
    answer: Draft | RejectedDraft


class LoggedTeacher:
    """Asks `teacher` for drafts in at most `workers` threads, logs each in the JSONL file `path` and lets `check` check it."""

    def __init__(self, teacher: Teacher, path: Path, workers: int, check: Callable[[Draft], CheckedUnit]) -> None:
        self._teacher, self._check = teacher, check
        self._log = Log(path, LoggedDraft)
        self._logged: dict[int, Draft | RejectedDraft] = {line.index: line.answer for line in self._log.rows}
        self._log.rows.clear()  # there may be many, and they are needed once
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="teacher")

    def request_draft(self, index: int, level: Hardness, avoid: Sequence[str]) -> Future[CheckedUnit | RejectedDraft]:
        """What becomes of draft number `index`, as a future; it is taken from the log if it is there, else from the teacher."""
        return self._pool.submit(self._take_and_check, index, level, avoid)

    def _take_and_check(self, index: int, level: Hardness, avoid: Sequence[str]) -> CheckedUnit | RejectedDraft:
        draft = self._logged.pop(index, None)
        if draft is None:
            draft = self._teacher.draft(index, level, avoid)
            with self._lock:
                self._log.append([LoggedDraft(index=index, answer=draft)])
                self._log.rows.clear()
        return draft if isinstance(draft, RejectedDraft) else self._check(draft)

    def __enter__(self) -> "LoggedTeacher":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)  # waits for what the teacher is writing, which is logged too
        self._log.__exit__()


def forget_rejected(path: Path, rejected: range) -> None:
    """Takes out of a closed log the drafts numbered `rejected`, those after them that the teacher rejected, failed exchanges."""
    lines = list(read_jsonl(path, LoggedDraft))
    write_jsonl(path, [line for line in lines if line.index not in rejected and not _is_suspect(line, rejected)])


def _is_suspect(line: LoggedDraft, rejected: range) -> bool:
    return isinstance(line.answer, RejectedDraft) and (line.index >= rejected.stop or line.answer.failed_requests > 0)


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
