"""The gateway's image before a model server: small, as any user of group 0, with a read-only root."""

import json
import sqlite3
import subprocess

import httpx
import pytest
import yaml

from tests.docker.container import docker, run
from tests.serving.model_server import ModelServer

pytestmark = pytest.mark.docker

BYTES = 0.2e9  # beyond the base
KEY = "a-key-for-the-test"
ABSENT = ("torch", "transformers", "mlflow", "vllm", "pip")
PRESENT = ("fastapi", "uvicorn", "sqlalchemy", "psycopg", "pymysql", "prometheus_client")


def test_it_holds_what_serving_needs_and_no_more(gateway_image):
    inspected = json.loads(docker("image", "inspect", gateway_image))[0]
    base = inspected["Config"]["Labels"]["org.opencontainers.image.base.name"]
    assert inspected["Size"] - json.loads(docker("image", "inspect", base))[0]["Size"] < BYTES
    assert (inspected["Config"]["User"], inspected["Config"]["Entrypoint"]) == ("1000:0", None)
    script = f"from importlib.util import find_spec; print([name for name in {PRESENT + ABSENT} if find_spec(name)])"
    assert run(gateway_image, "python", "-c", script) == str(list(PRESENT))


def test_without_a_configuration_it_says_what_it_needs(gateway_image):
    started = ["docker", "run", "--rm", "--network", "none", gateway_image]
    done = subprocess.run(started, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "SENSE_GATEWAY_KEYS" in done.stderr


@pytest.mark.parametrize("user", ["", "123456:0"])
def test_it_answers_a_question(gateway_image, tmp_path, user):
    """As the chart runs it: databases and configuration read-only, feedback on a volume, keys from the environment."""
    shop, feedback = tmp_path / "databases" / "shop" / "shop.sqlite", tmp_path / "feedback"
    shop.parent.mkdir(parents=True)
    with sqlite3.connect(shop) as connection:
        connection.execute("CREATE TABLE item (name TEXT)")
        connection.executemany("INSERT INTO item VALUES (?)", [("nail",), ("saw",)])
    connection.close()
    feedback.mkdir()
    feedback.chmod(0o777)
    with ModelServer(write=lambda _body, _index: " SELECT count(*) FROM item") as model:
        settings = {
            "host": "0.0.0.0",
            "port": 0,
            "backend": {"vllm": {"url": model.url, "models": {"sense-1": {"name": "sense", "version": "1"}}}},
            "databases": {"folders": ["/databases"]},
            "feedback": "/feedback",
            "data": None,
        }
        file = tmp_path / "serve.yaml"
        file.write_text(yaml.safe_dump(settings))
        options = ["--detach", "--network", "host", "--read-only", "--tmpfs", "/tmp", "--env", f"SENSE_GATEWAY_KEYS={KEY}"]
        for place, inside in ((tmp_path / "databases", "/databases:ro"), (feedback, "/feedback"), (file, "/serve.yaml:ro")):
            options += ["--volume", f"{place}:{inside}"]
        options += ["--user", user] if user else []
        container = docker("run", *options, gateway_image, "sense", "serve", "--config", "/serve.yaml")
        try:
            address = listening(container)
            asked = {"question": "How many items?", "database": "shop"}
            with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {KEY}"}) as client:
                answer = client.post("/v1/sql", json=asked).json()
                kept = client.post("/v1/feedback", json=asked | {"id": "one", "sql": answer["sql"], "correct": True}).json()
            log = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True).stderr
        finally:
            docker("rm", "--force", container)
    assert (answer["sql"], answer["rows"], answer["model"]["version"]) == ("SELECT count(*) FROM item", [[2]], "1")
    assert kept["labelled"] is True
    assert "How many items?" in (feedback / "examples.jsonl").read_text()
    assert KEY not in log
    assert "How many items?" not in log


def listening(container):
    """The address in the gateway's own log, once it is there; AssertionError with the log if the container has ended instead."""
    told = []
    with subprocess.Popen(["docker", "logs", "--follow", container], stderr=subprocess.PIPE, text=True) as following:
        try:
            for line in following.stderr:  # it ends with the container
                told.append(line)
                if line.startswith("{") and (event := json.loads(line))["event"] == "listening":
                    return event["url"].replace("0.0.0.0", "127.0.0.1")
        finally:
            following.kill()
    raise AssertionError("".join(told))
