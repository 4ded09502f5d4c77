"""The stand-in for an LLM behind the fake endpoint, in the test's own process."""

from pathlib import Path
from threading import Lock
from typing import Any

from sense.config import GrammarConfig
from sense.stand_in.stand_in import Behaviour, StandIn
from tests.endpoint import Answerer, Reply


def answerer(teacher: StandIn) -> Answerer:
    """What a stand-in replies."""
    lock = Lock()

    def answer(body: dict[str, Any]) -> Reply:
        with lock:
            reply = teacher.reply(body)
        return reply.status, dict(reply.headers), reply.body

    return answer


def stand_in(rates: dict[str, float] | None = None, questions: Path | None = None) -> Answerer:
    """A stand-in of a small grammar, with faults at these rates; `questions` is its file of them."""
    behaviour = Behaviour(0, rates or {}, retry_after_s=0)
    return answerer(StandIn(behaviour, GrammarConfig(tables=4, rows=12), lambda: 0.0, questions))
