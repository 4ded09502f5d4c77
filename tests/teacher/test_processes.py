"""Work in several processes: results, errors, and how the processes end."""

import os
import select
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from sense.errors import StorageError, UserError
from sense.teacher.processes import Processes

ROOT = Path(__file__).parents[2]


class Adder:
    """A worker that adds, fails and kills its process."""

    def add(self, a: int, b: int) -> int:
        return a + b

    def fail(self) -> None:
        raise StorageError("disk full")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def pid(self) -> int:
        return os.getpid()


@contextmanager
def make_adder():
    yield Adder()


@pytest.mark.parametrize("count", [1, 2])
def test_calls_return_or_raise(count):
    with Processes(make_adder, count) as processes:
        futures = [processes.submit(Adder.add, number, 1) for number in range(20)]
        assert [future.result() for future in futures] == list(range(1, 21))
        with pytest.raises(StorageError, match="disk full"):
            processes.submit(Adder.fail).result()
        assert (processes.submit(Adder.pid).result() == os.getpid()) == (count == 1)


def test_a_killed_process_is_a_matter_of_memory():
    with (
        pytest.raises(UserError, match=r"one of 2 processes was killed, perhaps for want of memory"),
        Processes(make_adder, 2) as processes,
    ):
        processes.submit(Adder.die).result()


PROGRAM = """
from sense.teacher.processes import Processes
from tests.teacher.test_processes import Adder, make_adder

if __name__ == "__main__":
    with Processes(make_adder, 2) as processes:
        print(processes.submit(Adder.pid).result(), flush=True)
        input()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process that is no child")
def test_processes_end_with_a_killed_parent(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        descriptor = os.pidfd_open(int(parent.stdout.readline()))
        try:
            assert not select.select([descriptor], [], [], 0)[0]
            parent.kill()
            assert select.select([descriptor], [], [], 20)[0]
        finally:
            os.close(descriptor)
