"""The LLM teacher against the fake endpoint: good answers become drafts that build and run, others are rejected."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from sense.config import LlmConfig
from sense.errors import EndpointError
from sense.records import HARDNESS, Example
from sense.sql.hardness import hardness
from sense.teacher import Draft, RejectedDraft, build_database
from sense.teacher.llm import LlmTeacher
from tests.clock import PausesOnly
from tests.endpoint import Answerer, Endpoint, Reply, chat_reply, error_reply, good_teacher

SEEDS = [
    (
        Example(
            id=f"s{n}", db_id=f"base_{n}", question=f"question {n}?", sql=f"SELECT {n}", source="seeds", hardness="easy",
            domain="" if n == 0 else f"domain {n}",
        ),
        f"table_{n}(a)",
    )
    for n in range(5)
]  # fmt: skip


def llm_teacher(endpoint: Endpoint, seed: int = 0, **options: Any) -> LlmTeacher:
    config = LlmConfig.model_validate({"model": "m", "base_url": endpoint.base_url} | options)
    return LlmTeacher(config, seed, SEEDS, "key", PausesOnly([]))


def write_drafts(script: list[Reply] | Answerer, count: int = 1, **options: Any) -> list[Draft | RejectedDraft]:
    with Endpoint(script) as endpoint:
        teacher = llm_teacher(endpoint, **options)
        return [teacher.draft(index, HARDNESS[index % 4], []) for index in range(count)]


def prompt_of(index: int, level: str, avoid: list[str], seed: int = 0, **options: Any) -> str:
    with Endpoint([chat_reply("")]) as endpoint:
        llm_teacher(endpoint, seed, **options).draft(index, level, avoid)
    return str(endpoint.requests[0].body["messages"][1]["content"])


@pytest.mark.parametrize("level", HARDNESS)
def test_good_answers_build_and_run_at_the_level_asked_for(level, tmp_path):
    with Endpoint(good_teacher()) as endpoint:
        teacher = llm_teacher(endpoint)
        drafts = [teacher.draft(index, level, []) for index in range(4)]
    for draft in drafts:
        assert isinstance(draft, Draft)
        assert (draft.level, hardness(draft.sql)) == (level, level)
        build_database(draft, tmp_path / f"{draft.db_id}.sqlite")
        with closing(sqlite3.connect(tmp_path / f"{draft.db_id}.sqlite")) as connection:
            assert connection.execute(draft.sql).fetchall()
    assert len({draft.db_id for draft in drafts}) == len({draft.question for draft in drafts}) == 4


def test_drafts_depend_on_seed_and_index_alone_not_on_order_or_threads():
    with Endpoint(good_teacher(nonsense=0.3)) as endpoint, ThreadPoolExecutor(2) as pool:
        teacher = llm_teacher(endpoint)
        threaded = list(pool.map(lambda index: teacher.draft(index, "easy", ["x"]), range(12)))
        again = [llm_teacher(endpoint).draft(index, "easy", ["x"]) for index in reversed(range(12))][::-1]
        other = [llm_teacher(endpoint, seed=1).draft(index, "easy", ["x"]) for index in range(12)]
    assert threaded == again != other
    seeds = [request.body["seed"] for request in endpoint.requests]
    assert len(set(seeds[:12])) == 12
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_the_prompt_carries_level_domains_and_random_demonstrations():
    prompt = prompt_of(3, "hard", ["sport", "travel"])
    assert "Write one more data point at the hard level." in prompt
    assert "over-represented: education, healthcare, travel, entertainment, sport." in prompt
    prompts = [prompt_of(index, "hard", []) for index in range(8)]
    demonstrations = [
        tuple(n for n in range(5) if f"Schema:\ntable_{n}(a)\nQuestion: question {n}?\nSQL: SELECT {n}\n" in text)
        for text in prompts
    ]
    assert all(len(numbers) == 2 for numbers in demonstrations)
    assert len(set(demonstrations)) > 1
    assert any("Domain: base 0\n" in text for text in prompts)  # no domain given: the database's name
    assert prompts[0] != prompt_of(0, "hard", [], seed=1)


def test_demonstrations_may_be_none_or_all():
    assert "Write one data point of" in prompt_of(0, "easy", [], demonstrations=0)
    assert prompt_of(0, "easy", [], demonstrations=99).count("### Data point") == 5


def test_nonsense_is_rejected_by_reason_or_left_to_the_execution():
    results = write_drafts(good_teacher(nonsense=1.0), count=40)
    reasons = {result.reason for result in results if isinstance(result, RejectedDraft)}
    assert reasons == {"not json", "missing field", "bad schema", "bad rows", "not a select"}
    assert any(isinstance(result, Draft) for result in results)  # SQL that fails or returns nothing: only running it tells


@pytest.mark.parametrize(
    ("reply", "reason", "failed_requests"),
    [
        (chat_reply("I cannot help with that."), "not json", 0),
        (chat_reply('{"domain": "bel', "length"), "cut off", 0),
        (chat_reply("<think>and so on", "length"), "cut off", 0),
        (chat_reply("", "length"), "cut off", 1),
        (chat_reply(None, "content_filter"), "content filter", 1),
        (chat_reply(None, reasoning_content="{}"), "answer in reasoning_content", 1),
        (error_reply(400, "Failed to generate JSON.", code="json_validate_failed"), "JSON mode failed", 1),
    ],
)
def test_an_unusable_answer_is_a_rejected_draft(reply, reason, failed_requests):
    (result,) = write_drafts([reply])
    assert isinstance(result, RejectedDraft)
    assert (result.reason, result.level, result.failed_requests) == (reason, "easy", failed_requests)


def test_an_exchange_that_fails_at_every_try_is_a_rejected_draft():
    (result,) = write_drafts([(500, {}, "oops")] * 3, retries=2)
    assert isinstance(result, RejectedDraft)
    assert (result.reason, result.failed_requests) == ("HTTP 500", 3)


def test_a_failing_endpoint_is_an_error():
    with pytest.raises(EndpointError, match="set SENSE_API_KEY"):
        write_drafts([(401, {}, "who are you?")])
