"""Asking a teacher for drafts, several at once, and checking what it writes.

Every draft goes to a log the moment it arrives, and a rerun after a kill takes it from there, so no answer of an endpoint is
paid for twice. What is asked for depends on nothing but the drafts before, in order of their index, so neither threads nor
kills change the result. When a run ends because nothing can be kept any more, the drafts of which that was so are taken out of
the log, and so are all exchanges that failed: a rerun, by then perhaps with a mended endpoint, asks for them again.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock

from sense.errors import InputError
from sense.records import Hardness, Log, Record, read_jsonl, write_jsonl
from sense.sql.execute import Executor
from sense.sql.result import Failure
from sense.sql.tree import fingerprint
from sense.teacher import Draft, RejectedDraft, Teacher, build_database

REASONS = {"rejected": "SQL rejected", "error": "SQL fails", "timeout": "SQL times out", "too_large": "result too large"}
"""The verdict on a draft's SQL -> the reason for which the draft is rejected."""


class LoggedDraft(Record):
    """A line of the log. Of the drafts on one database only the first one logged carries its `ddl` and `rows`."""

    index: int
    answer: Draft | RejectedDraft


class LoggedTeacher:
    """Asks `teacher` for drafts in at most `workers` threads and logs each in the JSONL file `path`."""

    def __init__(self, teacher: Teacher, path: Path, workers: int) -> None:
        self._teacher = teacher
        self._log = Log(path, LoggedDraft)
        lines: list[LoggedDraft] = list(self._log.rows)
        self._log.rows.clear()  # there may be many, and they are needed once
        self._logged = {line.index: line.answer for line in lines}
        drafts = [line.answer for line in lines if isinstance(line.answer, Draft)]
        self._first_drafts = {draft.db_id: draft for draft in reversed(drafts)}
        self._logged_databases = set(self._first_drafts)
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="teacher")

    def request_draft(self, index: int, level: Hardness, avoid: Sequence[str]) -> Future[Draft | RejectedDraft]:
        """The draft number `index`, as a future: from the log if it is there, else from the teacher."""
        if index not in self._logged:
            return self._pool.submit(self._ask_and_log, index, level, avoid)
        draft = self._logged.pop(index)
        if isinstance(draft, Draft):
            first = self._first_drafts[draft.db_id]
            draft = replace(draft, ddl=first.ddl, rows=first.rows)
        future: Future[Draft | RejectedDraft] = Future()
        future.set_result(draft)
        return future

    def _ask_and_log(self, index: int, level: Hardness, avoid: Sequence[str]) -> Draft | RejectedDraft:
        draft = self._teacher.draft(index, level, avoid)
        with self._lock:
            self._log.append([LoggedDraft(index=index, answer=self._without_logged_database(draft))])
            self._log.rows.clear()
        return draft

    def _without_logged_database(self, draft: Draft | RejectedDraft) -> Draft | RejectedDraft:
        """The draft, without `ddl` and `rows` where the log already holds those of its database."""
        if isinstance(draft, Draft) and draft.db_id in self._logged_databases:
            return replace(draft, ddl=(), rows=())
        if isinstance(draft, Draft):
            self._logged_databases.add(draft.db_id)
        return draft

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


class DraftChecker:
    """Builds the databases of drafts in `folder` and checks whether a draft can be kept."""

    def __init__(self, folder: Path, executor: Executor) -> None:
        self._folder, self._executor = folder, executor
        self._build_errors: dict[str, str] = {}  # db_id -> message
        self._built: set[str] = set()
        self._queries: set[tuple[str, str]] = set()  # (db_id, fingerprint)
        self._questions: set[tuple[str, str]] = set()  # (question, fingerprint)

    def check(self, draft: Draft) -> Draft | RejectedDraft:
        """The draft itself, or why it is not kept: it must be new, and its SQL a SELECT that returns a value."""
        canonical = fingerprint(draft.sql)
        question = " ".join("".join(char if char.isalnum() else " " for char in draft.question.casefold()).split())
        if (draft.db_id, canonical) in self._queries:
            return RejectedDraft("duplicate SQL", draft.sql, draft.level)
        if (question, canonical) in self._questions:
            return RejectedDraft("duplicate question", draft.question, draft.level)
        rejected = self._execute(draft)
        if rejected:
            return rejected
        self._queries.add((draft.db_id, canonical))
        self._questions.add((question, canonical))
        return draft

    def _execute(self, draft: Draft) -> RejectedDraft | None:
        """Builds the draft's database, once for each db_id, and executes its SQL; None if both went well."""
        database = self._folder / draft.db_id / f"{draft.db_id}.sqlite"
        if draft.db_id not in self._built and draft.db_id not in self._build_errors:
            try:
                build_database(draft, database)
                self._built.add(draft.db_id)
            except InputError as error:
                self._build_errors[draft.db_id] = str(error)
        if draft.db_id in self._build_errors:
            return RejectedDraft("database cannot be built", self._build_errors[draft.db_id], draft.level)
        outcome = self._executor.run(database, draft.sql)
        if isinstance(outcome, Failure):
            return RejectedDraft(REASONS[outcome.verdict], outcome.detail, draft.level)
        if not outcome.rows:
            return RejectedDraft("SQL returns nothing", draft.sql, draft.level)
        if all(value is None for row in outcome.rows for value in row):
            return RejectedDraft("SQL returns NULLs alone", draft.sql, draft.level)
        return None


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
