"""A base whose tokenizer, embeddings, positions and settings do not fit each other is refused before any data are read.

Reports: huggingface/transformers #12763 and meta-llama/llama-cookbook #189 (a padding token beyond the embeddings), transformers
#12022 (texts longer than the table of positions), huggingface/trl #1885 (a special token that the tokenizer lacks). Right is exit
code 2 with both numbers and the fix; before, torch said "index out of range in self".
"""

import pytest

from sense import config
from sense.errors import InputError
from sense.stages import dpo, sft
from sense.training import model_folder, nano
from tests import bases


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """What `sense sft` says when it refuses a base."""
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))

    def run(base, **settings):
        code, model = bases.run_sft(tmp_path, base, **settings)
        message = capsys.readouterr().err
        assert code == 2, message
        assert "Traceback" not in message
        assert not model.exists()
        return message

    return run


def test_a_padding_token_beyond_the_embeddings(tmp_path, refusal):
    tokenizer = bases.bpe(bos_token="<s>", eos_token="</s>")
    model = bases.llama(len(tokenizer))
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    base = bases.write(tmp_path / "base", model, tokenizer)
    message = refusal(base)
    assert f"{base}: the tokenizer has {rows + 1} tokens, the embeddings only {rows} rows" in message
    assert f"'[PAD]' (the pad_token) is token {rows}" in message
    assert "set it in tokenizer_config.json to '</s>'" in message


def test_another_token_beyond_the_embeddings(tmp_path, refusal):
    tokenizer = bases.bpe(bos_token="<s>", eos_token="</s>")
    model = bases.llama(len(tokenizer))
    tokenizer.add_tokens(["<sql>", "</sql>"])
    base = bases.write(tmp_path / "base", model, tokenizer)
    assert f"'<sql>' is token {len(tokenizer) - 2}; take the tokenizer that belongs to these weights" in refusal(base)


def test_the_tokenizer_of_another_model(tmp_path, refusal):
    tokenizer = bases.bpe(bos_token="<s>", eos_token="</s>")
    base = bases.write(tmp_path / "base", bases.llama(100), tokenizer)
    assert f"the tokenizer has {len(tokenizer)} tokens, the embeddings only 100 rows" in refusal(base)


def test_rows_longer_than_the_table_of_positions(tmp_path, refusal):
    tokenizer = bases.bpe(bos_token="<s>", eos_token="</s>")
    base = bases.write(tmp_path / "base", bases.gpt2(len(tokenizer), positions=24), tokenizer)
    message = refusal(base, max_length=256)
    assert f"train.max_length = 256 is more than the 24 positions of {base}" in message
    assert "lower train.max_length to 24 at most" in message


def test_rows_longer_than_rotary_positions(tmp_path, refusal):
    base = bases.write_plain(tmp_path / "base")
    assert f"train.max_length = 513 is more than the 512 positions of {base}" in refusal(base, max_length=513)


def test_no_eos_token(tmp_path, refusal):
    tokenizer = bases.bpe()
    base = bases.write(tmp_path / "base", bases.llama(len(tokenizer)), tokenizer)
    message = refusal(base)
    assert f"{base}: the tokenizer has no EOS token" in message
    assert "set eos_token in tokenizer_config.json" in message


def test_dpo_refuses_rows_longer_than_the_sft_model_reads(tmp_path):
    """Before it looks for its pairs, which are not even there."""
    shape = config.NanoConfig(vocabulary=300, hidden=16, layers=1, heads=2, context=64)
    tokenizer = nano.train_tokenizer(["SELECT name FROM pet"], 300)
    info = model_folder.ModelInfo(config.ModelConfig(nano=shape), 3, config.PromptConfig())
    model_folder.save(nano.create_model(shape, tokenizer, 3), tokenizer, info, tmp_path / "sft")
    names = ("sft", "pairs.jsonl", "samples.jsonl", "unseen", "strong", "seed")
    inputs = dpo.Inputs(*(tmp_path / name for name in names))
    outputs = dpo.Outputs(tmp_path / "model", tmp_path / "curve.csv", tmp_path / "metrics.json")
    with pytest.raises(InputError, match=r"train\.max_length = 65 is more than the 64 positions of .*sft"):
        dpo.run(config.DpoConfig(train=config.TrainConfig(max_length=65)), inputs, outputs)


def test_a_nano_model_shorter_than_its_rows(tmp_path):
    dataset = bases.write_dataset(tmp_path / "data")
    section = config.SftConfig(
        model=config.ModelConfig(nano=config.NanoConfig(context=64)), train=config.TrainConfig(max_length=65)
    )
    with pytest.raises(InputError, match=r"train\.max_length = 65 is more than the 64 positions of the nano model"):
        sft.run(section, sft.Inputs(dataset, dataset), sft.Outputs(tmp_path / "m", tmp_path / "c.csv", tmp_path / "m.json"))
