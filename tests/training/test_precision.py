"""Where a GPU computes in bfloat16: what is trained is float32 meanwhile, what is written is bfloat16. Made believe on a CPU."""

import pytest
import torch
from safetensors.torch import load_file

from sense import config
from sense.errors import InputError
from sense.training import devices, fit, model_folder, nano, tokenization
from tests.training.test_fit import BASE, NANO, PAIRS, ROWS, TRAIN, ignore, train_tokenizer

SMALL = TRAIN.model_copy(update={"learning_rate": 1e-6, "precision": "bf16", "schedule": "constant", "warmup_ratio": 0.0})


@pytest.fixture
def sft(tmp_path, monkeypatch):
    """The folder of a model in bfloat16."""
    monkeypatch.setattr(devices, "compute_dtype", lambda: torch.bfloat16)
    tokenizer = train_tokenizer()
    model_folder.save(
        nano.create_model(NANO, tokenizer, 0), tokenizer, model_folder.ModelInfo(BASE, 0, config.PromptConfig()), tmp_path / "sft"
    )
    return tmp_path / "sft"


def dtypes(model):
    return {parameter.dtype for parameter in model.parameters()}


def written(folder):
    return {weights.dtype for weights in load_file(folder / "model.safetensors").values()}


def test_weights_are_float32_only_where_they_are_trained(sft):
    assert dtypes(model_folder.load_model(sft)) == {torch.bfloat16}
    assert dtypes(model_folder.load_model(sft, trainable=True)) == {torch.bfloat16}
    assert dtypes(model_folder.load_model(sft, trainable=True, dtype=model_folder.TRAINING_DTYPE)) == {torch.float32}
    base = config.ModelConfig(name=str(sft))
    assert dtypes(model_folder.load_pretrained(base)[0]) == {torch.bfloat16}
    assert dtypes(model_folder.load_pretrained(base, model_folder.TRAINING_DTYPE)[0]) == {torch.float32}


def test_steps_of_a_millionth_are_not_rounded_away(sft, tmp_path):
    start = model_folder.load_model(sft, trainable=True, dtype=model_folder.TRAINING_DTYPE)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    settings, tokenizer = config.DpoConfig(train=SMALL), model_folder.load_tokenizer(sft)
    model, _ = fit.dpo(
        start, tokenizer, tokenization.dpo_rows(tokenizer, PAIRS), settings, checkpoints=tmp_path / "checkpoints", on_log=ignore
    )
    inner = [name for name in before if "layers" in name and "norm" not in name]  # rows of tokens that do not occur stay
    moved = [(model.state_dict()[name] != before[name]).float().mean().item() for name in inner]
    assert min(moved) > 0.9
    model_folder.save(model, model_folder.load_tokenizer(sft), model_folder.read_info(sft), tmp_path / "dpo")
    assert written(tmp_path / "dpo") == {torch.bfloat16}


def test_an_adapter_is_float32_on_a_base_that_is_not(sft, tmp_path, monkeypatch):
    base = config.ModelConfig(name=str(sft))
    model, tokenizer = model_folder.load_pretrained(base)
    settings = config.SftConfig(model=base, train=SMALL, lora=config.LoraConfig(r=4, dropout=0.0))
    rows = tokenization.sft_rows(tokenizer, ROWS, settings.loss_on)
    model, _ = fit.sft(model, tokenizer, rows, settings, checkpoints=tmp_path / "checkpoints", on_log=ignore)
    kinds = {parameter.requires_grad: parameter.dtype for parameter in model.parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    model_folder.save(model, tokenizer, model_folder.ModelInfo(base, 0, config.PromptConfig()), tmp_path / "adapter")
    monkeypatch.undo()  # publishing has no GPU
    assert written(model_folder.merge_adapter(tmp_path / "adapter", tmp_path / "merged")) == {torch.bfloat16}


def test_a_precision_that_is_none_is_refused(sft):
    info_file = sft / "sense.json"
    info_file.write_text(info_file.read_text().replace("bfloat16", "float8"))
    with pytest.raises(InputError, match=r"sense\.json: dtype is 'float8'"):
        model_folder.read_info(sft)


@pytest.mark.parametrize(
    ("capabilities", "bf16"), [({"avx2": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)]
)
def test_a_processor_that_emulates_bfloat16_computes_in_float32(tmp_path, monkeypatch, capabilities, bf16):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    auto = TRAIN.model_copy(update={"precision": "auto"})
    assert fit.training_arguments(auto, 0, tmp_path)["bf16"] is bf16
