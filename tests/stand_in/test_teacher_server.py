"""`sense teacher serve` as a process: real HTTP, a program beside it, and how both end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from sense.config import LlmConfig
from sense.teacher import Draft
from sense.teacher.llm import LlmTeacher
from tests.clock import PausesOnly

PROGRAM = [sys.executable, "-m", "sense", "teacher", "serve"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def url():
    port = free_port()
    rates = [flag for fault in ("429=0.2", "500=0.2") for flag in ("--fault", fault)]
    with subprocess.Popen(
        [*PROGRAM, "--port", str(port), *rates, "--retry-after", "0"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"teacher at http://127.0.0.1:{port}/v1, model grammar; Ctrl-C stops it\n"
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.readlines()[-1].startswith("asked of the teacher: ")


def test_an_llm_teacher_gets_its_drafts_from_it_through_faults(url):
    config = LlmConfig(model="grammar", base_url=f"{url}/v1", retries=9, timeout_s=20)
    teacher = LlmTeacher(config, 0, [], "", PausesOnly([]))
    before = httpx.get(f"{url}/counts").json()
    with ThreadPoolExecutor(4) as pool:
        drafts = list(pool.map(lambda index: teacher.draft(index, "medium", []), range(8)))
    assert all(isinstance(draft, Draft) for draft in drafts)
    after = httpx.get(f"{url}/counts").json()
    assert after["answered"] - before["answered"] == 8
    assert after["answered_again"] == before["answered_again"]
    assert after["requests"] - before["requests"] == 8 + sum(after["faults"].values()) - sum(before["faults"].values())


def test_it_lists_its_model_and_refuses_what_is_no_json(url):
    assert [model["id"] for model in httpx.get(f"{url}/v1/models").json()["data"]] == ["grammar"]
    response = httpx.post(f"{url}/v1/chat/completions", content=b"{")
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")
    assert httpx.get(f"{url}/v1/completions").status_code == 404


ASK = """
import json, sys, urllib.request
with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/v1/models") as response:
    print(json.load(response)["data"][0]["id"])
sys.exit(7)
"""


def test_a_program_is_served_to_its_end_and_gives_the_exit_code():
    port = str(free_port())
    result = serve(["--port", port, "--", sys.executable, "-c", ASK, port])
    assert (result.stdout, result.returncode) == ("grammar\n", 7)
    line = "asked of the teacher: 0 requests, 0 of them different; 0 answers, 0 of them to requests answered before; faults: none"
    assert result.stderr.splitlines()[-1] == line


def test_the_signal_that_stops_it_stops_the_program_too():
    script = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    arguments = [*PROGRAM, "--port", "0", "--", sys.executable, "-c", script]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "418=0.1"], "--fault 418=0.1: write FAULT=RATE, a rate from 0 to 1 and one of 429, 500, slow"),
        (["--fault", "429"], "--fault 429: write FAULT=RATE, such as 429=0.1"),
        (["--limit", "0"], "--limit 0: a rate must be above 0"),
        (["--slow", "-1"], "--slow -1: seconds must be at least 0"),
        (["--port", "70000"], "cannot listen on 127.0.0.1:70000"),
        (["--params", "nowhere.yaml"], "nowhere.yaml"),
        (["--port", "0", "--", "no-such-program"], "no-such-program: No such file or directory; after -- stands the program"),
    ],
)
def test_what_it_cannot_do_is_an_error_of_one_line(arguments, message):
    result = serve(arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
