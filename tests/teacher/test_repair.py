"""A draft with a fault is asked for once more, with the fault in words; what is still wrong then is dropped."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from tests.endpoint import Answerer, Reply, answer_text, chat_reply, data_point, error_reply, good_teacher
from tests.llm_runs import LlmRun, digests, run_llm

GOOD = good_teacher()


def faulty(point: dict[str, Any], kind: str) -> str:
    """The answer with `point`, with one fault."""
    amount = re.search(r"(\w+) INTEGER, FOREIGN KEY", point["schema"][1])
    assert amount
    child = re.match(r"CREATE TABLE (\w+)", point["schema"][1])
    assert child
    changes: dict[str, dict[str, Any]] = {
        "misspelt column": {"sql": 'SELECT "titel", id FROM ' + child[1]},
        "SQL fails": {"sql": f"SELECT titel FROM {child[1]}"},
        "idle condition": {"sql": f"SELECT title FROM {child[1]} WHERE {amount[1]} > 0"},
        "tie at LIMIT": {"sql": f"SELECT title FROM {child[1]} ORDER BY {amount[1]} > 0 LIMIT 1"},
        "broken foreign key": {"rows": [point["rows"][0], point["rows"][1].replace("VALUES (1, ", "VALUES (1, 9")]},
        "level not met": {"sql": f"SELECT title FROM {child[1]}"},
        "bad rows": {"rows": ["INSERT INTO nowhere VALUES (1)"]},
        "not json": {},
    }
    return "Sorry." if kind == "not json" else json.dumps(point | changes[kind])


def teacher(kind: str, mends: bool, share: float = 1.0) -> Answerer:
    """Writes a draft with a fault first; told of it, it writes a good one if it `mends`."""

    def answer(request: dict[str, Any]) -> Reply:
        rng = random.Random(request["seed"])
        level = re.search(r"at the (\w+) level", request["messages"][1]["content"])
        assert level
        point = data_point(rng, level[1])
        if (len(request["messages"]) > 2 and mends) or rng.random() >= share:
            return chat_reply(json.dumps(point))
        return chat_reply(faulty(point, kind))

    return answer


def run(answer: Answerer, work: Path, repair: bool = True, level: str = "easy", **section: Any) -> LlmRun:
    return run_llm(answer, work, {"repair": repair}, levels={level: 1}, **section)


KINDS = [
    "misspelt column",
    "SQL fails",
    "idle condition",
    "tie at LIMIT",
    "broken foreign key",
    "level not met",
    "bad rows",
    "not json",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_mended_once_or_dropped(kind: str, tmp_path: Path):
    level = "hard" if kind == "level not met" else "easy"
    mended = run(teacher(kind, mends=True), tmp_path / "mended", level=level)
    assert mended.metrics["funnel"] == {"asked": 6, "kept": 6, "dropped": {}, "repairs": {"asked": 6, "kept": 6}}
    assert mended.metrics["hardness"][level] == 6
    assert len(mended.requests) == 12
    turns = next(request.body["messages"] for request in mended.requests if len(request.body["messages"]) > 2)
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[3]["content"].startswith(f"This data point cannot be used: {kind}. ")
    assert f"at the {level} level" in turns[3]["content"]
    never = run(teacher(kind, mends=False, share=0.5), tmp_path / "never", level=level, max_attempts=9)
    funnel = never.metrics["funnel"]
    assert funnel["kept"] == 6
    assert funnel["dropped"] == {kind: funnel["asked"] - 6}
    assert funnel["repairs"] == {"asked": funnel["asked"] - 6, "kept": 0}
    assert len(never.requests) == funnel["asked"] + funnel["repairs"]["asked"]


def test_the_assistant_s_turn_is_its_own_answer_and_the_message_is_the_database_s(tmp_path: Path):
    result = run(teacher("SQL fails", mends=True), tmp_path, count=1)
    first, second = (request.body for request in result.requests)
    expected = answer_text(teacher("SQL fails", mends=True)(first))
    assert second["messages"][:3] == [*first["messages"], {"role": "assistant", "content": expected}]
    assert "no such column: titel" in second["messages"][3]["content"]


def test_without_repair_another_draft_is_asked_for(tmp_path: Path):
    result = run(teacher("SQL fails", mends=True, share=0.5), tmp_path, repair=False, max_attempts=9)
    funnel = result.metrics["funnel"]
    assert (funnel["kept"], funnel["dropped"]) == (6, {"SQL fails": funnel["asked"] - 6})
    assert "repairs" not in funnel
    assert len(result.requests) == funnel["asked"]


def test_what_a_message_cannot_help_is_not_repaired(tmp_path: Path):
    def answer(request: dict[str, Any]) -> Reply:
        return error_reply(400, "flagged", code="content_filter") if request["seed"] % 2 else GOOD(request)

    result = run(answer, tmp_path, max_attempts=9)
    assert "content filter" in result.metrics["funnel"]["dropped"]
    assert "repairs" not in result.metrics["funnel"]


def test_a_repair_without_an_answer_leaves_the_fault_and_the_run_goes_on(tmp_path: Path):
    def answer(request: dict[str, Any]) -> Reply:
        return error_reply(500, "no") if len(request["messages"]) > 2 else teacher("SQL fails", False, 0.5)(request)

    result = run(answer, tmp_path, max_attempts=9)
    funnel = result.metrics["funnel"]
    assert funnel["dropped"] == {"SQL fails": funnel["repairs"]["asked"]}
    assert funnel["kept"] == 6


def test_a_second_run_asks_for_no_repair_again_and_ends_alike(tmp_path: Path):
    first = run(teacher("idle condition", mends=True, share=0.5), tmp_path)
    before = digests(tmp_path)
    (tmp_path / "failures.jsonl").unlink(missing_ok=True)
    second = run(teacher("idle condition", mends=False), tmp_path)
    assert second.requests == []
    assert (second.metrics, digests(tmp_path)) == (first.metrics, before)
