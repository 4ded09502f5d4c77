"""What the gateway costs, what it does when too many ask, and when the model server dies. On loopback, minutes at most.

    .venv/bin/python benchmarks/serving.py [--seconds S] [--delay S] [--json FILE]
    .venv/bin/python benchmarks/serving.py --command 'python -m vllm.entrypoints.openai.api_server --model DIR \
        --served-model-name sense-1 --port {port}'
    .venv/bin/python benchmarks/serving.py --vllm http://127.0.0.1:8000 --served sense-1

The model server is vLLM at a URL (it is not killed then), or what --command starts, or the one of the tests, which answers after
--delay seconds. The gateway is `sense serve`, a process of its own; who asks shares the machine with both. Three measurements:

    added       latency and throughput through the gateway beside the same completion asked of the model server directly, at
                1, 8 and 32 in flight: schema, prompt, execution and result included
    overload    questions arrive at four times the rate that eight in flight reach: statuses, latency of the accepted, and how
                long after the last has come a question takes about as long as before
    outage      the model server is killed and started again while questions and feedback come in
"""

import argparse
import asyncio
import json
import os
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sense import schema  # noqa: E402  (the working copy is not on the path of a script in it)
from sense.config import GenerationConfig  # noqa: E402
from sense.prompts import question_prompt  # noqa: E402
from sense.serving.vllm import SELECT  # noqa: E402

SHOP = """
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price REAL);
CREATE TABLE sale(id INTEGER PRIMARY KEY, item_id INTEGER REFERENCES item(id), day TEXT);
INSERT INTO item
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i, 'item ' || i, i / 2.0 FROM n;
"""
QUESTION = "How many items are there?"
IN_FLIGHT = (1, 8, 32)
OVERLOAD = 4
PLACES = 8  # of the gateway that is overloaded
READY_S = 300.0

AskRequest = Callable[[], Awaitable[int]]


class Shot(NamedTuple):
    """One request: when it began, how long it took, its status (0: no answer)."""

    began: float
    seconds: float
    status: int


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def wait_for(url: str, process: subprocess.Popen[bytes] | None) -> None:
    """Returns when `url` answers 200."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with code {process.returncode}")
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"{url} did not answer within {READY_S:g} s")


class ModelMessage:
    """The model server."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = options.vllm or f"http://127.0.0.1:{self.port}"
        fake = [sys.executable, "tests/serving/model_server.py", "--name", options.served, "--delay", str(options.delay)]
        self._command = (
            shlex.split(options.command) if options.command else [*fake, "--sql", "SELECT count(*) FROM item", "--port", "{port}"]
        )
        if not options.vllm:
            self.start()
        self.ready()

    def start(self) -> None:
        command = [word.replace("{port}", str(self.port)) for word in self._command]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def ready(self) -> None:
        wait_for(f"{self.url}/health", self.process)

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # vLLM's engine is a process of its own
            self.process.wait()


@contextmanager
def gateway(folder: Path, model: ModelMessage, served: str, limits: dict[str, Any]) -> Iterator[str]:
    """The URL of a gateway before `model`."""
    name, _, version = served.rpartition("-")
    port = free_port()
    value = {
        "port": port,
        "backend": {"vllm": {"url": model.url, "models": {served: {"name": name, "version": version}}}},
        "databases": {"folders": [str(folder / "databases")]},
        "feedback": str(folder / "feedback"),
        "data": None,
        "limits": limits,
    }
    (folder / "serve.yaml").write_text(yaml.safe_dump(value))
    command = [sys.executable, "-m", "sense", "serve", "--config", str(folder / "serve.yaml")]
    with (folder / "serve.log").open("ab") as log, subprocess.Popen(command, cwd=ROOT, stderr=log) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/readyz", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)


class Client:
    """POSTs JSON over as many kept connections as are in use at a time; as little work as can be, for it shares the machine."""

    def __init__(self, url: str) -> None:
        self._host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
        self._port = int(port)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        for _, writer in self._idle:
            writer.close()

    async def post(self, path: str, content: bytes) -> int:
        """The status; 0 if there was no answer."""
        kind = "Content-Type: application/json"
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\n{kind}\r\nContent-Length: {len(content)}\r\n\r\n"
        while self._idle:
            with suppress(ConnectionError, asyncio.IncompleteReadError):  # it was closed while it was idle
                return await self._exchange(*self._idle.pop(), head.encode() + content)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            connection = await asyncio.open_connection(self._host, self._port)
            return await self._exchange(*connection, head.encode() + content)
        return 0

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
        try:
            writer.write(request)
            status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines if line)
            await reader.readexactly(int(headers.get("content-length", "0")))
        except BaseException:
            writer.close()
            raise
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(status.split()[1])


def sql_admission(http: Client, path: str, body: dict[str, Any]) -> AskRequest:
    content = json.dumps(body).encode()
    return lambda: http.post(path, content)


async def shot(ask: AskRequest) -> Shot:
    began = time.perf_counter()
    status = await ask()
    return Shot(began, time.perf_counter() - began, status)


async def closed(ask: AskRequest, in_flight: int, seconds: float) -> list[Shot]:
    """What `in_flight` clients see that ask without a pause."""
    end = time.perf_counter() + seconds

    async def one() -> list[Shot]:
        shots = []
        while time.perf_counter() < end:
            shots.append(await shot(ask))
        return shots

    return [row for rows in await asyncio.gather(*(one() for _ in range(in_flight))) for row in rows]


async def opened(ask: AskRequest, rate: float, seconds: float) -> list[Shot]:
    """What clients see that arrive `rate` a second, whether others have been answered or not."""
    began, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(shot(ask)))
    return list(await asyncio.gather(*tasks))


def rates(shots: list[Shot]) -> dict[str, float]:
    """Milliseconds and requests a second of those that were answered."""
    good = [one for one in shots if one.status == 200]
    if not good:
        raise SystemExit(f"no request was answered: {Counter(one.status for one in shots)}")
    span = max(one.began + one.seconds for one in good) - min(one.began for one in good)
    times = [one.seconds * 1000 for one in good]
    return {"n": len(good), "p50_ms": percentile(times, 0.5), "p99_ms": percentile(times, 0.99), "per_s": len(good) / span}


def completion(folder: Path, served: str) -> dict[str, Any]:
    """What the gateway asks of the model server for QUESTION."""
    prompt = question_prompt(schema.introspect(folder / "databases" / "shop.sqlite"), QUESTION, "", "compact")
    return {
        "model": served,
        "prompt": prompt,
        "n": 1,
        "max_tokens": GenerationConfig().max_new_tokens,
        "temperature": 0.0,
        "structured_outputs": {"regex": SELECT},
    }


async def added(folder: Path, model: ModelMessage, url: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    async with Client(model.url) as direct, Client(url) as through:
        straight = sql_admission(direct, "/v1/completions", completion(folder, options.served))
        way = sql_admission(through, "/v1/sql", {"question": QUESTION, "database": "shop"})
        for in_flight in IN_FLIGHT:
            found = []
            for ask in (straight, way):
                await closed(ask, in_flight, min(1.0, options.seconds))  # connections and caches
                found.append(rates(await closed(ask, in_flight, options.seconds)))
            rows.append({"in_flight": in_flight, "direct": found[0], "gateway": found[1]})
    return rows


async def overload(url: str, options: argparse.Namespace) -> dict[str, Any]:
    async with Client(url) as http:
        ask = sql_admission(http, "/v1/sql", {"question": QUESTION, "database": "shop"})
        idle = rates(await closed(ask, 1, options.seconds / 2))
        capacity = rates(await closed(ask, PLACES, options.seconds))
        shots = await opened(ask, OVERLOAD * capacity["per_s"], options.seconds)
        last = max(one.began for one in shots)
        while True:
            one = await shot(ask)
            if one.status == 200 and one.seconds * 1000 <= idle["p99_ms"] * 1.5:
                break
        recovered = one.began - last
    statuses = Counter(str(one.status) for one in shots)
    refused = [one.seconds * 1000 for one in shots if one.status == 429]
    return {
        "capacity": capacity,
        "statuses": dict(sorted(statuses.items())),
        "accepted": rates(shots),
        "refused_p99_ms": percentile(refused, 0.99),
        "recovered_s": recovered,
    }


async def outage(folder: Path, model: ModelMessage, url: str, options: argparse.Namespace) -> dict[str, Any]:
    over, asked, told, numbers = asyncio.Event(), [], {}, count()

    async with Client(url) as http:
        ask = sql_admission(http, "/v1/sql", {"question": QUESTION, "database": "shop"})

        async def askers() -> None:
            while not over.is_set():
                asked.append(await shot(ask))

        async def tellers() -> None:
            while not over.is_set():
                said = {
                    "id": f"said-{next(numbers)}",
                    "question": QUESTION,
                    "database": "shop",
                    "sql": "SELECT 1",
                    "correct": True,
                }
                told[said["id"]] = await sql_admission(http, "/v1/feedback", said)()

        running = [asyncio.create_task(work()) for work in [askers] * 4 + [tellers] * 2]
        await asyncio.sleep(options.seconds / 2)
        killed = time.perf_counter()
        await asyncio.to_thread(model.kill)
        await asyncio.sleep(options.seconds / 2)
        model.start()
        await asyncio.to_thread(model.ready)
        ready = time.perf_counter()
        await asyncio.sleep(options.seconds / 2)
        over.set()
        await asyncio.gather(*running)
    kept = [json.loads(line)["id"] for line in (folder / "feedback" / "examples.jsonl").read_text().splitlines()]
    meanwhile = [one for one in asked if killed < one.began < ready]
    after = [one.began + one.seconds - ready for one in asked if one.began > killed and one.status == 200]
    return {
        "statuses": dict(sorted(Counter(str(one.status) for one in asked).items())),
        "slowest_meanwhile_s": max((one.seconds for one in meanwhile), default=0.0),
        "recovered_s": max(0.0, min(after)) if after else None,
        "feedback": {
            "sent": len(told),
            "statuses": dict(Counter(map(str, told.values()))),
            "kept": len(set(kept)),
            "twice": len(kept) - len(set(kept)),
        },
    }


def show(found: dict[str, Any]) -> None:
    print("\n| in flight | direct p50 / p99 ms | gateway p50 / p99 ms | added p50 / p99 ms | direct /s | gateway /s | ratio |")
    print("|---|---|---|---|---|---|---|")
    for row in found["added"]:
        direct, way = row["direct"], row["gateway"]
        more = [way[name] - direct[name] for name in ("p50_ms", "p99_ms")]
        times = (f"{one['p50_ms']:.1f} / {one['p99_ms']:.1f}" for one in (direct, way))
        ratio = way["per_s"] / direct["per_s"]
        cells = (
            row["in_flight"],
            *times,
            f"{more[0]:.1f} / {more[1]:.1f}",
            f"{direct['per_s']:.0f}",
            f"{way['per_s']:.0f}",
            f"{ratio:.2f}",
        )
        print("|", " | ".join(map(str, cells)), "|")
    load, gone = found["overload"], found.get("outage")
    accepted = load["accepted"]
    print(f"\nOverload, {OVERLOAD} x {load['capacity']['per_s']:.0f}/s on {PLACES} places: statuses {load['statuses']}")
    print(f"accepted p50 {accepted['p50_ms']:.0f} ms, p99 {accepted['p99_ms']:.0f} ms")
    print(f"refused p99 {load['refused_p99_ms']:.0f} ms; as quick as before {load['recovered_s']:.2f} s after the last one came")
    if gone is not None:
        print(f"\nModel server killed and restarted: statuses {gone['statuses']}")
        print(
            f"slowest meanwhile {gone['slowest_meanwhile_s']:.2f} s; answers again {gone['recovered_s']:.2f} s after it was ready"
        )
        print(f"feedback {gone['feedback']}")


def main() -> int:
    """Measures and prints; 1 if feedback was lost or a status came that may not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--vllm", metavar="URL", help="a model server that runs")
    parser.add_argument("--command", help="starts one; {port} is replaced")
    parser.add_argument("--served", default="sense-1", metavar="NAME-VERSION", help="what it serves, default: sense-1")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that the tests' model server takes, default: 0.05")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement, default: 10")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the numbers as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "databases").mkdir()
        with closing(sqlite3.connect(folder / "databases" / "shop.sqlite")) as connection:
            connection.executescript(SHOP)
        model = ModelMessage(options)
        try:
            found: dict[str, Any] = {}
            with gateway(folder, model, options.served, {"concurrency": max(IN_FLIGHT), "queue": 0}) as url:
                found["added"] = asyncio.run(added(folder, model, url, options))
            with gateway(folder, model, options.served, {"concurrency": PLACES}) as url:
                found["overload"] = asyncio.run(overload(url, options))
                if model.process is not None:
                    found["outage"] = asyncio.run(outage(folder, model, url, options))
        finally:
            model.kill()
    show(found)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    gone = found.get("outage")
    lost = gone is not None and (gone["feedback"]["kept"] != gone["feedback"]["sent"] or gone["feedback"]["twice"] > 0)
    odd = set(found["overload"]["statuses"]) - {"200", "429"} or (gone is not None and set(gone["statuses"]) - {"200", "503"})
    return int(bool(lost or odd))


if __name__ == "__main__":
    sys.exit(main())
