"""What writes completions (a Generator), and the one on transformers: seeded, batched by length, in the order of the prompts."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import PreTrainedTokenizerBase, set_seed

from sense.cost import usage
from sense.training import checks, model_folder, tokenization
from sense.training.devices import device, use_gpus


class Generator(Protocol):
    """Whatever writes completions for prompts. `context` is how many tokens prompt and completion may have, None if unknown."""

    context: int | None

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens each prompt has."""
        ...

    def generate(
        self, prompts: Sequence[str], *, n: int, temperature: float, top_p: float, max_tokens: int, seed: int
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

    A batch has `batch_size` prompts, and at most `completions` completions (None: any number), but one prompt at least.
    """

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, batch_size: int, completions: int | None = None) -> None:
        self._model = model.to(device()).eval()
        use_gpus(1 if device().type == "cuda" else 0)
        self._model.generation_config = tokenization.generation_config(
            tokenizer
        )  # what `generate` is not told, it takes from here
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._completions = completions
        self.context = checks.context_length(model.config)

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens each prompt has."""
        return [len(ids) for ids in tokenization.prompt_tokens(self._tokenizer, prompts)]

    def generate(
        self, prompts: Sequence[str], *, n: int, temperature: float, top_p: float, max_tokens: int, seed: int
    ) -> list[list[str]]:
        """`n` completions for each prompt, without the prompt and without EOS; temperature 0 is greedy (then n must be 1)."""
        completions: list[list[str]] = [[] for _ in prompts]
        for number, indices in enumerate(self._batches(prompts, n)):
            set_seed(seed + number)
            texts = self._generate_batch([prompts[index] for index in indices], n, temperature, top_p, max_tokens)
            for position, index in enumerate(indices):
                completions[index] = texts[position * n : (position + 1) * n]
        return completions

    def _batches(self, prompts: Sequence[str], n: int) -> Iterator[list[int]]:
        """Indices of the prompts, which get `n` completions each, in batches of similar length, so that little is padded."""
        size = self._batch_size if self._completions is None else max(1, min(self._batch_size, self._completions // n))
        order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
        for start in range(0, len(order), size):
            yield order[start : start + size]

    def _generate_batch(self, prompts: list[str], n: int, temperature: float, top_p: float, max_tokens: int) -> list[str]:
        """The completions of the first prompt, then those of the second, and so on: n x len(prompts) texts."""
        encoded = self._tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)
        inputs = encoded.to(device())
        sampling: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0, "num_return_sequences": n}
        with torch.inference_mode():
            outputs = self._model.generate(**inputs, **sampling, max_new_tokens=max_tokens)
        completions = outputs[:, inputs["input_ids"].shape[1] :]
        usage.count("generated", _count_tokens(completions, self._tokenizer.eos_token_id))
        texts: list[str] = self._tokenizer.batch_decode(completions, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return texts


def _count_tokens(completions: torch.Tensor, eos: int) -> int:
    """How many tokens completions of shape (batch, tokens) have, each up to its EOS; what follows that is padding."""
    after_eos = (completions == eos).cumsum(dim=1).roll(1, dims=1)
    after_eos[:, :1] = 0
    return int((after_eos == 0).sum())
