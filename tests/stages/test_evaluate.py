"""Scoring of given predictions. No model is needed: a predictions file that is there stands, as after a kill."""

import json
import sqlite3
from contextlib import closing

import pytest

from sense import config, records
from sense.errors import InputError
from sense.records import Example, Prediction
from sense.stages import evaluate
from tests.evaluation_inputs import evaluate_inputs

GOLD = {
    "a": ("SELECT name FROM pet", "easy"),
    "b": ("SELECT COUNT(*) FROM pet", "easy"),
    "c": ("SELECT name FROM pet ORDER BY age DESC LIMIT 1", "medium"),
    "d": ("SELECT name FROM pet WHERE age > (SELECT AVG(age) FROM pet)", "hard"),
}
RIGHT = {name: sql for name, (sql, _) in GOLD.items()}
WRONG = {
    "a": "SELECT age FROM pet",  # runs, other values
    "b": "SELECT COUNT(*) FROM pets",  # no such table
    "c": "DROP TABLE pet",  # not a SELECT
    "d": "",
}


@pytest.fixture
def dataset(tmp_path):
    database = records.database_path(tmp_path / "dev", "pets")
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE pet (name TEXT, age INTEGER)")
        connection.executemany("INSERT INTO pet VALUES (?, ?)", [("Rex", 3), ("Tom", 5), ("Ada", 9)])
        connection.commit()
    rows = [Example(id=i, db_id="pets", question="?", sql=sql, source="s", hardness=level) for i, (sql, level) in GOLD.items()]
    records.write_jsonl(tmp_path / "dev" / "examples.jsonl", rows)
    return tmp_path / "dev"


def evaluated(tmp_path, dataset, **models):
    """Runs the stage on `dataset` as both sets, with these predictions a model."""
    outputs = evaluate.Outputs(tmp_path / "work" / "predictions", tmp_path / "work" / "metrics")
    for model, answers in models.items():
        for name in ("dev", "heldout"):
            rows = [Prediction(id=i, sql=sql) for i, sql in answers.items()]
            records.write_jsonl(outputs.predictions / f"{name}.{model}.predictions.jsonl", rows)
    inputs = evaluate_inputs(tmp_path / "inputs", tmp_path / "sft", tmp_path / "sense", dataset, dataset)
    return evaluate.run(config.EvaluateConfig(resamples=200), inputs, outputs), outputs


def test_ex_hardness_verdicts_and_mcnemar_are_what_a_hand_counts(tmp_path, dataset):
    half = {**WRONG, "a": RIGHT["a"], "c": RIGHT["c"]}
    metrics, outputs = evaluated(tmp_path, dataset, base=WRONG, sft=half, sense=RIGHT)
    dev = metrics["sets"]["dev"]
    assert dev["n"] == 4
    assert dev["digest"] == metrics["sets"]["heldout"]["digest"]
    base, sft, sense = (dev["models"][name] for name in ("base", "sft", "sense"))
    assert [base["ex"], sft["ex"], sense["ex"]] == [0.0, 0.5, 1.0]
    assert base["verdicts"] == {"mismatch": 1, "rejected": 2, "sql_error": 1}
    assert [base["executable"], sft["executable"], sense["executable"]] == [0.25, 0.5, 1.0]
    assert sft["hardness"] == {"easy": {"n": 2, "ex": 0.5}, "medium": {"n": 1, "ex": 1.0}, "hard": {"n": 1, "ex": 0.0}}
    # a column and a table, 2; b: COUNT, 3; c: ORDER BY and LIMIT, 4; d: another column, a condition, AVG, a subquery, 10
    assert sft["complexity"] == {"1": {"n": 2, "ex": 0.5}, "2": {"n": 1, "ex": 1.0}, "6": {"n": 1, "ex": 0.0}}
    assert (base["wins"], base["losses"], base["mcnemar_p"]) == (None, None, None)
    assert (sft["wins"], sft["losses"], sft["mcnemar_p"]) == (2, 0, 0.5)  # 2 * (1/2)^2
    assert (sense["ex_low"], sense["ex_high"]) == (1.0, 1.0)
    verdicts = [json.loads(line) for line in (outputs.predictions / "dev.sft.verdicts.jsonl").read_text().splitlines()]
    assert [(v["id"], v["correct"]) for v in verdicts] == [("a", True), ("b", False), ("c", True), ("d", False)]


def test_ts_counts_what_is_right_on_all_databases_of_the_suite(tmp_path, dataset):
    further = records.database_path(dataset, "pets").with_name("suite_01.sqlite")
    with closing(sqlite3.connect(further)) as connection:
        connection.execute("CREATE TABLE pet (name TEXT, age INTEGER)")
        connection.executemany("INSERT INTO pet VALUES (?, ?)", [("Rex", 3), ("Tom", 5), ("Ada", 9), ("Ada", 2)])
        connection.commit()
    lucky = {**RIGHT, "a": "SELECT DISTINCT name FROM pet", "b": "SELECT 3"}
    metrics, outputs = evaluated(tmp_path, dataset, base=WRONG, sft=lucky, sense=RIGHT)
    dev = metrics["sets"]["dev"]
    assert (dev["mode"], dev["suite"]["mode"], dev["suite"]["databases"]) == ("strict@2", "strict-ts@1", 1)
    sft, sense = dev["models"]["sft"], dev["models"]["sense"]
    assert (sft["ex"], sft["ts"], sense["ex"], sense["ts"], sft["left_out"]) == (1.0, 0.5, 1.0, 1.0, 0)
    assert sft["ts_low"] < 0.5 < sft["ts_high"]
    assert sft["hardness"]["easy"] == {"n": 2, "ex": 1.0, "ts": 0.0}
    assert (sense["wins"], sense["losses"]) == (0, 0)  # McNemar's test is one on EX
    verdicts = records.read_rows(outputs.predictions / "dev.sft.verdicts.jsonl", records.Verdict)
    assert [(v.correct, v.ex, v.instance) for v in verdicts[:2]] == [(False, True, "suite_01.sqlite")] * 2


def test_predictions_join_by_id_in_any_order(tmp_path, dataset):
    backwards = dict(reversed(RIGHT.items()))
    metrics, _ = evaluated(tmp_path, dataset, base=WRONG, sft=RIGHT, sense=backwards)
    assert metrics["sets"]["dev"]["models"]["sense"]["ex"] == 1.0
    assert metrics["sets"]["dev"]["mode"] == "strict@2"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({**RIGHT, "e": "SELECT 1"}, r"0 ids are missing \[\], 1 are unknown \['e'\]"),
        ({name: sql for name, sql in RIGHT.items() if name != "b"}, r"1 ids are missing \['b'\], 0 are unknown"),
    ],
)
def test_missing_and_unknown_ids_are_refused(tmp_path, dataset, answers, message):
    with pytest.raises(InputError, match=message):
        evaluated(tmp_path, dataset, base=answers, sft=RIGHT, sense=RIGHT)


def test_a_set_whose_gold_is_not_right_against_itself_is_refused(tmp_path, dataset):
    rows = [
        row.model_copy(update={"sql": "SELECT no FROM pet"}) if row.id == "b" else row for row in records.read_dataset(dataset)
    ]
    records.write_jsonl(dataset / "examples.jsonl", rows)
    with pytest.raises(InputError, match=r"1 of 4 gold queries.*\n  b: gold_error"):
        evaluated(tmp_path, dataset, base=RIGHT, sft=RIGHT, sense=RIGHT)
    assert not (tmp_path / "work" / "metrics").exists()


def test_the_digest_follows_questions_and_database_contents(tmp_path, dataset):
    first = evaluated(tmp_path, dataset, base=RIGHT, sft=RIGHT, sense=RIGHT)[0]["sets"]["dev"]["digest"]
    with closing(sqlite3.connect(records.database_path(dataset, "pets"))) as connection:
        connection.execute("INSERT INTO pet VALUES ('Bo', 1)")
        connection.commit()
    assert evaluated(tmp_path, dataset, base=RIGHT, sft=RIGHT, sense=RIGHT)[0]["sets"]["dev"]["digest"] != first
