"""The model server dies under load and comes back: 503 meanwhile, no feedback is lost, and nothing is restarted."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from sense.records import Example, read_rows
from tests.serving.conftest import Start
from tests.serving.model_server import ModelServer

FEEDBACK = {"question": "How many items?", "database": "shop", "sql": "SELECT count(*) FROM item", "correct": True}


class Load:
    """Clients that ask and clients that send feedback, without a pause, until `stop`."""

    def __init__(self, gateway, askers=4, reporters=2):
        self.answers, self.feedback_responses, self.changed, self._over = [], {}, threading.Condition(), threading.Event()
        self._gateway, self._numbers = gateway, count()
        self._pool = ThreadPoolExecutor(askers + reporters)
        self._running = [self._pool.submit(work) for work in [self._ask] * askers + [self._send_feedback] * reporters]

    def _ask(self):
        while not self._over.is_set():
            response = self._gateway.ask()
            with self.changed:
                self.answers.append(response)
                self.changed.notify_all()

    def _send_feedback(self):
        while not self._over.is_set():
            feedback_id = f"feedback-{next(self._numbers)}"
            response = self._gateway.client.post("/v1/feedback", json=FEEDBACK | {"id": feedback_id})
            with self.changed:
                self.feedback_responses[feedback_id] = response
                self.changed.notify_all()

    def wait_for(self, status, enough=10):
        """Waits for `enough` more answers of this status and for more feedback; AssertionError after 60 s."""
        with self.changed:
            answers, feedback = len(self.answers), len(self.feedback_responses)
            assert self.changed.wait_for(
                lambda: self._has(answers, status, enough) and len(self.feedback_responses) > feedback + 2, 60
            )

    def _has(self, since, status, enough):
        return sum(answer.status_code == status for answer in self.answers[since:]) >= enough

    def stop(self):
        self._over.set()
        self._pool.shutdown()
        for worker in self._running:
            worker.result()


def test_a_dead_model_server_is_a_503_and_loses_no_feedback(start: Start, model: ModelServer, tmp_path):
    gateway = start(feedback=str(tmp_path / "feedback"))
    load = Load(gateway)
    try:
        load.wait_for(200)
        for _ in range(2):
            model.die()
            load.wait_for(503)
            model.live()
            load.wait_for(200)
    finally:
        load.stop()
    statuses = Counter(answer.status_code for answer in load.answers)
    assert set(statuses) == {200, 503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in load.answers if answer.status_code == 503)
    assert {answer.status_code for answer in load.feedback_responses.values()} == {200}
    stored = Counter(row.id for row in read_rows(tmp_path / "feedback" / "examples.jsonl", Example))
    assert set(stored.values()) == {1}
    assert len(stored) == len(load.feedback_responses)
    assert gateway.ask().status_code == 200


def test_feedback_has_slots_of_its_own_when_questions_occupy_all_theirs(start: Start, model: ModelServer, tmp_path):
    gateway = start(feedback=str(tmp_path / "feedback"), limits={"concurrency": 1, "queue": 0})
    model.stall()
    feedback = FEEDBACK | {"id": "s1"}
    with ThreadPoolExecutor(1) as pool:
        question = pool.submit(gateway.ask)
        model.until(lambda: model.in_flight == 1)
        assert gateway.ask().status_code == 429
        assert gateway.client.post("/v1/feedback", json=feedback).json()["labelled"] is True
        assert gateway.client.post("/v1/feedback", json=feedback).status_code == 200  # again: the same
        conflict = gateway.client.post("/v1/feedback", json=feedback | {"correct": False})
        assert (conflict.status_code, conflict.json()["error"]) == (409, "conflict")
        model.resume()
        assert question.result().status_code == 200
    assert gateway.metric('sense_feedback_total{correct="true"}') == 2
