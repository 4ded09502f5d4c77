"""Promotion and rollback under load: every answer comes from one version and names it, and none fails."""

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.serving.conftest import Start
from tests.serving.model_server import ModelServer
from tests.serving.running import Running

VERSIONS = {
    name: {"name": "sense", "version": name.removeprefix("sense-"), "prompt": {"schema_style": style}}
    for name, style in (("sense-1", "compact"), ("sense-2", "ddl"))
}


class Clients:
    """Clients that ask without a pause until `stop`; `answers` collects the responses."""

    def __init__(self, gateway: Running, count: int):
        self.answers, self.changed, self._over = [], threading.Condition(), threading.Event()
        self._gateway, self._pool = gateway, ThreadPoolExecutor(count)
        self._running = [self._pool.submit(self._ask) for _ in range(count)]

    def _ask(self):
        while not self._over.is_set():
            response = self._gateway.ask(k=3)
            with self.changed:
                self.answers.append(response)
                self.changed.notify_all()

    def until(self, check):
        """Waits until `check` holds of all answers; AssertionError after 30 s."""
        with self.changed:
            assert self.changed.wait_for(lambda: check(self.answers), 30)

    def stop(self):
        self._over.set()
        self._pool.shutdown()
        for client in self._running:
            client.result()


def version(response):
    return response.json().get("model", {}).get("version")


def test_no_answer_mixes_versions(start: Start, model: ModelServer, monkeypatch):
    gateway = start(backend={"vllm": {"url": model.url, "models": VERSIONS}})
    clients = Clients(gateway, 8)
    try:
        for name in ("sense-1", "sense-2", "sense-1", "sense-2", "sense-1"):  # promotion and rollback, twice
            with clients.changed:
                model.names, before = [name], len(clients.answers)
            number = VERSIONS[name]["version"]
            clients.until(lambda answers, n=number, b=before: sum(version(answer) == n for answer in answers[b:]) >= 10)
    finally:
        clients.stop()
    assert {answer.status_code for answer in clients.answers} == {200}
    for answer in clients.answers:
        expected = f"SELECT 'sense-{version(answer)}'"  # a completion names its model
        assert {candidate["sql"] for candidate in answer.json()["candidates"]} == {expected}
        assert answer.json()["sql"] == expected
    assert {version(answer) for answer in clients.answers} == {"1", "2"}
    for request in model.requests:  # and each version got prompts in its own style
        style = VERSIONS[request.body["model"]]["prompt"]["schema_style"]
        assert ("CREATE TABLE" in request.body["prompt"]) == (style == "ddl")
    assert gateway.metric('sense_model_info{name="sense",version="1"}') == 1
    assert gateway.metric('sense_model_info{name="sense",version="2"}') == 0


def test_a_request_whose_version_is_removed_starts_over_with_the_new_one(start: Start, model: ModelServer):
    gateway = start(backend={"vllm": {"url": model.url, "models": VERSIONS}})
    assert version(gateway.ask()) == "1"
    model.names = ["sense-2"]  # the gateway still has version 1 in its cache
    answer = gateway.ask(k=4)
    assert version(answer) == "2"
    assert {candidate["sql"] for candidate in answer.json()["candidates"]} == {"SELECT 'sense-2'"}


def test_a_version_that_is_not_configured_is_a_503(start: Start, model: ModelServer):
    gateway = start()
    model.names = ["sense-7"]
    response = gateway.ask()
    assert response.status_code == 503
    model.names = ["sense-1"]
    assert gateway.ask().status_code == 200
