"""What writes completions (a Generator), and the one on transformers: seeded, in batches, in the order of the prompts."""

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import BatchEncoding, DynamicCache, PreTrainedTokenizerBase, set_seed

from sense.config import available_memory
from sense.cost import usage
from sense.processes import Processes
from sense.training import checks, kv_cache, model_folder, tokenization
from sense.training.devices import device, keep_freed_memory, use_gpus
from sense.training.prefixes import PrefixGroup, batches, group_by_prefix

_TOKENS_AT_A_TIME = 16  # between two looks at which sequences have ended
_COPIES_OF_CACHE = 2  # while sequences that have ended are left out, the cache is there twice

OnProgress = Callable[[int], None]
"""Called with the number of further prompts that have their completions."""


def ignore_progress(prompts: int) -> None:
    """The OnProgress of a caller that does not ask."""


class Generator(Protocol):
    """Whatever writes completions for prompts. `context` is how many tokens prompt and completion may have, None if unknown."""

    context: int | None

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens each prompt has."""
        ...

    def generate(
        self,
        prompts: Sequence[str],
        *,
        n: int,
        temperature: float,
        top_p: float,
        max_tokens: int,
        seed: int,
        on_progress: OnProgress = ignore_progress,
    ) -> list[list[str]]:
        """`n` completions of at most `max_tokens` tokens for each prompt, in the order of the prompts.

        Temperature 0 is greedy. The same arguments give the same completions on the same machine.
        """
        ...


def completion_seeds(seed: int, prompts: int, n: int) -> Iterator[int]:
    """A random seed for each of the `n` completions of each prompt, no two the same.

    They depend on the prompt's number and the completion's, not on what else is generated at the same time, and those of a call
    with `seed` + `prompts` follow on.
    """
    return (first * n + number for first in range(seed, seed + prompts) for number in range(n))


def load_generator(folder: Path, batch_size: int, base: bool = False, completions: int | None = None) -> Generator:
    """The model of a model folder, or with `base` the base it was trained from; batches are as in `TransformersGenerator`."""
    model = model_folder.load_base(folder) if base else model_folder.load_model(folder)
    return TransformersGenerator(model, model_folder.load_tokenizer(folder), batch_size, completions)


class TransformersGenerator:
    """A Generator on a model in memory, on the GPU where there is one.

    A batch has `batch_size` prompts, and at most `completions` completions (None: any number), but one prompt at least. What
    prompts of a batch have in common at their beginning, such as a schema, the model reads once, and so it does for all
    completions of a prompt. On processors several batches are completed at once, in processes that share the weights.
    """

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, batch_size: int, completions: int | None = None) -> None:
        self._model = model.to(device()).eval()
        use_gpus(1 if device().type == "cuda" else 0)
        keep_freed_memory()
        self._model.generation_config = tokenization.generation_config(
            tokenizer
        )  # what `generate` is not told, it takes from here
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._completions = completions
        self.context = checks.context_length(model.config)
        self._reads_prefixes = _reads_prefixes(model)

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens each prompt has."""
        return [len(ids) for ids in tokenization.prompt_tokens(self._tokenizer, prompts)]

    def generate(
        self,
        prompts: Sequence[str],
        *,
        n: int,
        temperature: float,
        top_p: float,
        max_tokens: int,
        seed: int,
        on_progress: OnProgress = ignore_progress,
    ) -> list[list[str]]:
        """`n` completions for each prompt, without the prompt and without EOS; temperature 0 is greedy (then n must be 1)."""
        completions: list[list[str]] = [[] for _ in prompts]
        size = self._batch_size if self._completions is None else max(1, min(self._batch_size, self._completions // n))
        tokens = tokenization.prompt_tokens(self._tokenizer, prompts)
        indices, arguments = [], []
        for number, batch in enumerate(batches(self._groups(tokens), size)):
            indices.append([index for group in batch for index in group.indices])
            prefixes = [(len(group.indices), group.length) for group in batch]
            members = [tokens[index] for index in indices[-1]]
            arguments.append((members, n, temperature, top_p, max_tokens, prefixes, seed + number))
        longest = max(map(len, tokens), default=0) + max_tokens
        with self._processes(len(arguments), n * min(size, len(prompts)) * longest) as processes:
            for own, written in zip(indices, processes.map(TransformersGenerator._generate_batch, arguments), strict=True):
                usage.count("generated", _count_tokens(written, self._tokenizer.eos_token_id))
                texts = self._tokenizer.batch_decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False)
                for position, index in enumerate(own):
                    completions[index] = texts[position * n : (position + 1) * n]
                on_progress(len(own))
        return completions

    def _processes(self, count: int, tokens: int) -> Processes["TransformersGenerator"]:
        """What completes `count` batches of at most `tokens` tokens each, with prompts.

        These are forked processes of one thread each, as many as PyTorch has threads, if there is a batch for each and half of
        the free memory holds their caches: a batch of a small model is hardly faster on two threads than on one. Else it is this
        process. What is generated does not depend on it.
        """
        threads = torch.get_num_threads()
        is_able = sys.platform == "linux" and device().type == "cpu" and self._reads_prefixes
        if is_able and 1 < threads <= count:
            per_token = _COPIES_OF_CACHE * kv_cache.bytes_per_token(_base_model(self._model).config, self._model.dtype)
            free = available_memory()
            if free is not None and threads * tokens * per_token <= free / 2:
                return Processes(self._on_one_thread, threads, start="fork", remedy="batch_size")
        return Processes(lambda: nullcontext(self), 1)

    @contextmanager
    def _on_one_thread(self) -> Iterator["TransformersGenerator"]:
        torch.set_num_threads(1)  # a forked process does not have the other threads
        yield self

    def _groups(self, tokens: Sequence[list[int]]) -> list[PrefixGroup]:
        """The prompts in groups with a prefix; one by one without any, by length, if the model cannot go on after a prefix."""
        if self._reads_prefixes:
            return group_by_prefix(tokens)
        return [PrefixGroup((index,), 0) for index in sorted(range(len(tokens)), key=lambda index: (len(tokens[index]), index))]

    def _generate_batch(
        self,
        prompts: list[list[int]],
        n: int,
        temperature: float,
        top_p: float,
        max_tokens: int,
        prefixes: Sequence[tuple[int, int]],
        seed: int,
    ) -> list[list[int]]:
        """The completions of the first prompt, then those of the second, and so on: the token ids of n x len(prompts).

        `prompts` are token ids; `prefixes` says of how many prompts in turn how many tokens are the same.
        """
        set_seed(seed)
        groups = [group for group, (count, _) in enumerate(prefixes) for _ in range(count)]
        suffixes = self._pad([ids[prefixes[group][1] :] for ids, group in zip(prompts, groups, strict=True)])
        rows = torch.arange(len(prompts), device=device()).repeat_interleave(n)
        input_ids, mask = suffixes["input_ids"][rows], suffixes["attention_mask"][rows]
        sampling: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
        with torch.inference_mode():
            if any(length for _, length in prefixes):
                first_of = {group: ids for ids, group in zip(reversed(prompts), reversed(groups), strict=True)}
                prefix = self._pad([first_of[group][:length] for group, (_, length) in enumerate(prefixes)])
                prefix_rows = torch.tensor(groups, device=device())[rows]
                tokens = prefix["input_ids"].shape[1] + input_ids.shape[1] + max_tokens
                cache = self._read(prefix, prefix_rows, tokens)
                input_ids = torch.cat([prefix["input_ids"][prefix_rows], input_ids], dim=1)
                mask = torch.cat([prefix["attention_mask"][prefix_rows], mask], dim=1)
                completions = self._go_on(input_ids, mask, cache, sampling, max_tokens)
            else:
                outputs = self._model.generate(input_ids=input_ids, attention_mask=mask, **sampling, max_new_tokens=max_tokens)
                completions = outputs[:, input_ids.shape[1] :]
        ids: list[list[int]] = completions.tolist()  # a tensor would go from process to process as a file descriptor
        return ids

    def _go_on(
        self, input_ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache, sampling: dict[str, Any], max_tokens: int
    ) -> torch.Tensor:
        """The completions of sequences whose beginnings `cache` has: (sequences, tokens), padded after EOS.

        Every few tokens the sequences that have ended are left out: one long answer in a batch does not keep all others busy.
        """
        completions = input_ids.new_full((len(input_ids), max_tokens), self._tokenizer.pad_token_id)
        rows, written = torch.arange(len(input_ids), device=device()), 0
        while len(rows) and written < max_tokens:
            step = min(_TOKENS_AT_A_TIME, max_tokens - written)
            before = input_ids.shape[1]
            input_ids = self._model.generate(
                input_ids=input_ids, attention_mask=mask, past_key_values=cache, **sampling, max_new_tokens=step
            )
            new = input_ids[:, before:]
            completions[rows, written : written + new.shape[1]] = new
            written += new.shape[1]
            unfinished = (new != self._tokenizer.eos_token_id).all(dim=1).nonzero().flatten()
            if len(unfinished) < len(rows) and written < max_tokens:
                rows, input_ids, mask = rows[unfinished], input_ids[unfinished], mask[unfinished]
                cache.batch_select_indices(unfinished)
            mask = torch.nn.functional.pad(mask, (0, input_ids.shape[1] - mask.shape[1]), value=1)
        return completions

    def _pad(self, tokens: list[list[int]]) -> BatchEncoding:
        """Token ids with padding before them: input_ids and attention_mask of shape (len(tokens), longest)."""
        return self._tokenizer.pad({"input_ids": tokens}, padding_side="left", return_tensors="pt").to(device())

    def _read(self, prefixes: BatchEncoding, rows: torch.Tensor, tokens: int) -> DynamicCache:
        """Keys and values of the prefixes, with room for sequences of `tokens` tokens; `rows` has the prefix of each sequence."""
        cache = kv_cache.with_room(self._model.config, tokens)
        positions = (prefixes["attention_mask"].cumsum(dim=-1) - 1).clamp(min=0)
        self._model(**prefixes, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache.batch_select_indices(rows)
        return cache


def _base_model(model: Any) -> Any:
    """The model itself, without the adapter that it may have."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _reads_prefixes(model: Any) -> bool:
    """Whether the model can go on after a prefix that others share: attention to all tokens before, at given positions."""
    base = _base_model(model)
    parameters = inspect.signature(base.forward).parameters.keys()
    return {"position_ids", "past_key_values", "logits_to_keep"} <= parameters and kv_cache.is_plain(base.config)


def _count_tokens(completions: Sequence[Sequence[int]], eos: int) -> int:
    """How many tokens completions have, each up to its EOS; what follows that is padding."""
    return sum(ids.index(eos) + 1 if eos in ids else len(ids) for ids in completions)
