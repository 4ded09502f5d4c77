"""Perturbed copies as evaluation sets: made by `sense perturb`, answered by a model, and compared with their original."""

import sqlite3
from contextlib import closing

import pytest

from sense import config, records
from sense.config import ExecutionConfig
from sense.records import Prediction
from sense.report import markdown
from sense.robustness.perturb import perturb
from sense.stages import evaluate, perturbed_sets
from tests.dataset_folder import write_dataset
from tests.evaluation_inputs import evaluate_inputs

QUESTIONS = {
    "a": ("In which towns is it?", "SELECT city FROM pet"),
    "b": ("How many are there?", "SELECT count(*) FROM pet"),  # names no column: dropped by columns-synonym
    "c": ("What are the countries?", "SELECT country FROM pet"),
    "d": ("Where do they live in Italy?", "SELECT city FROM pet WHERE country = 'Italy'"),
}


PETS = """
    CREATE TABLE pet (pet_id INTEGER PRIMARY KEY, city TEXT, country TEXT);
    INSERT INTO pet VALUES (1, 'Rome', 'Italy'), (2, 'Oslo', 'Norway');
"""


@pytest.fixture
def sets(tmp_path):
    """dev, heldout, and two perturbed copies of dev."""
    dev = write_dataset(tmp_path / "dev", "pets", PETS, QUESTIONS)
    heldout = write_dataset(tmp_path / "heldout", "pets", PETS, {"a": QUESTIONS["b"]})
    perturb(dev, ["columns-synonym", "question-lower-case"], tmp_path / "robust", 0, ExecutionConfig(workers=1))
    return {"dev": dev, "heldout": heldout, "synonym": tmp_path / "robust" / "columns-synonym"}


def evaluated(tmp_path, sets, model=None, answers=None, **settings):
    """The metrics by set; with `answers`, SQL by model, set and id, no model is asked."""
    outputs = evaluate.Outputs(tmp_path / "work" / "predictions", tmp_path / "work" / "metrics")
    for name, of_sets in (answers or {}).items():
        for set_name, sqls in of_sets.items():
            file = outputs.predictions / f"{set_name}.{name}.predictions.jsonl"
            records.write_jsonl(file, [Prediction(id=key, sql=sql) for key, sql in sqls.items()])
    further = {name: folder for name, folder in sets.items() if name not in ("dev", "heldout")}
    folders = [model or tmp_path / name for name in ("sft", "sense")]
    inputs = evaluate_inputs(tmp_path / "inputs", *folders, sets["dev"], sets["heldout"], further.values())
    named = {name: str(folder) for name, folder in further.items()}
    section = config.EvaluateConfig(resamples=200, sets=named, execution=ExecutionConfig(workers=1), **settings)
    return evaluate.run(section, inputs, outputs)["sets"]


def golds(folder):
    return {row.id: row.sql for row in records.read_dataset(folder)}


def answers_of(sets):
    """Base answers nothing, SFT dev and heldout alone, SENSE all but c on dev; on the copy c alone: the others by dev's names."""
    gold = {name: golds(folder) for name, folder in sets.items()}
    nothing = {name: dict.fromkeys(sqls, "") for name, sqls in gold.items()}
    own_names = {key: gold["dev"][key] for key in gold["synonym"]}
    return {
        "base": nothing,
        "sft": nothing | {"dev": gold["dev"], "heldout": gold["heldout"]},
        "sense": gold | {"dev": gold["dev"] | {"c": ""}, "synonym": own_names | {"c": gold["synonym"]["c"]}},
    }


def test_a_copy_is_compared_with_the_same_questions_of_its_original(tmp_path, sets):
    metrics = evaluated(tmp_path, sets, answers=answers_of(sets))
    assert metrics["dev"]["n"] == 4
    copy = metrics["synonym"]
    assert copy["n"] == 3  # without b
    assert copy["perturbation"] == {"kind": "columns-synonym", "set": "dev"}
    sft, sense = (copy["models"][model]["original"] for model in ("sft", "sense"))
    assert (sft["n"], sft["ex"], sft["perturbed_ex"], sft["change"]) == (3, 1.0, 0.0, -1.0)
    assert (sft["wins"], sft["losses"], sft["mcnemar_p"]) == (0, 3, 0.25)
    # 1 - 0.025 ** (1 / 3) = 70.8% of three questions may be others without being seen
    assert (sft["change_low"], sft["change_high"]) == (-1.0, pytest.approx(-1.0 + 2 * 0.7076, abs=1e-4))
    assert metrics["dev"]["models"]["sense"]["ex"] == 0.75  # of three of its questions it is 2/3
    assert [sense[key] for key in ("ex", "perturbed_ex", "change")] == pytest.approx([2 / 3, 1 / 3, -1 / 3])
    assert (sense["wins"], sense["losses"]) == (1, 2)
    assert "perturbation" not in metrics["dev"]
    assert "original" not in metrics["heldout"]["models"]["sft"]
    page = markdown.summary("evaluate", {"sets": metrics})
    assert "| perturbed | same questions | EX on dev | EX here |" in page
    assert "| SFT | 3 | 100.0% (29.2% to 100.0%) | 0.0% (0.0% to 70.8%) | −100.0 | −100.0 to +41.5 | 0 | 3 | 0.25 |" in page


def test_with_a_limit_a_copy_has_the_questions_that_are_drawn_of_its_original(tmp_path, sets):
    origins = perturbed_sets.find_origins(sets)
    assert origins == {"synonym": ("columns-synonym", "dev")}
    inputs = evaluate_inputs(tmp_path / "inputs", tmp_path, tmp_path, sets["dev"], sets["heldout"], [sets["synonym"]])
    for seed in range(8):
        section = config.EvaluateConfig(sets={"synonym": str(sets["synonym"])}, limit=2, seed=seed)
        drawn, _ = evaluate._read_sets(section, inputs)
        ids = {each.name: [example.id for example in each.examples] for each in drawn}
        assert ids["synonym"] == [key for key in ids["dev"] if key != "b"]


def test_a_copy_of_what_is_no_set_as_it_is_now_is_said_to_be_and_not_compared(tmp_path, sets, capsys):
    with closing(sqlite3.connect(records.database_path(sets["dev"], "pets"))) as connection:
        connection.execute("INSERT INTO pet VALUES (3, 'Bari', 'Italy')")
        connection.commit()
    assert perturbed_sets.find_origins(sets) == {}
    assert "columns-synonym: a perturbed copy of a dataset folder that is no evaluation set, or has changed" in (
        " ".join(capsys.readouterr().err.split())
    )


@pytest.mark.slow
def test_a_model_answers_a_set_and_its_perturbed_copies(tmp_path, sets):
    from sense.training import model_folder, nano

    sets["lower"] = tmp_path / "robust" / "question-lower-case"
    shape = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=512)
    tokenizer = nano.train_tokenizer([sql for _, sql in QUESTIONS.values()] * 9, shape.vocabulary)
    info = model_folder.ModelInfo(config.ModelConfig(nano=shape), 0, config.PromptConfig())
    model_folder.save(nano.create_model(shape, tokenizer, 0), tokenizer, info, tmp_path / "model")
    metrics = evaluated(tmp_path, sets, model=tmp_path / "model", max_new_tokens=4)
    assert {name: on_set.get("perturbation", {}).get("set") for name, on_set in metrics.items()} == {
        "dev": None,
        "heldout": None,
        "synonym": "dev",
        "lower": "dev",
    }
    for name, n in (("synonym", 3), ("lower", 4)):
        on_set = metrics[name]
        for model in on_set["models"].values():
            assert (on_set["n"], model["original"]["n"], model["original"]["perturbed_ex"]) == (n, n, model["ex"])
            assert model["original"]["change"] == pytest.approx(model["ex"] - model["original"]["ex"])
