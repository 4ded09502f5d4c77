"""Scoring of given predictions. No model is needed: a predictions file that is there stands, as after a kill."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
import torch

from sense import config, records
from sense.errors import ConfigError, InputError, UserError
from sense.evaluation import evaluation_set
from sense.evaluation.evaluation_set import EvaluationSet
from sense.records import Example, Prediction, Sample, Verdict
from sense.stages import evaluate, fingerprint, predictions
from sense.stages.predictions import SampledChunk
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


def evaluated(tmp_path, dataset, further=None, samples=None, settings=None, sense_folder="sense", **models):
    """Runs the stage on `dataset` as both sets, with these predictions a model; on `further` sets, by name, with the same.

    `samples` are the SQL that every model was sampled, by question.
    """
    outputs = evaluate.Outputs(tmp_path / "work" / "predictions", tmp_path / "work" / "metrics")
    further = further or {}
    for model, answers in models.items():
        for name in ("dev", "heldout", *further):
            rows = [Prediction(id=i, sql=sql) for i, sql in answers.items()]
            records.write_jsonl(outputs.predictions / f"{name}.{model}.predictions.jsonl", rows)
            if samples:
                records.write_jsonl(tmp_path / "work" / f"{name}.{model}.chunks.jsonl", [SampledChunk(sql=samples)])
    inputs = evaluate_inputs(tmp_path / "inputs", tmp_path / "sft", tmp_path / sense_folder, dataset, dataset, further.values())
    sets = {name: str(folder) for name, folder in further.items()}
    return evaluate.run(config.EvaluateConfig(resamples=200, sets=sets, **(settings or {})), inputs, outputs), outputs


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
    assert (sense["ex_low"], sense["ex_high"]) == (pytest.approx(0.025 ** (1 / 4)), 1.0)
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


def test_one_model_as_both_answers_once_and_has_the_same_figures(tmp_path, dataset):
    half = {**WRONG, "a": RIGHT["a"], "c": RIGHT["c"]}
    options = {"samples": [[RIGHT["a"]]] * 4, "settings": {"vote": 1, "modes": ["bird-ex@1"]}}
    twice, files = evaluated(tmp_path / "twice", dataset, base=WRONG, sft=half, sense=half, **options)
    once, copies = evaluated(tmp_path / "once", dataset, base=WRONG, sft=half, sense_folder="sft", **options)
    assert once == twice
    assert (once["sets"]["dev"]["models"]["sense"]["wins"], once["sets"]["dev"]["models"]["sense"]["mcnemar_p"]) == (0, 1.0)
    assert records.digest(files.predictions) == records.digest(copies.predictions)


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


def copied(dataset, target, **changes):
    """The dataset at another path, with these fields of each example changed."""
    shutil.copytree(dataset, target)
    rows = [row.model_copy(update=changes) for row in records.read_dataset(dataset)]
    records.write_jsonl(target / "examples.jsonl", rows)
    return target


def test_a_further_set_is_measured_like_the_others(tmp_path, dataset):
    pets = copied(dataset, tmp_path / "pets", question="Which?")
    metrics, outputs = evaluated(tmp_path, dataset, {"pets-2": pets}, base=WRONG, sft=WRONG, sense=RIGHT)
    assert list(metrics["sets"]) == ["dev", "heldout", "pets-2"]
    of_set = metrics["sets"]["pets-2"]
    assert of_set["models"] == metrics["sets"]["dev"]["models"]
    assert of_set["models"]["sense"]["wins"] == 4
    assert of_set["digest"] != metrics["sets"]["dev"]["digest"]  # another question
    assert len(records.read_rows(outputs.predictions / "pets-2.sense.verdicts.jsonl", Verdict)) == 4
    assert len(records.read_rows(outputs.predictions / "pets-2.examples.jsonl", Example)) == 4


def test_the_limit_holds_for_each_set(tmp_path, dataset):
    answers = {row.id: row.sql for row in records.draw(records.read_dataset(dataset), 2, 0)}
    settings = {"limit": 2, "seed": 0}
    metrics, _ = evaluated(tmp_path, dataset, {"pets": dataset}, settings=settings, base=answers, sft=answers, sense=answers)
    assert [of_set["n"] for of_set in metrics["sets"].values()] == [2, 2, 2]


def test_a_set_that_was_not_compared_with_the_training_data_is_refused(tmp_path, dataset):
    pets = copied(dataset, tmp_path / "pets", question="Which?")
    inputs = evaluate_inputs(tmp_path / "inputs", tmp_path / "sft", tmp_path / "sense", dataset, dataset)
    outputs = evaluate.Outputs(tmp_path / "predictions", tmp_path / "metrics")
    message = rf"does not know {pets} as it is now.*see that synthesize.decontaminate names {pets}, then run dvc repro synthesize"
    with pytest.raises(UserError, match=message):
        evaluate.run(config.EvaluateConfig(sets={"pets": str(pets)}), inputs, outputs)
    assert not outputs.predictions.exists()


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("nowhere", r"evaluate.sets.pets = .*nowhere: no such folder"),
        ("spider", r"no dataset folder.*\n  sense ingest --seeds .*spider --seed build/pets/seed --dev build/pets/dev"),
        ("empty", r"its examples.jsonl is empty"),
    ],
)
def test_a_set_that_is_no_dataset_folder_is_refused(tmp_path, folder, message):
    records.write_text(tmp_path / "spider" / "dev.json", "[]")
    records.write_text(tmp_path / "empty" / "examples.jsonl", "")
    with pytest.raises(InputError, match=message):
        evaluation_set.read_named("pets", tmp_path / folder)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"sets": {"dev": "data/dev"}}, "'dev' is taken"),
        ({"sets": {"Heldout": "x"}}, "'Heldout' is taken: 'heldout' is a set already"),
        ({"sets": {"bird": "x", "BIRD": "y"}}, "'BIRD' is taken"),
        ({"sets": {"a.b": "x"}}, "'a.b' is no name of a set"),
        ({"sets": {"../x": "x"}}, "is no name of a set"),
        ({"modes": ["bird-rves@1"]}, "bird-ex@1"),  # it takes the time, and so gives other figures each time
        ({"modes": ["bird-ex@1", "bird-ex@1"]}, "a mode is named twice"),
        ({"vote": -1}, "greater than or equal to 0"),
    ],
)
def test_names_of_sets_and_modes_are_checked(section, message):
    with pytest.raises(ConfigError) as caught:
        config.validate(config.EvaluateConfig, section, "evaluate")
    assert message in str(caught.value)


def test_the_contents_of_a_further_set_are_a_part_of_the_fingerprint(tmp_path, dataset):
    settings = config.EvaluateConfig(sets={"pets": str(dataset)})
    before = fingerprint("evaluate", settings, {})
    assert fingerprint("evaluate", settings, {}) == before
    records.write_text(dataset / "examples.jsonl", (dataset / "examples.jsonl").read_text().replace("?", "Who?"))
    assert fingerprint("evaluate", settings, {}) != before


def test_the_same_predictions_under_several_modes(tmp_path, dataset):
    further = records.database_path(dataset, "pets").with_name("suite_01.sqlite")
    with closing(sqlite3.connect(further)) as connection:
        connection.execute("CREATE TABLE pet (name TEXT, age INTEGER)")
        connection.executemany("INSERT INTO pet VALUES (?, ?)", [("Rex", 3), ("Ada", 9)])
        connection.commit()
    answers = {
        "a": "SELECT name FROM pet UNION ALL SELECT name FROM pet",  # each row twice: right for BIRD's sets alone
        "b": "SELECT 3",  # right on the main database alone
        "c": RIGHT["c"],
        "d": "SELECT name, age FROM pet WHERE age = 9",  # a column too many: half of the cells are right
    }
    modes = ["strict-ts@1", "spider-exec@1", "bird-ex@1", "bird-f1@1"]
    metrics, outputs = evaluated(tmp_path, dataset, settings={"modes": modes}, base=WRONG, sft=WRONG, sense=answers)
    sense = metrics["sets"]["dev"]["models"]["sense"]
    assert (sense["ex"], sense["ts"]) == (0.5, 0.25)
    assert list(sense["modes"]) == modes
    measured = {mode: (numbers["ex"], numbers.get("ts"), numbers.get("soft_f1")) for mode, numbers in sense["modes"].items()}
    assert measured["strict-ts@1"] == (0.5, 0.25, None)
    assert measured["spider-exec@1"] == (0.5, 0.25, None)
    assert measured["bird-ex@1"] == (0.75, None, None)
    # a, b and c are 1; d: of 2 cells 1 is right, and no gold cell is missing: precision 1/2, recall 1, F1 2/3
    assert measured["bird-f1@1"] == (0.75, None, pytest.approx((3 + 2 / 3) / 4))
    f1 = sense["modes"]["bird-f1@1"]
    assert f1["soft_f1_low"] < f1["soft_f1"] < f1["soft_f1_high"] == 1.0
    assert all(numbers["gold_errors"] == 0 for numbers in sense["modes"].values())
    verdicts = records.read_rows(outputs.predictions / "dev.sense.bird-ex@1.verdicts.jsonl", Verdict)
    assert [verdict.correct for verdict in verdicts] == [True, True, True, False]
    assert {verdict.mode for verdict in verdicts} == {"bird-ex@1"}


def test_without_further_keys_there_are_no_further_figures(tmp_path, dataset):
    metrics, outputs = evaluated(tmp_path, dataset, base=WRONG, sft=RIGHT, sense=RIGHT)
    assert list(metrics["sets"]["dev"]["models"]["sense"])[-3:] == ["wins", "losses", "mcnemar_p"]
    assert len(list(outputs.predictions.iterdir())) == 2 + 2 * 2 * 3  # examples; predictions and verdicts of three models


def test_the_result_that_most_samples_have_is_scored(tmp_path, dataset):
    greedy = {**RIGHT, "a": WRONG["a"], "d": WRONG["d"]}
    samples = [
        ["SELECT age FROM pet", "SELECT name FROM pet", "SELECT name FROM pet ORDER BY age"],  # the last two agree
        ["SELECT 7", "SELECT 3", "SELECT 8"],  # none agree: the first, which is wrong
        ["SELECT nope", "DROP TABLE pet", ""],  # none runs: the greedy answer, which is right
        ["SELECT x", "SELECT name FROM pet WHERE age = 9", "SELECT 'Ada'; -- the oldest"],
    ]
    metrics, outputs = evaluated(tmp_path, dataset, samples=samples, settings={"vote": 3}, base=greedy, sft=greedy, sense=greedy)
    sense = metrics["sets"]["dev"]["models"]["sense"]
    assert sense["ex"] == 0.5
    vote = sense["vote"]
    assert (vote["k"], vote["temperature"], vote["n"]) == (3, 1.0, 4)
    assert vote["ex"] == 0.75
    assert vote["ex_low"] < 0.75 < vote["ex_high"]
    assert (vote["wins"], vote["losses"], vote["mcnemar_p"]) == (2, 1, 1.0)  # a and d won, b lost: 2 * (1 + 3) / 8
    assert vote["pass_at_k"] == 0.75  # all but c
    assert vote["right"] == pytest.approx(5 / 12)
    assert vote["fell_back"] == 1
    voted = records.read_rows(outputs.predictions / "dev.sense.vote.predictions.jsonl", Prediction)
    assert [row.sql for row in voted] == [samples[0][1], "SELECT 7", RIGHT["c"], samples[3][1]]
    rows = records.read_rows(outputs.predictions / "dev.sense.samples.jsonl", Sample)
    assert [row.id for row in rows[:4]] == ["a#0", "a#1", "a#2", "b#0"]
    assert [row.correct for row in rows].count(True) == 5
    verdicts = records.read_rows(outputs.predictions / "dev.sense.vote.verdicts.jsonl", Verdict)
    assert [verdict.correct for verdict in verdicts] == [True, False, True, True]


def test_a_question_too_long_for_the_model_has_no_samples_and_is_wrong(tmp_path, dataset):
    samples = [["SELECT name FROM pet"], [], [RIGHT["c"]], [RIGHT["d"]]]
    outputs = evaluate.Outputs(tmp_path / "work" / "predictions", tmp_path / "work" / "metrics")
    for model in evaluate.MODELS:
        for name in ("dev", "heldout"):
            rows = [
                Prediction(id=i, sql="" if i == "b" else sql, rejected="too long" if i == "b" else "") for i, sql in RIGHT.items()
            ]
            records.write_jsonl(outputs.predictions / f"{name}.{model}.predictions.jsonl", rows)
            records.write_jsonl(tmp_path / "work" / f"{name}.{model}.chunks.jsonl", [SampledChunk(sql=samples)])
    inputs = evaluate_inputs(tmp_path / "inputs", tmp_path / "sft", tmp_path / "sense", dataset, dataset)
    metrics = evaluate.run(config.EvaluateConfig(resamples=200, vote=1), inputs, outputs)
    vote = metrics["sets"]["dev"]["models"]["sense"]["vote"]
    assert (vote["ex"], vote["pass_at_k"], vote["right"], vote["fell_back"]) == (0.75, 0.75, 1.0, 0)


def test_ex_by_domain_where_questions_have_one(tmp_path, dataset):
    rows = records.read_dataset(dataset)
    domains = {"a": "zoo", "b": "clinic", "c": "zoo", "d": ""}
    records.write_jsonl(dataset / "examples.jsonl", [row.model_copy(update={"domain": domains[row.id]}) for row in rows])
    half = {**WRONG, "a": RIGHT["a"], "d": RIGHT["d"]}
    metrics, _ = evaluated(tmp_path, dataset, base=WRONG, sft=WRONG, sense=half)
    by_domain = metrics["sets"]["dev"]["models"]["sense"]["domains"]
    assert [(name, part["n"], part["ex"]) for name, part in by_domain.items()] == [
        ("clinic", 1, 0.0),
        ("zoo", 2, 0.5),
        ("(none)", 1, 1.0),
    ]
    assert by_domain["zoo"]["ex_low"] < 0.5 < by_domain["zoo"]["ex_high"]


@pytest.mark.slow
def test_a_killed_stage_goes_on_with_the_next_chunk_of_samples(tmp_path, dataset, monkeypatch):
    from sense.training import generate, model_folder, nano

    shape = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=1024)
    tokenizer = nano.train_tokenizer([sql for sql, _ in GOLD.values()] * 9, shape.vocabulary)
    info = model_folder.ModelInfo(config.ModelConfig(nano=shape), 0, config.PromptConfig())
    model_folder.save(nano.create_model(shape, tokenizer, 0), tokenizer, info, tmp_path / "model")
    monkeypatch.setattr(predictions, "_CHUNK", 2)
    pets = EvaluationSet("pets", dataset, records.read_dataset(dataset))
    settings = config.EvaluateConfig(vote=3, max_new_tokens=6, batch_size=3)

    def predict(target):
        predictions.predict("sft", tmp_path / "model", [pets], settings, target)
        return predictions.read_samples("sft", pets, target)

    batches = []
    generate_batch = generate.TransformersGenerator._generate_batch

    def counted(self, prompts, n, *rest):
        batches.append((len(prompts), n))
        return generate_batch(self, prompts, n, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 1)  # other processes would count for themselves
        patch.setattr(generate.TransformersGenerator, "_generate_batch", counted)
        whole = predict(tmp_path / "whole" / "predictions")
    assert batches == [(3, 1), (1, 1)] + [(1, 3)] * 4  # batch_size counts answers
    assert [len(of_question) for of_question in whole] == [3] * 4
    log = tmp_path / "whole" / "pets.sft.chunks.jsonl"
    first, second = log.read_text().splitlines()
    resumed = tmp_path / "killed" / "predictions"
    records.write_text(tmp_path / "killed" / log.name, f"{first}\n{second[:20]}")
    assert predict(resumed) == whole
    assert (tmp_path / "killed" / log.name).read_bytes() == log.read_bytes()
    greedy = "pets.sft.predictions.jsonl"
    assert (resumed / greedy).read_bytes() == (tmp_path / "whole" / "predictions" / greedy).read_bytes()
