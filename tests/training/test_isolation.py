"""Architectures that let examples of a sequence see one another are refused before they are trained so."""

import pytest
import torch
import transformers

from sense import config
from sense.errors import InputError
from sense.training import isolation

SHAPE = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
PACKING, QUESTIONS = {"packing": True}, {"questions_per_sequence": 4}


def model_of(name, **changes):
    torch.manual_seed(0)
    shape = SHAPE | ({"num_key_value_heads": 2} if name in ("qwen2", "mistral") else {}) | changes
    model_config = transformers.AutoConfig.for_model(name, **shape, initializer_range=0.3)
    return transformers.AutoModelForCausalLM.from_config(model_config).train()


def settings(max_length=64, **how):
    return config.SftConfig(model=config.ModelConfig(name="base"), train=config.TrainConfig(max_length=max_length), **how)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("how", [PACKING, QUESTIONS])
@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt_neox"])
def test_models_that_keep_examples_apart_are_trained(name, how, dtype):
    model = model_of(name).to(dtype)
    isolation.check(model, settings(**how))
    assert model.training


@pytest.mark.parametrize(
    ("name", "how"), [("bloom", PACKING), ("bloom", QUESTIONS), ("mamba", PACKING), ("mamba", QUESTIONS), ("mpt", QUESTIONS)]
)
def test_models_that_do_not_are_refused(name, how):
    (key,) = how
    changes = {"d_model": 32, "n_layers": 2, "n_heads": 2} if name == "mpt" else {}
    with pytest.raises(InputError, match=f"{key}: {name} does not keep the examples of a sequence apart; set {key} to "):
        isolation.check(model_of(name, **changes), settings(**how))


def test_a_model_that_is_trained_on_separate_rows_is_not_tried():
    isolation.check(None, settings())


def test_a_sliding_window_shorter_than_a_sequence_is_refused_for_several_questions():
    model = model_of("mistral", sliding_window=48)
    isolation.check(model, settings(**PACKING))
    isolation.check(model, settings(48, **QUESTIONS))
    with pytest.raises(InputError, match=r"mistral sees 48 tokens at a time .* or train.max_length to 48 at most"):
        isolation.check(model, settings(49, **QUESTIONS))
