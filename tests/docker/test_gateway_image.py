"""The gateway's image in front of a model server: small, as any user of group 0, with a read-only root."""

import json
import sqlite3
import subprocess

import httpx
import pytest
import yaml

from tests.docker.container import docker, run
from tests.serving.model_server import ModelServer

pytestmark = pytest.mark.docker

MAX_BYTES = 0.2e9  # in addition to the base image
KEY = "a-key-for-the-test"
ABSENT = ("torch", "transformers", "pandas", "sklearn", "vllm", "pip")
PRESENT = ("fastapi", "uvicorn", "sqlalchemy", "psycopg", "pymysql", "prometheus_client", "mlflow", "opentelemetry.exporter")


def test_it_has_the_libraries_of_serving_and_no_others(gateway_image):
    inspected = json.loads(docker("image", "inspect", gateway_image))[0]
    base = inspected["Config"]["Labels"]["org.opencontainers.image.base.name"]
    assert inspected["Size"] - json.loads(docker("image", "inspect", base))[0]["Size"] < MAX_BYTES
    assert (inspected["Config"]["User"], inspected["Config"]["Entrypoint"]) == ("1000:0", None)
    script = f"from importlib.util import find_spec; print([name for name in {PRESENT + ABSENT} if find_spec(name)])"
    assert run(gateway_image, "python", "-c", script) == str(list(PRESENT))


def test_without_a_configuration_it_names_what_is_missing(gateway_image):
    command = ["docker", "run", "--rm", "--network", "none", gateway_image]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert "SENSE_GATEWAY_KEYS" in process.stderr


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
        for path, mount in ((tmp_path / "databases", "/databases:ro"), (feedback, "/feedback"), (file, "/serve.yaml:ro")):
            options += ["--volume", f"{path}:{mount}"]
        options += ["--user", user] if user else []
        container = docker("run", *options, gateway_image, "sense", "serve", "--config", "/serve.yaml")
        try:
            url = listening_url(container)
            question = {"question": "How many items?", "database": "shop"}
            with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as client:
                answer = client.post("/v1/sql", json=question).json()
                feedback_response = client.post(
                    "/v1/feedback", json=question | {"id": "one", "sql": answer["sql"], "correct": True}
                ).json()
            log = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True).stderr
        finally:
            docker("rm", "--force", container)
    assert (answer["sql"], answer["rows"], answer["model"]["version"]) == ("SELECT count(*) FROM item", [[2]], "1")
    assert feedback_response["labelled"] is True
    assert "How many items?" in (feedback / "examples.jsonl").read_text()
    assert KEY not in log
    assert "How many items?" not in log


def listening_url(container):
    """Waits for the URL in the gateway's log; AssertionError with the log if the container ends before."""
    lines = []
    with subprocess.Popen(["docker", "logs", "--follow", container], stderr=subprocess.PIPE, text=True) as following:
        try:
            for line in following.stderr:  # it ends with the container
                lines.append(line)
                if line.startswith("{") and (event := json.loads(line))["event"] == "listening":
                    return event["url"].replace("0.0.0.0", "127.0.0.1")
        finally:
            following.kill()
    raise AssertionError("".join(lines))
