"""`sense serve` as a process: configurations it refuses, what it logs, how it shuts down."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from sense.errors import ConfigError
from sense.serving import command
from tests.serving.model_server import ModelServer
from tests.serving.running import until_closed

COMMAND = [sys.executable, "-m", "sense", "serve"]
VERSIONS = {"sense-1": {"name": "sense", "version": "1"}}


@pytest.fixture
def write(tmp_path, shop, model):
    """Writes a configuration; the keywords replace its sections."""

    def write_config(**changes) -> Path:
        value = {
            "port": 0,
            "backend": {"vllm": {"url": model.url, "models": VERSIONS}},
            "databases": {"folders": [str(shop)]},
            "feedback": str(tmp_path / "feedback"),
            "data": None,
        }
        (tmp_path / "serve.yaml").write_text(yaml.safe_dump(value | changes))
        return tmp_path / "serve.yaml"

    return write_config


def error_of(*flags, env=None):
    """The stderr of a start that fails; the exit code must be 2 and stdout empty."""
    done = subprocess.run([*COMMAND, *map(str, flags)], capture_output=True, text=True, check=False, timeout=120, env=env)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_all_wrong_keys_are_listed_at_once(write):
    stderr = error_of("--config", write(prot=8080, limits={"queues": 1}, host=1, log_level="loud"))
    assert "4 errors" in stderr
    for key in ("prot", "limits.queues", "host", "log_level"):
        assert f"  {key} = " in stderr


@pytest.mark.parametrize("text", ["a: [", "- 1", "port: 1\nport: 2", "text", "a: &a [*a]", "&a : *a"])
def test_an_invalid_or_missing_configuration_file(tmp_path, text):
    (tmp_path / "serve.yaml").write_text(text)
    assert "serve.yaml" in error_of("--config", tmp_path / "serve.yaml")
    assert "absent.yaml" in error_of("--config", tmp_path / "absent.yaml")


def test_a_port_in_use(write):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stderr = error_of("--config", write(), "--port", port)
    assert f"127.0.0.1:{port}" in stderr
    assert "--port" in stderr


def test_a_host_of_another_machine(write):
    assert "192.0.2.1" in error_of("--config", write(keys="PATH"), "--host", "192.0.2.1")


def test_listening_to_other_machines_requires_keys(write):
    stderr = error_of("--config", write(keys="A_KEY_BY_MISTAKE"), "--host", "0.0.0.0")
    assert "keys" in stderr
    assert "A_KEY_BY_MISTAKE" not in stderr


@pytest.mark.parametrize("keys", [",", " , ", "one,t wo", "gehe\u00efm", "\x7f"])
def test_keys_that_do_not_fit_into_a_header(write, keys):
    stderr = error_of("--config", write(), env=os.environ | {"SENSE_GATEWAY_KEYS": keys})
    assert "the environment variable of API keys" in stderr
    assert keys.strip(" ,") == "" or keys.strip() not in stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limits": {"request_s": float("inf")}}, "limits.request_s"),
        ({"limits": {"execution": {"timeout_s": 1e9}}}, "limits.execution.timeout_s"),
        ({"limits": {"execution": {"max_bytes": 10**25}}}, "limits.execution.max_bytes"),
        ({"feedback": "a\0"}, "holds the character NUL"),
        ({"host": "..", "keys": "PATH"}, "cannot listen on ..:0"),
        ({"host": "h" * 300, "keys": "PATH"}, "cannot listen on hhh"),
    ],
)
def test_values_that_cannot_work(write, changes, message):
    assert message in error_of("--config", write(**changes))


def test_no_databases(write, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "--databases" in error_of("--config", write(), "--databases", tmp_path / "empty")
    assert "absent" in error_of("--config", write(), "--databases", tmp_path / "absent")


def test_a_missing_model(write, tmp_path):
    local = {"local": {"model": str(tmp_path / "nothing")}}
    assert "nothing" in error_of("--config", write(backend=local))
    assert "backend.vllm" in error_of("--config", write(), "--model", "models:/sense/1")


def options(*flags):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser, "serve")
    return parser.parse_args(list(map(str, flags)))


def test_an_error_in_a_flag_does_not_name_the_file(write):
    with pytest.raises(ConfigError, match="the flags of sense serve") as raised:
        command.read_settings(options("--config", write(), "--port", 99_999))
    assert "port = 99999" in str(raised.value)


def test_the_model_flag_takes_the_same_names_as_the_registry_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine@home").mkdir()
    uris = {"sense@champion": "models:/sense@champion", "models:/sense/3": "models:/sense/3", "mine@home": "mine@home"}
    assert {name: command.read_settings(options("--model", name)).backend.local.model for name in uris} == uris


@contextmanager
def serving(*flags):
    """A running gateway: the process, a client, and the list of its lines on stderr, complete once the process has ended."""
    process = subprocess.Popen([*COMMAND, *map(str, flags)], stderr=subprocess.PIPE, text=True)
    lines, listening = [], threading.Event()

    def read():
        for line in process.stderr:
            lines.append(line)
            if '"listening"' in line:
                listening.set()
        listening.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert listening.wait(60)
        assert '"listening"' in "".join(lines), lines
        url = json.loads(next(line for line in lines if '"listening"' in line))["url"]
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            yield process, client, lines
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stderr.close()


def test_it_logs_its_url_answers_and_logs_nothing_but_json(write):
    with serving("--config", write(), "--port", 0) as (process, client, lines):
        assert client.get("/readyz").status_code == 200
        answer = client.post(
            "/v1/sql", json={"question": "a question of mine", "database": "shop"}, headers={"X-Request-Id": "r1"}
        )
        assert answer.json()["sql"] == "SELECT 'sense-1'"
        with socket.create_connection(("127.0.0.1", client.base_url.port)) as connection:
            connection.sendall(b"nonsense of mine\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    events = [json.loads(line) for line in lines]
    assert all({"time", "level", "event"} <= set(line) for line in events)
    assert [line["status"] for line in events if line.get("request_id") == "r1"] == [200]
    assert events[0]["databases"] == 1
    assert "stopping" in [line["event"] for line in events]
    assert "mine" not in "".join(lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_are_finished_before_it_ends(write, model: ModelServer, number):
    with serving("--config", write()) as (process, client, _):
        model.stall()
        answers = []
        asking = threading.Thread(
            target=lambda: answers.append(client.post("/v1/sql", json={"question": "?", "database": "shop"}))
        )
        asking.start()
        model.until(lambda: model.in_flight == 1)
        process.send_signal(number)
        until_closed(client.base_url.port)
        model.resume()
        asking.join()
        assert answers[0].status_code == 200
        assert process.wait(30) == 0


def test_it_does_not_wait_forever_for_requests_in_flight(write, model: ModelServer):
    with serving("--config", write(limits={"model_s": 40, "request_s": 1})) as (process, client, lines):
        model.stall()
        asking = threading.Thread(target=lambda: client.post("/v1/sql", json={"question": "?", "database": "shop"}))
        asking.start()
        model.until(lambda: model.in_flight == 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        asking.join()
    assert all(json.loads(line) for line in lines)
