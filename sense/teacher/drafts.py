"""Asking a teacher for drafts, several at once, so that no answer is paid for twice, and checking what it says.

Every answer goes to a log the moment it arrives; a rerun after a kill takes it from there. What is asked depends on
nothing but the answers taken before, in order of their index, so neither threads nor kills change the result.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock

from sense.errors import InputError
from sense.records import Hardness, Log, Record
from sense.sql.execute import Executor
from sense.sql.result import Failure
from sense.sql.tree import fingerprint
from sense.teacher import Draft, Refusal, Teacher, build

FAILURES = {"rejected": "SQL rejected", "error": "SQL fails", "timeout": "SQL times out", "too_large": "result too large"}


class Entry(Record):
    """A line of the log. Of the drafts on one database only the first one logged carries its ddl and rows."""

    index: int
    answer: Draft | Refusal


class Drafts:
    """The answers of `teacher`, logged in `path`; at most `workers` questions are with the teacher at a time."""

    def __init__(self, teacher: Teacher, path: Path, workers: int) -> None:
        self._teacher = teacher
        self._log = Log(path, Entry)
        entries: list[Entry] = list(self._log.rows)
        self._log.rows.clear()  # they may be many, and are needed once
        self._logged = {entry.index: entry for entry in entries}
        drafts = [entry.answer for entry in entries if isinstance(entry.answer, Draft)]
        self._first = {draft.db_id: draft for draft in reversed(drafts)}
        self._databases = set(self._first)
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="teacher")

    def ask(self, index: int, level: Hardness, avoid: Sequence[str]) -> Future[Draft | Refusal]:
        """The answer to come for `index`: from the log if it is there, else from the teacher."""
        entry = self._logged.pop(index, None)
        if entry is None:
            return self._pool.submit(self._fresh, index, level, avoid)
        answer = entry.answer
        if isinstance(answer, Draft):
            answer = replace(answer, ddl=self._first[answer.db_id].ddl, rows=self._first[answer.db_id].rows)
        known: Future[Draft | Refusal] = Future()
        known.set_result(answer)
        return known

    def _fresh(self, index: int, level: Hardness, avoid: Sequence[str]) -> Draft | Refusal:
        answer = self._teacher.draft(index, level, avoid)
        with self._lock:
            self._log.append([Entry(index=index, answer=self._brief(answer))])
            self._log.rows.clear()
        return answer

    def _brief(self, answer: Draft | Refusal) -> Draft | Refusal:
        """The answer without what the log already holds of its database."""
        if isinstance(answer, Draft) and answer.db_id in self._databases:
            return replace(answer, ddl=(), rows=())
        if isinstance(answer, Draft):
            self._databases.add(answer.db_id)
        return answer

    def __enter__(self) -> "Drafts":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)  # waits for what is with the teacher: its answers are logged too
        self._log.__exit__()


def over_represented(domains: Mapping[str, int], limit: int = 20) -> list[str]:
    """The domains with more than a fair share of the examples so far, the commonest first and `limit` at most.

    The paper's own list of domains to avoid is the teacher's: it holds before there is any example.
    """
    fair = sum(domains.values()) / max(len(domains), 1)
    return [name for name, count in sorted(domains.items(), key=lambda item: (-item[1], item[0])) if count > fair][:limit]


def domain_key(domain: str) -> str:
    """A domain's name as it is counted: one line, lower case, short."""
    return " ".join(domain.lower().split())[:60] or "unnamed"


class Shelf:
    """The databases of drafts, built in `folder`, and the check that a draft is fit to keep."""

    def __init__(self, folder: Path, executor: Executor) -> None:
        self._folder, self._executor = folder, executor
        self._unbuilt: dict[str, str] = {}
        self._built: set[str] = set()
        self._queries: set[tuple[str, str]] = set()
        self._questions: set[tuple[str, str]] = set()

    def check(self, draft: Draft) -> Draft | Refusal:
        """The draft itself, or why it is not kept: it must be new, a SELECT, and return something on its database."""
        canonical = fingerprint(draft.sql)
        question = " ".join("".join(mark if mark.isalnum() else " " for mark in draft.question.casefold()).split())
        if (draft.db_id, canonical) in self._queries:
            return Refusal("duplicate SQL", draft.sql, draft.level)
        if (question, canonical) in self._questions:
            return Refusal("duplicate question", draft.question, draft.level)
        refusal = self._fault(draft)
        if refusal:
            return refusal
        self._queries.add((draft.db_id, canonical))
        self._questions.add((question, canonical))
        return draft

    def _fault(self, draft: Draft) -> Refusal | None:
        database = self._folder / draft.db_id / f"{draft.db_id}.sqlite"
        if draft.db_id not in self._built and draft.db_id not in self._unbuilt:
            try:
                build(draft, database)
                self._built.add(draft.db_id)
            except InputError as error:
                self._unbuilt[draft.db_id] = str(error)
        if draft.db_id in self._unbuilt:
            return Refusal("database cannot be built", self._unbuilt[draft.db_id], draft.level)
        outcome = self._executor.run(database, draft.sql)
        if isinstance(outcome, Failure):
            return Refusal(FAILURES[outcome.verdict], outcome.detail, draft.level)
        if not outcome.rows:
            return Refusal("SQL returns nothing", draft.sql, draft.level)
        if all(value is None for row in outcome.rows for value in row):
            return Refusal("SQL returns NULLs alone", draft.sql, draft.level)
        return None
