"""A base in a GGUF file: what is read from it is the model that was written, what cannot be read is refused with the fix."""

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sense import config
from sense.errors import InputError
from sense.training import generate, model_folder, pretrained
from tests import bases

TEXT = "SELECT count(*) FROM thing WHERE size > 31 -- Größe"


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The model that `bases.write_gguf` writes, from safetensors."""
    return pretrained.load_model(str(bases.write_plain(tmp_path_factory.mktemp("plain") / "base")), torch.float32)


def refusal(folder, file="base.gguf"):
    """The message with which a GGUF file is refused."""
    with pytest.raises(InputError) as error:
        pretrained.load_model(str(folder), torch.float32, gguf_file=file)
    return str(error.value)


def test_whole_weights_are_those_that_were_written(tmp_path, expected):
    model, tokenizer = pretrained.load_model(str(bases.write_gguf(tmp_path)), torch.float32, gguf_file="base.gguf")
    weights, expected_weights = model.state_dict(), expected[0].state_dict()
    assert sorted(weights) == sorted(expected_weights)
    assert all(torch.equal(weights[name], expected_weights[name]) for name in weights)
    assert tokenizer(TEXT)["input_ids"] == expected[1](TEXT)["input_ids"]
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.padding_side) == ("<s>", "</s>", "left")


@pytest.mark.parametrize(("quantization", "bits"), [("F16", 11), ("BF16", 8), ("Q8_0", 7)])
def test_quantized_weights_are_dequantized(tmp_path, expected, quantization, bits):
    """Half a unit in the last place: of each weight, or for Q8_0 of the largest of the 32 in its block."""
    folder = bases.write_gguf(tmp_path, quantization=quantization)
    model, _ = pretrained.load_model(str(folder), torch.float32, gguf_file="base.gguf")
    weights = model.model.embed_tokens.weight
    original = expected[0].model.embed_tokens.weight
    assert weights.dtype == torch.float32
    assert not torch.equal(weights, original)
    assert (weights - original).abs().max() <= original.abs().max() * 2.0**-bits
    assert not hasattr(model.config, "quantization_config")


def test_a_model_trained_from_it_is_a_plain_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    code, model = bases.run_sft(tmp_path, bases.write_gguf(tmp_path / "base"), gguf_file="base.gguf")
    assert code == 0
    assert model_folder.read_info(model).base == config.ModelConfig(name=str(tmp_path / "base"), gguf_file="base.gguf")
    (tmp_path / "base" / "base.gguf").unlink()
    loaded, tokenizer = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    assert loaded.config.architectures == ["LlamaForCausalLM"]
    assert loaded.generation_config.eos_token_id == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("</s>")
    assert generate.load_generator(model, 2).count_tokens([TEXT]) == [len(tokenizer(TEXT)["input_ids"])]


def test_an_adapter_on_it_finds_its_base_again(tmp_path, monkeypatch):
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    base = bases.write_gguf(tmp_path / "base", quantization="Q8_0")
    code, model = bases.run_sft(tmp_path, base, lora={"r": 4}, gguf_file="base.gguf")
    assert code == 0
    assert (model / "adapter_model.safetensors").exists()
    adapted = model_folder.load_model(model)
    merged = AutoModelForCausalLM.from_pretrained(model_folder.merge_adapter(model, tmp_path / "merged"), dtype=torch.float32)
    tokens = torch.arange(10, 30)[None]
    assert torch.allclose(merged(tokens).logits, adapted(tokens).logits.float(), atol=1e-4)
    (base / "base.gguf").unlink()
    with pytest.raises(InputError, match=r"the base that sense\.json names cannot be used: .*base\.gguf: no such file"):
        model_folder.load_model(model)


def test_a_file_that_is_not_there(tmp_path):
    assert refusal(tmp_path) == (
        f"{tmp_path}/base.gguf: no such file (model.gguf_file): no GGUF file is in that folder; download one"
    )
    for name in ("b.gguf", "a.gguf"):
        (tmp_path / name).touch()
    assert refusal(tmp_path).endswith("base.gguf: no such file (model.gguf_file): the folder has a.gguf, b.gguf")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty; copy or download"),
        (bases.LFS_POINTER.encode(), "a pointer of Git LFS"),
        (b"<!DOCTYPE html>", "no GGUF file"),
        (None, "cannot be loaded"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_file_that_is_broken(tmp_path, content, problem):
    file = bases.write_gguf(tmp_path) / "base.gguf"
    file.write_bytes(file.read_bytes()[:-5000] if content is None else content)
    message = refusal(tmp_path)
    assert problem in message
    assert "download" in message or "git lfs pull" in message


def test_a_part_of_a_file(tmp_path):
    name = "base-00001-of-00003.gguf"
    bases.write_gguf(tmp_path, name)
    assert f"{name}: one of 3 parts" in refusal(tmp_path, name)
    assert f"llama-gguf-split --merge {name} WHOLE.gguf" in refusal(tmp_path, name)


def test_an_architecture_that_transformers_does_not_read(tmp_path):
    bases.write_gguf(tmp_path, architecture="plamo")
    assert "does not read this architecture or quantization from GGUF files: name another file" in refusal(tmp_path)


def test_a_quantization_that_the_package_does_not_read(tmp_path, monkeypatch):
    bases.write_gguf(tmp_path, quantization="Q8_0")
    monkeypatch.delitem(gguf.quants._type_traits, gguf.GGMLQuantizationType.Q8_0)
    assert "does not read this architecture or quantization from GGUF files: name another file" in refusal(tmp_path)


def test_without_the_package(tmp_path, monkeypatch):
    bases.write_gguf(tmp_path)
    monkeypatch.setattr(pretrained.gguf_weights, "is_gguf_available", lambda: False)
    assert "GGUF files need the package gguf, of this or a newer version: pip install -U gguf" in refusal(tmp_path)


def test_positions_that_transformers_would_read_wrongly(tmp_path):
    bases.write_gguf(tmp_path, rope__scaling__type="linear")
    assert refusal(tmp_path).startswith(f"{tmp_path}: base.gguf scales its rotary positions (linear), which transformers ")
    bases.write_gguf(tmp_path, rope__scaling__type="none")
    pretrained.load_model(str(tmp_path), torch.float32, gguf_file="base.gguf")


def test_the_file_needs_a_name():
    with pytest.raises(ValueError, match="gguf_file is a file of the model that name names"):
        config.ModelConfig(nano=config.NanoConfig(), gguf_file="base.gguf")
