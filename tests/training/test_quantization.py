"""QLoRA: refused without a GPU before data are read, loaded as bitsandbytes wants it, and trained where that is installed."""

import importlib.util

import pytest
import torch
from safetensors.torch import load_file

from sense import config
from sense.errors import ConfigError, InputError
from sense.training import fit, generate, model_folder, nano, pretrained, quantization, tokenization
from tests import bases
from tests.training.test_fit import PAIRS, ROWS, TRAIN, Killed, ignore, kill_at, train_tokenizer, trained_sft, weights

LORA = config.LoraConfig(r=4, dropout=0.0, quantize="4bit")
NEEDS_GPU = "sft.lora.quantize: 4bit needs a CUDA GPU, and PyTorch sees none here; train on one, or set sft.lora.quantize to null"


@pytest.fixture
def base(tmp_path):
    """A folder with a whole model, as a base: as wide as bitsandbytes' CPU kernels want it."""
    shape = config.NanoConfig(vocabulary=300, hidden=64, layers=1, heads=2, context=128)
    tokenizer = train_tokenizer()
    info = model_folder.ModelInfo(config.ModelConfig(nano=shape), 0, config.PromptConfig())
    model_folder.save(nano.create_model(shape, tokenizer, 0), tokenizer, info, tmp_path / "base")
    return config.ModelConfig(name=str(tmp_path / "base"))


@pytest.fixture
def on_a_cpu(monkeypatch):
    """bitsandbytes on a CPU, which computes the same, slowly."""
    pytest.importorskip("bitsandbytes")
    options = quantization.loading_options()
    monkeypatch.setattr(quantization, "check_available", lambda: None)
    monkeypatch.setattr(quantization, "loading_options", lambda: options | {"device_map": {"": "cpu"}})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_refused_before_the_data_are_read(tmp_path, base, capsys):
    (tmp_path / "dataset").mkdir()  # and nothing in it
    code, model = bases.run_sft(tmp_path, base.name, lora={"r": 4, "quantize": "4bit"})
    assert code == 2
    assert NEEDS_GPU in " ".join(capsys.readouterr().err.split())
    assert not model.exists()


def test_without_bitsandbytes_it_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"bitsandbytes, which is not installed: pip install -c constraints.txt bitsandbytes"):
        quantization.check_available()


@pytest.mark.parametrize("model", [{"nano": {}}, {"name": "x", "gguf_file": "x.gguf"}])
def test_a_base_that_is_not_whole_in_safetensors_is_refused(model):
    with pytest.raises(ConfigError, match=r"lora\.quantize needs a base in model\.name whose weights are whole"):
        config.validate(config.SftConfig, {"model": model, "lora": {"quantize": "4bit"}}, "sft")


def test_each_process_has_its_base_in_nf4_on_its_own_gpu(base, monkeypatch):
    class StoppedError(Exception):
        pass

    asked = {}

    def from_pretrained(name, **options):
        asked.update(options)
        raise StoppedError

    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(quantization, "check_available", lambda: None)
    monkeypatch.setattr(pretrained.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    with pytest.raises(InputError, match="StoppedError"):
        model_folder.load_pretrained(base, quantize=True)
    scheme = asked["quantization_config"]
    assert asked["device_map"] == {"": 3}
    assert (scheme.load_in_4bit, scheme.bnb_4bit_quant_type, scheme.bnb_4bit_use_double_quant) == (True, "nf4", True)
    asked.clear()
    with pytest.raises(InputError, match="StoppedError"):
        model_folder.load_pretrained(base)
    assert "quantization_config" not in asked


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_second_step_wants_the_base_in_4_bits_too_and_everything_else_the_whole_one(tmp_path, base):
    model, tokenizer = model_folder.load_pretrained(base)
    settings = config.SftConfig(model=base, train=TRAIN.model_copy(update={"max_steps": 1}), lora=config.LoraConfig(r=4))
    rows = tokenization.sft_rows(tokenizer, ROWS, "completion")
    model, _ = fit.sft(model, tokenizer, rows, settings, checkpoints=tmp_path / "checkpoints", on_log=ignore)
    recipe = {"sft": {"lora": LORA.model_dump(mode="json")}}
    model_folder.save(model, tokenizer, model_folder.ModelInfo(base, 0, settings.prompt, recipe), tmp_path / "sft")
    with pytest.raises(InputError, match="needs a CUDA GPU"):
        model_folder.load_model(tmp_path / "sft", trainable=True)
    whole = model_folder.load_model(tmp_path / "sft")
    assert {parameter.dtype for parameter in whole.parameters()} == {torch.float32}


def test_an_adapter_on_a_quantized_base_is_trained_in_float32(tmp_path, monkeypatch):
    pytest.importorskip("bitsandbytes")  # transformers counts the weights of such a base with it
    create_model = fit.SFTTrainer.__init__

    def on_a_quantized_base(self, model, **options):
        model.is_loaded_in_4bit = True  # by which TRL tells
        create_model(self, model=model, **options)
        assert {p.dtype for p in self.model.parameters() if p.requires_grad} == {torch.bfloat16}

    monkeypatch.setattr(fit.SFTTrainer, "__init__", on_a_quantized_base)
    monkeypatch.setattr("transformers.trainer.validate_quantization_for_training", lambda model: None, raising=False)
    folder, _ = trained_sft(tmp_path, lora=config.LoraConfig(r=4))
    assert {tensor.dtype for tensor in load_file(folder / "adapter_model.safetensors").values()} == {torch.float32}


@pytest.mark.slow
def test_a_killed_qlora_resumes_to_the_same_weights_and_its_adapter_is_trained_on(tmp_path, base, on_a_cpu):
    def sft(folder, on_log=ignore):
        model, tokenizer = model_folder.load_pretrained(base, quantize=True)
        settings = config.SftConfig(model=base, train=TRAIN, lora=LORA)
        rows = tokenization.sft_rows(tokenizer, ROWS, "completion")
        model, curve = fit.sft(model, tokenizer, rows, settings, checkpoints=folder / "checkpoints", on_log=on_log)
        recipe = {"sft": settings.model_dump(mode="json", exclude={"model", "prompt"})}
        model_folder.save(model, tokenizer, model_folder.ModelInfo(base, 0, settings.prompt, recipe), folder / "model")
        return folder / "model", curve, model

    whole, curve, model = sft(tmp_path / "whole")
    assert {type(module.weight).__name__ for name, module in model.named_modules() if name.endswith("q_proj.base_layer")} == {
        "Params4bit"
    }
    plain = model_folder.count_parameters(model_folder.load_model(whole))["parameters"]
    assert model_folder.count_parameters(model)["parameters"] == plain
    with pytest.raises(Killed):
        sft(tmp_path / "killed", kill_at(5))
    again, resumed, _ = sft(tmp_path / "killed")
    assert weights(again) == weights(whole)
    assert fit.curve_csv(resumed) == fit.curve_csv(curve)
    tokenizer = model_folder.load_tokenizer(whole)
    preferred, _ = fit.dpo(
        model_folder.load_model(whole, trainable=True, dtype=model_folder.TRAINING_DTYPE),
        tokenizer,
        tokenization.dpo_rows(tokenizer, PAIRS),
        config.DpoConfig(train=TRAIN),
        checkpoints=tmp_path / "dpo-checkpoints",
        on_log=ignore,
    )
    model_folder.save(preferred, tokenizer, model_folder.read_info(whole), tmp_path / "dpo")
    assert weights(tmp_path / "dpo") != weights(whole)
    merged = model_folder.merge_adapter(tmp_path / "dpo", tmp_path / "merged")
    assert generate.load_generator(merged, 4).count_tokens(["x"])
    assert model_folder.read_info(merged).base == base
