"""`kill -9` of what scores: of single workers at many moments, of the worker of a certain query, of `sense score` itself."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from sense.config import ExecutionConfig
from sense.evaluation.score import ScoringItem, score
from sense.records import Verdict, dump
from sense.sql.database_file import DatabaseFile
from sense.sql.execute import Executor
from sense.sql.modes import MODES, SPIDER, STRICT
from sense.sql.process import WorkerEnd, WorkerProcess
from sense.sql.result import Result
from sense.sql.sandbox import Limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes through /proc")

N = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n{})"
ENDLESS = N.format("") + " SELECT count(*) FROM n"
LIMITS = ExecutionConfig(timeout_s=60, max_steps=10**13, workers=2)  # nothing but a kill ends ENDLESS in time
GOLDS, PREDICTIONS = 16, 30
COMMAND_ITEMS = 4 * PREDICTIONS  # in six modes: some three seconds of work
KILLED = "the query brought its process down (exit code -9)"


def counting_query(rows):
    """A query of some milliseconds."""
    return f"SELECT count(*) FROM ({N.format(f' LIMIT {rows}')} SELECT i FROM n)"


def predictions(gold):
    """Predictions of every verdict but timeouts."""
    for number in range(PREDICTIONS):
        kinds = (f"{gold} WHERE {number} = {number}", f"{gold} + {number}", f"SELECT no{number}", f"DELETE FROM pet -- {number}")
        yield (*kinds, f"{gold} UNION ALL SELECT {number} FROM pet")[number % 5]


def items(pets):
    golds = [counting_query(20_000 + number) for number in range(GOLDS)]
    pairs = [(gold, sql) for gold in golds for sql in predictions(gold)]
    return [ScoringItem(f"q{number}", pets, sql, gold) for number, (gold, sql) in enumerate(pairs)]


def workers(process):
    """The ids of a process's workers, and the seconds of CPU that each has had."""
    seconds_by_worker = {}
    for task in Path(f"/proc/{process}/task").glob("*"):
        with suppress(OSError):
            for child in (task / "children").read_text().split():
                with suppress(OSError):
                    if b"sense.sql.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                        seconds_by_worker[int(child)] = int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) / 1e9
    return seconds_by_worker


class Killer(threading.Thread):
    """Kills this process's workers when `due(number, seconds)`: the worker's number from 0 on, and the CPU that it has had."""

    def __init__(self, due: Callable[[int, float], bool]) -> None:
        super().__init__(daemon=True)
        self._due, self._over = due, threading.Event()
        self._seen: dict[int, int] = {}
        self.killed: list[int] = []

    def run(self) -> None:
        while not self._over.wait(0.001):
            for worker, seconds in workers(os.getpid()).items():
                number = self._seen.setdefault(worker, len(self._seen))
                if worker not in self.killed and self._due(number, seconds):
                    self.killed.append(worker)
                    with suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)

    def __enter__(self) -> "Killer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


class UndisturbedRun(NamedTuple):
    """A run that nobody disturbs, and seconds of CPU on this machine: until both workers have started, and of all their work."""

    verdicts: list[Verdict]
    starting: float
    working: float


@pytest.fixture(scope="module")
def undisturbed(pets):
    with Executor(LIMITS) as executor:
        list(executor.map([(pets, "SELECT 1")] * 2))
        starting = sum(workers(os.getpid()).values())
        verdicts = score(executor, items(pets), "whole")
        working = sum(workers(os.getpid()).values()) - starting
    assert {verdict.verdict for verdict in verdicts} == {"match", "mismatch", "error", "rejected"}
    return UndisturbedRun(verdicts, starting, working)


@pytest.fixture(scope="module")
def whole(undisturbed):
    """The verdicts of an undisturbed run."""
    return undisturbed.verdicts


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.3, 0.4])
def test_a_worker_that_is_killed_costs_no_verdict(pets, undisturbed, share):
    """Both first workers, once each: at once while they start, then in the middle of their queries, long before these end."""
    due = (undisturbed.starting + share * undisturbed.working) / 2 if share else 0.0
    with Killer(lambda number, cpu: number < 2 and cpu >= due) as killer, Executor(LIMITS) as executor:
        assert score(executor, items(pets), "killed") == undisturbed.verdicts
    assert killer.killed


def test_workers_killed_again_and_again_cost_no_verdict(pets, undisturbed):
    """Every worker, once it has worked longer than one gold with all its predictions takes: so no query is hit twice."""
    due = undisturbed.starting + 2 * undisturbed.working / GOLDS
    with Killer(lambda _, cpu: cpu >= due) as killer, Executor(LIMITS) as executor:
        many = [score(executor, items(pets), "killed") for _ in range(3)]
    assert many == [undisturbed.verdicts] * 3
    assert len(killer.killed) > 4


def test_workers_killed_while_they_wait_are_replaced(pets, whole):
    with Executor(LIMITS) as executor:
        for _ in range(2):
            assert score(executor, items(pets), "killed") == whole
            waiting = workers(os.getpid())
            assert waiting
            for worker in waiting:
                os.kill(worker, signal.SIGKILL)
        assert executor.run(pets, "SELECT 1").rows == [(1,)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", [STRICT, SPIDER])
def test_a_query_that_ends_its_worker_each_time_is_an_error_and_the_others_lose_nothing(pets, mode):
    gold, bad_gold = counting_query(100), f"{ENDLESS} -- gold"
    pairs = [(gold, sql) for sql in predictions(gold)]
    for number in (0, 7, 7, len(pairs)):
        pairs.insert(number, (gold, f"{ENDLESS} -- {number}"))
    pairs.insert(3, (bad_gold, "SELECT 1"))
    pairs.append((bad_gold, "SELECT 2"))
    rows = [ScoringItem(str(number), pets, sql, gold) for number, (gold, sql) in enumerate(pairs)]
    harmless = [row for row in rows if ENDLESS not in row.predicted + row.gold]
    with Executor(LIMITS) as executor:
        expected = {verdict.id: verdict for verdict in score(executor, harmless, "harmless", mode)}
    with Killer(lambda _, cpu: cpu >= 0.4) as killer, Executor(LIMITS) as executor:
        verdicts = score(executor, rows, "killed", mode)
    for row, verdict in zip(rows, verdicts, strict=True):
        if row.id in expected:
            assert verdict == expected[row.id]
        elif row.gold == bad_gold:
            assert (verdict.verdict, verdict.detail) == ("gold_error", f"gold: error: {KILLED}")
        else:
            assert (verdict.verdict, verdict.detail) == ("error", KILLED)
    assert len(killer.killed) >= 2 * 4  # each is given a second chance


def test_a_query_that_has_only_just_begun_is_not_overdue(pets):
    """The parent looks too late, after many short queries that it has not heard of: the one at work is not to blame."""
    worker = WorkerProcess(Limits(timeout_s=0.3, max_rows=10, max_bytes=1000, max_steps=10**9, max_sql=1000))
    try:
        worker.send(("select", tuple(DatabaseFile.from_path(pets)), (counting_query(10_000),) * 1000))
        while time.monotonic() < worker.deadline:
            pass
        assert not isinstance(worker.receive(ready=False), WorkerEnd)
        assert worker.receive(ready=True)[0] == ("rows", ("count(*)",), [(10_000,)])
    finally:
        worker.kill()


def test_a_query_that_ends_its_worker_takes_no_other_outcome_with_it(pets):
    statements = [(pets, ENDLESS if number == 5 else f"SELECT {number}") for number in range(20)]
    with Killer(lambda _, cpu: cpu >= 0.4), Executor(LIMITS) as executor:
        outcomes = list(executor.map(statements))
    assert (outcomes[5].verdict, outcomes[5].detail) == ("error", KILLED)
    assert [outcome for number, outcome in enumerate(outcomes) if number != 5] == [
        Result((str(number),), [(number,)]) for number in range(20) if number != 5
    ]


@pytest.fixture(scope="module")
def command(tmp_path_factory, pets):
    """Runs `sense score` in all modes on files of the first of these items into a folder."""
    folder = tmp_path_factory.mktemp("command")
    database = folder / "databases" / "pets" / "pets.sqlite"
    database.parent.mkdir(parents=True)
    database.write_bytes(pets.read_bytes())
    pairs = items(pets)[:COMMAND_ITEMS]
    golds = list(dict.fromkeys(gold for _, _, _, gold in pairs))
    examples = [{"id": f"g{number}", "db_id": "pets", "sql": gold} for number, gold in enumerate(golds)]
    lines = [{"id": key, "example_id": f"g{golds.index(gold)}", "sql": sql} for key, _, sql, gold in pairs]
    for name, rows in (("examples", examples), ("predictions", lines)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def start(output):
        files = {
            "databases": folder / "databases",
            "examples": folder / "examples.jsonl",
            "predictions": folder / "predictions.jsonl",
        }
        flags = [flag for name, path in (files | {"output": output}).items() for flag in (f"--{name}", str(path))]
        modes = [flag for mode in MODES[:-1] for flag in ("--mode", mode)]
        arguments = [sys.executable, "-m", "sense", "score", *flags, *modes, "--workers", "2", "--timeout", "60", "--json"]
        return subprocess.Popen(arguments, stdout=subprocess.DEVNULL)

    return start


@pytest.mark.slow
def test_the_command_killed_and_run_again_writes_the_same_bytes_and_leaves_no_process(command, tmp_path, whole):
    output = tmp_path / "out" / "verdicts.jsonl"
    assert command(output).wait() == 0
    undisturbed = output.read_bytes()
    strict = [line for line in undisturbed.decode().splitlines() if json.loads(line)["mode"] == STRICT]
    assert strict == [dump(verdict) for verdict in whole[:COMMAND_ITEMS]]
    for seconds in (0.0, 0.2, 0.6):  # of work, of some three in all
        output.write_text("old\n")
        process = command(output)
        seconds_by_worker: dict[int, float] = {}
        while process.poll() is None and not (seconds_by_worker and sum(seconds_by_worker.values()) >= seconds):
            seconds_by_worker = workers(process.pid)
        left = [os.pidfd_open(worker) for worker in seconds_by_worker]
        assert left
        process.kill()
        process.wait()
        for descriptor in left:
            assert select.select([descriptor], [], [], 30)[0]  # readable once the worker has ended
            os.close(descriptor)
        assert output.read_bytes() in (b"old\n", undisturbed)
        assert command(output).wait() == 0
        assert output.read_bytes() == undisturbed
        assert [file.name for file in output.parent.iterdir()] == [output.name]


@pytest.mark.slow
def test_a_worker_in_a_query_without_end_ends_after_its_parent(pets):
    """It hears of its parent's end only when it is done, or when its own clock stops it."""
    program = (
        "import sys, pathlib; from sense.sql.execute import Executor; from sense.evaluation.score import ScoringItem, score\n"
        "from sense.config import ExecutionConfig\n"
        "with Executor(ExecutionConfig(timeout_s=2, max_steps=10**13, workers=2)) as executor:\n"
        "    score(executor, [ScoringItem(sys.argv[1], pathlib.Path(sys.argv[1]), sql, sql) for sql in sys.argv[2:]], '')"
    )
    uninterruptible = "SELECT instr(hex(zeroblob(4500000)), hex(zeroblob(2000000)) || '1')"
    with subprocess.Popen([sys.executable, "-c", program, str(pets), ENDLESS, uninterruptible]) as process:
        seconds_by_worker = {}
        while process.poll() is None and sum(seconds > 0.2 for seconds in seconds_by_worker.values()) < 2:
            seconds_by_worker = workers(process.pid)
        left = [os.pidfd_open(worker) for worker in seconds_by_worker]
        process.kill()
    assert len(left) == 2
    for descriptor in left:
        assert select.select([descriptor], [], [], 60)[0]
        os.close(descriptor)
