"""A training stage in one process or, on several GPUs, in several that accelerate starts together.

Launcher and processes hold on to each other by a socket, which the processes have as their standard input: what ends the
launcher, be it `kill -9`, ends them too, and the launcher does not return before the last of them has ended. Through it they
tell the metrics, or what went wrong.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sense import config, console
from sense.errors import SenseError, UserError
from sense.stages import execute, module

TRAINING = ("sft", "dpo")
_LAUNCHER = 0  # the descriptor of a process's end of the socket


def launch(
    stage: str,
    section: Mapping[str, Any],
    inputs: Mapping[str, Path | str],
    outputs: Mapping[str, Path | str],
    processes: int,
) -> dict[str, Any]:
    """Runs one stage, as sense.stages.execute does, in `processes` processes, one for each GPU; returns its metrics.

    UserError for what the user can mend, SenseError for anything else that ends the processes; their output stands above it.
    """
    if processes <= 1:
        return execute(stage, section, _paths(inputs), _paths(outputs))
    if stage not in TRAINING:
        raise UserError(
            f"{stage} cannot share its work among {processes} processes, only {' and '.join(TRAINING)} can; ask for one"
        )
    config.validate(module(stage).Config, section, f"the section of {stage}")
    order = {
        "stage": stage,
        "section": dict(section),
        "inputs": {name: str(path) for name, path in inputs.items()},
        "outputs": {name: str(path) for name, path in outputs.items()},
    }
    code, told = _started(_command(processes, json.dumps(order)))
    failures = [message for message in told if "error" in message]
    finished = [message["metrics"] for message in told if "metrics" in message]
    if finished:
        metrics: dict[str, Any] = finished[0]  # the outputs are in place: what ended the others after that does no harm
        return metrics
    if not failures:
        raise SenseError(f"{stage}: {processes} processes under accelerate ended with exit code {code}; what it was stands above")
    kind = UserError if failures[0]["exit_code"] == UserError.exit_code else SenseError
    raise kind(failures[0]["error"])


def _paths(ports: Mapping[str, Path | str]) -> dict[str, Path]:
    return {name: Path(path) for name, path in ports.items()}


def _command(processes: int, order: str) -> list[str]:
    """accelerate's command for `processes` processes that carry out `order`."""
    options = {
        "num_processes": processes,
        "num_machines": 1,
        "main_process_port": 0,
        "mixed_precision": "no",
        "dynamo_backend": "no",
    }
    flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    # without --multi_gpu accelerate starts a single process wherever it sees fewer than two GPUs, and does not say so
    return [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", *flags, "-m", "sense.kubeflow.launch", order]


def _started(command: list[str]) -> tuple[int, list[dict[str, Any]]]:
    """Runs `command` to the end of all that it starts; returns its exit code and what the processes told."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            running = subprocess.Popen(command, stdin=theirs.fileno())
        try:
            code = running.wait()
        finally:
            ours.shutdown(socket.SHUT_WR)  # the end of those that outlive accelerate
            with ours.makefile("rb") as lines:
                told = [json.loads(line) for line in lines]  # up to the end of the last of them
            running.wait()
    return code, told


def main(text: str) -> int:
    """One of the processes: carries out the order in `text`; returns the exit code."""
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    console.quiet(not config.is_main_process())
    order = json.loads(text)
    try:
        metrics = execute(order["stage"], order["section"], _paths(order["inputs"]), _paths(order["outputs"]))
    except SenseError as error:
        _tell({"error": str(error), "exit_code": error.exit_code})
        return error.exit_code
    if config.is_main_process():
        _tell({"metrics": metrics})
    return 0


def _end_with_launcher() -> None:
    while os.read(_LAUNCHER, 1):  # it never sends anything: this returns when its end is closed
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _tell(message: Mapping[str, Any]) -> None:
    line = json.dumps(message).encode() + b"\n"
    while line:
        line = line[os.write(_LAUNCHER, line) :]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
