"""Runs of synthesize with several teachers: the shares are exact, and each has its own source, seed, key and ledger."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sense import records
from sense.config import SynthesizeConfig
from sense.records import Example
from sense.teacher.mixture import part_seed, parts
from tests.endpoint import Reply
from tests.killed import file_changes, run_until_killed
from tests.llm_runs import SPLITS, LlmRun, digests, run_teachers, seed_dataset
from tests.stand_ins import stand_in

TEACHERS: dict[str, dict[str, Any]] = {
    "grammar": {"share": 50},
    "big": {"share": 30, "llm": {"model": "grammar", "strategy": "sql-first", "prompt_price": 1, "completion_price": 2}},
    "small": {"share": 20, "llm": {"model": "grammar"}},
}


@pytest.fixture(autouse=True)
def same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of the code takes longer than a run."""
    monkeypatch.setattr("sense.stages.code_dependencies.revision", lambda _: "the same")


def run(work: Path, answer: Any = None, **section: Any) -> LlmRun:
    grammar = {"per_database": 4, "tables": 4, "rows": 12}
    settings = {"grammar": grammar, "count": 20, "max_attempts": 5, "levels": {"easy": 1, "medium": 1}} | section
    settings |= {"split": {"heldout_domains": 1, "heldout": 0.2}}
    return run_teachers(answer or stand_in(), work, TEACHERS, **settings)


def examples(work: Path) -> dict[str, list[Example]]:
    return {split: records.read_dataset(work / split) for split in SPLITS}


def test_each_teacher_has_its_share_and_signs_its_rows(tmp_path: Path):
    result = run(tmp_path)
    assert result.message == ""
    counts = result.metrics["teachers"]
    assert {name: part["wanted"] for name, part in counts.items()} == {"grammar": 10, "big": 6, "small": 4}
    rows = [row for split in examples(tmp_path).values() for row in split]
    assert Counter(row.source for row in rows) == {name: part["kept"] for name, part in counts.items()}
    late = sum(n for reason, n in result.metrics["funnel"]["dropped"].items() if reason.startswith("in heldout"))
    assert len(rows) == 20 - late
    assert len({row.id for row in rows}) == len(rows)
    assert sum(part["asked"] for part in counts.values()) == result.metrics["funnel"]["asked"]
    domains = {split: {row.domain for row in part} for split, part in examples(tmp_path).items()}
    assert not domains["heldout"] & (domains["strong"] | domains["unseen"])
    assert domains["heldout"]
    ledgers = {path.name for path in tmp_path.glob("answers/ledger/*.jsonl")}
    assert {name.rpartition("-")[2] for name in ledgers} == {"big.jsonl", "small.jsonl"}
    again = run(tmp_path)
    assert (again.requests, again.metrics) == ([], result.metrics)


def test_a_key_goes_to_its_own_teacher_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SENSE_API_KEY", "of a run with one LLM")
    monkeypatch.setenv("SENSE_API_KEY_BIG", "of-big")
    result = run(tmp_path)
    keys = {
        request.body["response_format"]["json_schema"]["name"]: request.headers.get("authorization")
        for request in result.requests
    }
    assert keys == {"questions": "Bearer of-big", "data_point": None}


def test_a_teacher_that_fails_ends_the_run_by_its_name(tmp_path: Path):
    good = stand_in()

    def answer(request: dict[str, Any]) -> Reply:
        return (401, {}, "who?") if request["response_format"]["json_schema"]["name"] == "data_point" else good(request)

    assert run(tmp_path, answer).message.startswith("teacher small: ")


@pytest.mark.parametrize("moments", [(12, 25)])
def test_a_killed_run_ends_as_if_it_had_not_been_killed(tmp_path: Path, moments: tuple[int, ...]):
    undisturbed = run(tmp_path / "undisturbed")
    work = tmp_path / "killed"
    seed_dataset(work / "seed")
    for moment in moments:
        run_until_killed(lambda: run(work), moment, file_changes(work))
    assert run(work).metrics == undisturbed.metrics
    assert digests(work) == digests(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("count", "shares", "counts"),
    [
        (10, (50, 30, 20), [5, 3, 2]),
        (7, (0.5, 0.3, 0.2), [4, 2, 1]),  # 3.5, 2.1, 1.4
        (10, (1, 1, 1), [4, 3, 3]),
        (2, (1, 1, 8), [2]),  # 0.2, 0.2, 1.6
    ],
)
def test_counts_are_the_shares_and_add_up(count: int, shares: tuple[float, ...], counts: list[int]):
    teachers = {f"t{n}": {"share": share, "llm": {"model": "m"}} for n, share in enumerate(shares)}
    config = SynthesizeConfig.model_validate({"count": count, "teachers": teachers})
    assert [part.config.count for part in parts(config)] == counts


def test_a_part_is_that_of_the_simple_form_for_the_two_names_of_it_alone():
    assert part_seed(7, "llm") == part_seed(7, "grammar") == 7
    assert len({part_seed(7, "big"), part_seed(7, "small"), part_seed(8, "big"), 7}) == 4


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"teachers": TEACHERS, "teacher": "llm", "llm": {"model": "m"}}, "stands in place of teacher and llm"),
        ({"teachers": {"a": {"share": 1}, "b": {"share": 1}}}, "all but one of teachers need an llm section"),
        ({"teachers": {"a": {"share": 0}}}, "greater than 0"),
        ({"teachers": {"A b": {"share": 1}}}, "pattern"),
    ],
)
def test_sections_that_make_no_mixture(section: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        SynthesizeConfig.model_validate(section)


def test_what_changes_no_data_is_in_no_manifest(tmp_path: Path):
    run(tmp_path)
    text = (tmp_path / "strong" / "manifest.json").read_text()
    assert "base_url" not in text
    assert "concurrency" not in text
    assert json.loads(text)["section"]["teachers"]["big"]["llm"]["model"] == "grammar"
