import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from sense import records
from sense.config import ModelConfig, NanoConfig, PromptConfig
from sense.errors import InputError
from sense.training import model_folder, nano, nano_base


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
    origin = json.loads((target / "pretraining.json").read_text())
    assert origin["recipe"]["seed"] == 3
    assert "databases" not in origin["recipe"]
    assert origin["data"]["coverage"] == {"domain": {"zoo": 10}}
    card = (target / "README.md").read_text()
    assert "A Llama of 12.3M weights (hidden 32, 1 layers, 1 heads)" in card.replace(",\n", ")")
    assert "1,200 steps on 20 rows, loss on question; last loss 0.500." in card
    assert '{"epochs": 1.0}.' in card
    assert (target / "curve.csv").read_text() == "step,loss\n1,0.5\n"


def test_a_pretraining_that_is_not_finished_is_refused(pretraining):
    (pretraining / "sft.json").unlink()
    with pytest.raises(InputError, match=r"sft.json: no such file; pretrain the base first: make nano-base"):
        nano_base.write(pretraining, pretraining / "package" / "base")
