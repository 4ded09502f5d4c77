"""The program of a worker process, which executes hostile SQL: `process.py` starts it, talks to it and kills it.

It imports little, so that it starts in a few hundredths of a second. It reads requests from standard input and writes answers to
standard output, both as a length and a marshalled value, and ends when its input does. A request is one of

    ("select", file, (sql, ...))                      answered with ("rows", columns, rows) or ("failure", ...) for each SQL
    ("judge", mode, files, golds, statements)         answered with the fields of a verdict for each prediction

The golds and statements are those of several judge.Batch of one mode on the same files: a gold with what a batch tells of it, a
prediction with its gold's number.

The answers to a request come several in a message. What the worker is doing at the moment stands in a piece of memory that it
shares with its parent, so that the parent knows, when it has to kill it or finds it dead, which statement that was.
"""

import marshal
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, BinaryIO

from sense.sql.database_file import DatabaseFile
from sense.sql.judge import Batch, GoldCache, as_result, judge
from sense.sql.result import Failure
from sense.sql.sandbox import MIB, Limits, Sandbox, fetch_all
from sense.sql.ties import Ordering
from sense.verdicts import VerdictFields

HEADER = struct.Struct("!Q")  # the length of a message in bytes
# The number of the statement (-1, -2, ...: the first gold, the second, ...), whether it is a comparison, which has no limit, and
# since when (time.monotonic).
ACTIVITY = struct.Struct("=q?d")
_SEND_EVERY_S = 0.02  # answers wait this long for others, to be sent together


class Channel:
    """The answers on their way to the parent."""

    def __init__(self, stream: BinaryIO, shared: mmap.mmap) -> None:
        self._stream, self._shared = stream, shared
        self._waiting: list[Any] = []
        self._sent_at = time.monotonic()

    def announce(self, number: int, comparing: bool) -> None:
        """Notes which statement comes next, and lets the parent hear from this process: it waits for one statement at most."""
        self.flush(_SEND_EVERY_S)
        ACTIVITY.pack_into(self._shared, 0, number, comparing, time.monotonic())

    def send(self, answer: Any) -> None:
        """Adds an answer to those that wait."""
        self._waiting.append(answer)

    def flush(self, after_s: float = 0.0) -> None:
        """Sends what waits, if the last message is older than `after_s`; BrokenPipeError if the parent is gone."""
        now = time.monotonic()
        if now - self._sent_at >= after_s:
            _write(self._stream, self._waiting)
            self._waiting, self._sent_at = [], now

    def start_request(self) -> None:
        """Begins a new request: its first answers may wait for others."""
        self._sent_at = time.monotonic()


def _answers(sandbox: Sandbox, golds: GoldCache, request: tuple[Any, ...], channel: Channel) -> Iterator[tuple[Any, ...]]:
    kind, *rest = request
    if kind == "judge":
        yield from map(tuple, _verdicts(sandbox, golds, rest, channel))
        return
    file, statements = rest
    for number, sql in enumerate(statements):
        channel.announce(number, False)
        outcome = as_result(sandbox.run(DatabaseFile(*file), sql, fetch_all, "replace"))
        yield ("failure" if isinstance(outcome, Failure) else "rows", *outcome)


def _verdicts(sandbox: Sandbox, golds: GoldCache, fields: Sequence[Any], channel: Channel) -> Iterator[VerdictFields]:
    mode, files, gold_fields, statements = fields
    files = tuple(DatabaseFile(*file) for file in files)
    first = 0
    for number, of_gold in groupby(statements, key=itemgetter(0)):
        gold, ordered, order_columns, ordering, main = gold_fields[number]
        predictions = tuple(prediction for _, prediction in of_gold)
        batch = Batch(mode, files, gold, ordered, order_columns, ordering and Ordering(*ordering), predictions, main)
        yield from judge(sandbox, golds, batch, partial(_announce, channel, first, -1 - number))
        first += len(predictions)


def _announce(channel: Channel, first: int, gold: int, number: int, comparing: bool) -> None:
    """Announces statement `number` of a batch whose statements begin with `first`; -1 is its gold, announced as `gold`."""
    channel.announce(first + number if number >= 0 else gold, comparing)


def _restrict(limits: Limits) -> None:
    """Sets limits on this process; a system that lacks one has the others."""
    import resource

    memory = limits.max_memory + 512 * MIB + 16 * limits.max_bytes
    for kind, limit in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle


def _read(stream: BinaryIO) -> Any:
    """The next request, or None at the end of the input."""
    header = stream.read(HEADER.size)
    return marshal.loads(stream.read(HEADER.unpack(header)[0])) if len(header) == HEADER.size else None  # noqa: S302


def _write(stream: BinaryIO, value: Any) -> None:
    data = marshal.dumps(value)
    stream.write(HEADER.pack(len(data)) + data)
    stream.flush()


def main(shared: str, timeout_s: str, *numbers: str) -> None:
    """Answers requests until the input ends; `shared` is a file descriptor, the other arguments are `Limits`.

    The first message out says that the worker is ready.
    """
    limits = Limits(float(timeout_s), *(int(number) for number in numbers))
    channel = Channel(sys.stdout.buffer, mmap.mmap(int(shared), ACTIVITY.size))
    os.close(int(shared))
    _restrict(limits)
    sandbox = Sandbox(limits)
    golds = GoldCache(sandbox)
    with suppress(BrokenPipeError):
        channel.flush()
        while (request := _read(sys.stdin.buffer)) is not None:
            channel.start_request()
            for answer in _answers(sandbox, golds, request, channel):
                channel.send(answer)
            sandbox.close_shared()
            channel.flush()
