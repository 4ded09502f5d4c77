"""The command `sense serve`: checks everything, then listens."""

import argparse
import json
import logging
import shlex
import signal
import socket
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sense import config, console, records
from sense.config import LocalConfig, ServeConfig
from sense.errors import ConfigError, UserError, install

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from sense.serving.backend import Backend
    from sense.serving.databases import Catalog


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the flags."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML; without it the defaults of a laptop after the demo")
    parser.add_argument("--host", metavar="HOST", help="address to listen on, default: 127.0.0.1")
    parser.add_argument("--port", type=int, metavar="PORT", help="default: 8080; 0: any free one")
    parser.add_argument("--model", metavar="URI", help="NAME@ALIAS, models:/NAME/VERSION or a folder")
    parser.add_argument(
        "--databases", nargs="+", metavar="FOLDER", help="folders of <name>/<name>.sqlite or <name>.sqlite that may be asked"
    )
    parser.epilog = "example:\n  sense serve --databases data/dev/databases --port 8080"


def main(options: argparse.Namespace) -> int:
    """Serves until it is told to stop; returns the exit code."""
    settings = read_settings(options)
    try:
        from sense.serving import app, databases, feedback_storage, http_server, middleware, observability, tracing
    except ModuleNotFoundError as error:
        raise UserError(f"the package {error.name} is not installed; install the gateway's: {install('serve')}") from None
    if not middleware.parse_keys(config.environment(settings.keys)) and not middleware.is_loopback(settings.host):
        raise UserError(
            f"host {settings.host} is open to other machines, and there are no API keys: put them, comma-separated, into the "
            "environment variable that `keys` in the configuration names (SENSE_GATEWAY_KEYS by default), or listen on 127.0.0.1"
        )
    provider = tracing.create_provider()
    with closing(bind_socket(settings.host, settings.port)) as listening:
        if settings.feedback is not None:
            with feedback_storage.Journal(Path(settings.feedback)).locked():
                pass  # so that a folder that cannot be written is an error now, not at the first feedback
        catalog = databases.Catalog(settings.databases, settings.limits)
        try:
            gateway = app.create_app(settings, create_backend(settings), catalog)
        except BaseException:
            catalog.close()
            raise
        observability.configure_logging(settings.log_level)
        for reason in catalog.unreachable:
            observability.log_event(logging.WARNING, "database_away", reason=reason)
        announce = partial(_announce, settings, listening, catalog)
        with tracing.export_to(provider):
            return _run(http_server.create_server(gateway, settings.limits.request_s, announce), listening, gateway)


def read_settings(options: argparse.Namespace) -> ServeConfig:
    """The configuration file, changed by the flags; ConfigError lists all errors at once."""
    source, value = "sense serve", None
    if options.config is not None:
        source = str(options.config)
        try:
            text = records.read_text(options.config)
        except OSError as error:
            raise ConfigError(f"{source}: cannot be read ({error}); name a YAML file") from None
        value = config.parse(text, source)
    settings: ServeConfig = config.validate(ServeConfig, {} if value is None else value, source)
    changes: dict[str, Any] = {name: getattr(options, name) for name in ("host", "port") if getattr(options, name) is not None}
    if options.model is not None:
        if settings.backend.local is None:
            raise UserError(
                f"--model {options.model}: it is for a model in this process, and {source} has backend.vllm; leave one out"
            )
        changes["backend"] = {"local": settings.backend.local.model_dump() | {"model": _uri(options.model)}}
    if options.databases is not None:
        changes["databases"] = settings.databases.model_dump() | {"folders": options.databases}
    changed: ServeConfig = config.validate(ServeConfig, settings.model_dump() | changes, "the flags of sense serve")
    return changed


def _uri(model: str) -> str:
    """`NAME@ALIAS`, as `sense models` takes it too, as a models:/ URI; anything else unchanged."""
    is_alias = "@" in model and ":" not in model and not Path(model).exists()
    return f"models:/{model}" if is_alias else model


def bind_socket(host: str, port: int) -> socket.socket:
    """A socket bound to the address, which does not listen yet; UserError if that fails."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot listen on {host}:{port}: {reason}; choose another with --host and --port") from None
    return bound


def create_backend(settings: ServeConfig) -> "Backend":
    """The backend that is configured; UserError if the model does not exist."""
    if settings.backend.vllm is not None:
        from sense.serving.vllm import VllmBackend

        champion = VllmBackend(settings.backend.vllm, settings.generation, settings.limits.model_s)
        if settings.canary is None:
            return champion
        from sense.serving import canary, rollout

        candidate = VllmBackend(settings.canary.vllm, settings.generation, settings.limits.model_s)
        return canary.CanaryBackend(
            settings.canary.abort,
            canary.version_server(champion, settings.backend.vllm, settings.canary.model),
            canary.version_server(candidate, settings.canary.vllm, settings.canary.model),
            rollout.RolloutFollower(settings.canary.model, settings.canary.follow_s),
        )
    from sense.serving.local import LocalBackend

    return LocalBackend(settings.backend.local or LocalConfig(), settings.generation)


def _announce(settings: ServeConfig, listening: socket.socket, catalog: "Catalog") -> None:
    """Reports address, model and databases: in words on a terminal, else as a line of the log."""
    from sense.serving import observability

    host, port = listening.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    names = catalog.names()
    vllm = settings.backend.vllm
    model = ", ".join(vllm.models) if vllm is not None else (settings.backend.local or LocalConfig()).model
    if not sys.stderr.isatty():
        observability.log_event(logging.INFO, "listening", url=url, model=model, databases=len(names), feedback=settings.feedback)
        return
    key = "-H 'Authorization: Bearer KEY' " if config.environment(settings.keys) else ""
    question = json.dumps({"question": "How many are there?", "database": names[0]})
    console.say(
        f"The page        {url}/\n"
        f"Model           {model}{'' if vllm is not None else ' (takes some seconds to load)'}\n"
        f"Databases       {len(names)}\n"
        f"Feedback        {settings.feedback or 'is not kept'}\n"
        f"To ask          curl {url}/v1/sql -H 'Content-Type: application/json' {key}-d {shlex.quote(question)}\n"
        "To stop         Ctrl-C"
    )


def _run(server: "uvicorn.Server", listening: socket.socket, gateway: "FastAPI") -> int:
    """Serves until a signal; requests at work are finished."""
    # uvicorn raises the signal again after an orderly shutdown; the process is to end with exit code 0
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    except SystemExit:
        failure = getattr(gateway.state, "failure", None)
        if failure is None:
            raise
        raise failure from None
    return 0
