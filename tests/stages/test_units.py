"""Runs of synthesize in which one request asks an LLM for a database with several questions."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sense import records
from sense.config import SynthesizeConfig
from sense.records import Example
from sense.sql.hardness import hardness
from sense.stages import synthesize
from sense.teacher import batches, quotas
from tests.batch_endpoint import BatchEndpoint
from tests.endpoint import Endpoint, Reply, answer_text, chat_reply
from tests.killed import file_changes, run_until_killed
from tests.llm_runs import SPLITS, LlmRun, digests, run_at, run_llm, seed_dataset
from tests.stand_ins import stand_in

UNITS = {"model": "grammar", "questions": 4}
LEVELS = {"easy": 1, "medium": 1}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of the code takes longer than a run, no batch takes a second, and the first lesson comes early."""
    monkeypatch.setattr("sense.stages.code_dependencies.revision", lambda _: "the same")
    monkeypatch.setattr(batches, "FIRST_POLL_S", 0.01)
    monkeypatch.setattr(quotas, "ROUND", 1)


def run(work: Path, answer: Any = None, llm: dict[str, Any] | None = None, **section: Any) -> LlmRun:
    return run_llm(
        answer or stand_in(), work, UNITS | (llm or {}), **({"count": 14, "max_attempts": 4, "levels": LEVELS} | section)
    )


def examples(work: Path) -> list[Example]:
    return [row for split in SPLITS for row in records.read_dataset(work / split)]


def test_one_request_brings_a_database_with_several_examples(tmp_path: Path):
    result = run(tmp_path)
    assert result.message == ""
    rows = examples(tmp_path)
    assert len(rows) == 14
    per_database = Counter(row.db_id for row in rows)
    assert len(per_database) == result.metrics["funnel"]["units"]["kept"] == len(result.requests) <= 6
    assert max(per_database.values()) == 4
    databases = [{row.db_id for row in records.read_dataset(tmp_path / split)} for split in SPLITS]
    assert sum(map(len, databases)) == len(set.union(*databases))
    for row in rows:
        assert row.hardness == hardness(row.sql) == getattr(row, "level")  # noqa: B009
        assert getattr(row, "style")  # noqa: B009
    counts = result.metrics["quotas"]
    assert sum(count["kept"] for count in counts["level"].values()) == 14
    assert sum(count["asked"] for count in counts["level"].values()) == result.metrics["funnel"]["asked"]
    assert sum(count["asked"] for count in counts["style"].values()) == result.metrics["funnel"]["asked"]
    assert any(count["asked"] for count in counts["feature"].values())


def test_neither_concurrency_nor_a_repeated_run_changes_the_data_or_pays_again(tmp_path: Path):
    first = run(tmp_path / "one", stand_in({"wrong-sql": 0.2}), {"repair": True}, count=16)
    many = run(tmp_path / "many", stand_in({"wrong-sql": 0.2}), {"repair": True, "concurrency": 4}, count=16)
    assert many.metrics == first.metrics
    assert digests(tmp_path / "many") == digests(tmp_path / "one")
    again = run(tmp_path / "one", None, {"repair": True, "offline": True}, count=16)
    assert (again.requests, again.metrics) == ([], first.metrics)
    more = run(tmp_path / "one", stand_in({"wrong-sql": 0.2}), {"repair": True}, count=24)
    assert not {request.body["seed"] for request in first.requests} & {request.body["seed"] for request in more.requests}
    assert (
        "answers that 60 examples need at least are not there" in run(tmp_path / "one", None, {"offline": True}, count=60).message
    )


def test_the_questions_with_a_fault_are_asked_for_once_more_together(tmp_path: Path):
    answer = stand_in({"wrong-sql": 0.4, "broken-item": 0.1})
    mended = run(tmp_path / "mended", answer, {"repair": True})
    repairs = [request for request in mended.requests if "cannot be used" in request.body["messages"][-1]["content"]]
    texts = [request.body["messages"][-1]["content"] for request in repairs]
    faults = sum(len(re.findall(r"^- \d+: ", text, re.MULTILINE)) for text in texts)
    funnel = mended.metrics["funnel"]
    assert funnel["repairs"]["asked"] <= faults
    assert funnel["repairs"]["kept"] >= 0.6 * funnel["repairs"]["asked"] > 0
    assert len(repairs) < faults
    assert all(text.startswith("Schema:\nCREATE TABLE") for text in texts)
    forms = {request.body["response_format"]["json_schema"]["name"] for request in repairs}
    assert forms == {"unit_questions"}
    dropped = run(tmp_path / "dropped", answer).metrics["funnel"]
    assert "repairs" not in dropped
    assert dropped["dropped"]["missing field"] >= 1
    assert sum(dropped["dropped"].values()) + dropped["kept"] == dropped["asked"]


def test_a_database_with_a_fault_is_asked_for_as_a_whole_once_more(tmp_path: Path):
    result = run(tmp_path, stand_in({"broken-key": 1.0}), {"repair": True})
    funnel = result.metrics["funnel"]
    assert funnel["kept"] == 14
    assert funnel["repairs"]["kept"] >= 4  # where a table refers to another
    turns = next(request.body["messages"] for request in result.requests if len(request.body["messages"]) > 2)
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[3]["content"].startswith("This database cannot be used: broken foreign key. row ")


def test_a_budget_ends_the_run_before_it_is_crossed_and_a_higher_one_pays_nothing_twice(tmp_path: Path):
    def payments(work: Path) -> list[float]:
        lines = [line for file in work.glob("answers/ledger/*.jsonl") for line in file.read_text().splitlines()]
        return [json.loads(line)["money"] for line in lines]

    def requests(*runs: LlmRun) -> Counter[tuple[int, str]]:
        return Counter((each.body["seed"], json.dumps(each.body["messages"])) for run in runs for each in run.requests)

    answer = stand_in({"wrong-sql": 0.2})  # some are repaired, by requests of another size
    llm = {"repair": True, "concurrency": 3, "prompt_price": 2.0, "completion_price": 10.0, "max_tokens": 1000}
    undisturbed = run(tmp_path / "undisturbed", answer, llm, count=20)
    cost, work = sum(payments(tmp_path / "undisturbed")), tmp_path / "run"
    broken = run(work, answer, llm | {"budget": 0.7 * cost}, count=20)
    assert f"the budget of {0.7 * cost:g} (--budget, synthesize.llm.budget) is used up" in broken.message
    assert len(payments(work)) == len(broken.requests) >= 2
    assert 0 < sum(payments(work)) <= 0.7 * cost
    stays = run(work, answer, llm | {"budget": 0.7 * cost}, count=20)
    assert (stays.message, stays.requests) == (broken.message, [])
    whole = run(work, answer, llm | {"budget": 10 * cost}, count=20)
    assert whole.metrics == undisturbed.metrics
    assert digests(work) == digests(tmp_path / "undisturbed")
    assert max(requests(broken, whole).values()) == 1
    assert len(payments(work)) == len(broken.requests) + len(whole.requests)


@pytest.mark.parametrize("moments", [(4, 19, 33)])
def test_a_killed_run_ends_as_if_it_had_not_been_killed(tmp_path: Path, moments: tuple[int, ...]):
    rates = {"500": 0.1, "wrong-sql": 0.2}
    settings = {"retries": 5, "repair": True}
    undisturbed = run(tmp_path / "undisturbed", stand_in(rates), settings)
    work = tmp_path / "killed"
    seed_dataset(work / "seed")
    for moment in moments:
        run_until_killed(lambda: run(work, stand_in(rates), settings), moment, file_changes(work))
    assert run(work, stand_in(rates), settings).metrics == undisturbed.metrics
    assert digests(work) == digests(tmp_path / "undisturbed")


def test_batches_bring_the_same_data(tmp_path: Path):
    answer = stand_in({"wrong-sql": 0.2})
    single = run(tmp_path / "single", answer, {"repair": True}, count=16)
    with BatchEndpoint(answer) as endpoint:
        llm = UNITS | {"mode": "batch", "batch_least": 1, "repair": True}
        metrics, message = run_at(endpoint.base_url, tmp_path / "batch", llm, count=16, max_attempts=4, levels=LEVELS)
    assert message == ""
    assert metrics == single.metrics
    assert digests(tmp_path / "batch") == digests(tmp_path / "single")
    assert sorted(endpoint.seeds) == sorted(request.body["seed"] for request in single.requests)
    assert endpoint.batches >= 2


def test_answers_that_are_to_agree_are_asked_for_each_question(tmp_path: Path):
    result = run(tmp_path, stand_in({"wrong-answer": 0.3}), {"agreement": 2}, count=8)
    assert result.metrics["funnel"]["kept"] == 8
    assert result.metrics["agreement"]["hard"] + result.metrics["agreement"]["ambiguous"] > 0


def test_units_fail_together_and_only_many_in_a_row_end_the_run(tmp_path: Path):
    good = stand_in()
    requests: Counter[int] = Counter()

    def sometimes(request: dict[str, Any]) -> Reply:
        requests[request["seed"]] += 1
        return chat_reply("I would rather not.") if len(requests) in (1, 2, 4) else good(request)

    funnel = run(tmp_path / "some", sometimes, count=12).metrics["funnel"]
    assert funnel["dropped"]["not json"] == 12
    assert funnel["units"] == {"asked": len(requests), "kept": len(requests) - 3}
    useless = run(tmp_path / "useless", lambda _: chat_reply("I would rather not."), count=60)
    assert "80 not json" in useless.message
    assert len(useless.requests) <= 20 + 2
    assert not list((tmp_path / "useless" / "answers").glob("??/*.json"))  # a rerun asks again
    broken = run(tmp_path / "broken", lambda _: (500, {}, "planted"), count=60)
    assert "10 requests in a row brought no answer" in broken.message


def test_levels_count_together(tmp_path: Path):
    """What was asked for in one order and comes in another is kept."""

    def reverse(request: dict[str, Any]) -> Reply:
        value = json.loads(answer_text(stand_in()(request)))
        questions = value["questions"]
        for number, item in enumerate(reversed(questions), start=1):
            item["n"] = number
        return chat_reply(json.dumps(value))

    result = run(tmp_path, reverse)
    assert "level not met" not in result.metrics["funnel"]["dropped"]
    assert len(examples(tmp_path)) == 14


def test_the_dry_run_shows_the_prompt_and_estimates_examples(tmp_path: Path):
    seed = seed_dataset(tmp_path / "seed")
    with Endpoint(stand_in()) as endpoint:
        llm = UNITS | {
            "base_url": endpoint.base_url,
            "answers": str(tmp_path / "answers"),
            "prompt_price": 1,
            "completion_price": 4,
        }
        section = {"teacher": "llm", "llm": llm, "count": 300, "suite": 0, "execution": {"workers": 1}}
        config = SynthesizeConfig.model_validate(section)
        text = synthesize.dry_run(config, synthesize.Inputs(seed, seed), 8)
        assert len(endpoint.requests) <= 4  # two units with their repairs
        assert "4 questions on it" in synthesize.dry_run(config, synthesize.Inputs(seed, seed), 0)
    assert "Write one new database for the collection, and 4 questions on it." in text
    assert "of 8 drafts kept" in text
    assert "; of an example: " in text
    assert "300 examples, with 95% intervals" in text
