"""Executes SQL that nobody trusts: in worker processes, within limits, every statement with an outcome.

A worker is started as a program of its own, never forked, so that it is safe beside threads and CUDA. It stops a statement at
its limits by itself (`sandbox.py`); where it cannot, in the middle of one long C call, it is killed and replaced here. Workers
end with their Executor, and with their parent however that ends.

What this protects from: SQL that writes, runs without end, takes all memory, returns too much, crashes SQLite or is built to do
one of these; the other statements keep their outcomes. What it does NOT protect from: SQL that takes over SQLite through a bug in
its C code. A worker is a plain process of this user, without namespaces, system-call filter or network isolation; for SQL from
strangers run the whole program in a container. `sandbox.py` has the full list.
"""

import select
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sense.config import ExecutionConfig
from sense.errors import SenseError
from sense.sql.database_file import DatabaseFile
from sense.sql.judge import Batch, failure_verdict, gold_error
from sense.sql.parse import MAX_LENGTH, check_select
from sense.sql.process import WorkerEnd, WorkerProcess
from sense.sql.result import Failure, Outcome, Result
from sense.sql.sandbox import Limits
from sense.sql.snapshot import PrivateCopy, Snapshots
from sense.verdicts import VerdictFields

_START_ATTEMPTS = 3
_MAX_DEATHS = 2  # a worker that dies once at a statement may have been killed by someone else; twice is the statement's doing
_LOOKAHEAD = 256  # statements taken up before the first unfinished one


class Executor:
    """Executes SELECTs on SQLite files, never writing; use it in a `with` block and from one thread at a time.

    A statement's outcome depends on it, on its database and on the limits, not on the statements around it. Steps
    are counted, so the load of the machine does not matter unless it makes `max_steps` take longer than `timeout_s`.
    InputError or StorageError is raised where a database needs a private copy (`snapshot.py`) and none can be made.
    """

    def __init__(self, limits: ExecutionConfig, min_value: int = 0, snapshots: Snapshots | None = None) -> None:
        """`min_value`: the bytes of `limits.max_bytes` that a value takes at least; `snapshots`: shared with other executors."""
        numbers = Limits(limits.timeout_s, limits.max_rows, limits.max_bytes, limits.max_steps, MAX_LENGTH, min_value)
        self._pool = _Pool(numbers, limits.processes)
        self._snapshots = snapshots or Snapshots()

    def __enter__(self) -> "Executor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers."""
        self._pool.close()

    def run(self, database: Path, sql: str) -> Outcome:
        """Executes one statement."""
        return next(self.map([(database, sql)]))

    def map(self, statements: Iterable[tuple[Path, str]]) -> Iterator[Outcome]:
        """The outcomes of (database, SQL) pairs, in their order; as many are executed at a time as the limits name workers."""
        queue = _StatementQueue(statements, self._snapshots)
        while queue.more:
            for pending in self._pool.run(queue.take):
                queue.answers[pending.number] = pending.answers[0]
                yield from queue.outcomes()
            yield from queue.outcomes()

    def run_all(self, database: Path, statements: Sequence[str]) -> list[Outcome]:
        """The outcomes of many statements on one database, in their order; one worker gets them together, which is quicker."""
        reasons = [check_select(sql) for sql in statements]
        selects = [sql for sql, reason in zip(statements, reasons, strict=True) if reason is None]
        (file,), copies = _readable((DatabaseFile.from_path(database),), self._snapshots)
        batches = [_PendingBatch(0, ("select", file), tuple(selects), _failure_answer, copies)] if selects else []
        answers = [
            answer for pending in self._pool.run(lambda _: batches.pop() if batches else None) for answer in pending.answers
        ]
        outcomes = map(_outcome, answers)
        return [next(outcomes) if reason is None else Failure("rejected", reason) for reason in reasons]

    def judge(self, batches: Sequence[Batch], costs: Sequence[float]) -> Iterator[tuple[int, list[VerdictFields]]]:
        """Each batch's index and the verdicts on its predictions, in the order in which batches are done.

        `costs` are relative: the dearest batches are begun first.
        """
        for pending in self._pool.run(_BatchQueue(batches, costs, self._snapshots).take):
            yield pending.number, [VerdictFields(*answer) for answer in pending.answers]

    def judge_all(self, batches: Sequence[Batch]) -> list[list[VerdictFields]]:
        """The verdicts on the predictions of batches of one mode on the same files; one worker gets them together.

        This is quicker than `judge` where the batches are small.
        """
        waiting = [_pending_verdicts(0, batches, self._snapshots)] if batches else []
        answers = (
            answer for pending in self._pool.run(lambda _: waiting.pop() if waiting else None) for answer in pending.answers
        )
        return [[VerdictFields(*next(answers)) for _ in batch.predictions] for batch in batches]


class _PendingBatch:
    """Statements handed to a worker as one request; `answers` are filled in as they arrive.

    `request_head` and the statements without an answer are what a worker is sent. `answer_to_end(end)` is the answer to a
    statement that ended its worker. `number` is for whoever made the batch. `copies` are those of databases that it uses.
    `golds` has the number of each statement's gold, if they have any.
    """

    def __init__(
        self,
        number: int,
        request_head: tuple[Any, ...],
        statements: tuple[Any, ...],
        answer_to_end: Callable[[WorkerEnd], tuple[Any, ...]],
        copies: Sequence[PrivateCopy],
        golds: Sequence[int] = (),
    ) -> None:
        self.copies = copies
        self._golds = golds
        self.number, self._request_head, self._statements = number, request_head, statements
        self._answer_to_end = answer_to_end
        self.answers: list[Any] = [None] * len(statements)
        self._unanswered = list(range(len(statements)))
        self._sent: list[int] = []
        self._deaths: dict[int, int] = {}

    @property
    def done(self) -> bool:
        """Whether every statement has its answer."""
        return not self._unanswered

    def request(self) -> tuple[Any, ...]:
        """What a worker is sent: the statements without an answer."""
        self._sent = list(self._unanswered)
        return (*self._request_head, tuple(self._statements[number] for number in self._unanswered))

    def add_answers(self, answers: list[Any]) -> None:
        """Fills in the next answers."""
        for answer in answers:
            self.answers[self._unanswered.pop(0)] = answer

    def worker_ended(self, end: WorkerEnd) -> None:
        """Answers the statement the worker was at when it ended (of a gold, all its own), unless it deserves a second try."""
        number = self._sent[end.number] if end.number >= 0 else end.number
        self._deaths[number] = self._deaths.get(number, 0) + 1
        if end.died and self._deaths[number] < _MAX_DEATHS:
            return
        of_gold = [each for each in self._unanswered if self._golds and -1 - self._golds[each] == number]
        for each in [number] if number >= 0 else of_gold or list(self._unanswered):
            self.answers[each] = self._answer_to_end(end)
            self._unanswered.remove(each)


class _StatementQueue:
    """Statements as batches of one, and their outcomes, held back until those before them are known."""

    def __init__(self, statements: Iterable[tuple[Path, str]], snapshots: Snapshots) -> None:
        self._coming = enumerate(statements)
        self._snapshots = snapshots
        self._next = 0
        self.more = True
        self.answers: dict[int, Any] = {}

    def take(self, _worker: WorkerProcess) -> _PendingBatch | None:
        """The next statement; those that are no SELECT are answered at once. None if there is none at the moment."""
        while len(self.answers) < _LOOKAHEAD:
            number, statement = next(self._coming, (-1, None))
            if statement is None:
                self.more = False
                return None
            database, sql = statement
            reason = check_select(sql)
            if reason is None:
                (file,), copies = _readable((DatabaseFile.from_path(database),), self._snapshots)
                return _PendingBatch(number, ("select", file), (sql,), _failure_answer, copies)
            self.answers[number] = ("failure", "rejected", reason, "")
        return None

    def outcomes(self) -> Iterator[Outcome]:
        """The outcomes whose turn it is."""
        while self._next in self.answers:
            yield _outcome(self.answers.pop(self._next))
            self._next += 1


def _failure_answer(end: WorkerEnd) -> tuple[Any, ...]:
    return ("failure", *end.failure)


def _outcome(answer: tuple[Any, ...]) -> Outcome:
    kind, *fields = answer
    return Result(*fields) if kind == "rows" else Failure(*fields)


class _BatchQueue:
    """Batches to judge in an order that keeps workers on their databases, the most work first.

    A worker stays on a database as long as that has batches; then it takes the database with the most work left that no other
    worker is on, or helps on the one with the most.
    """

    def __init__(self, batches: Sequence[Batch], costs: Sequence[float], snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._waiting: dict[tuple[DatabaseFile, ...], list[tuple[float, int, Batch]]] = {}
        for number, (batch, cost) in enumerate(zip(batches, costs, strict=True)):
            self._waiting.setdefault(batch.files, []).append((cost, number, batch))
        for waiting in self._waiting.values():
            waiting.sort(key=lambda entry: entry[:2])
        self._files_of: dict[WorkerProcess, tuple[DatabaseFile, ...]] = {}

    def take(self, worker: WorkerProcess) -> _PendingBatch | None:
        """The next batch for a worker; None if none is left."""
        files = self._files_of.get(worker)
        if files not in self._waiting:
            busy = {files for other, files in self._files_of.items() if not other.ended}
            free = [files for files in self._waiting if files not in busy] or list(self._waiting)
            if not free:
                return None
            files = max(free, key=lambda files: sum(cost for cost, _, _ in self._waiting[files]))
            self._files_of[worker] = files
        waiting = self._waiting[files]
        _, number, batch = waiting.pop()
        if not waiting:
            del self._waiting[files]
        return _pending_verdicts(number, [batch], self._snapshots)


def _pending_verdicts(number: int, batches: Sequence[Batch], snapshots: Snapshots) -> _PendingBatch:
    """The predictions of batches of one mode on the same files, to be judged by one worker."""
    mode, files = batches[0].mode, batches[0].files
    opened, copies = _readable(files, snapshots)
    golds = tuple((b.gold, b.ordered, b.order_columns, b.ordering and tuple(b.ordering), b.main) for b in batches)
    statements = tuple((gold, prediction) for gold, batch in enumerate(batches) for prediction in batch.predictions)
    head = ("judge", mode, opened, golds)
    of_gold = [gold for gold, _ in statements]
    return _PendingBatch(number, head, statements, lambda end: _verdict_on_end(mode, end), copies, of_gold)


def _readable(files: Sequence[DatabaseFile], snapshots: Snapshots) -> tuple[tuple[tuple[str, ...], ...], list[PrivateCopy]]:
    """The files as a worker is to open them, and the private copies among them."""
    copies = [snapshots.copy(file) for file in files]
    opened = tuple(tuple(copy.file if copy else file) for file, copy in zip(files, copies, strict=True))
    return opened, [copy for copy in copies if copy]


def _verdict_on_end(mode: str, end: WorkerEnd) -> VerdictFields:
    return gold_error(end.failure) if end.number < 0 else failure_verdict(end.failure, mode)


class _Pool:
    """Workers, started when needed and kept for the next batches; a batch comes back answered whatever happens to its worker."""

    def __init__(self, limits: Limits, workers: int) -> None:
        self._limits, self._workers = limits, workers
        self._idle: list[WorkerProcess] = []

    def close(self) -> None:
        """Ends the workers."""
        while self._idle:
            self._idle.pop().close()

    def run(self, next_batch: Callable[[WorkerProcess], _PendingBatch | None]) -> Iterator[_PendingBatch]:
        """Yields each batch of `next_batch(worker)` once it is answered; None from it means that there is none at the moment.

        It ends when no worker is busy and there is no batch. `next_batch` is told which worker will get the batch.
        """
        busy: dict[WorkerProcess, _PendingBatch] = {}
        try:
            while self._hand_out(busy, next_batch) or busy:
                yield from self._collect(busy)
        finally:
            for worker in busy:  # nobody will ask for their answers
                worker.kill()

    def _new_worker(self) -> WorkerProcess:
        """A new worker; one that dies while it starts may have been killed by someone else."""
        for _ in range(_START_ATTEMPTS - 1):
            with suppress(SenseError):
                return WorkerProcess(self._limits)
        return WorkerProcess(self._limits)

    def _hand_out(
        self, busy: dict[WorkerProcess, _PendingBatch], next_batch: Callable[[WorkerProcess], _PendingBatch | None]
    ) -> bool:
        """Gives a batch to every worker that has none, as far as there are batches; True if there was one."""
        some = False
        while len(busy) < self._workers:
            worker = self._idle.pop() if self._idle else self._new_worker()
            batch = None
            try:
                batch = next_batch(worker)
            finally:
                if batch is None:
                    self._idle.append(worker)
            if batch is None:
                break
            some = True
            busy[self._send(worker, batch)] = batch
        return some

    def _send(self, worker: WorkerProcess, batch: _PendingBatch) -> WorkerProcess:
        """The worker that has been sent the batch: another one, if it died while it was idle."""
        while True:
            try:
                worker.send(batch.request())
            except BrokenPipeError:
                worker.kill()
                worker = self._new_worker()
            else:
                return worker

    def _collect(self, busy: dict[WorkerProcess, _PendingBatch]) -> Iterator[_PendingBatch]:
        """Waits until a worker has answered or is overdue; yields the batches that are done."""
        poll = select.poll()
        for worker in busy:
            poll.register(worker.output, select.POLLIN)
        left = min(worker.deadline for worker in busy) - time.monotonic()
        ready = {descriptor for descriptor, _ in poll.poll(max(left, 0) * 1000)}
        now = time.monotonic()
        for worker in [worker for worker in busy if worker.output in ready or now >= worker.deadline]:
            batch = busy[worker]
            received = worker.receive(worker.output in ready)
            if isinstance(received, WorkerEnd):
                del busy[worker]
                batch.worker_ended(received)
                if not batch.done:
                    busy[self._send(self._new_worker(), batch)] = batch
            else:
                batch.add_answers(received)
                if batch.done:
                    self._idle.append(worker)
                    del busy[worker]
            if batch.done:
                yield batch
