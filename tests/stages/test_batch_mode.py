"""Runs of synthesize whose requests go in batches: the same data as with single requests, and nothing paid for twice."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sense.teacher import batches, collection
from tests.batch_endpoint import BatchEndpoint
from tests.endpoint import Answerer, Reply, error_reply, good_teacher
from tests.killed import file_changes, run_until_killed
from tests.llm_runs import digests, run_at, run_llm, seed_dataset

NONSENSE = good_teacher(nonsense=0.2)
BATCH: dict[str, Any] = {"mode": "batch", "batch_least": 2}
PRICES = {"prompt_price": 2.0, "completion_price": 10.0}


def counted(answer: Answerer) -> Answerer:
    """The same answers with a count of tokens."""

    def reply(request: dict[str, Any]) -> Reply:
        status, headers, body = answer(request)
        return status, headers, body | {"usage": {"prompt_tokens": 1000, "completion_tokens": 100}}

    return reply


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of the code takes longer than a run, and the endpoint has no batch that takes a second."""
    monkeypatch.setattr("sense.stages.code_dependencies.revision", lambda _: "the same")
    monkeypatch.setattr(batches, "FIRST_POLL_S", 0.01)


def ledger(work: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in work.rglob("ledger/*.jsonl") for line in file.read_text().splitlines()]


def folders(work: Path) -> list[Path]:
    return list(work.glob("answers/batches/[!.]*"))


@pytest.mark.parametrize("repair", [False, True])
def test_the_data_are_those_of_single_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repair: bool):
    monkeypatch.setattr(collection, "FIRST_LESSON", 2)  # drafts from number 8 on depend on answers
    single = run_llm(NONSENSE, tmp_path / "single", {"repair": repair}, count=14)
    with BatchEndpoint(NONSENSE) as endpoint:
        metrics, _ = run_at(endpoint.base_url, tmp_path / "batch", BATCH | {"repair": repair}, count=14)
    assert metrics == single.metrics
    assert digests(tmp_path / "batch") == digests(tmp_path / "single")
    assert sorted(endpoint.seeds) == sorted(request.body["seed"] for request in single.requests)
    assert endpoint.batches >= 2
    assert endpoint.calls.count(("POST", "/chat/completions")) < len(endpoint.seeds) / 2
    assert folders(tmp_path / "batch") == []


def test_an_answer_of_a_batch_has_its_share_of_the_price(tmp_path: Path):
    with BatchEndpoint(counted(good_teacher())) as endpoint:
        run_at(endpoint.base_url, tmp_path, BATCH | PRICES | {"batch_price_share": 0.25}, count=8)
    money = Counter(round(line["money"], 6) for line in ledger(tmp_path))
    assert money == {0.003: 1, 0.00075: 7}  # the first request tries the endpoint


def test_a_budget_makes_batches_smaller_and_ends_the_run(tmp_path: Path):
    llm = BATCH | PRICES | {"max_tokens": 1000}  # at worst about 0.016 alone, 0.008 in a batch
    with BatchEndpoint(counted(good_teacher())) as endpoint:
        _, message = run_at(endpoint.base_url, tmp_path, llm | {"budget": 0.04}, count=30)
        assert "the budget of 0.04" in message
        assert 3 < len(endpoint.seeds) < 30
        assert sum(line["money"] for line in ledger(tmp_path)) <= 0.04
        metrics, _ = run_at(endpoint.base_url, tmp_path, llm | {"budget": 1}, count=30)
    assert metrics["funnel"]["kept"] == 30
    assert len(set(endpoint.seeds)) == len(endpoint.seeds) == len(ledger(tmp_path))


@pytest.mark.parametrize("first", [1, 8, 14, 20, 27, 33])
def test_killed_at_any_moment_a_run_orders_and_pays_for_nothing_twice(tmp_path: Path, first: int):
    undisturbed = run_llm(NONSENSE, tmp_path / "undisturbed", {"repair": True}, count=10)
    work = tmp_path / "killed"
    seed_dataset(work / "seed")
    llm = BATCH | PRICES | {"repair": True, "batch_least": 1}
    with BatchEndpoint(counted(NONSENSE)) as endpoint:

        def run() -> tuple[dict[str, Any], str]:
            return run_at(endpoint.base_url, work, llm, count=10)

        for moment in (first, first + 3, first + 40):
            run_until_killed(run, moment, file_changes(work / "answers"))
        metrics, _ = run()
    assert metrics == undisturbed.metrics
    assert digests(work) == digests(tmp_path / "undisturbed")
    assert len(set(endpoint.answered_in_batches)) == len(endpoint.answered_in_batches)
    assert len(endpoint.seeds) <= len(undisturbed.requests) + 3  # one by itself may be on its way at each kill
    names = [line["batch"] for line in ledger(work) if line.get("batch")]
    assert len(set(names)) == len(names) == len(endpoint.answered_in_batches)
    assert folders(work) == []


def test_what_an_expired_batch_has_not_answered_is_asked_again(tmp_path: Path):
    with BatchEndpoint(good_teacher(), expiring=2) as endpoint:
        metrics, _ = run_at(endpoint.base_url, tmp_path, BATCH, count=9)
    assert metrics["funnel"]["kept"] == 9
    assert endpoint.batches == 3  # of 8, 4 and 2
    assert len(set(endpoint.seeds)) == len(endpoint.seeds) == 9


def test_requests_that_fail_are_tried_as_often_as_single_ones_and_dropped_with_the_same_reason(tmp_path: Path):
    def answer(request: dict[str, Any]) -> Reply:
        if request["seed"] % 4 == 0:
            return error_reply(400, "content management policy", code="content_filter")
        if request["seed"] % 4 == 1:
            tries[request["seed"]] += 1
            return good_teacher()(request) if tries[request["seed"]] > 1 else error_reply(500, "an error")
        return good_teacher()(request)

    tries: Counter[int] = Counter()
    with BatchEndpoint(answer) as endpoint:
        failing, _ = run_at(endpoint.base_url, tmp_path / "failing", BATCH | {"retries": 0}, count=8)
        tries.clear()
        metrics, _ = run_at(endpoint.base_url, tmp_path / "batch", BATCH | {"retries": 1}, count=8)
    tries.clear()
    single = run_llm(answer, tmp_path / "single", {"retries": 1}, count=8)
    assert metrics == single.metrics
    assert metrics["funnel"]["dropped"]["content filter"] > 0
    assert failing["funnel"]["dropped"]["HTTP 500"] > 0


def test_what_the_endpoint_does_not_support_is_left_out_of_batches_too(tmp_path: Path):
    def answer(request: dict[str, Any]) -> Reply:
        if len(formats) == 1 and request["response_format"]["type"] == "json_schema":  # a batch is less than single requests
            return error_reply(400, "json_schema: unsupported", param="response_format")
        formats.append(request["response_format"]["type"])
        return good_teacher()(request)

    formats: list[str] = []
    with BatchEndpoint(answer) as endpoint:
        metrics, _ = run_at(endpoint.base_url, tmp_path, BATCH)
    assert metrics["funnel"]["kept"] == 6
    assert formats == ["json_schema", *["json_object"] * 5]
    assert endpoint.batches == 2


def test_a_server_without_batches_says_so(tmp_path: Path):
    with BatchEndpoint(good_teacher(), batches=False) as endpoint:
        _, message = run_at(endpoint.base_url, tmp_path, BATCH)
    assert f"{endpoint.base_url}/files: HTTP 404" in message
    assert message.endswith("this server has no batch API, or llm.base_url is not its address: set llm.mode to requests")


def test_a_batch_whose_order_seems_to_fail_is_looked_up_before_it_is_ordered_again(tmp_path: Path):
    lost: list[str] = []

    def lose(method: str, path: str) -> int | None:
        if (method, path) == ("POST", "/batches") and not lost:
            lost.append(path)
            return 503
        return None

    with BatchEndpoint(good_teacher(), after=lose) as endpoint:
        metrics, _ = run_at(endpoint.base_url, tmp_path, BATCH)
    assert metrics["funnel"]["kept"] == 6
    assert endpoint.batches == 1
    assert endpoint.calls.count(("GET", "/batches")) == 1


def test_a_batch_that_the_server_no_longer_has_is_asked_again_only_by_hand(tmp_path: Path):
    gone: list[str] = []

    def lose(method: str, path: str) -> int | None:
        return 404 if method == "GET" and path.startswith("/batches/") and gone else None

    with BatchEndpoint(good_teacher(), before=lose) as endpoint:
        gone.append("all")
        _, message = run_at(endpoint.base_url, tmp_path, BATCH)
        (folder,) = folders(tmp_path)
        assert f"else delete {folder}, and its 5 requests are made, and paid for, again" in message
        assert run_at(endpoint.base_url, tmp_path, BATCH)[1] == message
        gone.clear()
        metrics, _ = run_at(endpoint.base_url, tmp_path, BATCH)
    assert metrics["funnel"]["kept"] == 6
    assert endpoint.batches == 1


def test_a_failure_of_every_request_ends_the_run_and_a_mended_endpoint_goes_on(tmp_path: Path):
    empty: list[str] = []

    def answer(request: dict[str, Any]) -> Reply:
        return error_reply(429, "no credit", code="insufficient_quota") if empty else good_teacher()(request)

    def use_up(method: str, path: str) -> int | None:
        if (method, path) == ("POST", "/batches"):
            empty.append(path)
        return None

    with BatchEndpoint(answer, before=use_up) as endpoint:
        _, message = run_at(endpoint.base_url, tmp_path, BATCH)
        assert "the account's quota is used up" in message
        empty.clear()
        endpoint.disturb(lambda *_: None)
        metrics, _ = run_at(endpoint.base_url, tmp_path, BATCH)
    assert metrics["funnel"]["kept"] == 6


def test_a_batch_too_large_for_the_limit_on_waiting_tokens_is_halved(tmp_path: Path):
    with BatchEndpoint(good_teacher(), most=3) as endpoint:
        metrics, _ = run_at(endpoint.base_url, tmp_path, BATCH, count=9)
    assert metrics["funnel"]["kept"] == 9
    assert endpoint.batches == 6  # 8 and 4 refused, then 2 each
    with BatchEndpoint(good_teacher(), most=0) as endpoint:
        _, message = run_at(endpoint.base_url, tmp_path / "none", BATCH)
    assert "was refused: enqueued token limit reached (token_limit_exceeded)" in message


@pytest.mark.parametrize("limit", ["requests", "bytes"])
def test_several_batches_follow_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str):
    if limit == "bytes":
        monkeypatch.setattr(batches, "MAX_BATCH_BYTES", 8_000)
    with BatchEndpoint(good_teacher()) as endpoint:
        metrics, _ = run_at(endpoint.base_url, tmp_path, BATCH | ({"batch_requests": 3} if limit == "requests" else {}), count=10)
    assert metrics["funnel"]["kept"] == 10
    assert endpoint.batches >= 3
    assert len(set(endpoint.seeds)) == len(endpoint.seeds) == 10
