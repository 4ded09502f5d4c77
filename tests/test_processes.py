"""Work in several processes: results, errors, and how the processes end."""

import os
import select
import signal
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from sense.errors import StorageError, UserError
from sense.processes import Processes

ROOT = Path(__file__).parents[1]


class Adder:
    """A worker that adds, fails and kills its process."""

    def add(self, a: int, b: int) -> int:
        return a + b

    def fail(self) -> None:
        raise StorageError("disk full")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def wait(self) -> None:
        signal.pause()

    def pid(self) -> int:
        return os.getpid()


@contextmanager
def make_adder():
    yield Adder()


needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are not forked")


@pytest.mark.parametrize(("count", "start"), [(1, "spawn"), (2, "spawn"), pytest.param(2, "fork", marks=needs_fork)])
def test_calls_return_or_raise(count, start):
    with Processes(make_adder, count, start) as processes:
        assert list(processes.map(Adder.add, [(1, 2), (3, 4)])) == [3, 7]
        futures = [processes.submit(Adder.add, number, 1) for number in range(20)]
        assert [future.result() for future in futures] == list(range(1, 21))
        with pytest.raises(StorageError, match="disk full"):
            processes.submit(Adder.fail).result()
        assert (processes.submit(Adder.pid).result() == os.getpid()) == (count == 1)


@needs_fork
def test_a_forked_process_has_what_is_in_memory():
    adder = Adder()
    adder.only_here = lambda: 7  # cannot be pickled
    with Processes(lambda: nullcontext(adder), 2, "fork") as processes:
        assert processes.submit(_call_it).result() == 7


def _call_it(adder):
    return adder.only_here()


def test_in_one_process_the_second_call_waits_until_its_result_is_wanted():
    with Processes(make_adder, 1) as processes:
        results = processes.map(Adder.add, [(1, 2), (1, None)])
        assert next(results) == 3
        with pytest.raises(TypeError):
            next(results)


def test_a_killed_process_is_a_matter_of_memory():
    with (
        pytest.raises(UserError, match=r"one of 2 processes was killed, perhaps for want of memory; .* a lower batch_size"),
        Processes(make_adder, 2, remedy="batch_size") as processes,
    ):
        processes.submit(Adder.die).result()


@contextmanager
def make_nothing():
    raise StorageError("model.safetensors: no room; free some")
    yield


@pytest.mark.parametrize(("count", "start"), [(1, "spawn"), (2, "spawn"), pytest.param(2, "fork", marks=needs_fork)])
def test_an_error_of_make_worker_is_that_of_the_first_call(count, start):
    with (
        pytest.raises(StorageError, match="no room; free some"),
        Processes(make_nothing, count, start) as processes,
    ):
        processes.submit(Adder.pid).result()


INTERRUPTED = """
from sense.processes import Processes
from tests.test_processes import Adder, make_adder

try:
    with Processes(make_adder, 2, "fork") as processes:
        waiting = processes.submit(Adder.wait)
        processes.submit(Adder.pid).result()
        raise KeyboardInterrupt
except KeyboardInterrupt:
    print("ended", waiting.done())
"""


@needs_fork
def test_forked_processes_are_ended_at_an_error():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", INTERRUPTED]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert (ended.stdout, ended.stderr) == ("ended True\n", "")


PROGRAM = """
import sys
from sense.processes import Processes
from tests.test_processes import Adder, make_adder

if __name__ == "__main__":
    with Processes(make_adder, 2, sys.argv[1]) as processes:
        print(processes.submit(Adder.pid).result(), flush=True)
        input()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process that is no child")
@pytest.mark.parametrize("start", ["spawn", pytest.param("fork", marks=needs_fork)])
def test_processes_end_with_a_killed_parent(tmp_path, start):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, program, start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        descriptor = os.pidfd_open(int(parent.stdout.readline()))
        try:
            assert not select.select([descriptor], [], [], 0)[0]
            parent.kill()
            assert select.select([descriptor], [], [], 20)[0]
        finally:
            os.close(descriptor)
