"""Where a prompt ends, where its completion begins and what ends it, in tokens: the same for training, sampling and serving.

A model answers after the tokens of the prompt as `tokenizer(prompt)` gives them, in this process and in vLLM, which loads the
tokenizer that is saved with the model. So training shows it those very tokens, then the completion's, then EOS once.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from tokenizers.processors import TemplateProcessing
from transformers import GenerationConfig, PreTrainedTokenizerBase

from sense.errors import InputError

_SMALL_LETTERS = re.compile(r"[a-z]+")


def prepare(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer, changed so that `tokenizer(prompt)` is what a model is to continue; the change is saved with it.

    What it puts before a text (BOS) stays, as the base was pretrained with it; nothing is put behind a text, where EOS would
    tell the model that all is said. A special token that a question or a value spells is text, except to a Unigram model, whose
    vocabulary holds it among the pieces of text. InputError if the tokenizer adds an end and cannot be told otherwise.
    """
    tokenizer.split_special_tokens = tokenizer.init_kwargs["split_special_tokens"] = True
    before, behind = _added_tokens(tokenizer)
    if not behind:
        return tokenizer
    if not tokenizer.is_fast:
        ends = "".join(tokenizer.convert_ids_to_tokens(behind))
        raise InputError(
            f"{tokenizer.name_or_path}: its tokenizer ends every text with {ends}, a prompt too, and has no tokenizer.json that "
            "could say otherwise; save the base with a fast tokenizer"
        )
    if tokenizer.add_eos_token:
        tokenizer.add_eos_token = False
    names = tokenizer.convert_ids_to_tokens(before)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=[*names, "$A"], pair=[*names, "$A", *names, "$B"], special_tokens=list(zip(names, before, strict=True))
    )
    return tokenizer


def _added_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before a text, and those behind it."""
    encoded = tokenizer("SELECT", return_special_tokens_mask=True)
    marked = list(zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True))
    before = [token for token, _ in takewhile(lambda pair: pair[1], marked)]
    behind = [token for token, _ in takewhile(lambda pair: pair[1], reversed(marked))]
    return before, behind[::-1]


def word_pieces(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The tokens that are nothing but small letters of English, in alphabetical order."""
    return sorted(token for token in tokenizer.get_vocab() if _SMALL_LETTERS.fullmatch(token))


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[list[int]]:
    """The tokens after which a model answers each prompt; the tokenizer is one that `prepare` has changed."""
    return tokenizer(list(prompts))["input_ids"] if prompts else []


def completion_tokens(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], prompt_ids: Sequence[list[int]], completions: Sequence[str]
) -> list[list[int]]:
    """The tokens of each completion, EOS at their end, as they follow `prompt_ids`, which are `prompt_tokens` of `prompts`.

    They are those of prompt and completion in one text, unless a token would span the boundary: a model that answers a prompt
    cannot write half a token, so such a completion is tokenized alone.
    """
    completion_ids = []
    together = prompt_tokens(tokenizer, [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)])
    for ids, prompt, completion in zip(together, prompt_ids, completions, strict=True):
        alone = ids[: len(prompt)] != prompt
        continued = tokenizer(completion, add_special_tokens=False)["input_ids"] if alone else ids[len(prompt) :]
        completion_ids.append([*continued, tokenizer.eos_token_id])
    return completion_ids


def sft_rows(tokenizer: PreTrainedTokenizerBase, rows: Sequence[dict[str, str]], loss_on: str) -> list[dict[str, list[int]]]:
    """input_ids and labels of rows of schema, prompt (which begins with the schema) and completion.

    With `loss_on` completion the prompt has label -100, with question the schema and the token behind it. All rows are tokenized
    in one batch: TRL does it row by row, which for a small model takes as long as a third of its training.
    """
    prompts = [row["prompt"] for row in rows]
    prompt_ids = prompt_tokens(tokenizer, prompts)
    completion_ids = completion_tokens(tokenizer, prompts, prompt_ids, [row["completion"] for row in rows])
    if loss_on == "completion":
        unlabelled = [len(prompt) for prompt in prompt_ids]
    elif loss_on == "question":
        schemas = schema_tokens(tokenizer, rows)
        unlabelled = [shared_length(schemas[row["schema"]], ids) + 1 for row, ids in zip(rows, prompt_ids, strict=True)]
    else:
        unlabelled = [0] * len(rows)
    return [
        {"input_ids": prompt + completion, "labels": [-100] * count + (prompt + completion)[count:]}
        for prompt, completion, count in zip(prompt_ids, completion_ids, unlabelled, strict=True)
    ]


def schema_tokens(tokenizer: PreTrainedTokenizerBase, rows: Iterable[dict[str, str]]) -> dict[str, list[int]]:
    """The tokens of the schema of each row, by its text."""
    schemas = list(dict.fromkeys(row["schema"] for row in rows))
    return dict(zip(schemas, prompt_tokens(tokenizer, schemas), strict=True))


def shared_length(schema: Sequence[int], ids: Sequence[int]) -> int:
    """How many of the first tokens of a text that begins with a schema are those of the schema alone."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(schema, ids, strict=False)))


def dpo_rows(tokenizer: PreTrainedTokenizerBase, rows: Sequence[dict[str, str]]) -> list[dict[str, list[int]]]:
    """prompt_ids, chosen_ids and rejected_ids, which are TRL's columns, of rows of prompt, chosen and rejected."""
    prompts = [row["prompt"] for row in rows]
    prompt_ids = prompt_tokens(tokenizer, prompts)
    chosen_ids, rejected_ids = (
        completion_tokens(tokenizer, prompts, prompt_ids, [row[side] for row in rows]) for side in ("chosen", "rejected")
    )
    return [
        {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}
        for prompt, chosen, rejected in zip(prompt_ids, chosen_ids, rejected_ids, strict=True)
    ]


def generation_config(tokenizer: PreTrainedTokenizerBase) -> Any:
    """How a model generates unless it is told more: greedily, to the EOS that it was trained to write, and nothing else.

    The base's own generation_config.json plays no part: its repetition_penalty, say, would change greedy answers here, in every
    model trained from it and in vLLM, which takes its defaults from that file.
    """
    return GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
