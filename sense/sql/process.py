"""A worker process as its parent sees it: start, one request at a time, answers in batches, or how it ended."""

import marshal
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from sense.errors import SenseError
from sense.sql.result import Failure
from sense.sql.sandbox import Limits
from sense.sql.worker import ACTIVITY, HEADER

# The worker sees the standard library and this package: no site-packages to scan, no variable or folder to shadow them.
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from sense.sql.worker import main; main(*sys.argv[2:])"
_ROOT = str(Path(__file__).parents[2])
_PATIENCE_S = 60.0  # for what takes hundredths of a second: starting, sending an answer that is ready; and for a comparison


class WorkerEnd(NamedTuple):
    """How a worker ended: the number of the statement it was at (negative: of a gold), why, and whether it ended by itself."""

    number: int
    failure: Failure
    died: bool


class WorkerProcess:
    """A process that executes one request at a time; `output` is the descriptor that becomes readable with its answers.

    After `deadline` (time.monotonic) there is no use in waiting for the next answers.
    """

    def __init__(self, limits: Limits) -> None:
        self._timeout_s = limits.timeout_s
        self._allowed_s = 1.2 * limits.timeout_s + 0.15  # a statement that can be stopped ends at the time limit itself
        pipe = subprocess.PIPE
        with tempfile.TemporaryFile() as shared:
            shared.truncate(ACTIVITY.size)
            self._shared = mmap.mmap(shared.fileno(), ACTIVITY.size)
            numbers = [str(number) for number in (shared.fileno(), *limits)]
            command = [sys.executable, "-I", "-S", "-c", _PROGRAM, _ROOT, *numbers]
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0, pass_fds=[shared.fileno()]
            )
        if self._process.stdin is None or self._process.stdout is None:
            raise SenseError("the SQL worker has no pipes")  # they were asked for: this is for the type checker
        self._input, self._output = self._process.stdin, self._process.stdout
        self.output = self._output.fileno()
        self.deadline = self._overdue = 0.0
        try:
            self._receive()
        except (EOFError, TimeoutError):
            self.kill()
            raise SenseError(
                f"{sys.executable}: cannot start a SQL worker; check that this Python has sqlite3 and memory"
            ) from None

    def send(self, request: tuple[Any, ...]) -> None:
        """Sends a request (see `worker.py`); raises BrokenPipeError if the worker has died."""
        ACTIVITY.pack_into(self._shared, 0, -1, False, time.monotonic())
        payload = marshal.dumps(request)
        message = memoryview(HEADER.pack(len(payload)) + payload)
        while message:
            message = message[os.write(self._input.fileno(), message) :]
        self._set_deadline()

    def receive(self, ready: bool) -> list[Any] | WorkerEnd:
        """The answers since the last ones, maybe none; or how the worker ended, killed here if it is overdue.

        `ready` says whether `output` is readable.
        """
        if not ready:
            number, comparing, since = self._activity()
            now = time.monotonic()
            if now < since + self._allowed_s:  # it has got further, and only its message is late
                self.deadline = self._overdue = since + self._allowed_s
                return []
            if comparing and now < self._overdue + _PATIENCE_S:
                self.deadline = now + 1.0
                return []
            self.kill()
            return WorkerEnd(number, self._timeout(comparing), died=False)
        try:
            answers: list[Any] = self._receive()
        except (EOFError, TimeoutError):
            code = self.kill()
            number, _ = self.current()
            if code == -signal.SIGALRM:
                return WorkerEnd(number, self._timeout(False), died=False)
            return WorkerEnd(number, Failure("error", f"the query brought its process down (exit code {code})"), died=True)
        self._set_deadline()
        return answers

    @property
    def ended(self) -> bool:
        """Whether it was killed, or found dead."""
        return self._shared.closed

    def current(self) -> tuple[int, bool]:
        """The number of the statement it is at, negative for a gold, and whether it compares results."""
        number, comparing, _ = self._activity()
        return number, comparing

    def _activity(self) -> tuple[int, bool, float]:
        number, comparing, since = self._last_activity if self.ended else ACTIVITY.unpack_from(self._shared, 0)
        return number, comparing, since

    def _timeout(self, comparing: bool) -> Failure:
        if comparing:
            return Failure("timeout", f"more than {_PATIENCE_S:g} s to compare the results", "clock")
        return Failure("timeout", f"more than {self._timeout_s:g} s, at work that SQLite cannot interrupt", "clock")

    def _set_deadline(self) -> None:
        """Sets `deadline`: one statement's time, and some for what happens between two messages."""
        self.deadline = self._overdue = time.monotonic() + self._allowed_s

    def _receive(self) -> Any:
        """The next message; EOFError if the process has ended, TimeoutError if it stops in the middle."""
        deadline = time.monotonic() + _PATIENCE_S
        poll = select.poll()
        poll.register(self.output, select.POLLIN)
        data = bytearray()
        size = HEADER.size
        while len(data) < size:
            if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
                raise TimeoutError
            part = os.read(self.output, min(size - len(data), 1 << 20))  # no more: the next message may follow
            if not part:
                raise EOFError
            data += part
            if size == HEADER.size and len(data) >= size:
                size += HEADER.unpack_from(data)[0]
        return marshal.loads(memoryview(data)[HEADER.size :])  # noqa: S302  (from our own program)

    def kill(self) -> int:
        """Ends the process at once, if it has not ended; returns its exit code, negative for a signal."""
        self._process.kill()
        self._input.close()
        self._output.close()
        code = self._process.wait()
        if not self.ended:
            self._last_activity = ACTIVITY.unpack_from(self._shared, 0)
            self._shared.close()
        return code

    def close(self) -> None:
        """Lets the process end by itself, as it does when its input ends."""
        self._input.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        self.kill()
