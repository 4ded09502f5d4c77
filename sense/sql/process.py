"""A worker process as its parent sees it: start, one job at a time, an answer or its end."""

import marshal
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from sense.errors import SenseError
from sense.sql.sandbox import Limits
from sense.sql.worker import HEADER, Answer

# The worker sees the standard library and this package: no site-packages to scan, no variable or folder to shadow them.
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from sense.sql.worker import main; main(*sys.argv[2:])"
_ROOT = str(Path(__file__).parents[2])
_PATIENCE_S = 60.0  # for what takes hundredths of a second: starting, and sending an answer that is ready


class Worker:
    """A process that executes one job at a time; `output` is the descriptor that becomes readable with its answer."""

    def __init__(self, limits: Limits) -> None:
        self._timeout_s = limits.timeout_s
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM, _ROOT, *(str(limit) for limit in limits)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0)
        if self._process.stdin is None or self._process.stdout is None:
            raise SenseError("the SQL worker has no pipes")  # they were asked for: this is for the type checker
        self._input, self._output = self._process.stdin, self._process.stdout
        self.output = self._output.fileno()
        self.alive = True
        self.deadline = 0.0
        try:
            self._receive()
        except (EOFError, TimeoutError):
            self.kill()
            raise SenseError(
                f"{sys.executable}: cannot start a SQL worker; check that this Python has sqlite3 and memory"
            ) from None

    def start(self, database: Path, sql: str) -> None:
        """Sends a job and sets `deadline`, after which there is no use in waiting; BrokenPipeError if the worker has died."""
        path = database.absolute()
        payload = marshal.dumps((str(path), path.as_uri(), sql))
        message = memoryview(HEADER.pack(len(payload)) + payload)
        while message:
            message = message[os.write(self._input.fileno(), message) :]
        self.deadline = time.monotonic() + 1.3 * self._timeout_s + 0.2

    def answer(self, ready: bool) -> Answer:
        """The answer to the job; if none is `ready`, or the process has ended, the worker is not `alive` afterwards."""
        late: Answer = ("timeout", f"more than {self._timeout_s:g} s, at work that SQLite cannot interrupt", None)
        if not ready:
            self.kill()
            return late
        try:
            answer: Answer = self._receive()
        except (EOFError, TimeoutError):
            code = self.kill()
            return late if code == -signal.SIGALRM else ("error", f"the query brought its process down (exit code {code})", None)
        return answer

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
            part = os.read(self.output, 1 << 20)  # never more than this message: nothing is sent unasked
            if not part:
                raise EOFError
            data += part
            if size == HEADER.size and len(data) >= size:
                size += HEADER.unpack_from(data)[0]
        return marshal.loads(memoryview(data)[HEADER.size :])  # noqa: S302  (from our own program)

    def kill(self) -> int:
        """Ends the process at once, if it has not ended; returns its exit code, negative for a signal."""
        self.alive = False
        self._process.kill()
        self._input.close()
        self._output.close()
        return self._process.wait()

    def close(self) -> None:
        """Lets the process end by itself, as it does when its input ends."""
        self._input.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        self.kill()
