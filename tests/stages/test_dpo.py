"""DPO on hand-made pairs: label smoothing by the false-right rate in the manifest of the data."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sense import config, manifest, records
from sense.errors import InputError, UserError
from sense.records import Example, Pair
from sense.stages import dpo

GOLD = "SELECT name FROM pet"
TRAIN = {"max_steps": 1, "batch_size": 1, "max_length": 256, "precision": "fp32", "save_steps": 1, "log_steps": 1}


@pytest.fixture
def inputs(tmp_path: Path) -> dpo.Inputs:
    """A pair on a database of one table; the folder of the SFT model is empty."""
    dataset = tmp_path / "unseen"
    database = records.database_path(dataset, "pets")
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE pet (name TEXT, age INTEGER)")
    example = Example(id="q0", db_id="pets", question="Which names?", sql=GOLD, source="grammar", hardness="easy")
    records.write_jsonl(dataset / "examples.jsonl", [example])
    pair = Pair(id="q0#pair0", example_id="q0", chosen=GOLD, rejected="SELECT age FROM pet", strategy="all", error="mismatch")
    records.write_jsonl(tmp_path / "pairs.jsonl", [pair])
    (tmp_path / "sft").mkdir()
    return dpo.Inputs(tmp_path / "sft", tmp_path / "pairs.jsonl", dataset)


def write_manifest(folder: Path, counts: tuple[int, int] | None) -> None:
    rate = None if counts is None else manifest.false_right({"easy": counts})
    manifest.write_manifest(folder, stage="synthesize", section={}, revision="0", false_right=rate)


def run(inputs: dpo.Inputs, folder: Path) -> dict:
    settings = config.DpoConfig.model_validate({"label_smoothing": "auto", "train": TRAIN})
    return dpo.run(settings, inputs, dpo.Outputs(folder / "model", folder / "curve", folder / "metrics"))


def test_without_a_manifest_there_is_nothing_to_take_it_from(inputs: dpo.Inputs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest.json: no such file; the stage that wrote .* writes it: run that again"):
        run(inputs, tmp_path)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (None, "manifest.json: no false_right, which dpo.label_smoothing: auto takes; run synthesize"),
        ((0, 0), "manifest.json: no false_right"),
        ((10, 6), "6 of 10 mutants pass for right"),
    ],
)
def test_a_rate_that_says_nothing_is_refused(
    inputs: dpo.Inputs, tmp_path: Path, counts: tuple[int, int] | None, message: str
) -> None:
    write_manifest(inputs.unseen, counts)
    with pytest.raises(UserError, match=message):
        run(inputs, tmp_path)


def test_chosen_answers_that_become_less_likely_are_warned_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    points = [(step, {"logps/chosen_change": change}) for step, change in ((1, 0.0), (2, -0.5), (3, -0.75), (4, -2.0))]
    logged = []
    watch = dpo._watch(config.DpoConfig(max_chosen_drop=0.5), lambda step, values: logged.append((step, values)))
    for step, values in points:
        watch(step, values)
    assert logged == points
    message = capsys.readouterr().err
    assert message.count("dpo: ") == 1
    assert "at step 3 the chosen answers have lost 0.75 nats of log-probability, more than dpo.max_chosen_drop = 0.5" in message


@pytest.mark.slow
def test_the_measured_rate_is_trained_with_and_recorded(inputs: dpo.Inputs, tmp_path: Path) -> None:
    from sense.training import model_folder, nano

    shape = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=512)
    tokenizer = nano.train_tokenizer([GOLD, "SELECT age FROM pet"], shape.vocabulary)
    model = nano.create_model(shape, tokenizer, 0)
    info = model_folder.ModelInfo(config.ModelConfig(nano=shape), 0, config.PromptConfig(), databases=frozenset({"other:0"}))
    model_folder.save(model, tokenizer, info, inputs.sft)
    write_manifest(inputs.unseen, (40, 3))
    metrics = run(inputs, tmp_path)
    assert metrics["label_smoothing"] == 0.075
    lengths = {"chosen": len(tokenizer(f" {GOLD}")["input_ids"]), "rejected": len(tokenizer(" SELECT age FROM pet")["input_ids"])}
    assert metrics["tokens"] == {answer: length + 1 for answer, length in lengths.items()}  # with EOS
    assert (metrics["rejected_runs"], metrics["chosen_dropped"]) == (1.0, False)
    assert metrics["logps"]["chosen_change"] == metrics["logps"]["chosen_lowest"] == pytest.approx(0, abs=1e-4)
    assert metrics["logps"]["chosen"] < 0
    after = json.loads((tmp_path / "model" / "sense.json").read_text())
    assert after["recipe"]["dpo"]["label_smoothing"] == 0.075
    assert [key.partition(":")[0] for key in after["databases"]] == ["other", "pets"]
