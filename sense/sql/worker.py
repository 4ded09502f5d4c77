"""The process that executes hostile SQL: `process.py` starts it, talks to it and kills it.

It imports little, so that it starts in a few hundredths of a second. It reads jobs from standard input and
writes answers to standard output, both as a length and a marshalled value, and ends when its input does.
The answers to a job come in batches. What it is doing at the moment stands in a piece of memory shared with its
parent, so that the parent knows, when it has to kill it or finds it dead, which statement that was.
"""

import marshal
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

from sense.sql.judge import Golds, Task, judge
from sense.sql.result import Failure
from sense.sql.sandbox import MIB, Limits
from sense.sql.statement import Place, Session, collect

HEADER = struct.Struct("!Q")
# The number of the statement (-1: the gold), whether it is work without a limit, and since when (time.monotonic).
AT_WORK = struct.Struct("=q?d")
_EVERY_S = 0.02  # answers wait this long for others, to be sent together


class Channel:
    """The answers on their way to the parent."""

    def __init__(self, stream: BinaryIO, shared: mmap.mmap) -> None:
        self._stream, self._shared = stream, shared
        self._waiting: list[Any] = []
        self._sent = time.monotonic()

    def tell(self, number: int, compares: bool) -> None:
        """Notes what comes next, and lets the parent hear from this process: its patience is for one statement."""
        self.flush(_EVERY_S)
        AT_WORK.pack_into(self._shared, 0, number, compares, time.monotonic())

    def give(self, answer: Any) -> None:
        """The next answer."""
        self._waiting.append(answer)

    def flush(self, after_s: float = 0.0) -> None:
        """Sends what waits, if the last message is older than `after_s`; BrokenPipeError if the parent is gone."""
        now = time.monotonic()
        if now - self._sent >= after_s:
            _write(self._stream, self._waiting)
            self._waiting, self._sent = [], now

    def begin(self) -> None:
        """A new job: its first answers may wait for others."""
        self._sent = time.monotonic()


def _answers(session: Session, golds: Golds, job: tuple[Any, ...], channel: Channel) -> Iterator[tuple[Any, ...]]:
    """The answers to a job: ("select", place, statements) or ("judge", the fields of a Task)."""
    kind, *rest = job
    if kind == "judge":
        mode, places, gold, ordered, keys, predictions = rest
        task = Task(mode, tuple(Place(*place) for place in places), gold, ordered, keys, predictions)
        yield from map(tuple, judge(session, golds, task, channel.tell))
        return
    place, statements = rest
    for number, sql in enumerate(statements):
        channel.tell(number, False)
        outcome = session.run(Place(*place), sql, collect, "replace")
        if isinstance(outcome, Failure):
            yield ("failure", *outcome)
        elif outcome[0]:
            yield ("rows", *outcome)
        else:
            yield ("failure", "rejected", "not a SELECT: it has no result", "")


def _restrict(limits: Limits) -> None:
    """Limits on the process; a system that lacks one has the others."""
    import resource

    memory = limits.max_memory + 512 * MIB + 16 * limits.max_bytes
    for kind, limit in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle


def _read(stream: BinaryIO) -> Any:
    """The next job, or None at the end of the input."""
    header = stream.read(HEADER.size)
    return marshal.loads(stream.read(HEADER.unpack(header)[0])) if len(header) == HEADER.size else None  # noqa: S302


def _write(stream: BinaryIO, value: Any) -> None:
    data = marshal.dumps(value)
    stream.write(HEADER.pack(len(data)) + data)
    stream.flush()


def main(shared: str, timeout_s: str, *numbers: str) -> None:
    """Answers jobs until the input ends; `shared` is a file descriptor, the other arguments are `Limits`.

    The first message out says that the worker is ready.
    """
    limits = Limits(float(timeout_s), *(int(number) for number in numbers))
    channel = Channel(sys.stdout.buffer, mmap.mmap(int(shared), AT_WORK.size))
    os.close(int(shared))
    _restrict(limits)
    session = Session(limits)
    golds = Golds(session)
    with suppress(BrokenPipeError):
        channel.flush()
        while (job := _read(sys.stdin.buffer)) is not None:
            channel.begin()
            for answer in _answers(session, golds, job, channel):
                channel.give(answer)
            channel.flush()
