"""A model of random weights repeats what stood in its prompt."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sense.training import copying


def model_of(hidden, layers, heads):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        head_dim=max(32, hidden // heads),
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": copying.ROTARY_BASE},
        initializer_range=hidden**-0.5,
    )
    return LlamaForCausalLM(config)


def repeats(model):
    """Share of the tokens of a sequence of 100 random ones that the model predicts where the sequence stands again."""
    torch.manual_seed(1)
    once = torch.randint(3, 1000, (4, 100))
    with torch.no_grad():
        logits = model(input_ids=torch.cat([once, once], dim=1)).logits
    return (logits[:, 100:-1].argmax(dim=-1) == once[:, 1:]).float().mean().item()


def test_a_model_repeats_what_it_reads_before_any_training():
    model = model_of(160, 4, 5)
    assert repeats(model) < 0.02
    copying.initialize(model)
    assert repeats(model) > 0.25


@pytest.mark.parametrize("shape", [(64, 2, 4), (32, 1, 1), (16, 1, 2), (160, 2, 1), (16, 3, 4)])
def test_every_shape_has_finite_weights_that_the_seed_decides(shape):
    first, second = model_of(*shape), model_of(*shape)
    for model in (first, second):
        torch.manual_seed(3)
        copying.initialize(model)
        repeats(model)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.isfinite(one).all()
        assert torch.equal(one, other)
