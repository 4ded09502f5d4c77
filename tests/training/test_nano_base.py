import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sense import records
from sense.config import ModelConfig, NanoConfig, PromptConfig
from sense.errors import InputError
from sense.prompts import answer_sql, question_prompt
from sense.schema import Column, Schema, Table
from sense.training import model_folder, nano, nano_base
from sense.training.generate import TransformersGenerator


def test_other_names_are_no_folders_of_the_package():
    assert nano_base.resolve("HuggingFaceTB/SmolLM2-135M") == "HuggingFaceTB/SmolLM2-135M"


def test_a_base_that_was_not_pretrained_is_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(nano_base, "folder", lambda: tmp_path)
    with pytest.raises(InputError, match=r"sense-nano: this installation does not have it; pretrain it .*: make nano-base"):
        model_folder.load_pretrained(ModelConfig(name="sense-nano"))


@pytest.fixture
def pretraining(tmp_path):
    config = NanoConfig(vocabulary=300, hidden=32, layers=1, heads=1, context=64)
    tokenizer = nano.train_tokenizer(["SELECT a FROM b"], 300)
    info = model_folder.ModelInfo(
        ModelConfig(nano=config),
        3,
        PromptConfig(),
        {"sft": {"loss_on": "question", "train": {"epochs": 1.0, "max_steps": None}}},
        "float32",
        frozenset("d"),
    )
    model_folder.save(nano.create_model(config, tokenizer, 3), tokenizer, info, tmp_path / "model")
    manifest = {"examples": 10, "section": {"levels": {"easy": 1.0}, "seed": 4}, "coverage": {"domain": {"zoo": 10}}}
    records.write_json(tmp_path / "strong" / "manifest.json", manifest)
    records.write_json(tmp_path / "sft.json", {"parameters": 12345678, "steps": 1200, "rows": 20, "loss": 0.5})
    records.write_text(tmp_path / "curve.csv", "step,loss\n1,0.5\n")
    return tmp_path


def test_a_pretraining_becomes_the_base_with_half_the_bytes(pretraining, monkeypatch):
    target = pretraining / "package" / "base"
    nano_base.write(pretraining, target)
    monkeypatch.setattr(nano_base, "folder", lambda: target)
    assert model_folder.load_pretrained(ModelConfig(name="sense-nano"), torch.float32)[0].dtype == torch.float32
    before, after = (AutoModelForCausalLM.from_pretrained(folder) for folder in (pretraining / "model", target))
    assert after.dtype == torch.bfloat16
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(one.to(torch.bfloat16), other)
    (training,) = json.loads((target / "pretraining.json").read_text())
    assert training["recipe"]["seed"] == 3
    assert "databases" not in training["recipe"]
    assert training["data"]["coverage"] == {"domain": {"zoo": 10}}
    card = (target / "README.md").read_text()
    assert "A Llama of 12.3M weights (hidden 32, 1 layers, 1 heads)" in card.replace(",\n", ")")
    assert "other names: 20 rows. 1,200 steps,\n  loss on question; last loss 0.500." in card
    assert '{"epochs": 1.0}.' in card
    assert (target / "curve.csv").read_text() == "step,loss\n1,0.5\n"


def test_a_pretraining_that_went_on_from_another_has_both_in_its_card(pretraining):
    nano_base.write(pretraining, pretraining / "first")
    recipe = json.loads((pretraining / "model/sense.json").read_text())
    recipe["base"] |= {"nano": None, "name": "first"}
    records.write_json(pretraining / "model/sense.json", recipe)
    records.write_json(pretraining / "sft.json", {"parameters": 12345678, "steps": 700, "rows": 30, "loss": 0.25})
    nano_base.write(pretraining, pretraining / "second")
    trainings = json.loads((pretraining / "second/pretraining.json").read_text())
    assert [training["metrics"]["steps"] for training in trainings] == [1200, 700]
    card = (pretraining / "second/README.md").read_text()
    assert card.index("1,200 steps") < card.index("700 steps")


def test_a_pretraining_that_is_not_finished_is_refused(pretraining):
    (pretraining / "sft.json").unlink()
    with pytest.raises(InputError, match=r"sft.json: no such file; pretrain the base first: make nano-base"):
        nano_base.write(pretraining, pretraining / "package" / "base")


def test_the_base_of_the_package_copies_names_from_a_schema_that_it_has_never_seen():
    model, tokenizer = model_folder.load_pretrained(ModelConfig(name="sense-nano"), torch.float32)
    generator = TransformersGenerator(model, tokenizer, 8)
    walrus = Table(
        "walrus", (Column("walrus_id", "INTEGER", True), Column("tusk_length", "REAL", False), Column("nickname", "TEXT", False))
    )
    schema = Schema((walrus, Table("ice_floe", (Column("floe_id", "INTEGER", True), Column("thickness", "REAL", False)))), ())
    questions = {
        "What is the tusk length of each walrus?": "SELECT tusk_length FROM walrus",
        "How many ice floes are there?": "SELECT COUNT(*) FROM ice_floe",
        "What is the average thickness of the ice floes?": "SELECT AVG(thickness) FROM ice_floe",
    }
    prompts = [question_prompt(schema, question, "", "compact") for question in questions]
    answers = generator.generate(prompts, n=1, temperature=0.0, top_p=1.0, max_tokens=40, seed=0)
    assert [answer_sql(answer) for (answer,) in answers] == list(questions.values())


def test_the_base_of_the_package_is_a_plain_model_under_10_mb():
    folder = nano_base.folder()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 10_000_000
    assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() < 6_000_000
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer("pet(id, Name)")["input_ids"]) == "pet(id, Name)"
    trainings = records.read_json(folder / "pretraining.json")
    assert all(training["data"]["section"]["seed"] >= 100 for training in trainings)  # other databases than the demo's
