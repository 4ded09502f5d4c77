"""A candidate beside the champion, before two model servers: shares, one version an answer, faults, an abort, a promotion."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest
from scipy import stats

from sense.registry.rollout import Canary, Rollout
from sense.serving import canary as canary_module
from sense.serving.canary import CanaryBackend, version_server
from sense.serving.vllm import VllmBackend
from tests.serving.model_server import ModelServer
from tests.serving.running import Running, settings

STARTED = Canary("2", 50.0, "2026-01-02 10:00:00.000000", "ann")


class Announced:
    """A rollout that a test says, where a registry would."""

    def __init__(self, canary=STARTED):
        self.rollout = Rollout("1", "2", canary)
        self.aborts = []

    async def start(self):
        pass

    async def close(self):
        pass

    def abort(self, canary, reason, at):
        self.aborts.append((canary, reason))

    def say(self, **changes):
        self.rollout = replace(self.rollout, canary=replace(self.rollout.canary, **changes))


class Servers:
    """The servers of champion and candidate, the gateway before them, and the rollout that it follows."""

    def __init__(self, stack, shop, **changes):
        self.champion, self.candidate = (stack.enter_context(ModelServer([name])) for name in ("sense-1", "sense-2"))
        self.source = Announced()
        candidate = {"url": self.candidate.url, "models": {"sense-2": {"name": "sense", "version": "2"}}}
        config = settings(self.champion.url, shop, canary={"vllm": candidate, **changes.pop("canary", {})}, **changes)
        servers = [
            version_server(VllmBackend(vllm, config.generation, config.limits.model_s), vllm, "sense")
            for vllm in (config.backend.vllm, config.canary.vllm)
        ]
        self.backend = CanaryBackend(config.canary.abort, *servers, self.source)
        self.gateway = stack.enter_context(Running(config, self.backend))

    def versions(self, count, **fields):
        """The versions that answered `count` questions, each of which the answer must name truly."""
        with ThreadPoolExecutor(4) as pool:
            answers = [answer.json() for answer in pool.map(lambda _: self.gateway.ask(**fields), range(count))]
        assert all(answer["sql"] == f"SELECT 'sense-{answer['model']['version']}'" for answer in answers), answers
        return [answer["model"]["version"] for answer in answers]

    def metric(self, name, **labels):
        text = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        return self.gateway.metric(f"{name}{{{text}}}")


@pytest.fixture
def serve(shop):
    with ExitStack() as stack:
        yield lambda **changes: Servers(stack, shop, **changes)


def test_each_version_gets_its_share_and_every_answer_names_its_version(serve):
    servers = serve()
    for weight in (50.0, 10.0):
        servers.source.say(weight=weight)
        count = servers.versions(120).count("2")
        assert stats.binomtest(count, 120, weight / 100).pvalue > 1e-6
    answered = [servers.metric("sense_version_answers_total", version=name, outcome="answered") for name in "12"]
    assert sum(answered) == 240
    assert servers.metric("sense_canary_weight", version="2") == 10
    assert servers.metric("sense_version_seconds_count", version="2") == answered[1]
    assert 'sense_model_info{name="sense",version="2"}' not in servers.gateway.client.get("/metrics").text  # not the one in use


def test_a_request_a_session_or_a_key_always_gets_the_same_version(serve):
    servers = serve(canary={"assign": "session"})
    ask = servers.gateway.client.post
    body = {"question": "How many?", "database": "shop"}

    def version(**headers):
        return ask("/v1/sql", json=body, headers=headers).json()["model"]["version"]

    sessions = [f"session-{number}" for number in range(12)]
    first = {name: version(**{"X-Session-Id": name}) for name in sessions}
    assert set(first.values()) == {"1", "2"}
    assert {name: version(**{"X-Session-Id": name}) for name in sessions} == first
    servers.source.say(weight=100.0)  # a greater weight takes the version from nobody who has the candidate
    assert {version(**{"X-Session-Id": name}) for name in sessions} == {"2"}
    servers.source.say(weight=50.0)
    by_request = [version(**{"X-Request-Id": f"request-{number}"}) for number in range(12)]  # without a session
    assert [version(**{"X-Request-Id": f"request-{number}"}) for number in range(12)] == by_request


def test_a_candidate_that_fails_is_aborted_and_its_questions_are_answered_by_the_champion(serve):
    servers = serve(canary={"abort": {"answers": 20}})
    assert "2" in servers.versions(10)
    servers.candidate.write = lambda body, index: (_ for _ in ()).throw(ConnectionError)  # cuts the connection
    statuses = {servers.gateway.ask().status_code for _ in range(120)}
    assert statuses == {200}
    [(aborted, reason)] = servers.source.aborts
    assert aborted == STARTED
    assert reason.startswith("failed requests: ")
    assert servers.metric("sense_canary_aborts_total", version="2", limit="error_share") == 1
    assert servers.metric("sense_version_answers_total", version="2", outcome="error") >= 10
    before = len(servers.candidate.requests)
    servers.candidate.write = servers.champion.write  # it has recovered, and stays aborted
    assert set(servers.versions(20)) == {"1"}
    assert len(servers.candidate.requests) == before
    servers.source.say(started="2026-01-02 11:00:00.000000")  # until a person starts it again
    assert "2" in servers.versions(20)


def test_a_candidate_that_writes_what_does_not_run_is_aborted(serve):
    servers = serve(canary={"abort": {"answers": 20}})
    servers.candidate.write = lambda body, index: " SELECT nothing FROM nowhere"
    answers = [servers.gateway.ask().json() for _ in range(200)]
    assert any(answer["abstained"] for answer in answers)
    assert not any(answer["abstained"] for answer in answers[-20:])
    assert servers.metric("sense_canary_aborts_total", version="2", limit="abstention_share") == 1


def test_a_killed_candidate_falls_back_to_the_champion(serve):
    servers = serve()
    servers.source.say(weight=100.0)
    assert set(servers.versions(5)) == {"2"}
    servers.candidate.die()
    assert set(servers.versions(10)) == {"1"}


def test_a_candidate_whose_server_is_not_there_yet_is_no_failure(serve, monkeypatch):
    monkeypatch.setattr(canary_module, "REST_S", 0.0)
    servers = serve(canary={"abort": {"answers": 5}})
    servers.candidate.die()
    assert set(servers.versions(40)) == {"1"}
    servers.candidate.live()
    assert "2" in servers.versions(20)
    assert servers.source.aborts == []


def test_a_server_with_another_version_than_the_canary_gets_no_question(serve):
    servers = serve()
    servers.source.rollout = Rollout("1", "7", replace(STARTED, version="7", weight=100.0))
    assert set(servers.versions(5)) == {"1"}
    assert servers.candidate.requests == []


def test_a_promotion_and_a_rollback_move_all_traffic_without_a_failed_request(serve):
    servers = serve()
    answers, over = [], threading.Event()

    def ask():
        while not over.is_set():
            response = servers.gateway.ask()
            answers.append((response.status_code, response.json().get("model", {}).get("version")))

    def wait_for(version, count=10):
        """Until the last `count` answers are of this version."""
        while [answer[1] for answer in answers[-count:]] != [version] * count and client.is_alive():
            over.wait(0.01)

    client = threading.Thread(target=ask)
    client.start()
    try:
        servers.source.rollout = Rollout("2", None, replace(STARTED, end="promoted"))
        wait_for("2")
        servers.champion.die()  # the old one is not needed any more
        wait_for("2")
        servers.champion.live()
        servers.source.rollout = Rollout("1", None, replace(STARTED, end="promoted"))
        wait_for("1")
    finally:
        over.set()
        client.join()
    assert {status for status, _ in answers} == {200}
    assert servers.gateway.client.get("/v1/model").json()["version"] == "1"


def test_the_old_version_answers_if_the_promoted_one_is_killed(serve):
    servers = serve()
    servers.source.rollout = Rollout("2", None, replace(STARTED, end="promoted"))
    assert set(servers.versions(3)) == {"2"}
    servers.candidate.die()
    assert set(servers.versions(3)) == {"1"}
    servers.champion.die()
    assert servers.gateway.ask().status_code == 503


def test_feedback_is_counted_by_version_and_an_invented_version_is_not(serve, tmp_path):
    servers = serve(feedback=str(tmp_path / "feedback"))
    servers.source.say(weight=100.0)
    answer = servers.gateway.ask().json()
    feedback = {"id": answer["id"], "question": "How many items?", "database": "shop", "sql": answer["sql"], "correct": True}
    assert servers.gateway.client.post("/v1/feedback", json=feedback | {"model": answer["model"]}).status_code == 200
    invented = {"id": "other", "model": answer["model"] | {"version": "999"}}
    assert servers.gateway.client.post("/v1/feedback", json=feedback | invented).status_code == 200
    assert servers.metric("sense_version_feedback_total", version="2", correct="true") == 1
    assert '"999"' not in servers.gateway.client.get("/metrics").text
