"""Prompt, completion and EOS in tokens, for every kind of tokenizer: training, sampling, the gateway and vLLM read the same."""

import pytest
import torch
from transformers import AutoTokenizer, ByT5Tokenizer, LlamaConfig, LlamaForCausalLM
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from sense import config
from sense.errors import InputError
from sense.serving import local
from sense.training import generate, model_folder, tokenization
from tests.training.tokenizers_of_bases import COMPLETIONS, KINDS, PROMPTS

ROWS = [{"prompt": prompt, "completion": text} for prompt, text in zip(PROMPTS, COMPLETIONS, strict=True)]
PAIRS = [{"prompt": row["prompt"], "chosen": row["completion"], "rejected": " SELECT 1"} for row in ROWS]


def base(kind, folder):
    """A base of random weights with a tokenizer of this kind, saved as a hub has it."""
    tokenizer = KINDS[kind][0]()
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer) + 1, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=512,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(params=KINDS)
def trained(request, tmp_path):
    """(kind, the base's tokenizer as SENSE loads it, the folder of a model that grew from it)."""
    start = config.ModelConfig(name=str(base(request.param, tmp_path / "base")))
    model, tokenizer = model_folder.load_pretrained(start)
    model_folder.save(model, tokenizer, model_folder.ModelInfo(start, 0, config.PromptConfig()), tmp_path / "model")
    return request.param, tokenizer, tmp_path / "model"


def generated_prompts(generator, monkeypatch):
    """What the model reads of each of PROMPTS, alone and in one batch, without padding."""
    read = []

    def record(input_ids, attention_mask, **_):
        read.extend([ids[mask == 1].tolist() for ids, mask in zip(input_ids, attention_mask, strict=True)])
        return torch.nn.functional.pad(input_ids, (0, 1), value=generator._tokenizer.eos_token_id)

    monkeypatch.setattr(generator._model, "generate", record)
    for prompts in ([PROMPTS[0]], [PROMPTS[1]], PROMPTS):
        generator.generate(prompts, n=1, temperature=0.0, top_p=1.0, max_tokens=1, seed=0)
    assert read[2:] == sorted(read[:2], key=len)  # in a batch the shorter one comes first
    return read[:2]


def test_training_sampling_gateway_and_vllm_read_the_same_prompt(trained, monkeypatch):
    kind, tokenizer, folder = trained
    expected = [
        tokenizer.convert_tokens_to_ids(KINDS[kind][1]) + tokenizer(prompt, add_special_tokens=False)["input_ids"]
        for prompt in PROMPTS
    ]
    sft, dpo = tokenization.sft_rows(tokenizer, ROWS, "completion"), tokenization.dpo_rows(tokenizer, PAIRS)
    assert [[i for i, label in zip(row["input_ids"], row["labels"], strict=True) if label == -100] for row in sft] == expected
    assert [row["prompt_ids"] for row in dpo] == expected
    assert generated_prompts(generate.load_generator(folder, 8), monkeypatch) == expected
    assert generated_prompts(local.load_model(folder), monkeypatch) == expected
    # vLLM's _tokenize_prompt (vllm/renderers/base.py) and TokenizeParams.get_encode_kwargs (vllm/renderers/params.py)
    vllm = AutoTokenizer.from_pretrained(folder)
    assert [vllm.encode(prompt, truncation=True, max_length=449, add_special_tokens=True) for prompt in PROMPTS] == expected
    assert [vllm(prompt)["input_ids"] for prompt in PROMPTS] == expected  # transformers' pipelines


def test_a_completion_is_learnt_from_its_first_token_to_one_eos(trained):
    kind, tokenizer, _ = trained
    blanks = 2 if kind == "unigram in one piece" else 1  # it puts one more before a completion that it tokenizes alone
    sft, dpo = tokenization.sft_rows(tokenizer, ROWS, "completion"), tokenization.dpo_rows(tokenizer, PAIRS)
    for row, pair, texts in zip(sft, dpo, ROWS, strict=True):
        prompt, learnt = pair["prompt_ids"], [label for label in row["labels"] if label != -100]
        assert row["input_ids"] == prompt + learnt
        assert row["labels"] == [-100] * len(prompt) + learnt
        assert learnt[-1] == tokenizer.eos_token_id
        assert tokenizer.eos_token_id not in learnt[:-1]
        assert pair["chosen_ids"] == learnt
        assert pair["rejected_ids"][-1] == tokenizer.eos_token_id
        decoded = [
            tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            for ids in (row["input_ids"], prompt, learnt)
        ]
        assert decoded[0] == texts["prompt"] + " " * (blanks - 1) + texts["completion"]
        assert decoded[1] == texts["prompt"]
        assert decoded[2].strip() == texts["completion"].strip()  # SentencePiece drops the blank before a text
    whole_rows = tokenization.sft_rows(tokenizer, ROWS, "sequence")
    assert [row["labels"] for row in whole_rows] == [row["input_ids"] for row in sft]


def test_a_special_token_spelt_in_a_text_is_text(trained):
    kind, tokenizer, folder = trained
    if "unigram" in kind:
        pytest.skip("the vocabulary of a Unigram model holds the special tokens as pieces of text")
    marks = "".join(tokenizer.all_special_tokens)
    row = {"prompt": f"question: é, 猫 or {marks} end?\nsql:", "completion": f" SELECT '{marks}'"}
    before = tokenizer.convert_tokens_to_ids(KINDS[kind][1])
    (sft,) = tokenization.sft_rows(tokenizer, [row], "completion")
    text = sft["input_ids"][len(before) : -1]
    assert sft["input_ids"] == [*before, *text, tokenizer.eos_token_id]
    assert not set(text) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(text, clean_up_tokenization_spaces=False) == row["prompt"] + row["completion"]
    prompt = [token for token, label in zip(sft["input_ids"], sft["labels"], strict=True) if label == -100]
    assert AutoTokenizer.from_pretrained(folder).encode(row["prompt"]) == prompt


def test_padding_hides_no_eos_from_the_loss(trained):
    _, tokenizer, _ = trained
    sft, dpo = tokenization.sft_rows(tokenizer, ROWS, "completion"), tokenization.dpo_rows(tokenizer, PAIRS)
    batch = DataCollatorForLanguageModeling(tokenizer.pad_token_id)(sft)
    assert [[label for label in labels.tolist() if label != -100] for labels in batch["labels"]] == [
        [label for label in row["labels"] if label != -100] for row in sft
    ]
    batch = DataCollatorForPreference(tokenizer.pad_token_id)(dpo)
    expected = [row["chosen_ids"] for row in dpo] + [row["rejected_ids"] for row in dpo]
    assert [ids[mask == 1].tolist() for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)] == expected


def test_a_second_preparation_and_a_second_save_change_nothing(trained, tmp_path):
    _, tokenizer, folder = trained
    again = model_folder.load_tokenizer(folder)
    again.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    assert again(PROMPTS)["input_ids"] == tokenizer(PROMPTS)["input_ids"]


def test_a_tokenizer_that_cannot_be_told_is_refused():
    with pytest.raises(InputError, match=r"ends every text with </s>, a prompt too"):
        tokenization.prepare(ByT5Tokenizer())


def test_no_rows_are_no_tokens():
    tokenizer = KINDS["llama 2"][0]()
    assert tokenization.sft_rows(tokenizer, [], "completion") == tokenization.dpo_rows(tokenizer, []) == []
