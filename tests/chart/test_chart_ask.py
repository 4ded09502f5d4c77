"""`helm test`: the script of its pod, as the chart renders it, against a real gateway."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests.chart.rendering import find, pod, render
from tests.serving.model_server import ModelServer
from tests.serving.running import Running, settings

KEY = "right-key"


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("databases")
    with closing(sqlite3.connect(folder / "shop.sqlite")) as connection:
        connection.executescript("CREATE TABLE item(id INTEGER PRIMARY KEY); INSERT INTO item VALUES (1), (2);")
    return folder


@pytest.fixture
def model():
    with ModelServer(["sense-3"]) as server:
        yield server


@pytest.fixture
def gateway(model, databases, monkeypatch):
    monkeypatch.setenv("SENSE_GATEWAY_KEYS", f"{KEY},other")
    with Running(settings(model.url, databases, ("sense-3",))) as running:
        yield running


def run_test_pod(gateway, *, keys=f"{KEY},other", **options):
    """Runs the command of `helm test` against the gateway; returns its exit code and output."""
    container = pod(find(render("values-cpu.yaml", set={f"test.{key}": value for key, value in options.items()}), "Pod"))[
        "containers"
    ][0]
    env = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    env |= {"GATEWAY_URL": gateway.url, "SENSE_GATEWAY_KEYS": keys}
    command = [sys.executable if argument == "python3" else argument for argument in container["command"]]
    env["PATH"] = os.environ["PATH"]
    process = subprocess.run(command, check=False, env=env, capture_output=True, text=True, timeout=120)
    return process.returncode, process.stdout + process.stderr


def test_a_gateway_that_answers_passes(gateway):
    assert run_test_pod(gateway) == (0, "shop: SELECT 'sense-3'\n")


def test_an_answer_without_sql_passes_too(gateway, model):
    model.write = lambda *_: " DROP TABLE item"
    code, output = run_test_pod(gateway, question="Drop it!", database="shop")
    assert (code, output.startswith("shop: abstained: ")) == (0, True), output


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"database": "nowhere"}, "/v1/sql: 404"),
        ({"keys": "wrong"}, "/v1/databases: 401"),
    ],
)
def test_a_refusal_fails_with_what_the_gateway_said(gateway, options, expected):
    code, output = run_test_pod(gateway, **options)
    assert (code, expected in output, "right-key" in output) == (1, True, False), output


def test_another_version_fails(databases, monkeypatch):
    monkeypatch.setenv("SENSE_GATEWAY_KEYS", KEY)
    with ModelServer(["sense-2"]) as model, Running(settings(model.url, databases, ("sense-2",))) as gateway:
        code, output = run_test_pod(gateway, timeoutSeconds=1)
    assert code == 1
    assert "answered, not sense version 3" in output


def test_the_last_answer_of_the_version_before_is_waited_for(databases, monkeypatch):
    monkeypatch.setenv("SENSE_GATEWAY_KEYS", KEY)
    with ModelServer(["sense-2"]) as model, Running(settings(model.url, databases, ("sense-3", "sense-2"))) as gateway:

        def write(body, _):
            model.names = ["sense-2", "sense-3"]
            return f" SELECT '{body['model']}'"

        model.write = write
        assert run_test_pod(gateway) == (0, "shop: SELECT 'sense-3'\n")
    assert model.requests[0].body["model"] == "sense-2"


def test_a_gateway_that_is_not_ready_fails(gateway, model):
    model.die()
    code, output = run_test_pod(gateway, timeoutSeconds=1)
    assert (code, output.startswith("/readyz: not ready: ")) == (1, True), output
