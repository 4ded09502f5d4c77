"""`sense serve` as a process: what it refuses to start with, what it says, how it ends."""

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

    def written(**changes) -> Path:
        value = {
            "port": 0,
            "backend": {"vllm": {"url": model.url, "models": VERSIONS}},
            "databases": {"folders": [str(shop)]},
            "feedback": str(tmp_path / "feedback"),
            "data": None,
        }
        (tmp_path / "serve.yaml").write_text(yaml.safe_dump(value | changes))
        return tmp_path / "serve.yaml"

    return written


def refused(*flags, env=None):
    """What it says on stderr; the exit code must be 2 and stdout empty."""
    done = subprocess.run([*COMMAND, *map(str, flags)], capture_output=True, text=True, check=False, timeout=120, env=env)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_wrong_keys_are_listed_all_at_once(write):
    said = refused("--config", write(prot=8080, limits={"queues": 1}, host=1, log_level="loud"))
    assert "4 errors" in said
    for key in ("prot", "limits.queues", "host", "log_level"):
        assert f"  {key} = " in said


@pytest.mark.parametrize("text", ["a: [", "- 1", "port: 1\nport: 2", "text", "a: &a [*a]", "&a : *a"])
def test_a_file_that_is_no_configuration(tmp_path, text):
    (tmp_path / "serve.yaml").write_text(text)
    assert "serve.yaml" in refused("--config", tmp_path / "serve.yaml")
    assert "absent.yaml" in refused("--config", tmp_path / "absent.yaml")


def test_a_port_in_use(write):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("--config", write(), "--port", port)
    assert f"127.0.0.1:{port}" in said
    assert "--port" in said


def test_a_host_that_is_not_ours(write):
    assert "192.0.2.1" in refused("--config", write(keys="PATH"), "--host", "192.0.2.1")


def test_open_to_other_machines_without_keys(write):
    said = refused("--config", write(keys="A_KEY_BY_MISTAKE"), "--host", "0.0.0.0")
    assert "keys" in said
    assert "A_KEY_BY_MISTAKE" not in said


@pytest.mark.parametrize("keys", [",", " , ", "one,t wo", "gehe\u00efm", "\x7f"])
def test_keys_that_nobody_could_send(write, keys):
    said = refused("--config", write(), env=os.environ | {"SENSE_GATEWAY_KEYS": keys})
    assert "the environment variable of API keys" in said
    assert keys.strip(" ,") == "" or keys.strip() not in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"limits": {"request_s": float("inf")}}, "limits.request_s"),
        ({"limits": {"execution": {"timeout_s": 1e9}}}, "limits.execution.timeout_s"),
        ({"limits": {"execution": {"max_bytes": 10**25}}}, "limits.execution.max_bytes"),
        ({"feedback": "a\0"}, "holds the character NUL"),
        ({"host": "..", "keys": "PATH"}, "cannot listen on ..:0"),
        ({"host": "h" * 300, "keys": "PATH"}, "cannot listen on hhh"),
    ],
)
def test_values_that_could_never_work(write, changes, said):
    assert said in refused("--config", write(**changes))


def test_no_databases(write, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "--databases" in refused("--config", write(), "--databases", tmp_path / "empty")
    assert "absent" in refused("--config", write(), "--databases", tmp_path / "absent")


def test_a_model_that_is_not_there(write, tmp_path):
    local = {"local": {"model": str(tmp_path / "nothing")}}
    assert "nothing" in refused("--config", write(backend=local))
    assert "backend.vllm" in refused("--config", write(), "--model", "models:/sense/1")


def options(*flags):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser, "serve")
    return parser.parse_args(list(map(str, flags)))


def test_a_wrong_flag_is_not_looked_for_in_the_file(write):
    with pytest.raises(ConfigError, match="the flags of sense serve") as caught:
        command.read_settings(options("--config", write(), "--port", 99_999))
    assert "port = 99999" in str(caught.value)


def test_a_model_is_named_as_the_registry_s_commands_name_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine@home").mkdir()
    named = {"sense@champion": "models:/sense@champion", "models:/sense/3": "models:/sense/3", "mine@home": "mine@home"}
    assert {name: command.read_settings(options("--model", name)).backend.local.model for name in named} == named


@contextmanager
def serving(*flags):
    """A running gateway: the process, a client, and a list of what it has written on stderr, whole once it has ended."""
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


def test_it_says_where_it_listens_answers_and_logs_json_alone(write):
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
    found = [json.loads(line) for line in lines]
    assert all({"time", "level", "event"} <= set(line) for line in found)
    assert [line["status"] for line in found if line.get("request_id") == "r1"] == [200]
    assert found[0]["databases"] == 1
    assert "stopping" in [line["event"] for line in found]
    assert "mine" not in "".join(lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_finishes_what_it_has_begun(write, model: ModelServer, number):
    with serving("--config", write()) as (process, client, _):
        model.stall()
        answers = []
        sql_admission = threading.Thread(
            target=lambda: answers.append(client.post("/v1/sql", json={"question": "?", "database": "shop"}))
        )
        sql_admission.start()
        model.until(lambda: model.in_flight == 1)
        process.send_signal(number)
        until_closed(client.base_url.port)
        model.resume()
        sql_admission.join()
        assert answers[0].status_code == 200
        assert process.wait(30) == 0


def test_it_does_not_wait_for_ever_for_what_it_has_begun(write, model: ModelServer):
    with serving("--config", write(limits={"model_s": 40, "request_s": 1})) as (process, client, lines):
        model.stall()
        sql_admission = threading.Thread(target=lambda: client.post("/v1/sql", json={"question": "?", "database": "shop"}))
        sql_admission.start()
        model.until(lambda: model.in_flight == 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        sql_admission.join()
    assert all(json.loads(line) for line in lines)
