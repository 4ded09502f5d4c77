"""Measures a stage while it runs. A killed try leaves what it had used by its last note, so that no try is forgotten.

Every process of a stage (accelerate and torchrun start several) notes its own use every few seconds in the work directory of the
stage, in a file for each try. What a killed try used after its last note is lost: then the sum is not complete, and says so.
"""

import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from sense import config, records
from sense.cost import usage
from sense.cost.record import Cost
from sense.errors import StorageError

INTERVAL_S = 20.0
"""Seconds between two notes."""

_KIB = 1 if sys.platform == "darwin" else 1024  # in what getrusage tells memory
_MAIN = "0"  # the rank of the first process


class Meter:
    """What this process has used since the meter was made."""

    def __init__(self) -> None:
        usage.forget_gpus()
        self._started, self._cpu_s, self._usage = time.monotonic(), _cpu_seconds(), usage.so_far()

    def read(self, complete: bool) -> Cost:
        """The use so far; `complete` unless it goes on, or tokens were not counted."""
        wall_s, (gpus, peak_gpu_bytes), now = time.monotonic() - self._started, usage.gpus(), usage.so_far()
        before = self._usage
        tokens = {kind: now.tokens.get(kind, 0) - before.tokens.get(kind, 0) for kind in usage.TOKENS}
        return Cost(
            wall_s=wall_s,
            cpu_s=_cpu_seconds() - self._cpu_s,
            gpu_s=wall_s * gpus,
            peak_bytes=max(resource.getrusage(who).ru_maxrss for who in _PROCESSES) * _KIB,
            peak_gpu_bytes=peak_gpu_bytes,
            tokens={kind: n for kind, n in tokens.items() if n},
            money=None if now.money is None or now.money == before.money else now.money - (before.money or 0.0),
            complete=complete and now.gaps == before.gaps,
        )


_PROCESSES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
_running: Meter | None = None


@contextmanager
def measure(folder: Path) -> Iterator[None]:
    """Notes in `folder` what this process uses within the block, in a file of this try; `total` sums them up."""
    global _running  # what a process uses is process-wide
    rank = config.environment("RANK", _MAIN)
    note = folder / f"{rank}-{len(list(folder.glob(f'{rank}-*.json')))}.json"
    meter = Meter()
    records.write_json(note, asdict(meter.read(complete=False)))
    ended = threading.Event()
    thread = threading.Thread(target=_note_again_and_again, args=(meter, note, ended), daemon=True)
    thread.start()
    _running = meter
    try:
        yield
    finally:
        _running = None
        ended.set()
        thread.join()
        if folder.is_dir():  # else the first process has ended the stage already, and needs no more notes
            records.write_json(note, asdict(meter.read(complete=True)))


def so_far() -> Cost | None:
    """What this process has used in this try of the stage that it runs; None if it runs none."""
    return None if _running is None else replace(_running.read(complete=True), tries=1)


def total(folder: Path) -> Cost:
    """The sum of all tries and processes that have left a note in `folder`."""
    by_rank: dict[str, Cost] = {}
    for file in sorted(folder.glob("*-*.json")):
        rank = file.name.partition("-")[0]
        cost = Cost(**records.read_json(file))
        by_rank[rank] = by_rank[rank] + cost if rank in by_rank else cost
    whole = by_rank.pop(_MAIN)
    for cost in by_rank.values():
        whole = whole.beside(cost)
    return whole


def _note_again_and_again(meter: Meter, note: Path, ended: threading.Event) -> None:
    while not ended.wait(INTERVAL_S):
        try:
            records.write_json(note, asdict(meter.read(complete=False)))
        except StorageError:  # a full disk: the stage meets it too, and says so
            return


def _cpu_seconds() -> float:
    """Seconds of processors, of this process and of those that it has started and waited for."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, _PROCESSES))
