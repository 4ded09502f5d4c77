"""Runs of synthesize in which an LLM writes questions with SQL on one's own databases."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sense import cli, records
from sense.config import SplitConfig
from sense.records import Example
from sense.sql.tree import parse_query
from sense.teacher import quotas
from sense.teacher.grammar.own.teacher import OwnPlan, skeleton
from tests.llm_runs import SPLITS, LlmRun, digests, run_llm, run_teachers
from tests.own.shop import write_shop
from tests.stand_ins import stand_in

LLM = {"model": "grammar", "questions": 6, "repair": True}
SECTION: dict[str, Any] = {
    "own": ["data/own"],
    "count": 24,
    "max_attempts": 6,
    "levels": {"easy": 2, "medium": 1},
    "split": {"unseen": 0.2, "heldout": 0.2},
    "suite": 1,
}


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the shop, with the names of its customers masked, and a quick digest of the code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sense.stages.code_dependencies.revision", lambda _: "the same")
    monkeypatch.setattr(quotas, "ROUND", 1)
    write_shop(tmp_path / "shop.sqlite")
    assert cli.main(["own", "shop.sqlite", "--rows", "60"]) == 0


def run(work: str, **section: Any) -> LlmRun:
    return run_llm(stand_in({"wrong-sql": 0.1}), Path(work), LLM, **SECTION | section)


def examples(work: Path) -> dict[str, list[Example]]:
    return {split: records.read_dataset(work / split) for split in SPLITS}


def test_an_llm_writes_on_copies_whose_parts_share_no_skeleton(tmp_path: Path):
    result = run("run")
    assert result.message == ""
    assert result.metrics["held_out_by"] == "SQL skeleton"
    by_split = examples(tmp_path / "run")
    skeletons = {
        split: {skeleton(tree) for row in rows if (tree := parse_query(row.sql)) is not None} for split, rows in by_split.items()
    }
    assert not skeletons["strong"] & skeletons["heldout"]
    assert not skeletons["strong"] & skeletons["unseen"]
    for split, rows in by_split.items():
        assert {row.db_id.rpartition("_")[0] for row in rows} == {"shop"}
        for row in rows:
            database = records.database_path(tmp_path / "run" / split, row.db_id)
            assert list(database.parent.glob("*.sqlite")) != [database]  # its suite
            with closing(sqlite3.connect(database)) as connection:
                assert connection.execute(row.sql).fetchall()
    prompt = result.requests[0].body["messages"][1]["content"]
    assert "Write 6 questions on this database." in prompt
    with closing(sqlite3.connect("data/own/databases/shop/shop.sqlite")) as connection:
        tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    for name, sql in tables:
        assert sql in prompt
        assert prompt.count(f'{{"t":"{name}","r":[') == 1
    assert {request.body["response_format"]["json_schema"]["name"] for request in result.requests} == {"unit_questions"}
    before = digests(tmp_path / "run")
    again = run("run")
    assert (again.requests, again.metrics) == ([], result.metrics)
    assert digests(tmp_path / "run") == before


def test_own_questions_of_the_seeds_are_shown(tmp_path: Path):
    row = Example(id="s", db_id="shop", question="Who buys?", sql="SELECT 1", source="own", hardness="easy")
    records.write_jsonl(tmp_path / "run" / "seed" / "examples.jsonl", [row])
    database = records.database_path(tmp_path / "run" / "seed", "shop")
    database.parent.mkdir(parents=True)
    database.write_bytes(Path("data/own/databases/shop/shop.sqlite").read_bytes())
    result = run("run", count=6, split={"unseen": 0, "heldout": 0})
    assert result.message == ""
    assert "Questions that people asked of it:\n- Who buys? SQL: SELECT 1\n" in result.requests[0].body["messages"][1]["content"]


def test_in_a_mixture_the_grammar_and_the_llm_have_copies_of_their_own(tmp_path: Path):
    teachers = {"grammar": {"share": 1}, "llm": {"share": 1, "llm": LLM}}
    result = run_teachers(stand_in(), tmp_path / "run", teachers, **SECTION | {"grammar": {"per_database": 4}})
    assert result.message == ""
    assert {name: part["kept"] for name, part in result.metrics["teachers"].items()} == {"grammar": 12, "llm": 12}
    rows = [row for split in examples(tmp_path / "run").values() for row in split]
    assert {(row.source, row.db_id.rpartition("_")[0]) for row in rows} == {("grammar", "shop"), ("llm", "llm_shop")}
    assert sum(count["kept"] for count in result.metrics["quotas"]["level"].values()) == 12


def test_each_part_has_its_copies_in_turn():
    plan = OwnPlan([Path("data/own")], SplitConfig(unseen=0.2, heldout=0.2))
    for part in SPLITS:
        numbers = [plan.copy_number(0, part, turn) for turn in range(5)]
        assert numbers == sorted(set(numbers))
        assert {plan.part(f"llm_shop_{number:04d}") for number in numbers} == {part}
