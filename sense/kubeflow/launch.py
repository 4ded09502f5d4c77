"""A training stage in one process or, on several GPUs, in several processes that accelerate starts together.

Launcher and processes are connected by a socket, which is the standard input of the processes: if the launcher ends, even by
`kill -9`, they end too, and the launcher does not return before the last of them has ended. They send the metrics, or the error,
through it as JSON, one message a line.
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

from sense import config, console, garbage
from sense.errors import SenseError, UserError
from sense.kubeflow import nodes
from sense.stages import execute, module

TRAINING = ("sft", "dpo")
_SOCKET = 0  # file descriptor of a process's end of the socket


def launch(
    stage: str,
    section: Mapping[str, Any],
    inputs: Mapping[str, Path | str],
    outputs: Mapping[str, Path | str],
    processes: int,
    job: str = "",
) -> dict[str, Any]:
    """Runs one stage, as sense.stages.execute does, in `processes` processes, one for each GPU; returns its metrics.

    With `job` (manifests of sense.kubeflow.train_job, as JSON) the processes are those of a TrainJob on several nodes.
    UserError for what the user can mend, SenseError for anything else that ends the processes; their output is above it.
    """
    if job:
        return nodes.run(job, stage, section, inputs, outputs)
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
    code, messages = _run_processes(_command(processes, json.dumps(order)))
    failures = [message for message in messages if "error" in message]
    finished = [message["metrics"] for message in messages if "metrics" in message]
    if finished:
        metrics: dict[str, Any] = finished[0]  # the outputs are in place; a process that failed after that does no harm
        return metrics
    if not failures:
        raise SenseError(f"{stage}: {processes} processes under accelerate ended with exit code {code}; the reason is above")
    kind = UserError if failures[0]["exit_code"] == UserError.exit_code else SenseError
    raise kind(failures[0]["error"])


def _paths(ports: Mapping[str, Path | str]) -> dict[str, Path]:
    return {name: Path(path) for name, path in ports.items()}


def _command(processes: int, order: str) -> list[str]:
    """accelerate's command for `processes` processes that run the stage which `order` describes."""
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


def _run_processes(command: list[str]) -> tuple[int, list[dict[str, Any]]]:
    """Runs `command` until all processes that it starts have ended; returns its exit code and their messages."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            running = subprocess.Popen(command, stdin=theirs.fileno())
        try:
            code = running.wait()
        finally:
            ours.shutdown(socket.SHUT_WR)  # ends the processes that outlive accelerate
            with ours.makefile("rb") as lines:
                messages = [json.loads(line) for line in lines]  # until the last of them has ended
            running.wait()
    return code, messages


def main(text: str) -> int:
    """One of the processes: runs the stage that `text` describes; returns the exit code."""
    garbage.collect_old_rarely()
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    console.quiet(not config.is_main_process())
    order = json.loads(text)
    try:
        metrics = execute(order["stage"], order["section"], _paths(order["inputs"]), _paths(order["outputs"]))
    except SenseError as error:
        _send({"error": str(error), "exit_code": error.exit_code})
        return error.exit_code
    if config.is_main_process():
        _send({"metrics": metrics})
    return 0


def _end_with_launcher() -> None:
    while os.read(_SOCKET, 1):  # the launcher sends nothing: this returns when its end is closed
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _send(message: Mapping[str, Any]) -> None:
    line = json.dumps(message).encode() + b"\n"
    while line:
        line = line[os.write(_SOCKET, line) :]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
