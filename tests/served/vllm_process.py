"""Real vLLM as a process: the command of the chart's container, run with a local vLLM for CPUs instead of its image."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".vllm/bin/python"
STARTING_S = 600.0
STARTED = b"Application startup complete"  # in its log, just before it answers
MODULE = ["python3", "-m", "vllm.entrypoints.openai.api_server"]  # what starts vLLM in its image for CPUs


def missing() -> str:
    """Why real vLLM cannot be tested here, or nothing."""
    return "" if (ROOT / ".vllm/ready").is_file() else "vLLM is not installed: .ci/vllm-up"


def insisted() -> bool:
    """Whether missing vLLM is a failure, by SENSE_TEST_VLLM=1, and not a reason to skip its tests."""
    return os.environ.get("SENSE_TEST_VLLM") == "1"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Vllm:
    """A running server; `command` and `env` are a container's."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], port: int, log: Path) -> None:
        assert list(command[:3]) == MODULE, command
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR")}
        self._process = subprocess.Popen(
            [str(PYTHON), *command[1:]],
            env=inherited | dict(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._started_or_ended = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> "Vllm":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _read(self) -> None:
        """Copies its output to the log file, and sets the event once the output says that it has started, or ends."""
        assert self._process.stdout is not None
        with self._log.open("ab") as log, self._process.stdout as lines:
            for line in lines:
                log.write(line)
                if STARTED in line:
                    self._started_or_ended.set()
        self._started_or_ended.set()

    def ready(self) -> "Vllm":
        """Returns once it answers; AssertionError with the end of its log if it does not start."""
        if self._started_or_ended.wait(STARTING_S) and self._process.poll() is None:
            # it listens only a moment after it has said so: a refused connection is tried again, for half a minute at most
            with httpx.Client(transport=httpx.HTTPTransport(retries=6), timeout=60, trust_env=False) as client:
                assert client.get(f"{self.url}/health").status_code == 200
            return self
        self.kill()
        raise AssertionError("vLLM did not start:\n" + "\n".join(self._log.read_text(errors="replace").splitlines()[-30:]))

    def kill(self) -> None:
        """Kills it and its workers, as a node that dies does."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
