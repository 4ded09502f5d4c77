"""Prompts that begin alike: how they are grouped, and that a model which reads a beginning once writes what it would write."""

import copy
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2Config,
)

from sense.cost import usage
from sense.processes import Processes
from sense.training import generate, kv_cache, nano
from sense.training.prefixes import PrefixGroup, batches, group_by_prefix

SCHEMAS = [
    "CREATE TABLE pets (name TEXT, age INT, owner TEXT)\n",
    "CREATE TABLE owners (city TEXT, name TEXT, born INT, phone INT)\n",
]
QUESTIONS = ["How many are there?", "Name and age of all", "Who is the oldest of them, and where does he live?", "x"]
PROMPTS = ["-- ", *(schema + question + "\n" for schema in SCHEMAS for question in QUESTIONS), "SELECT"]
TOKENIZER = nano.train_tokenizer(PROMPTS, 300)
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48}
token_lists = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), max_size=12)


@given(token_lists)
def test_each_prompt_is_in_one_group_and_begins_as_the_others_there(prompts):
    groups = group_by_prefix(prompts)
    assert sorted(index for group in groups for index in group.indices) == list(range(len(prompts)))
    for group in groups:
        beginnings = {tuple(prompts[index][: group.length]) for index in group.indices}
        assert len(beginnings) == 1
        assert all(len(prompts[index]) > group.length for index in group.indices)


def test_questions_on_one_schema_are_a_group():
    first, second = [1, 2, 3, 4, 5, 6], [1, 7, 8, 9, 9, 9]
    groups = group_by_prefix([[*first, 20], [*second, 22, 20], [*first, 21, 23], [*second, 20]])
    assert groups == [PrefixGroup((0, 2), 6), PrefixGroup((3, 1), 6)]


@given(token_lists, st.integers(1, 5))
def test_batches_are_full_and_keep_the_order(prompts, size):
    groups = group_by_prefix(prompts)
    in_batches = [[index for group in batch for index in group.indices] for batch in batches(groups, size)]
    assert [index for batch in in_batches for index in batch] == [index for group in groups for index in group.indices]
    assert all(len(batch) == size for batch in in_batches[:-1])


def _answers(model_config: PreTrainedConfig, reads_prefixes: bool, n: int) -> tuple[bool, list[list[str]]]:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(model_config)
    for parameter in model.parameters():
        parameter.data *= 5  # so that the scores of tokens differ
    generator = generate.TransformersGenerator(model, TOKENIZER, 4)
    able = generator._reads_prefixes
    generator._reads_prefixes = able and reads_prefixes
    greedy = generator.generate(PROMPTS, n=1, temperature=0, top_p=1, max_tokens=12, seed=0)
    sampled = generator.generate(PROMPTS, n=n, temperature=1e-4, top_p=1, max_tokens=12, seed=0)
    assert [answers[0] for answers in sampled] == [answer for (answer,) in greedy] or not able
    assert all(len(answers) == n for answers in sampled)
    return able, greedy


@pytest.mark.parametrize(
    ("kind", "able"),
    [
        (LlamaConfig(**SIZE), True),
        (Qwen2Config(**SIZE), True),
        (GPT2Config(n_embd=32, n_layer=2, n_head=4), True),
        (MistralConfig(**SIZE, sliding_window=16), False),
    ],
    ids=["llama", "qwen2", "gpt2", "sliding-window"],
)
def test_with_prefixes_read_once_a_model_writes_the_same(kind, able):
    kind.vocab_size, kind.pad_token_id, kind.eos_token_id = len(TOKENIZER), TOKENIZER.pad_token_id, TOKENIZER.eos_token_id
    kind.bos_token_id = None
    plain, prefixed = _answers(kind, reads_prefixes=False, n=1), _answers(kind, reads_prefixes=True, n=3)
    assert plain[0] == prefixed[0] == able
    assert plain[1] == prefixed[1]
    assert len({answer for (answer,) in plain[1]}) > 1


@pytest.mark.parametrize("n", [1, 2])
def test_answers_of_different_lengths_are_those_of_generate(monkeypatch, n):
    """Every three tokens the sequences that have ended are left out of the batch."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**SIZE, vocab_size=len(TOKENIZER), bos_token_id=None))
    for parameter in model.parameters():
        parameter.data *= 5
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.eos_token = "2"  # which some of the answers have early and others late

    def write(reads_prefixes: bool) -> list[list[str]]:
        generator = generate.TransformersGenerator(model, tokenizer, 32)
        generator._reads_prefixes = reads_prefixes
        return generator.generate(PROMPTS, n=n, temperature=1e-4 if n > 1 else 0, top_p=1, max_tokens=20, seed=0)

    expected = write(reads_prefixes=False)
    monkeypatch.setattr(generate, "_TOKENS_AT_A_TIME", 3)
    sizes: list[int] = []
    whole = model.generate
    monkeypatch.setattr(model, "generate", lambda input_ids, **rest: sizes.append(len(input_ids)) or whole(input_ids, **rest))
    assert write(reads_prefixes=True) == expected
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 1
    assert sizes[0] == n * len(PROMPTS)


@pytest.mark.skipif(sys.platform != "linux" or torch.cuda.is_available(), reason="elsewhere there is one process")
def test_batches_in_several_processes_are_the_same(monkeypatch):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**SIZE, vocab_size=len(TOKENIZER), bos_token_id=None))
    generator = generate.TransformersGenerator(model, TOKENIZER, 2)
    started: list[int] = []

    def start(make_worker, count, *rest, **options):
        started.append(count)
        return Processes(make_worker, count, *rest, **options)

    def write(threads: int, free: int | None) -> tuple[list[list[str]], int]:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        monkeypatch.setattr(generate, "available_memory", lambda: free)
        before, progress = usage.so_far().tokens.get("generated", 0), []
        answers = generator.generate(PROMPTS, n=2, temperature=1, top_p=0.9, max_tokens=6, seed=3, on_progress=progress.append)
        assert progress == [2] * 5
        return answers, usage.so_far().tokens["generated"] - before

    monkeypatch.setattr(generate, "Processes", start)
    expected = write(1, 2**40)
    assert write(2, 2**40) == expected
    assert write(2, 1000) == expected  # no memory for two caches
    assert write(2, None) == expected
    assert write(6, 2**40) == expected  # five batches keep no six threads busy
    assert started == [1, 2, 1, 1, 1]


def test_a_cache_grows_beyond_its_room():
    cache = kv_cache.with_room(LlamaConfig(**SIZE), 3)
    parts = [torch.randn(2, 2, length, 8) for length in (2, 1, 4)]
    for part in parts:
        keys, values = cache.update(part, -part, 0)
    whole = torch.cat(parts, dim=2)
    assert torch.equal(keys, whole)
    assert torch.equal(values, -whole)
    cache.batch_select_indices(torch.tensor([1, 1, 0]))
    keys, _ = cache.update(parts[0][[0, 0, 0]], parts[0][[0, 0, 0]], 0)
    assert torch.equal(keys[:, :, :7], whole[[1, 1, 0]])
    assert cache.get_seq_length() == 9
