"""Pairs of hand-made samples: which are chosen, which left out, and what is said when there is none."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sense import records
from sense.config import PreferConfig
from sense.errors import InputError, UserError
from sense.records import Example, Pair, Sample
from sense.stages import prefer

GOLD = "SELECT name FROM pet WHERE age > 3"


def example(name: str) -> Example:
    return Example(id=name, db_id="pets", question=f"question {name}?", sql=GOLD, source="grammar", hardness="easy")


def sample(question: str, number: int, sql: str, verdict: str = "mismatch", vacuous: bool = False) -> Sample:
    values = {"id": f"{question}#{number}", "example_id": question, "sql": sql, "verdict": verdict, "vacuous": vacuous}
    return Sample.model_validate(values | {"correct": verdict == "match"})


def right(question: str, number: int, sql: str, vacuous: bool = False) -> Sample:
    return sample(question, number, sql, "match", vacuous)


def made(folder: Path, samples: list[Sample], questions: int = 3, **options: object) -> tuple[list[Pair], dict]:
    dataset = folder / "unseen"
    database = records.database_path(dataset, "pets")
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS pet (name TEXT, age INTEGER)")
    records.write_jsonl(dataset / "examples.jsonl", [example(f"q{number}") for number in range(questions)])
    records.write_jsonl(folder / "samples.jsonl", samples)
    outputs = prefer.Outputs(pairs=folder / "pairs.jsonl", metrics=folder / "metrics.json")
    inputs = prefer.Inputs(samples=folder / "samples.jsonl", unseen=dataset)
    metrics = prefer.run(PreferConfig.model_validate(options), inputs, outputs)
    return records.read_rows(outputs.pairs, Pair), metrics


MIXED = [
    right("q0", 0, "SELECT name FROM pet WHERE age > 3"),
    right("q0", 1, "SELECT name FROM pet WHERE age >= 4"),
    sample("q0", 2, "SELECT age FROM pet"),
    sample("q0", 3, "SELECT nam FROM pet WHERE age > 3", "error"),
    right("q1", 0, GOLD),
    sample("q2", 0, "SELECT count(*) FROM pet"),
]


def test_one_pair_of_any_right_with_any_wrong_for_each_question(tmp_path: Path):
    pairs, metrics = made(tmp_path, MIXED)
    assert [row.example_id for row in pairs] == ["q0"]
    assert pairs[0].chosen in {MIXED[0].sql, MIXED[1].sql}
    assert pairs[0].rejected in {MIXED[2].sql, MIXED[3].sql}
    assert pairs[0].strategy == "grouped-any-limit1"
    assert metrics["questions"] == 3
    assert metrics["pairs"] == 1
    assert metrics["no_pair"] == {"all_right": 1, "all_wrong": 1}


def test_the_draw_depends_on_seed_and_question_alone(tmp_path: Path):
    first, _ = made(tmp_path, MIXED, seed=1)
    again, _ = made(tmp_path, [*MIXED[4:], *MIXED[:4]], seed=1)
    drawn = {made(tmp_path, MIXED, seed=seed)[0][0].model_dump_json() for seed in range(20)}
    assert first == again
    assert len(drawn) == 4  # 2 right x 2 wrong, each of them drawn by one of the seeds


def test_hardest_negative_is_the_nearest_wrong_one(tmp_path: Path):
    pairs, metrics = made(tmp_path, MIXED, strategy="hardest-negative")
    # name -> nam is one token; every other couple differs in more
    assert [(row.chosen, row.rejected, row.error) for row in pairs] == [(MIXED[0].sql, MIXED[3].sql, "error")]
    assert metrics["rejected_errors"] == {"sql_error": 1}


def test_of_equally_near_ones_the_first_sampled_is_taken(tmp_path: Path):
    samples = [
        right("q0", 0, "SELECT name FROM pet"),
        sample("q0", 1, "SELECT age FROM pet"),
        sample("q0", 2, "SELECT name FROM dog", "error"),
    ]
    pairs, _ = made(tmp_path, samples, strategy="hardest-negative")
    assert [row.rejected for row in pairs] == ["SELECT age FROM pet"]


def test_all_pairs_every_right_with_every_wrong(tmp_path: Path):
    pairs, metrics = made(tmp_path, MIXED, strategy="all")
    assert [(row.chosen, row.rejected) for row in pairs] == [
        (good, bad) for good in (MIXED[0].sql, MIXED[1].sql) for bad in (MIXED[2].sql, MIXED[3].sql)
    ]
    assert len({row.id for row in pairs}) == 4
    assert metrics["rejected_errors"] == {"mismatch": 2, "sql_error": 2}


def test_gold_as_the_chosen_needs_no_right_sample(tmp_path: Path):
    pairs, metrics = made(tmp_path, MIXED, chosen="gold")
    assert [(row.example_id, row.chosen) for row in pairs] == [("q0", GOLD), ("q2", GOLD)]
    assert metrics["no_pair"] == {"all_right": 1}


def test_what_says_little_is_left_out_and_counted(tmp_path: Path):
    samples = [
        right("q0", 0, "SELECT name FROM pet"),
        right("q0", 1, "select  name\nfrom pet"),
        right("q0", 2, "SELECT name FROM pet WHERE age > 100", vacuous=True),
        sample("q0", 3, "SELECT age FROM pet", "gold_error"),
        sample("q0", 4, " ", "rejected"),
        sample("q0", 5, "SELECT nam FROM pet", "error"),
        sample("q0", 6, "SELECT age FROM pet"),
        sample("q1", 0, "SELECT age FROM pet", "gold_error"),
    ]
    pairs, metrics = made(tmp_path, samples, strategy="all", drop_errors=True)
    assert [(row.chosen, row.rejected) for row in pairs] == [("SELECT name FROM pet", "SELECT age FROM pet")]
    assert metrics["dropped"] == {"did not run": 1, "duplicate": 1, "empty": 1, "gold_error": 2, "vacuous": 1}
    assert metrics["no_pair"] == {"nothing_left": 1}
    assert metrics["questions"] == 2


def test_a_query_is_never_preferred_to_itself(tmp_path: Path):
    # a query whose order is left open may match once and not the next time
    samples = [right("q0", 0, "SELECT name FROM pet LIMIT 1"), sample("q0", 1, "select name from pet limit 1")]
    with pytest.raises(UserError, match="1 with right and wrong alike"):
        made(tmp_path, samples)


def test_two_runs_write_the_same_bytes(tmp_path: Path):
    for folder in ("one", "two"):
        made(tmp_path / folder, MIXED, strategy="all")
    assert (tmp_path / "one/pairs.jsonl").read_bytes() == (tmp_path / "two/pairs.jsonl").read_bytes()


def test_no_pair_says_why_and_what_to_change(tmp_path: Path):
    with pytest.raises(UserError) as all_right:
        made(tmp_path, [right("q0", 0, GOLD), right("q1", 0, GOLD)])
    assert "no preference pair from 2 questions: 2 with right samples alone" in str(all_right.value)
    for option in ("synthesize.count", "sample.k", "sample.temperature", "prefer.chosen: gold"):
        assert option in str(all_right.value)
    with pytest.raises(UserError, match="1 with wrong samples alone"):
        made(tmp_path, [sample("q0", 0, "SELECT age FROM pet")])
    with pytest.raises(UserError, match=r"1 with right samples alone .*1 did not run.*prefer.drop_errors: false"):
        made(tmp_path, [right("q0", 0, GOLD), sample("q0", 1, "SELECT nam FROM pet", "error")], drop_errors=True)
    with pytest.raises(UserError, match="0 questions: there is no sample"):
        made(tmp_path, [])


def test_a_sample_of_an_unknown_question_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"samples.jsonl: sample 'q9#0' is of question 'q9'"):
        made(tmp_path, [right("q9", 0, GOLD)])
