"""Measures the gateway: added latency, behaviour in an overload, and when the model server dies. On loopback, in minutes.

    .venv/bin/python benchmarks/serving.py [--seconds S] [--delay S] [--json FILE]
    .venv/bin/python benchmarks/serving.py --command 'python -m vllm.entrypoints.openai.api_server --model DIR \
        --served-model-name sense-1 --port {port}'
    .venv/bin/python benchmarks/serving.py --vllm http://127.0.0.1:8000 --served sense-1

The model server is vLLM at a URL (then it is not killed), the one that --command starts, or the one of the tests, which answers
after --delay seconds. The gateway is `sense serve`, a process of its own; the clients share the machine with both. Measured are:

    added       latency and throughput through the gateway, compared with the same completion from the model server directly,
                at 1, 8 and 32 in flight: schema, prompt, execution and result included
    overload    questions arrive at four times the rate that eight in flight reach: statuses, latency of accepted questions, and
                the time after the last arrival until a question takes about as long as before
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
SLOTS = 8  # of the gateway that is overloaded
READY_S = 300.0

Send = Callable[[], Awaitable[int]]


class Timing(NamedTuple):
    """One request: when it began, how long it took, its status (0: no answer)."""

    began: float
    seconds: float
    status: int


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(url: str, process: subprocess.Popen[bytes] | None) -> None:
    """Waits until `url` answers 200; SystemExit if its process ends or it takes too long."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with code {process.returncode}")
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"{url} did not answer within {READY_S:g} s")


class ModelProcess:
    """The model server: started here, or running at --vllm."""

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
def gateway(folder: Path, model: ModelProcess, served: str, limits: dict[str, Any]) -> Iterator[str]:
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


def post_json(http: Client, path: str, body: dict[str, Any]) -> Send:
    """A function that POSTs `body` to `path` and returns the status."""
    content = json.dumps(body).encode()
    return lambda: http.post(path, content)


async def send_timed(send: Send) -> Timing:
    began = time.perf_counter()
    status = await send()
    return Timing(began, time.perf_counter() - began, status)


async def closed_loop(send: Send, in_flight: int, seconds: float) -> list[Timing]:
    """The requests of `in_flight` clients that send one after the other without a pause."""
    end = time.perf_counter() + seconds

    async def client() -> list[Timing]:
        timings = []
        while time.perf_counter() < end:
            timings.append(await send_timed(send))
        return timings

    return [row for rows in await asyncio.gather(*(client() for _ in range(in_flight))) for row in rows]


async def open_loop(send: Send, rate: float, seconds: float) -> list[Timing]:
    """The requests of clients that arrive at `rate` a second, whether or not others have been answered."""
    began, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(send_timed(send)))
    return list(await asyncio.gather(*tasks))


def summarize(timings: list[Timing]) -> dict[str, float]:
    """Latencies in milliseconds and requests a second, of the requests with status 200."""
    good = [one for one in timings if one.status == 200]
    if not good:
        raise SystemExit(f"no request was answered: {Counter(one.status for one in timings)}")
    span = max(one.began + one.seconds for one in good) - min(one.began for one in good)
    times = [one.seconds * 1000 for one in good]
    return {"n": len(good), "p50_ms": percentile(times, 0.5), "p99_ms": percentile(times, 0.99), "per_s": len(good) / span}


def completion_body(folder: Path, served: str) -> dict[str, Any]:
    """The request that the gateway sends to the model server for QUESTION."""
    prompt = question_prompt(schema.introspect(folder / "databases" / "shop.sqlite"), QUESTION, "", "compact")
    return {
        "model": served,
        "prompt": prompt,
        "n": 1,
        "max_tokens": GenerationConfig().max_new_tokens,
        "temperature": 0.0,
        "structured_outputs": {"regex": SELECT},
    }


async def measure_added(folder: Path, model: ModelProcess, url: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    async with Client(model.url) as direct, Client(url) as through:
        send_direct = post_json(direct, "/v1/completions", completion_body(folder, options.served))
        send_through = post_json(through, "/v1/sql", {"question": QUESTION, "database": "shop"})
        for in_flight in IN_FLIGHT:
            measured = []
            for send in (send_direct, send_through):
                await closed_loop(send, in_flight, min(1.0, options.seconds))  # connections and caches
                measured.append(summarize(await closed_loop(send, in_flight, options.seconds)))
            rows.append({"in_flight": in_flight, "direct": measured[0], "gateway": measured[1]})
    return rows


async def measure_overload(url: str, options: argparse.Namespace) -> dict[str, Any]:
    async with Client(url) as http:
        send = post_json(http, "/v1/sql", {"question": QUESTION, "database": "shop"})
        idle = summarize(await closed_loop(send, 1, options.seconds / 2))
        capacity = summarize(await closed_loop(send, SLOTS, options.seconds))
        timings = await open_loop(send, OVERLOAD * capacity["per_s"], options.seconds)
        last = max(one.began for one in timings)
        while True:
            one = await send_timed(send)
            if one.status == 200 and one.seconds * 1000 <= idle["p99_ms"] * 1.5:
                break
        recovered = one.began - last
    statuses = Counter(str(one.status) for one in timings)
    refused = [one.seconds * 1000 for one in timings if one.status == 429]
    return {
        "capacity": capacity,
        "statuses": dict(sorted(statuses.items())),
        "accepted": summarize(timings),
        "refused_p99_ms": percentile(refused, 0.99),
        "recovered_s": recovered,
    }


async def measure_outage(folder: Path, model: ModelProcess, url: str, options: argparse.Namespace) -> dict[str, Any]:
    over, answers, feedback_statuses, numbers = asyncio.Event(), [], {}, count()

    async with Client(url) as http:
        send = post_json(http, "/v1/sql", {"question": QUESTION, "database": "shop"})

        async def ask() -> None:
            while not over.is_set():
                answers.append(await send_timed(send))

        async def send_feedback() -> None:
            while not over.is_set():
                feedback = {
                    "id": f"feedback-{next(numbers)}",
                    "question": QUESTION,
                    "database": "shop",
                    "sql": "SELECT 1",
                    "correct": True,
                }
                feedback_statuses[feedback["id"]] = await post_json(http, "/v1/feedback", feedback)()

        running = [asyncio.create_task(work()) for work in [ask] * 4 + [send_feedback] * 2]
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
    stored = [json.loads(line)["id"] for line in (folder / "feedback" / "examples.jsonl").read_text().splitlines()]
    during_outage = [one for one in answers if killed < one.began < ready]
    after = [one.began + one.seconds - ready for one in answers if one.began > killed and one.status == 200]
    return {
        "statuses": dict(sorted(Counter(str(one.status) for one in answers).items())),
        "slowest_meanwhile_s": max((one.seconds for one in during_outage), default=0.0),
        "recovered_s": max(0.0, min(after)) if after else None,
        "feedback": {
            "sent": len(feedback_statuses),
            "statuses": dict(Counter(map(str, feedback_statuses.values()))),
            "kept": len(set(stored)),
            "twice": len(stored) - len(set(stored)),
        },
    }


def show(results: dict[str, Any]) -> None:
    print("\n| in flight | direct p50 / p99 ms | gateway p50 / p99 ms | added p50 / p99 ms | direct /s | gateway /s | ratio |")
    print("|---|---|---|---|---|---|---|")
    for row in results["added"]:
        direct, through = row["direct"], row["gateway"]
        added_ms = [through[name] - direct[name] for name in ("p50_ms", "p99_ms")]
        times = (f"{one['p50_ms']:.1f} / {one['p99_ms']:.1f}" for one in (direct, through))
        ratio = through["per_s"] / direct["per_s"]
        cells = (
            row["in_flight"],
            *times,
            f"{added_ms[0]:.1f} / {added_ms[1]:.1f}",
            f"{direct['per_s']:.0f}",
            f"{through['per_s']:.0f}",
            f"{ratio:.2f}",
        )
        print("|", " | ".join(map(str, cells)), "|")
    load, restart = results["overload"], results.get("outage")
    accepted = load["accepted"]
    print(f"\nOverload, {OVERLOAD} x {load['capacity']['per_s']:.0f}/s on {SLOTS} slots: statuses {load['statuses']}")
    print(f"accepted p50 {accepted['p50_ms']:.0f} ms, p99 {accepted['p99_ms']:.0f} ms")
    print(f"refused p99 {load['refused_p99_ms']:.0f} ms; as quick as before {load['recovered_s']:.2f} s after the last one came")
    if restart is not None:
        print(f"\nModel server killed and restarted: statuses {restart['statuses']}")
        print(
            f"slowest meanwhile {restart['slowest_meanwhile_s']:.2f} s; "
            f"answers again {restart['recovered_s']:.2f} s after it was ready"
        )
        print(f"feedback {restart['feedback']}")


def main() -> int:
    """Measures and prints; 1 if feedback was lost or a status came that may not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--vllm", metavar="URL", help="a running model server")
    parser.add_argument("--command", help="a command that starts one; {port} is replaced")
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
        model = ModelProcess(options)
        try:
            results: dict[str, Any] = {}
            with gateway(folder, model, options.served, {"concurrency": max(IN_FLIGHT), "queue": 0}) as url:
                results["added"] = asyncio.run(measure_added(folder, model, url, options))
            with gateway(folder, model, options.served, {"concurrency": SLOTS}) as url:
                results["overload"] = asyncio.run(measure_overload(url, options))
                if model.process is not None:
                    results["outage"] = asyncio.run(measure_outage(folder, model, url, options))
        finally:
            model.kill()
    show(results)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    restart = results.get("outage")
    lost = restart is not None and (
        restart["feedback"]["kept"] != restart["feedback"]["sent"] or restart["feedback"]["twice"] > 0
    )
    odd = set(results["overload"]["statuses"]) - {"200", "429"} or (
        restart is not None and set(restart["statuses"]) - {"200", "503"}
    )
    return int(bool(lost or odd))


if __name__ == "__main__":
    sys.exit(main())
