"""How long hostile SQL can hold a worker, and how much memory it can take: every attack of tests/sql/hostile.py under every mode.

    .venv/bin/python -m benchmarks.hostile [--timeout SECONDS] [--workers N]

Each attack is scored alone, with the limits of `sense score`, on a worker that is ready; texts are as large as those limits
allow. Time is given as a multiple of the timeout (a mode that times right queries may take more), memory as the largest
resident set of a worker in MiB. Prints the worst rows as markdown; exits with 1 if an attack gets no verdict, a plain
query after it does not match, or the database's folder has changed.
"""

import argparse
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from sense.config import ExecutionConfig
from sense.errors import SenseError
from sense.evaluation.command import execution_limits
from sense.evaluation.score import ScoringItem, score
from sense.records import digest
from sense.sql.execute import Executor
from sense.sql.modes import MODES
from sense.verdicts import VerdictName
from tests.sql import hostile
from tests.sql.hostile import PLAIN, SLY

MAX_ROWS = 12
SAMPLING_S = 0.005  # between two looks at the workers' memory; it grows by some MiB in that time
GOAL = 1.5


@dataclass(frozen=True)
class AttackRun:
    """What one attack did under one mode."""

    mode: str
    name: str
    verdict: str
    ratio: float
    peak: int
    sound: bool


def children() -> list[int]:
    """The process ids of this process's children."""
    processes = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            processes += [int(process) for process in (task / "children").read_text().split()]
    return processes


def resident(process: int) -> int:
    """The largest resident set that a process has had, in MiB; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return 0


@contextmanager
def watch_memory() -> Iterator[list[int]]:
    """A list with one number, the largest resident set of any child meanwhile."""
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLING_S):
            peak[0] = max(peak[0], *map(resident, children()), 0)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        peak[0] = max(peak[0], *map(resident, children()), 0)
        over.set()
        thread.join()


def run_attack(database: Path, mode: str, name: str, sql: str, execution: ExecutionConfig) -> AttackRun:
    """Scores an attack and, after it, a plain query on workers started for them."""
    with Executor(execution) as executor:
        score(executor, [ScoringItem("ready", database, PLAIN, PLAIN)], "ready", mode)
        with watch_memory() as peak:
            started = time.monotonic()
            try:
                (verdict,) = (row.verdict for row in score(executor, [ScoringItem(name, database, sql, PLAIN)], name, mode))
            except (SenseError, OSError, ValueError, KeyError, MemoryError) as error:
                verdict = f"none: {error}"
            seconds = time.monotonic() - started
        (after,) = score(executor, [ScoringItem("after", database, f"{PLAIN} AND 1", PLAIN)], "after", mode)
    sound = verdict in get_args(VerdictName) and after.verdict == "match"
    return AttackRun(mode, name, verdict, seconds / execution.timeout_s, peak[0], sound)


def print_table(title: str, rows: list[AttackRun]) -> None:
    """Prints rows as markdown."""
    print(f"\n{title}\n\n| attack | mode | verdict | time / timeout | peak MiB |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.name} | {row.mode} | {row.verdict} | {row.ratio:.2f} | {row.peak} |")


def main() -> int:
    """Measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS", help="of one query, default: 5")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="default: 1")
    options = parser.parse_args()
    execution = execution_limits(options.timeout, options.workers)
    size = execution.max_bytes * 9 // 20
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        database = hostile.build(Path(folder))
        before = digest(database.parent)
        attacks = {attack.name: attack.sql for attack in hostile.statements(database.parent, size)}
        attacks["slow one time in ten"] = hostile.fill_placeholders(SLY, database.parent, size)
        for name, sql in attacks.items():
            rows += [run_attack(database, mode, name, sql, execution) for mode in MODES]
            print(f"{len(rows)}/{len(attacks) * len(MODES)} {name}", file=sys.stderr)
        changed = digest(database.parent) != before
    slowest = sorted(rows, key=lambda row: -row.ratio)
    print(f"{len(attacks)} attacks, {len(MODES)} modes, timeout {options.timeout:g} s, {os.cpu_count()} CPUs")
    print_table("Slowest", slowest[:MAX_ROWS])
    print_table("Largest", sorted(rows, key=lambda row: -row.peak)[:MAX_ROWS])
    over = sum(row.ratio > GOAL for row in rows)
    print(f"\n{over} of {len(rows)} took more than {GOAL:g} times the timeout; of the others the slowest took ", end="")
    print(f"{max((row.ratio for row in rows if row.ratio <= GOAL), default=0):.2f} times")
    for name, process in (("a worker", resource.RUSAGE_CHILDREN), ("this process", resource.RUSAGE_SELF)):
        print(f"largest resident set of {name}: {resource.getrusage(process).ru_maxrss // 1024} MiB")
    unsound = [row for row in rows if not row.sound]
    if unsound:
        print_table("No verdict, or no match after it", unsound)
    print(f"the database's folder: {'CHANGED' if changed else 'unchanged'}")
    return int(changed or bool(unsound))


if __name__ == "__main__":
    sys.exit(main())
