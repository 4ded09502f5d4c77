"""A training stage in one process or in several, which accelerate starts together: one for each GPU, or parts of the processors.

Launcher and processes are connected by a socket, which is the standard input of the processes: if the launcher ends, even by
`kill -9`, they end too, and the launcher does not return before the last of them has ended. They send the metrics, or the error,
through it as JSON, one message a line. What accelerate itself writes, a long traceback whenever a process fails, shows only if
none of them has said why.
"""

import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sense import config, console, garbage
from sense.errors import SenseError, UserError
from sense.stages import execute, module

TRAINING = ("sft", "dpo")
_SOCKET, _STDOUT, _STDERR = 0, 1, 2  # file descriptors of a process; the first is its end of the socket


def launch(
    stage: str,
    section: Mapping[str, Any],
    inputs: Mapping[str, Path | str],
    outputs: Mapping[str, Path | str],
    processes: int | None = None,
) -> dict[str, Any]:
    """Runs one stage, as sense.stages.execute does; a training in as many processes as `train.processes` says.

    There are fewer if the machine has fewer GPUs; `processes` is for a task that has been given its GPUs: one for each. Fewer
    than `train.processes` add up the gradients of more batches, so that a step has as many rows. Processes that accelerate or
    torchrun has started by hand stay as they are. Returns the metrics.

    UserError for what the user can mend, SenseError for anything else that ends the processes; their output is above it.
    """
    if stage not in TRAINING and processes is not None and processes > 1:
        raise UserError(
            f"{stage} cannot share its work among {processes} processes, only {' and '.join(TRAINING)} can; ask for one"
        )
    if stage not in TRAINING or config.processes() > 1:
        return execute(stage, section, _paths(inputs), _paths(outputs))
    train = config.validate(module(stage).Config, section, f"the section of {stage}").train
    if processes is None:
        processes = train.processes if train.processes == 1 else min(train.processes, _gpus() or train.processes)
    if processes < train.processes:
        if train.processes % processes:
            raise UserError(
                f"train.processes is {train.processes}, and there are {processes} GPUs, which cannot share the batches of a step "
                f"evenly; set it to {processes}, or to a multiple of that"
            )
        accumulation = train.accumulation * (train.processes // processes)
        section = {**section, "train": {**section["train"], "processes": processes, "accumulation": accumulation}}
    if processes == 1:
        return execute(stage, section, _paths(inputs), _paths(outputs))
    order = {
        "stage": stage,
        "section": dict(section),
        "inputs": {name: str(path) for name, path in inputs.items()},
        "outputs": {name: str(path) for name, path in outputs.items()},
        "quiet": console.is_quiet(),
    }
    threads = int(config.environment("OMP_NUM_THREADS") or config.cores())
    with config.with_variables({"OMP_NUM_THREADS": str(max(1, threads // processes))}):
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


def _gpus() -> int:
    """How many GPUs this machine has; PyTorch, which is slow to import, is asked unless it is its build for processors."""
    if importlib.metadata.version("torch").endswith("+cpu"):
        return 0
    from sense.training import devices

    return devices.gpu_count()


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
    return [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", *flags, "-m", "sense.stages.launch", order]


def _run_processes(command: list[str]) -> tuple[int, list[dict[str, Any]]]:
    """Runs `command` until all processes that it starts have ended; returns its exit code and their messages."""
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile() as log:
        with theirs:
            # the processes inherit both from accelerate: their way to the terminal is stdout, see `main`
            running = subprocess.Popen(command, stdin=theirs.fileno(), stdout=_STDERR, stderr=log)
        try:
            code = running.wait()
        finally:
            ours.shutdown(socket.SHUT_WR)  # ends the processes that outlive accelerate
            with ours.makefile("rb") as lines:
                messages = [json.loads(line) for line in lines]  # until the last of them has ended
            running.wait()
        if not any(message.keys() & {"error", "metrics"} for message in messages):
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
    return code, messages


def main(text: str) -> int:
    """One of the processes: runs the stage that `text` describes; returns the exit code."""
    os.dup2(_STDOUT, _STDERR)
    garbage.collect_old_rarely()
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    order = json.loads(text)
    console.quiet(order["quiet"] or not config.is_main_process())
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
