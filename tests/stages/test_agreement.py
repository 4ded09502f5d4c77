"""Runs of synthesize in which an LLM answers the questions again, and what its answers do not confirm is set apart."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sense import records
from sense.records import Example
from tests.killed import file_changes, run_until_killed
from tests.llm_runs import SPLITS, LlmRun, digests, run_llm, seed_dataset
from tests.stand_ins import stand_in

GRAMMAR = {"per_database": 3, "tables": 4, "rows": 12}
WRONG = {"wrong-answer": 0.6}
PRICES = {"prompt_price": 1.0, "completion_price": 2.0}


@pytest.fixture(autouse=True)
def same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of the code takes longer than a run."""
    monkeypatch.setattr("sense.stages.code_dependencies.revision", lambda _: "the same")


def run(work: Path, rates: dict[str, float], strategy: str, answers: int = 2, **llm: Any) -> LlmRun:
    settings = {"model": "grammar", "strategy": strategy, "agreement": answers} | PRICES | llm
    section = {"grammar": GRAMMAR, "count": 9, "max_attempts": 6, "suite": 1, "levels": {"easy": 1, "medium": 1}}
    return run_llm(stand_in(rates, work / "questions.jsonl"), work, settings, **section)


def examples(work: Path) -> list[Example]:
    return [row for split in SPLITS for row in records.read_dataset(work / split)]


@pytest.mark.parametrize("strategy", ["question-first", "sql-first"])
def test_what_the_answers_do_not_confirm_is_set_apart_by_reason_with_its_database(tmp_path: Path, strategy: str):
    result = run(tmp_path, WRONG, strategy)
    assert result.message == ""
    metrics = result.metrics
    apart = records.read_dataset(tmp_path / "strong" / "disagreements")
    counts = Counter(getattr(row, "reason") for row in apart)  # noqa: B009  (only these rows have the field)
    assert counts["hard"] > 0
    agreement = metrics["agreement"]
    assert agreement == {"hard": counts["hard"], "ambiguous": counts["ambiguous"], "folder": "strong/disagreements"}
    dropped = metrics["funnel"]["dropped"]
    assert dropped["agreement: hard"] == counts["hard"]
    assert dropped.get("agreement: ambiguous", 0) == counts["ambiguous"]
    rows = examples(tmp_path)
    assert len(rows) == 9
    assert not {row.question for row in rows} & {row.question for row in apart}
    for row in apart:
        assert records.database_path(tmp_path / "strong" / "disagreements", row.db_id).exists()
        answers = getattr(row, "answers")  # noqa: B009
        assert len(answers) == 2
        assert sum(answer["group"] == 0 for answer in answers) < 2


def test_answers_that_confirm_set_nothing_apart_and_are_paid_for_under_a_name_of_their_own(tmp_path: Path):
    result = run(tmp_path, {}, "sql-first")
    assert result.metrics["agreement"] == {"hard": 0, "ambiguous": 0, "folder": "strong/disagreements"}
    assert not (tmp_path / "strong" / "disagreements").exists()
    lines = [json.loads(line) for file in tmp_path.glob("answers/ledger/*.jsonl") for line in file.read_text().splitlines()]
    stages = Counter(line["stage"] for line in lines)
    assert stages["agreement"] >= 2 * 9
    assert stages["agreement"] + stages["synthesize"] == len(result.requests)
    kinds = {request.body["response_format"]["json_schema"]["name"] for request in result.requests}
    assert kinds == {"questions", "answer"}
    off = run(tmp_path, {}, "sql-first", answers=0)
    assert off.requests == []
    assert "agreement" not in off.metrics


def test_answers_that_never_come_end_the_run_and_offline_it_counts_what_is_missing(tmp_path: Path):
    assert run(tmp_path, {}, "question-first", answers=0).message == ""
    offline = run(tmp_path, {}, "question-first", offline=True)
    assert "examples need at least are not there" in offline.message


@pytest.mark.parametrize("moments", [(5, 30)])
def test_a_killed_run_ends_as_if_it_had_not_been_killed(tmp_path: Path, moments: tuple[int, ...]):
    rates = WRONG | {"refusal": 0.1}
    undisturbed = run(tmp_path / "undisturbed", rates, "sql-first")
    work = tmp_path / "killed"
    seed_dataset(work / "seed")
    for moment in moments:
        run_until_killed(lambda: run(work, rates, "sql-first"), moment, file_changes(work))
    assert run(work, rates, "sql-first").metrics == undisturbed.metrics
    assert digests(work) == digests(tmp_path / "undisturbed")
