"""The model server dies under load and comes back: 503 meanwhile, feedback is kept all the time, and nothing is restarted."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from sense.records import Example, read_rows
from tests.serving.conftest import Start
from tests.serving.model_server import ModelServer

SAID = {"question": "How many items?", "database": "shop", "sql": "SELECT count(*) FROM item", "correct": True}


class Load:
    """Clients that ask and clients that give feedback, without a pause, until told to stop."""

    def __init__(self, gateway, askers=4, tellers=2):
        self.asked, self.told, self.changed, self._over = [], {}, threading.Condition(), threading.Event()
        self._gateway, self._numbers = gateway, count()
        self._pool = ThreadPoolExecutor(askers + tellers)
        self._running = [self._pool.submit(work) for work in [self._ask] * askers + [self._tell] * tellers]

    def _ask(self):
        while not self._over.is_set():
            response = self._gateway.ask()
            with self.changed:
                self.asked.append(response)
                self.changed.notify_all()

    def _tell(self):
        while not self._over.is_set():
            number = f"said-{next(self._numbers)}"
            said = {
                "id": number,
                "question": "How many items?",
                "database": "shop",
                "sql": "SELECT count(*) FROM item",
                "correct": True,
            }
            response = self._gateway.client.post("/v1/feedback", json=said)
            with self.changed:
                self.told[number] = response
                self.changed.notify_all()

    def more(self, status, enough=10):
        """Waits for answers of this status and for feedback that has come in since now."""
        with self.changed:
            asked, told = len(self.asked), len(self.told)
            assert self.changed.wait_for(lambda: self._has(asked, status, enough) and len(self.told) > told + 2, 60)

    def _has(self, since, status, enough):
        return sum(answer.status_code == status for answer in self.asked[since:]) >= enough

    def stop(self):
        self._over.set()
        self._pool.shutdown()
        for worker in self._running:
            worker.result()


def test_a_dead_model_server_is_a_503_and_loses_no_feedback(start: Start, model: ModelServer, tmp_path):
    gateway = start(feedback=str(tmp_path / "feedback"))
    load = Load(gateway)
    try:
        load.more(200)
        for _ in range(2):
            model.die()
            load.more(503)
            model.live()
            load.more(200)
    finally:
        load.stop()
    statuses = Counter(answer.status_code for answer in load.asked)
    assert set(statuses) == {200, 503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in load.asked if answer.status_code == 503)
    assert {answer.status_code for answer in load.told.values()} == {200}
    kept = Counter(row.id for row in read_rows(tmp_path / "feedback" / "examples.jsonl", Example))
    assert set(kept.values()) == {1}
    assert len(kept) == len(load.told)
    assert gateway.ask().status_code == 200


def test_feedback_has_places_of_its_own_when_questions_take_all_theirs(start: Start, model: ModelServer, tmp_path):
    gateway = start(feedback=str(tmp_path / "feedback"), limits={"concurrency": 1, "queue": 0})
    model.stall()
    said = SAID | {"id": "s1"}
    with ThreadPoolExecutor(1) as pool:
        sql_admission = pool.submit(gateway.ask)
        model.until(lambda: model.in_flight == 1)
        assert gateway.ask().status_code == 429
        assert gateway.client.post("/v1/feedback", json=said).json()["labelled"] is True
        assert gateway.client.post("/v1/feedback", json=said).status_code == 200  # again: the same
        conflict = gateway.client.post("/v1/feedback", json=said | {"correct": False})
        assert (conflict.status_code, conflict.json()["error"]) == (409, "conflict")
        model.resume()
        assert sql_admission.result().status_code == 200
    assert gateway.metric('sense_feedback_total{correct="true"}') == 2
