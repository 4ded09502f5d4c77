"""An endpoint on this machine that waits as an LLM does, in a process of its own, and limits the rate if it is to.

    python -m benchmarks.stand_in LATENCY [RATE]

prints its URL, and when its input ends what it did: requests answered and refused (HTTP 429), and the sum of the latencies.
Connections stay open, as those of LLMs do.
"""

import asyncio
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from aiohttp import web

from tests.endpoint import chat_reply

MEAN_S = 0.2
LATENCIES: dict[str, Callable[[int], float]] = {
    "200 ms": lambda _: MEAN_S,
    "heavy-tailed": lambda seed: MEAN_S * math.exp(Random(seed).gauss(0, 1) - 0.5),  # of the same mean; one in 1,000 takes 2.7 s
}
ROOT = Path(__file__).parents[1]


@dataclass
class Counts:
    """What the endpoint did; `seconds` is the sum of the latencies."""

    answered: int = 0
    refused: int = 0
    seconds: float = 0.0


class StandIn:
    """Answers after a latency that depends on the request's seed alone; what exceeds `rate` for a second it refuses."""

    def __init__(self, latency: Callable[[int], float], rate: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts = Counts()
        self._latency, self._rate, self._clock = latency, rate, clock
        self._tokens, self._last = max(1.0, rate or 0.0), clock()

    async def answer(self, request: web.Request) -> web.Response:
        """Answers a request to `/chat/completions`."""
        if self._rate is not None and not self._take(self._rate):
            self.counts.refused += 1
            return web.Response(status=429, text="slow down")
        seed = (await request.json())["seed"]
        seconds = self._latency(seed)
        self.counts.answered += 1
        self.counts.seconds += seconds
        await asyncio.sleep(seconds)
        return web.json_response(chat_reply(str(seed))[2])

    def _take(self, rate: float) -> bool:
        now = self._clock()
        self._tokens, self._last = min(max(1.0, rate), self._tokens + (now - self._last) * rate), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@contextmanager
def serve(latency: str, rate: float | None) -> Iterator[tuple[str, Counts]]:
    """The URL of a stand-in in a process of its own, and its counts, which are filled in at the end of the block."""
    command = [sys.executable, "-m", "benchmarks.stand_in", latency, *([] if rate is None else [str(rate)])]
    counts = Counts()
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip(), counts
        process.stdin.close()
        vars(counts).update(json.loads(process.stdout.readline()))


async def _serve(stand_in: StandIn) -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", stand_in.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def main() -> None:
    """Serves until the input ends."""
    stand_in = StandIn(LATENCIES[sys.argv[1]], float(sys.argv[2]) if len(sys.argv) > 2 else None)
    asyncio.run(_serve(stand_in))
    print(json.dumps(vars(stand_in.counts)), flush=True)


if __name__ == "__main__":
    main()
