"""How an LLM is asked: throughput, rate limits, requests made again, against an endpoint on this machine that waits as LLMs do.

The endpoint runs in a process of its own. Its latency depends on the request alone, so that the ideal is known: the time of a
client that costs nothing, has all of its requests in flight from the first moment, and starts the next when one is answered.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from heapq import heapreplace
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import httpx

from benchmarks.stand_in import LATENCIES, serve
from sense.config import LlmConfig, SynthesizeConfig
from sense.decontamination.screen import Screen
from sense.endpoint import CallFailure
from sense.records import Hardness
from sense.sql.analysis import analyze
from sense.stages import synthesize
from sense.suite import SuiteCounts
from sense.teacher import Draft, RejectedDraft
from sense.teacher.answer_cache import AnswerCache
from sense.teacher.checks import CheckedDraft, CheckedUnit
from sense.teacher.collection import collect_drafts
from sense.teacher.drafts import LoggedTeacher
from sense.teacher.labels import Label
from sense.teacher.openai import ChatClient, FailedExchange
from tests.endpoint import Endpoint, Reply, good_teacher
from tests.llm_runs import seed_dataset


@dataclass(frozen=True)
class Asked:
    """What a client did: requests answered and refused (HTTP 429), seconds from the first to the last, and at best.

    `in_flight` is the mean of the requests in flight, as the client counts them, from when there were as many as there may be to
    the start of the last one; `full_s` is when that began. `cpu_s` is the client's processor time. These two hardly depend on
    what else the machine does.
    """

    answered: int
    refused: int
    seconds: float
    ideal: float
    in_flight: float
    full_s: float
    cpu_s: float


class _Client(ChatClient):
    """A client that notes when requests start and end."""

    def __init__(self, config: LlmConfig, answers: Path) -> None:
        super().__init__(config, "", answers=AnswerCache(answers))
        self.spans: list[tuple[float, float]] = []

    def _call(self, body: Mapping[str, Any]) -> tuple[httpx.Response, bytes] | CallFailure:
        started = time.monotonic()
        try:
            return super()._call(body)
        finally:
            self.spans.append((started, time.monotonic()))


def mean_in_flight(spans: Sequence[tuple[float, float]], most: int) -> tuple[float, float]:
    """The mean of requests in flight from when there were `most` to the start of the last one, and when the former was.

    >>> mean_in_flight([(0, 2), (1, 3), (2.5, 4), (3, 5)], 2)
    (1.75, 1)
    """
    count, full = 0, None
    for moment, change in sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans]):
        count += change
        if count == most:
            full = moment
            break
    if full is None:
        return 0.0, float("inf")
    last = max(start for start, _ in spans)
    held = sum(max(0.0, min(end, last) - max(start, full)) for start, end in spans)
    return held / (last - full), full - min(start for start, _ in spans)


class _Asker:
    """A teacher whose answers need no reading: what is measured is how they are asked for."""

    def __init__(self, config: LlmConfig, answers: Path) -> None:
        self.client = _Client(config, answers)

    def draft(self, index: int, level: Hardness, avoid: Sequence[str]) -> Draft | RejectedDraft:
        answer = self.client.chat("system", f"user, {', '.join(avoid)}", seed=index)
        if isinstance(answer, FailedExchange):
            return RejectedDraft(answer.reason, answer.detail, level, failed_requests=answer.requests)
        return Draft(f"db_{index}", f"domain {index % 40}", (), (), f"question {index}", f"SELECT {index}", level)

    def forget(self, index: int, level: Hardness, avoid: Sequence[str]) -> None:
        """It keeps nothing."""

    def close(self) -> None:
        self.client.close()

    def fetch(self) -> bool:
        """It asks at once."""
        return False


def ideal_seconds(latencies: Iterable[float], concurrency: int) -> float:
    """Seconds until requests of these latencies are all answered, so many of them in flight, each started as soon as one ends.

    >>> ideal_seconds([3, 1, 1, 2], 2)
    4.0
    """
    ends = [0.0] * concurrency
    for latency in latencies:
        heapreplace(ends, ends[0] + latency)
    return max(ends)


def ask(folder: Path, count: int, concurrency: int, latency: str, rate: float | None = None) -> Asked:
    """Has `count` drafts collected as the stage collects them, but neither read nor checked. What is written stays in `folder`.

    It must stay until all is measured: for minutes after many files were deleted, a new one takes ext4 several times as long.
    """
    work = Path(mkdtemp(dir=folder))
    with serve(latency, rate) as (url, counts):
        llm = {"model": "m", "base_url": url, "concurrency": concurrency}
        config = SynthesizeConfig.model_validate({"teacher": "llm", "llm": llm, "count": count, "suite": 0})
        assert config.llm is not None
        analysis = analyze("SELECT 1")

        def check(draft: Draft) -> CheckedUnit:
            return CheckedUnit([CheckedDraft(draft, analysis, Label(0, (0,), ()))], SuiteCounts(), 1)

        asker = _Asker(config.llm, work / "answers")
        with LoggedTeacher(asker, work / "failures.jsonl", 2 * concurrency, check) as teacher:
            started, cpu = time.monotonic(), time.process_time()
            collect_drafts(config, teacher, _NoScreen(), concurrency, lambda: None)
            seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    in_flight, full = mean_in_flight(asker.client.spans, concurrency)
    ideal = ideal_seconds(map(LATENCIES[latency], range(count)), concurrency)
    return Asked(counts.answered, counts.refused, seconds, ideal, in_flight, full, cpu)


class _NoScreen(Screen):
    """Compares with nothing, and refuses nothing."""

    def __init__(self) -> None:
        super().__init__("drafts", [], lambda _: Path())

    def refuse(self, row: object) -> None:
        """Refuses nothing."""


def ask_limited(folder: Path, count: int, rates: Sequence[float]) -> list[Asked]:
    """Under limits of so many requests for a second, at the same time: the endpoints are idle for the most part."""
    with ThreadPoolExecutor(len(rates)) as pool:
        return list(pool.map(lambda rate: ask(folder, round(count * rate / max(rates)), 16, "200 ms", rate), rates))


def asked_again(count: int) -> dict[str, int]:
    """How many requests are made although their answer is there, after each of some changes; a kill may lose one in flight."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        seed = seed_dataset(folder / "seed")
        log = folder / "asked"

        def answer(request: dict[str, Any]) -> Reply:
            with log.open("a") as stream:
                stream.write(f"{request['seed']}\n")
            return good_teacher()(request)

        with Endpoint(answer) as endpoint:

            def run(work: str, wanted: int, concurrency: int = 1) -> None:
                llm = {
                    "model": "m",
                    "base_url": endpoint.base_url,
                    "concurrency": concurrency,
                    "answers": str(folder / "answers"),
                    "questions": 1,
                }
                section = {"teacher": "llm", "llm": llm, "count": wanted, "suite": 0, "split": {"heldout_domains": 1}}
                config = SynthesizeConfig.model_validate(section | {"execution": {"workers": 1}})
                names = ("strong", "unseen", "heldout", "decontamination", "metrics")
                (folder / work).mkdir(exist_ok=True)
                outputs = synthesize.Outputs(**{port: folder / work / port for port in names})
                synthesize.run(config, synthesize.Inputs(seed=seed, dev=seed), outputs)

            def again(change: Callable[[], object]) -> int:
                before = log.read_text().split() if log.exists() else []
                change()
                return len(set(before) & set(log.read_text().split()[len(before) :]))

            def kill() -> None:
                child = multiprocessing.get_context("fork").Process(target=partial(run, "killed", 3 * count))
                before = len(log.read_text().split())
                child.start()
                while len(log.read_text().split()) < before + count // 2:
                    time.sleep(0.02)
                os.kill(child.pid or 0, signal.SIGKILL)
                child.join()
                run("killed", 3 * count)

            run("first", count)
            return {
                "another work folder, as after new code": again(lambda: run("second", count)),
                "twice the count, four in flight": again(lambda: run("more", 2 * count, 4)),
                "kill -9": again(kill),
            }
