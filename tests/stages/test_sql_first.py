"""Runs of synthesize in which the grammar writes the SQL and an LLM the questions."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sense import cli, records
from sense.config import SynthesizeConfig
from sense.records import Example
from sense.sql.hardness import hardness
from sense.stages import synthesize
from sense.teacher.question_values import missing_values, sql_in_words
from tests.endpoint import Endpoint, Reply, chat_reply
from tests.killed import file_changes, run_until_killed
from tests.llm_runs import SPLITS, LlmRun, digests, run_llm, seed_dataset
from tests.own.shop import write_shop
from tests.stand_ins import stand_in

GRAMMAR = {"per_database": 3, "tables": 4, "rows": 12}
SQL_FIRST = {"strategy": "sql-first", "model": "grammar", "queries_per_request": 2}


@pytest.fixture(autouse=True)
def same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of the code takes longer than a run."""
    monkeypatch.setattr("sense.stages.code_dependencies.revision", lambda _: "the same")


def run(work: Path, answer: Any = None, llm: dict[str, Any] | None = None, **section: Any) -> LlmRun:
    settings = {"grammar": GRAMMAR, "count": 9, "max_attempts": 4, "levels": {"easy": 1, "medium": 1}} | section
    return run_llm(answer or stand_in(), work, SQL_FIRST | (llm or {}), **settings)


def examples(work: Path) -> list[Example]:
    return [row for split in SPLITS for row in records.read_dataset(work / split)]


def queries(request: Any) -> list[dict[str, Any]]:
    lines = request.body["messages"][1]["content"].splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"number"')]


def test_the_llm_writes_the_questions_to_the_sql_of_the_grammar(tmp_path: Path):
    result = run(tmp_path)
    assert result.message == ""
    rows = examples(tmp_path)
    assert len(rows) + sum(result.metrics["funnel"]["dropped"].values()) == result.metrics["funnel"]["asked"]
    assert result.metrics["funnel"]["kept"] == len(rows) == 9
    assert {row.source for row in rows} == {"llm"}
    asked = [query["sql"] for request in result.requests for query in queries(request)]
    assert {row.sql for row in rows} <= set(asked)
    assert len(asked) == len(set(asked))
    for row in rows:
        assert row.hardness == hardness(row.sql) == row.level
        assert not missing_values(row.sql, f"{row.question} {row.evidence}")
        assert sql_in_words(row.question) is None
    assert max(len(queries(request)) for request in result.requests) == 2


def test_the_same_section_asks_the_same_whatever_the_count_and_pays_once(tmp_path: Path):
    first = run(tmp_path, count=9)
    again = run(tmp_path, count=9, llm={"offline": True})
    assert (again.requests, again.metrics) == ([], first.metrics)
    more = run(tmp_path, count=15)
    seeds = [request.body["seed"] for request in (*first.requests, *more.requests)]
    assert len(seeds) == len(set(seeds))
    offline = run(tmp_path, count=24, llm={"offline": True})
    assert "answers that 24 examples need at least are not there" in offline.message


def test_a_question_with_a_fault_is_asked_for_once_more_and_else_dropped(tmp_path: Path):
    mended = run(tmp_path / "mended", stand_in({"wrong-question": 1.0}), {"repair": True}).metrics["funnel"]
    assert mended["kept"] == 9
    assert mended["repairs"]["kept"] > 0
    assert "SQL in the question" not in mended["dropped"]
    dropped = run(tmp_path / "dropped", stand_in({"wrong-question": 1.0})).metrics["funnel"]
    assert dropped["dropped"]["SQL in the question"] >= 3
    assert "repairs" not in dropped


def test_the_dry_run_estimates_a_run_with_its_agreement(tmp_path: Path):
    seed = seed_dataset(tmp_path / "seed")
    with Endpoint(stand_in()) as endpoint:
        llm = SQL_FIRST | {"base_url": endpoint.base_url, "answers": str(tmp_path / "answers"), "agreement": 2}
        llm |= {"prompt_price": 1.0, "completion_price": 1.0}
        section = {"teacher": "llm", "llm": llm, "grammar": GRAMMAR, "count": 300, "suite": 0, "execution": {"workers": 1}}
        config = SynthesizeConfig.model_validate(section)
        text = synthesize.dry_run(config, synthesize.Inputs(seed, seed), 4)
        kinds = Counter(request.body["response_format"]["json_schema"]["name"] for request in endpoint.requests)
    assert "Write one question for each query." in text
    assert kinds["questions"] >= 3  # of two databases with three queries each
    assert kinds["answer"] == 2 * (kinds["answer"] // 2) >= 2
    assert "300 examples, with 95% intervals" in text
    assert "money" in text


def test_a_request_that_fails_counts_as_one_draft_and_only_many_end_the_run(tmp_path: Path):
    good = stand_in()
    failures: Counter[int] = Counter()

    def sometimes(request: dict[str, Any]) -> Reply:
        if request["seed"] % 3 == 0:
            failures[request["seed"]] += 1
            return 500, {}, "planted"
        return good(request)

    funnel = run(tmp_path / "some", sometimes, count=12).metrics["funnel"]
    assert funnel["kept"] == 12
    assert funnel["dropped"].get("HTTP 500", 0) <= len(failures)
    assert len(failures) > 0
    broken = run(tmp_path / "all", lambda _: (500, {}, "planted"))
    assert "10 requests in a row brought no answer" in broken.message
    useless = run(tmp_path / "useless", lambda _: chat_reply("I would rather not."))
    assert "20 no question" in useless.message
    assert not list((tmp_path / "useless" / "answers").glob("??/*.json"))  # a rerun asks again


@pytest.mark.parametrize("moments", [(4, 13)])
def test_a_killed_run_ends_as_if_it_had_not_been_killed(tmp_path: Path, moments: tuple[int, ...]):
    undisturbed = run(tmp_path / "undisturbed", stand_in({"500": 0.1}), {"retries": 5})
    work = tmp_path / "killed"
    seed_dataset(work / "seed")
    for moment in moments:
        run_until_killed(lambda: run(work, stand_in({"500": 0.1}), {"retries": 5}), moment, file_changes(work))
    assert run(work, stand_in({"500": 0.1}), {"retries": 5}).metrics == undisturbed.metrics
    assert digests(work) == digests(tmp_path / "undisturbed")


def test_on_databases_of_your_own_the_parts_share_no_skeleton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_shop(tmp_path / "shop.sqlite")
    assert cli.main(["own", "shop.sqlite", "--rows", "60"]) == 0
    result = run(tmp_path / "run", own=["data/own"], count=20, split={"unseen": 0.2, "heldout": 0.2})
    assert result.message == ""
    assert result.metrics["held_out_by"] == "SQL skeleton"
    assert {row.db_id.rpartition("_")[0] for row in examples(tmp_path / "run")} == {"shop"}
