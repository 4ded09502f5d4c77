"""Pairs of hand-made samples: which are chosen, which left out, and what is said when there is none."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

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


def made(
    folder: Path,
    samples: list[Sample],
    questions: int = 3,
    rows: Sequence[tuple[str, int]] = (("Rex", 5), ("Ada", 2), ("Tom", 3), ("Rex", 9)),
    columns: str = "name TEXT, age INTEGER",
    gold: str = GOLD,
    **options: object,
) -> tuple[list[Pair], dict]:
    """The pairs and the metrics of samples on a database of one table; `options` are the section's."""
    dataset = folder / "unseen"
    database = records.database_path(dataset, "pets")
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS pet")
        connection.execute(f"CREATE TABLE pet ({columns})")
        for row in rows:
            connection.execute("INSERT INTO pet VALUES (?, ?)", row)
    asked = [example(f"q{number}").model_copy(update={"sql": gold}) for number in range(questions)]
    records.write_jsonl(dataset / "examples.jsonl", asked)
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


def test_sample_or_gold_takes_the_gold_where_no_sample_is_right(tmp_path: Path):
    pairs, metrics = made(tmp_path, MIXED, chosen="sample-or-gold", strategy="hardest-negative")
    assert [(row.example_id, row.chosen, row.chosen_source) for row in pairs] == [
        ("q0", MIXED[0].sql, "sample"),
        ("q2", GOLD, "gold"),
    ]
    assert metrics["chosen_sources"] == {"gold": 1, "sample": 1}
    assert metrics["no_pair"] == {"all_right": 1}
    assert metrics["headroom"] == 1  # q0 alone has right and wrong samples


def half_solved(questions: int) -> list[Sample]:
    """Of every second question a right and a wrong sample, of the others a wrong one."""
    wrong = [sample(f"q{number}", 0, "SELECT age FROM pet") for number in range(questions)]
    return wrong + [right(f"q{number}", 1, "SELECT name FROM pet WHERE age >= 4") for number in range(0, questions, 2)]


def test_the_gold_is_chosen_in_a_share_of_the_pairs_at_most(tmp_path: Path):
    pairs, metrics = made(tmp_path, half_solved(16), 16, chosen="sample-or-gold", gold_share=0.2)
    assert [row.chosen_source for row in pairs].count("sample") == 8
    assert [row.chosen_source for row in pairs].count("gold") == 2  # 2 of 10
    assert metrics["no_pair"] == {"gold_above_share": 6}
    assert [row.example_id for row in pairs] == sorted((row.example_id for row in pairs), key=lambda name: int(name[1:]))
    again, _ = made(tmp_path, half_solved(16), 16, chosen="sample-or-gold", gold_share=0.2)
    others, _ = made(tmp_path, half_solved(16), 16, chosen="sample-or-gold", gold_share=0.2, seed=1)
    assert again == pairs
    assert {row.example_id for row in others} != {row.example_id for row in pairs}
    _, unlimited = made(tmp_path, half_solved(16), 16, chosen="sample-or-gold")
    assert unlimited["chosen_sources"] == {"gold": 8, "sample": 8}


def test_all_pairs_of_a_question_stay_or_go_together(tmp_path: Path):
    wrong = [sample("q1", number, f"SELECT age + {number} FROM pet") for number in range(3)]
    samples = [right("q0", 0, GOLD), *(sample("q0", k, f"SELECT age - {k} FROM pet") for k in range(1, 4)), *wrong]
    for share, counts in ((0.5, {"gold": 3, "sample": 3}), (0.49, {"sample": 3})):
        _, metrics = made(tmp_path, samples, strategy="all", chosen="sample-or-gold", gold_share=share)
        assert metrics["chosen_sources"] == counts


def test_a_question_without_headroom_is_not_paired_with_a_mutant(tmp_path: Path):
    samples = [*MIXED, right("q1", 1, "SELECT name FROM pet WHERE age > 4 - 1")]
    pairs, metrics = made(tmp_path, samples, strategy="near-miss")
    assert [(row.example_id, row.source) for row in pairs] == [("q0", "sample"), ("q1", "mutant")]
    pairs, metrics = made(tmp_path, samples, strategy="near-miss", headroom=True)
    assert [row.example_id for row in pairs] == ["q0"]
    assert metrics["no_pair"] == {"all_wrong": 1, "no_headroom": 1}
    pairs, metrics = made(tmp_path, samples, strategy="near-miss", headroom=True, chosen="sample-or-gold")
    assert [(row.example_id, row.chosen_source) for row in pairs] == [("q0", "sample"), ("q2", "gold")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gold_share": 0.2}, "gold_share .0.2. goes with chosen: sample-or-gold; chosen is sample"),
        ({"gold_share": 0.2, "chosen": "gold"}, "chosen is gold"),
        ({"headroom": True, "chosen": "gold"}, "headroom goes with chosen: sample or sample-or-gold"),
    ],
)
def test_keys_that_would_have_no_effect_are_refused(options: dict[str, object], message: str):
    with pytest.raises(ValidationError, match=message):
        PreferConfig.model_validate(options)


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


def many(right_of_four: int, questions: int = 40) -> list[Sample]:
    """Four samples of each question: of the first `right_of_four` in ten a right one, else one that does not run."""
    return [
        right(f"q{number}", k, GOLD if k == 0 else f"{GOLD} AND {k} = {k}")
        if number % 10 < right_of_four
        else sample(f"q{number}", k, f"SELECT nam{k} FROM pet", "error")
        for number in range(questions)
        for k in range(4)
    ]


def test_near_misses_of_a_model_that_is_right_on_three_in_ten_samples_run(tmp_path: Path):
    pairs, metrics = made(tmp_path, many(3), 40, strategy="near-miss", chosen="gold")
    assert metrics["pairs"] == 40
    assert metrics["rejected_runs"] >= 0.8
    assert metrics["rejected_sources"] == {"mutant": 40}
    assert max(metrics["rejected_classes"].values()) - min(metrics["rejected_classes"].values()) <= 1
    assert all(row.error == "mismatch" and row.source == "mutant" for row in pairs)


def test_a_near_miss_is_a_sample_that_runs_before_it_is_a_mutant(tmp_path: Path):
    pairs, metrics = made(tmp_path, MIXED, strategy="near-miss", chosen="gold")
    by_question = {row.example_id: row for row in pairs}
    assert (by_question["q0"].rejected, by_question["q0"].source) == ("SELECT age FROM pet", "sample")
    assert by_question["q1"].source == "mutant"  # all of its samples are right
    assert (by_question["q2"].rejected, by_question["q2"].error_class) == ("SELECT count(*) FROM pet", "aggregate")
    assert metrics["no_pair"] == {}


def test_a_mutant_that_gives_the_golds_result_is_no_near_miss(tmp_path: Path):
    pairs, metrics = made(tmp_path, [right("q0", 0, GOLD)], rows=[("Rex", 5), ("Ada", 5)], strategy="near-miss", chosen="gold")
    assert "match" in metrics["mutants"]  # WHERE age > 3 left out keeps both rows
    assert "WHERE" in pairs[0].rejected


def test_without_rows_no_mutant_is_wrong_and_a_sample_that_does_not_run_is_taken(tmp_path: Path):
    samples = [sample("q0", 0, "SELECT nam FROM pet", "error"), sample("q0", 1, "SELEC name", "error")]
    pairs, metrics = made(
        tmp_path, samples, rows=[], columns="name TEXT", gold="SELECT name FROM pet", strategy="near-miss", chosen="gold"
    )
    assert [(row.rejected, row.error) for row in pairs] == [("SELECT nam FROM pet", "error")]
    assert metrics["rejected_runs"] == 0


def test_the_classes_of_samples_take_turns(tmp_path: Path):
    wrong = {"filter": "SELECT name FROM pet WHERE age >= 3", "schema linking": "SELECT age FROM pet WHERE age > 3"}
    samples = [sample(f"q{number}", k, sql) for number in range(6) for k, sql in enumerate(wrong.values())]
    samples += [sample("q6", 0, wrong["filter"]), sample("q7", 0, wrong["filter"])]
    pairs, metrics = made(tmp_path, samples, 8, strategy="near-miss", chosen="gold")
    assert metrics["rejected_classes"] == {"filter": 4, "schema linking": 4}
    assert [row.example_id for row in pairs] == [f"q{number}" for number in range(8)]


def test_near_misses_have_the_same_bytes_again(tmp_path: Path):
    for folder in ("one", "two"):
        made(tmp_path / folder, many(3), 40, strategy="near-miss", chosen="gold", seed=3)
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
    with pytest.raises(UserError, match=r"1 with no wrong sample .*set prefer.headroom: false"):
        made(tmp_path, [right("q0", 0, GOLD)], headroom=True)
    with pytest.raises(UserError, match=r"1 with the gold alone.*raise prefer.gold_share"):
        made(tmp_path, [sample("q0", 0, "SELECT age FROM pet")], chosen="sample-or-gold", gold_share=0.5)
    with pytest.raises(UserError, match="0 questions: there is no sample"):
        made(tmp_path, [])


def test_a_sample_of_an_unknown_question_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"samples.jsonl: sample 'q9#0' is of question 'q9'"):
        made(tmp_path, [right("q9", 0, GOLD)])
