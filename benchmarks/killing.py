"""A run of synthesize with an LLM teacher that is killed, or whose endpoint fails: what is lost, and what is paid for twice.

    python -m benchmarks.killing [--kills 10] [--count 60] [--seed 0]

The endpoint is the stand-in for LLMs, in this process, so that it outlives the kills; runs that are killed (SIGKILL, at moments
drawn with the seed) are processes of their own.
"""

import argparse
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from sense.config import GrammarConfig
from sense.stand_in.stand_in import Behaviour, StandIn
from sense.teacher.answer_cache import key
from tests.batch_endpoint import BatchEndpoint
from tests.endpoint import Answerer, Reply
from tests.llm_runs import digests, run_at, seed_dataset

FAULTS = ("429", "500", "slow", "truncated", "refusal", "wrong-sql")
MODES: dict[str, dict[str, Any]] = {"requests": {"mode": "requests"}, "batch": {"mode": "batch", "batch_least": 5}}


@dataclass(frozen=True)
class KilledRun:
    """What came of a run that was killed so often: `twice` counts requests made although their answer was kept by the last kill.

    `lost` counts those answered again because the kill came before their answer was kept.
    """

    kills: int
    same: bool
    twice: int
    lost: int
    requests: int
    batches: int


def answerer(rates: Mapping[str, float], slow_s: float = 1.0) -> Answerer:
    """The stand-in as an answerer."""
    stand_in = StandIn(Behaviour(rates=rates, retry_after_s=0, slow_s=slow_s), GrammarConfig(tables=5, rows=15))

    def answer(request: dict[str, Any]) -> Reply:
        reply = stand_in.reply(request)
        time.sleep(reply.delay_s)
        return reply.status, dict(reply.headers), reply.body

    return answer


def run(endpoint: BatchEndpoint, work: Path, count: int, mode: str, **llm: Any) -> dict[str, Any]:
    """The metrics of a run in `work`."""
    settings = {"model": "grammar", "concurrency": 4, "retries": 6, "repair": True, "timeout_s": 60} | MODES[mode] | llm
    metrics, message = run_at(endpoint.base_url, work, settings, count=count, max_attempts=4, suite=1)
    if message:
        raise SystemExit(message)
    return metrics


def kill(count: int, mode: str, kills: int, seed: int) -> KilledRun:
    """Kills a run at random moments, lets it end, and compares it with one that was left alone."""
    rates = {"wrong-sql": 0.1, "refusal": 0.05}
    with TemporaryDirectory() as name:
        undisturbed, work = Path(name) / "undisturbed", Path(name) / "killed"
        with BatchEndpoint(answerer(rates)) as endpoint:
            started = time.monotonic()
            expected = run(endpoint, undisturbed, count, mode)
            seconds = time.monotonic() - started
        seed_dataset(work / "seed")
        random, done, twice = Random(seed), 0, 0
        kept: set[str] = set()
        seen: list[str] = []  # at the last kill
        with BatchEndpoint(answerer(rates)) as endpoint:
            for _ in range(kills):
                child = multiprocessing.get_context("fork").Process(target=partial(run, endpoint, work, count, mode))
                child.start()
                time.sleep(random.uniform(0, 2 * seconds / kills))
                done += child.is_alive()
                os.kill(child.pid or 0, signal.SIGKILL)
                child.join()
                answered = [key(body) for body in endpoint.bodies]
                twice += len(kept.intersection(answered[len(seen) :]))
                kept, seen = {path.stem for path in (work / "answers").glob("??/*.json")}, answered
            metrics = run(endpoint, work, count, mode)
            answered = [key(body) for body in endpoint.bodies]
            twice += len(kept.intersection(answered[len(seen) :]))
            same = metrics == expected and digests(work) == digests(undisturbed)
            lost = len(answered) - len(set(answered)) - twice
            return KilledRun(done, same, twice, lost, len(answered), endpoint.batches)


def compare_faults(count: int, mode: str) -> tuple[int, int, dict[str, int]]:
    """Rows with 10% of each fault and without faults, and why drafts were dropped with them."""
    with TemporaryDirectory() as name:
        with BatchEndpoint(answerer(dict.fromkeys(FAULTS, 0.1))) as endpoint:
            faulty = run(endpoint, Path(name) / "faulty", count, mode)["funnel"]
        with BatchEndpoint(answerer({})) as endpoint:
            clean = run(endpoint, Path(name) / "clean", count, mode)["funnel"]
    return faulty["kept"], clean["kept"], faulty["dropped"]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    columns = (
        "requests go",
        "kills",
        "same bytes as undisturbed",
        "made again though kept",
        "lost by a kill, made again",
        "in all",
    )
    print(f"| {' | '.join((*columns, 'batches'))} |\n|{'---|' * (len(columns) + 1)}")
    for mode in MODES:
        result = kill(options.count, mode, options.kills, options.seed)
        cells = (result.kills, "yes" if result.same else "NO", result.twice, result.lost, result.requests, result.batches)
        print(f"| {mode} | {' | '.join(map(str, cells))} |", flush=True)
    print("\n| 10% of each fault | rows | rows without faults | dropped |\n|---|---|---|---|")
    for mode in MODES:
        faulty, clean, dropped = compare_faults(options.count, mode)
        print(
            f"| {mode} | {faulty} | {clean} | {', '.join(f'{count} {reason}' for reason, count in dropped.items())} |", flush=True
        )


if __name__ == "__main__":
    main()
