"""An endpoint answers nothing that can be used, and works after it was mended.

vllm-project/vllm #41902, #45736 and #52640 (content null, all text in reasoning), bespokelabsai/curator #734 (cached responses
with errors must never be reused). Right: the run stops after a few requests and says why. What failed is not remembered: the same
command asks the mended endpoint. What was kept before is not asked for again.
"""

import re
from collections.abc import Callable
from pathlib import Path
from threading import Semaphore
from typing import Any

import pytest

from sense.records import Hardness
from sense.teacher import Draft
from sense.teacher.answers import parse_draft
from sense.teacher.collection import MAX_FAILED_REQUESTS, MAX_REJECTED_DRAFTS
from tests.endpoint import Reply, answer_text, chat_reply, error_reply, good_teacher
from tests.killed import file_changes, run_until_killed
from tests.llm_runs import chat_seed, digests, run_llm, seed_dataset

GOOD = good_teacher()
MANY = {"count": 30, "max_attempts": 4}


def in_reasoning(request: dict[str, Any]) -> Reply:
    return chat_reply(None, reasoning_content=answer_text(GOOD(request)))


def always(reply: Reply) -> Callable[[dict[str, Any]], Reply]:
    return lambda _: reply


@pytest.mark.parametrize("section", [{"count": 6, "max_attempts": 2}, MANY])
def test_content_in_reasoning_stops_the_run_and_a_rerun_asks_the_mended_endpoint(section, tmp_path: Path):
    run = run_llm(in_reasoning, tmp_path / "mended", **section)
    assert "10 requests in a row brought no answer" in run.message
    assert "10 answer in reasoning_content, first: http://127.0.0.1:" in run.message
    assert "start the server so that the answer comes as content" in run.message
    assert MAX_FAILED_REQUESTS <= len(run.requests) <= MAX_FAILED_REQUESTS + 2
    again = run_llm(GOOD, tmp_path / "mended", **section)
    assert again.metrics["funnel"] == {"asked": section["count"], "kept": section["count"], "dropped": {}}
    assert len(again.requests) == section["count"]
    assert run_llm(GOOD, tmp_path / "undisturbed", **section).metrics == again.metrics
    assert digests(tmp_path / "mended") == digests(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("reply", "wording"),
    [
        (chat_reply("", "length", reasoning_content="hm"), "10 cut off, first: (.|\n)*raise llm.max_tokens"),
        (error_reply(400, "No.", code="new_in_2030"), "10 HTTP 400, first: (.|\n)*HTTP 400: No. .*check the llm section"),
        (error_reply(400, "filtered", code="content_filter"), "10 content filter, first: (.|\n)*loosen the endpoint's content"),
        ((500, {}, "out of memory"), "10 HTTP 500, first: (.|\n)*out of memory; it fails by itself"),
        (chat_reply(None, refusal="I cannot."), "10 declined, first: (.|\n)*I cannot.; try another llm.model"),
        ((200, {}, "<html>Welcome to nginx!</html>"), "10 no completion, (.|\n)*check that llm.base_url"),
    ],
)
def test_an_endpoint_that_answers_nothing_is_left_after_a_few_requests(reply, wording, tmp_path: Path):
    run = run_llm(always(reply), tmp_path, **MANY)
    assert re.search(wording, run.message), run.message
    assert len(run.requests) <= MAX_FAILED_REQUESTS + 2
    assert run_llm(GOOD, tmp_path, **MANY).metrics["funnel"]["dropped"] == {}


def test_tries_count_as_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sense.endpoint.MAX_PAUSE_S", 0)
    run = run_llm(always((200, {}, "<html>Welcome!</html>")), tmp_path, llm={"retries": 5}, **MANY)
    assert "12 requests in a row brought no answer" in run.message
    assert "(6 tries)" in run.message


def test_answers_that_cannot_be_used_stop_the_run_too(tmp_path: Path):
    run = run_llm(always(chat_reply("I am a large language model.")), tmp_path, **MANY)
    assert "none of the 20 drafts of the llm teacher could be kept; try another synthesize.llm.model" in run.message
    assert "20 not json, first: " in run.message
    assert len(run.requests) <= MAX_REJECTED_DRAFTS + 2
    assert run_llm(GOOD, tmp_path, **MANY).metrics["funnel"]["dropped"] == {}


@pytest.mark.parametrize("answered", [0, 8])
def test_while_one_draft_is_read_slowly_no_more_than_may_be_needed_are_requested(
    answered: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It is the third; those of the first `answered` numbers are good."""
    others = Semaphore(0)

    def read(text: str, index: int, level: Hardness) -> Draft:
        if index == 2:
            for _ in range(answered + MAX_REJECTED_DRAFTS + 4):  # those of two before it too
                others.acquire(timeout=0.5)
        others.release()
        return parse_draft(text, index, level)

    monkeypatch.setattr("sense.teacher.llm.parse_draft", read)
    seeds = {chat_seed(index) for index in range(answered)}
    prose = chat_reply("I am a large language model.")
    run = run_llm(lambda request: GOOD(request) if request["seed"] in seeds else prose, tmp_path, **MANY)
    assert "20 drafts of the llm teacher could be kept" in run.message
    assert len(run.requests) <= answered + MAX_REJECTED_DRAFTS + 2


def test_with_few_attempts_nothing_is_remembered_either(tmp_path: Path):
    run = run_llm(in_reasoning, tmp_path, count=3, max_attempts=2)
    assert "none of the 6 drafts" in run.message
    assert len(run.requests) == 6
    assert run_llm(GOOD, tmp_path, count=3, max_attempts=2).metrics["funnel"]["dropped"] == {}


def teacher_of(indices: set[int]) -> Callable[[dict[str, Any]], Reply]:
    """A teacher whose endpoint works for the drafts of these numbers alone."""
    seeds = {chat_seed(index) for index in indices}
    return lambda request: (GOOD if request["seed"] in seeds else in_reasoning)(request)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_what_was_kept_before_the_endpoint_failed_is_not_asked_for_again(concurrency, tmp_path: Path):
    section: dict[str, Any] = {"count": 30, "llm": {"concurrency": concurrency}}
    undisturbed = run_llm(GOOD, tmp_path / "undisturbed", **section)
    broken = run_llm(teacher_of(set(range(12))), tmp_path / "broken", **section)
    assert "none of the last 20 drafts of the llm teacher could be kept: 20 requests in a row brought no answer" in broken.message
    assert len(broken.requests) <= 12 + MAX_REJECTED_DRAFTS + 2 * concurrency
    again = run_llm(GOOD, tmp_path / "broken", **section)
    assert again.metrics == undisturbed.metrics
    assert digests(tmp_path / "broken") == digests(tmp_path / "undisturbed")
    assert {request.body["seed"] for request in again.requests} == {chat_seed(index) for index in range(12, 30)}


def test_failures_before_and_answers_after_the_last_example_are_told_apart(tmp_path: Path):
    section: dict[str, Any] = {"count": 30, "llm": {"concurrency": 4}}
    answered = {0, 1, 2, 3, 6, 7, 35, 36}  # the last two are on their way when 20 * 8 / 6 in a row have failed
    broken = run_llm(teacher_of(answered), tmp_path, **section)
    assert "none of the last 27 drafts" in broken.message
    again = run_llm(GOOD, tmp_path, **section)
    assert again.metrics["funnel"] == {"asked": 30, "kept": 30, "dropped": {}}
    kept = {chat_seed(index) for index in answered} & {request.body["seed"] for request in broken.requests}
    assert len(kept) >= 6
    assert {request.body["seed"] for request in again.requests} == {chat_seed(index) for index in range(30)} - kept


def test_killed_at_any_moment_a_failing_run_ends_with_the_same_message_and_forgets(tmp_path: Path):
    undisturbed = run_llm(in_reasoning, tmp_path / "undisturbed", **MANY).message.partition("first: ")[0]
    for number in range(1, 60):
        work = tmp_path / str(number)
        seed_dataset(work / "seed")
        finished = run_until_killed(lambda work=work: run_llm(in_reasoning, work, **MANY), number, file_changes(work))
        assert run_llm(in_reasoning, work, **MANY).message.partition("first: ")[0] == undisturbed
        assert run_llm(GOOD, work, count=6, max_attempts=4).metrics["funnel"]["dropped"] == {}
        if finished:
            return
    raise AssertionError("the run changes more files than that")


@pytest.mark.parametrize(
    ("reply", "wording"),
    [
        ((401, {}, "no"), "set SENSE_API_KEY"),
        (error_reply(404, "The model `m` does not exist", code="model_not_found"), "llm.model"),
        (error_reply(400, "Invalid model: m"), "set llm.model"),
        (error_reply(429, "You exceeded your current quota", code="insufficient_quota"), "top it up"),
        (error_reply(400, "This model's maximum context length is 4096 tokens and your request has 812"), "lower llm.max_tokens"),
        ((200, {"Content-Type": "text/event-stream"}, 'data: {"choices": []}\n\n'), "switch streaming off"),
    ],
)
def test_what_every_exchange_would_meet_is_named_at_once(reply, wording, tmp_path: Path):
    run = run_llm(always(reply), tmp_path, llm={"retries": 3}, **MANY)
    assert run.message.startswith("http://127.0.0.1:")
    assert wording in run.message
    assert len(run.requests) <= 2
