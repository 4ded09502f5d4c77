"""Completions from a model in this process: seeded, batched by length, in the order asked."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, set_seed

from sense.training import load


class TransformersGenerator:
    """A Generator (sense.training.generator) on a model in memory, on the GPU where there is one."""

    def __init__(self, model: Any, words: PreTrainedTokenizerBase, batch_size: int) -> None:
        self._model = model.to(load.device()).eval()
        self._words = words
        self._batch_size = batch_size

    def generate(
        self, prompts: Sequence[str], *, n: int, temperature: float, top_p: float, max_tokens: int, seed: int
    ) -> list[list[str]]:
        """`n` completions a prompt; temperature 0 is greedy (then n must be 1). Prompt and end mark are cut off."""
        answers: list[list[str]] = [[] for _ in prompts]
        for number, batch in enumerate(self._batches(prompts)):
            set_seed(seed + number)
            texts = self._batch([prompts[index] for index in batch], n, temperature, top_p, max_tokens)
            for position, index in enumerate(batch):
                answers[index] = texts[position * n : (position + 1) * n]
        return answers

    def _batches(self, prompts: Sequence[str]) -> Iterator[list[int]]:
        """Indices in batches of like length, so that little is padded."""
        order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
        for start in range(0, len(order), self._batch_size):
            yield order[start : start + self._batch_size]

    def _batch(self, prompts: list[str], n: int, temperature: float, top_p: float, max_tokens: int) -> list[str]:
        inputs = self._words(prompts, return_tensors="pt", padding=True, return_token_type_ids=False).to(load.device())
        how: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            how = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0, "num_return_sequences": n}
        with torch.inference_mode():
            outputs = self._model.generate(**inputs, **how, max_new_tokens=max_tokens, pad_token_id=self._words.pad_token_id)
        texts: list[str] = self._words.batch_decode(outputs[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return texts
