"""`lora.target_modules` that the model does not have, or that can bear no adapter, are refused before any training.

Reports: huggingface/peft #2018 and #2972 (adapters on the output layer of tied embeddings are merged wrongly),
huggingface/transformers #45127, and misspelt names. Before, TRL's and PEFT's tracebacks came up, and one misspelt name among
right ones was left out silently.
"""

import pytest

from sense import config
from sense.errors import ConfigError, InputError
from sense.training import checks, model_folder, pretrained
from tests import bases
from tests.mlflow_store import fresh

LINEAR = "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"


@pytest.fixture(scope="module")
def llama():
    return bases.llama(300)


def refuse(model, targets):
    with pytest.raises(InputError) as refusal:
        checks.check_lora(model, config.LoraConfig(target_modules=targets), "a base")
    return str(refusal.value)


@pytest.mark.parametrize("targets", [["q_prj"], ["q_proj", "v_prj"], ["proj"], [".*_proj"], ["layers.2.self_attn.q_proj"], [""]])
def test_a_name_that_is_not_there(llama, targets):
    assert (
        refuse(llama, targets) == f"lora.target_modules: {targets[-1]!r} is no module of a base; its linear layers are {LINEAR}"
    )


@pytest.mark.parametrize("target", ["self_attn", "input_layernorm", "model", "embed_tokens", "rotary_emb"])
def test_a_module_that_is_no_linear_layer(llama, target):
    assert refuse(llama, ["q_proj", target]).startswith(f"lora.target_modules: {target!r} is no linear layer of a base")


def test_the_output_layer(llama):
    assert "TRL reads directly" in refuse(llama, ["lm_head"])
    tied = refuse(bases.llama(300, tie_word_embeddings=True), ["q_proj", "lm_head"])
    assert "'lm_head' is the output layer of a base, which shares its weights with the embeddings" in tied


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj"], ["self_attn.q_proj", "down_proj"], ["model.layers.0.mlp.up_proj"]])
def test_what_is_there_passes(llama, targets):
    checks.check_lora(llama, config.LoraConfig(target_modules=targets), "a base")


@pytest.mark.parametrize(
    "section",
    [{"target_modules": "q_proj|v_proj"}, {"target_modules": []}, {"r": 0}, {"r": -4}, {"modules_to_save": ["lm_head"]}],
)
def test_what_the_configuration_does_not_take(section):
    with pytest.raises(ConfigError, match=next(iter(section))):
        config.validate(config.LoraConfig, section, "sft.lora")


@pytest.mark.parametrize("targets", [["q_prj"], ["lm_head"]])
def test_sft_refuses_before_it_reads_data(tmp_path, monkeypatch, capsys, targets):
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    base = bases.write_plain(tmp_path / "base")
    code, model = bases.run_sft(tmp_path, base, lora={"r": 4, "target_modules": targets})
    message = capsys.readouterr().err
    assert code == 2, message
    assert f"lora.target_modules: {targets[0]!r} is" in message
    assert "Traceback" not in message
    assert not model.exists()


@pytest.mark.parametrize("kind", ["tied", "gpt2"])
def test_all_linear_trains_and_merges(tmp_path, monkeypatch, kind):
    """On tied embeddings, and on GPT-2's Conv1D, the merged weights answer as the adapter beside its base does."""
    fresh(tmp_path, monkeypatch)
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    tokenizer = bases.bpe(bos_token="<s>", eos_token="</s>")
    rows = len(tokenizer)
    model = bases.llama(rows, tie_word_embeddings=True) if kind == "tied" else bases.gpt2(rows, positions=512)
    base = bases.write(tmp_path / "base", model, tokenizer)
    code, folder = bases.run_sft(tmp_path, base, lora={"r": 4})
    assert code == 0
    merged = model_folder.merge_adapter(folder, tmp_path / "merged")
    tokens = bases.torch.arange(10, 30)[None]
    adapted = model_folder.load_model(folder).eval()(tokens).logits
    whole, _ = pretrained.load_model(str(merged), bases.torch.float32)
    assert bases.torch.allclose(whole.eval()(tokens).logits, adapted, atol=1e-5)
