"""What a base's own files say must not act unseen: the special tokens that its tokenizer adds, and its generation settings.

huggingface/trl #1283 (EOS added by the tokenizer is there twice), #3328 and #1401, axolotl-ai-cloud/axolotl #1616 (special tokens
where texts are tokenized apart): whatever the tokenizer adds, the same is learnt, and no prompt ends in EOS. Qwen's
generation_config.json has a penalty, several EOS and a temperature. EleutherAI/lm-evaluation-harness #3154 (transformers answers
under that penalty and vLLM without it), huggingface/transformers #29988 (a temperature without do_sample cannot be saved): our
settings alone decide, and the saved models name them.
"""

import json

import pytest
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from sense import config
from sense.registry import package
from sense.training import fit, generate, model_folder, tokenization
from tests.training.test_fit import ROWS, TRAIN, ignore
from tests.training.tokenizers_of_bases import KINDS

PROMPTS = [row["prompt"] for row in ROWS[:6]]
# each one of these changes greedy answers, ends them elsewhere, or keeps transformers from saving the model
SETTINGS = {
    "qwen": {
        "repetition_penalty": 1.05,
        "temperature": 0.7,
        "top_k": 20,
        "top_p": 0.8,
        "do_sample": True,
        "eos_token_id": [1, 7],
    },
    "a temperature, but no do_sample": {"temperature": 0.6, "top_p": 0.9},
    "strong penalty": {"repetition_penalty": 5.0},
    "no repetition": {"no_repeat_ngram_size": 1, "encoder_no_repeat_ngram_size": 1},
    "beams": {"num_beams": 3, "length_penalty": 3.0, "early_stopping": True},
    "lengths": {"max_length": 60, "min_length": 50, "min_new_tokens": 3},
    "forced": {"forced_bos_token_id": 9, "forced_eos_token_id": 9, "suppress_tokens": list(range(100, 200))},
    "suppressed": {"begin_suppress_tokens": list(range(2, 300)), "bad_words_ids": [[8], [9]], "sequence_bias": [[[20], 9.0]]},
    "other ends": {"eos_token_id": list(range(4, 300)), "pad_token_id": 5, "bos_token_id": 6},
    "guidance": {"guidance_scale": 3.0, "renormalize_logits": True, "exponential_decay_length_penalty": [1, 5.0]},
}


def base(folder, kind="BOS and EOS added", **settings):
    """A base of random weights whose generation_config.json says `settings`."""
    tokenizer = KINDS[kind][0]()
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer) + 10, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=512, initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return config.ModelConfig(name=str(folder))


def trained(start, folder, lora=None):
    """The folder of a model that grew from the base `start` by SFT."""
    model, tokenizer = model_folder.load_pretrained(start)
    settings = config.SftConfig(model=start, train=TRAIN.model_copy(update={"max_steps": 2}), lora=lora)
    rows = tokenization.sft_rows(tokenizer, ROWS, "completion")
    model, _ = fit.sft(model, tokenizer, rows, settings, checkpoints=folder / "checkpoints", on_log=ignore)
    model_folder.save(model, tokenizer, model_folder.ModelInfo(start, 0, settings.prompt), folder / "model")
    return folder / "model"


def answers(folder, base_itself=False, temperature=0.0):
    return generate.load_generator(folder, 4, base_itself).generate(
        PROMPTS, n=1, temperature=temperature, top_p=0.9, max_tokens=12, seed=3
    )


def test_a_tokenizer_that_adds_eos_changes_nothing_but_bos(tmp_path):
    learnt, read = {}, {}
    for kind in ("BOS and EOS added", "EOS added", "qwen: no BOS, another token pads"):
        _, tokenizer = model_folder.load_pretrained(base(tmp_path / kind, kind))
        (row,) = tokenization.sft_rows(tokenizer, ROWS[:1], "completion")
        learnt[kind] = tokenizer.convert_ids_to_tokens([label for label in row["labels"] if label != -100])
        read[kind] = tokenizer.convert_ids_to_tokens(tokenizer(PROMPTS[0])["input_ids"])
        assert learnt[kind][0].startswith("Ġ")
        assert learnt[kind].count(tokenizer.eos_token) == 1
        assert tokenizer.eos_token not in read[kind]
    assert learnt["EOS added"] == learnt["BOS and EOS added"]
    assert read["BOS and EOS added"] == ["<s>", *read["EOS added"]]
    assert learnt["EOS added"][:-1] == learnt["qwen: no BOS, another token pads"][:-1]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The answers of a base without settings, and of what grew from it, greedy and sampled."""
    root = tmp_path_factory.mktemp("plain")
    folder = trained(base(root / "base"), root)
    return [answers(folder, True), answers(folder), answers(folder, temperature=1.0)]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_bases_generation_settings_change_no_answer(settings, plain, tmp_path):
    folder = trained(base(tmp_path / "base", **settings), tmp_path)
    assert [answers(folder, True), answers(folder), answers(folder, temperature=1.0)] == plain


def said(folder):
    """The generation settings in a model folder."""
    settings = GenerationConfig.from_pretrained(folder).to_diff_dict()
    return {key: value for key, value in settings.items() if key != "transformers_version"}


def test_every_saved_model_names_our_settings(tmp_path):
    """vLLM takes its default sampling parameters and further EOS from this file."""
    start = base(tmp_path / "base", **SETTINGS["qwen"])
    ours = {"do_sample": False, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    whole = trained(start, tmp_path / "whole")
    assert said(whole) == ours
    adapter = trained(start, tmp_path / "lora", config.LoraConfig(r=4))
    assert said(model_folder.merge_adapter(adapter, tmp_path / "merged")) == ours
    assert said(package._merge_adapter(adapter, tmp_path / "published")) == ours
    pairs = [{"prompt": row["prompt"], "chosen": row["completion"], "rejected": " SELECT 1"} for row in ROWS[:8]]
    tokenizer = model_folder.load_tokenizer(whole)
    settings = config.DpoConfig(train=TRAIN.model_copy(update={"max_steps": 2}))
    rows = tokenization.dpo_rows(tokenizer, pairs)
    start_model = model_folder.load_model(whole, trainable=True)
    model, _ = fit.dpo(start_model, tokenizer, rows, settings, checkpoints=tmp_path / "checkpoints", on_log=ignore)
    model_folder.save(model, tokenizer, model_folder.read_info(whole), tmp_path / "sense")
    assert said(tmp_path / "sense") == ours


def test_settings_in_the_bases_config_json_change_no_answer(plain, tmp_path):
    """As bases of transformers before 4.26 have them."""
    start = base(tmp_path / "base")
    (tmp_path / "base" / "generation_config.json").unlink()
    file = tmp_path / "base" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"repetition_penalty": 5.0, "num_beams": 2, "max_length": 50}))
    folder = trained(start, tmp_path)
    assert [answers(folder, True), answers(folder)] == plain[:2]
