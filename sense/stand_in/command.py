"""The command `sense teacher serve`: the grammar behind OpenAI's chat protocol, to try an LLM teacher without an LLM.

It is for tests and demos, and has no key; so it listens on this machine alone unless it is told otherwise.
"""

import argparse
import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sense import config, console
from sense.config import GrammarConfig
from sense.errors import UserError, install
from sense.stand_in.batch_api import MAX_REQUESTS, BatchDesk
from sense.stand_in.stand_in import FAULTS, MODEL, PATH, Behaviour, StandIn, StandInReply, error_reply

if TYPE_CHECKING:
    from aiohttp import web

DEFAULT_GRAMMAR = GrammarConfig(tables=6, rows=15)
_MAX_BODY_BYTES = 201_000_000  # a batch's file has 200 MB at most


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the action and its flags."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "an endpoint for llm.base_url that answers as a teacher would, with faults at the rates given"
    serve = actions.add_parser(
        "serve",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. The same seed and request get the same answer.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "examples:\n  sense teacher serve --port 8090 --fault 429=0.1 --fault wrong-sql=0.2\n"
            "  sense teacher serve --port 8090 -- dvc repro synthesize"
        ),
    )
    serve.add_argument("--host", default="127.0.0.1", metavar="HOST", help="address to listen on, default: 127.0.0.1")
    serve.add_argument("--port", type=int, default=8090, metavar="PORT", help="default: 8090; 0: any free one")
    serve.add_argument("--seed", type=int, default=0, metavar="N", help="seed of answers and faults, default: 0")
    serve.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="FAULT=RATE",
        help=f"a share of the requests, from 0 to 1, that meets a fault: {', '.join(FAULTS)}; may be repeated",
    )
    serve.add_argument("--latency", type=float, default=0.0, metavar="S", help="seconds before each answer, default: 0")
    serve.add_argument("--slow", type=float, default=5.0, metavar="S", help="seconds that a slow answer takes more, default: 5")
    serve.add_argument("--retry-after", type=float, default=1.0, metavar="S", help="what a planted 429 asks for, default: 1")
    serve.add_argument("--batch-seconds", type=float, default=1.0, metavar="S", help="seconds until a batch starts, default: 1")
    serve.add_argument(
        "--batch-limit", type=int, default=MAX_REQUESTS, metavar="N", help="requests in a batch, beyond which it fails"
    )
    serve.add_argument("--limit", type=float, metavar="RATE", help="requests a second, beyond which there is a 429")
    serve.add_argument(
        "--questions",
        type=Path,
        metavar="FILE",
        help="keep the SQL of the questions that it writes in FILE, to answer them after a restart too (llm.agreement)",
    )
    serve.add_argument("--params", type=Path, metavar="FILE", help="take the grammar's settings from synthesize.grammar in FILE")
    serve.add_argument(
        "program", nargs=argparse.REMAINDER, metavar="-- PROGRAM", help="serve as long as this runs, and end with its exit code"
    )


def main(options: argparse.Namespace) -> int:
    """Serves until it is told to stop, or until the program ends; returns the exit code."""
    try:
        import aiohttp  # noqa: F401
    except ModuleNotFoundError:
        raise UserError(f"the package aiohttp is not installed; install the gateway's: {install('serve')}") from None
    seconds = {"--latency": options.latency, "--slow": options.slow, "--retry-after": options.retry_after}
    seconds["--batch-seconds"] = options.batch_seconds
    for name, value in seconds.items():
        if not 0 <= value < 86_400:
            raise UserError(f"{name} {value:g}: seconds must be at least 0 and less than a day")
    if options.limit is not None and not options.limit > 0:
        raise UserError(f"--limit {options.limit:g}: a rate must be above 0; leave it out for no limit")
    behaviour = Behaviour(options.seed, _rates(options.fault), options.latency, options.slow, options.retry_after, options.limit)
    grammar = config.load(options.params).synthesize.grammar if options.params else DEFAULT_GRAMMAR
    program = options.program[1:] if options.program[:1] == ["--"] else options.program
    app = create_app(
        stand_in := StandIn(behaviour, grammar, questions=options.questions), options.batch_seconds, options.batch_limit
    )
    return asyncio.run(_serve(app, stand_in, options.host, options.port, program))


def _rates(faults: list[str]) -> dict[str, float]:
    rates: dict[str, float] = {}
    for fault in faults:
        name, _, rate = fault.partition("=")
        try:
            rates[name] = float(rate)
        except ValueError:
            raise UserError(f"--fault {fault}: write FAULT=RATE, such as 429=0.1; faults are {', '.join(FAULTS)}") from None
    return rates


def create_app(stand_in: StandIn, batch_seconds: float = 0.0, most_in_batch: int = MAX_REQUESTS) -> "web.Application":
    """The application: OpenAI's paths for chat completions, models and batches, and GET /counts: what was asked so far."""
    from aiohttp import web

    desk = BatchDesk(stand_in, most_in_batch)
    tasks: set[asyncio.Task[None]] = set()  # batches under way

    async def complete(request: web.Request) -> web.Response:
        reply = stand_in.reply(await _json(request))
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        return _response(reply)

    async def models(_: web.Request) -> web.Response:
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "sense"}
        return web.json_response({"object": "list", "data": [model]})

    async def counts(_: web.Request) -> web.Response:
        return web.json_response(stand_in.counts())

    async def upload(request: web.Request) -> web.Response:
        form = await request.post()
        file = form.get("file")
        if not isinstance(file, web.FileField):
            return _response(error_reply(400, "the form has no file", "invalid", "file"))
        return _response(desk.upload(file.filename, str(form.get("purpose")), file.file.read()))

    async def content(request: web.Request) -> web.Response:
        reply = desk.content(request.match_info["id"])
        return web.Response(body=reply) if isinstance(reply, bytes) else _response(reply)

    async def work(name: str) -> None:
        await asyncio.sleep(batch_seconds)
        while desk.step(name):
            await asyncio.sleep(0)

    async def order(request: web.Request) -> web.Response:
        reply = desk.order(await _json(request))
        if reply.status == 200:
            tasks.add(task := asyncio.create_task(work(reply.body["id"])))
            task.add_done_callback(tasks.discard)
        return _response(reply)

    async def batch(request: web.Request) -> web.Response:
        return _response(desk.read(request.match_info["id"]))

    async def batches(request: web.Request) -> web.Response:
        limit = request.query.get("limit", "20")
        return _response(desk.page(request.query.get("after"), int(limit) if limit.isdecimal() else 20))

    async def cancel(request: web.Request) -> web.Response:
        return _response(desk.cancel(request.match_info["id"]))

    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.add_routes([web.post(PATH, complete), web.get("/v1/models", models), web.get("/counts", counts)])
    app.add_routes([web.post("/v1/files", upload), web.get("/v1/files/{id}/content", content)])
    app.add_routes([web.post("/v1/batches", order), web.get("/v1/batches", batches)])
    app.add_routes([web.get("/v1/batches/{id}", batch), web.post("/v1/batches/{id}/cancel", cancel)])
    return app


async def _json(request: "web.Request") -> Any:
    """The body; None if it is no JSON."""
    try:
        return await request.json()
    except (ValueError, RecursionError):
        return None


def _response(reply: StandInReply) -> "web.Response":
    from aiohttp import web

    return web.json_response(reply.body, status=reply.status, headers=dict(reply.headers))


async def _serve(app: "web.Application", stand_in: StandIn, host: str, port: int, program: list[str]) -> int:
    """Serves until a signal, or until `program` ends; its exit code."""
    from aiohttp import web

    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot listen on {host}:{port}: {reason}; choose another with --host and --port") from None
        console.say(f"teacher at {_url(runner)}/v1, model {MODEL}" + ("" if program else "; Ctrl-C stops it"))
        if not program:
            await stop.wait()
            return 0
        return await _run(program, stop)
    finally:
        await runner.cleanup()
        console.say(f"asked of the teacher: {_summary(stand_in.counts())}")


def _summary(counts: Mapping[str, Any]) -> str:
    faults = ", ".join(f"{count:,} {fault}" for fault, count in counts["faults"].items()) or "none"
    return (
        f"{counts['requests']:,} requests, {counts['different']:,} of them different; {counts['answered']:,} answers, "
        f"{counts['answered_again']:,} of them to requests answered before; faults: {faults}"
    )


def _url(runner: "web.AppRunner") -> str:
    address = runner.addresses[0]
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _run(program: list[str], stop: asyncio.Event) -> int:
    """Runs a program to its end; the signal that stops this process ends the program too."""
    try:
        process = await asyncio.create_subprocess_exec(*program)
    except OSError as error:
        raise UserError(f"{program[0]}: {error.strerror}; after -- stands the program that is to run") from None
    ended = asyncio.ensure_future(process.wait())
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        with suppress(ProcessLookupError):
            process.terminate()
    stopped.cancel()
    code = await ended
    return code if code >= 0 else 128 - code
