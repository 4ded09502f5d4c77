"""Real vLLM as a process: what the chart's container runs, started here with vLLM for CPUs in the place of its image."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".vllm/bin/python"
STARTING_S = 600.0
MODULE = ["python3", "-m", "vllm.entrypoints.openai.api_server"]  # what starts vLLM in its image for CPUs


def missing() -> str:
    """Why real vLLM cannot be tested here, or nothing."""
    return "" if (ROOT / ".vllm/ready").is_file() else "vLLM is not installed: .ci/vllm-up"


def insisted() -> bool:
    """Whether missing vLLM is a failure, by SENSE_TEST_VLLM=1, and not a reason to skip its tests."""
    return os.environ.get("SENSE_TEST_VLLM") == "1"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port


class Vllm:
    """A running server; `command` and `env` are a container's."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], port: int, log: Path) -> None:
        assert list(command[:3]) == MODULE, command
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR")}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(PYTHON), *command[1:]], env=kept | dict(env), stdout=output, stderr=output, start_new_session=True
            )

    def __enter__(self) -> "Vllm":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def ready(self) -> "Vllm":
        """Returns once it answers; AssertionError with the end of its log if it does not start."""
        deadline = time.monotonic() + STARTING_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200:
                    return self
            except httpx.HTTPError:
                time.sleep(0.2)
        self.kill()
        raise AssertionError("vLLM did not start:\n" + "\n".join(self._log.read_text(errors="replace").splitlines()[-30:]))

    def kill(self) -> None:
        """Kills it and its workers, as a node that dies does."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
