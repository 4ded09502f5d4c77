"""Embeddings that a training leaves as they are: all of them, or those of tokens that its data lack.

A token that no row has still gets a gradient wherever the output layer shares its weights with the embeddings: each step makes it
a little less likely. AdamW turns that into steps as large as those of other tokens, all of them the same way, and a small model
then no longer copies names that have such tokens.
"""

from collections.abc import Iterable
from typing import Any

import torch
from transformers import TrainerCallback

from sense import config


def freeze(trainer: Any, train: config.TrainConfig, used_tokens: Iterable[int]) -> None:
    """Freezes what `train.freeze_embeddings` says in the trainer's model; `used_tokens` are those that the rows have."""
    weights = [layer.weight for layer in (trainer.model.get_input_embeddings(), trainer.model.get_output_embeddings())]
    if train.freeze_embeddings == "unused":
        trained = {id(weight): weight for weight in weights if weight.requires_grad}  # none under an adapter; tied ones once
        trainer.add_callback(_UnusedRows(list(trained.values()), set(used_tokens)))
    elif train.freeze_embeddings:
        for weight in weights:
            weight.requires_grad_(False)


class _UnusedRows(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Keeps rows of matrices of shape (tokens, hidden): without a gradient, and put back after each step.

    The optimizer moves them even so, by weight decay.
    """

    def __init__(self, weights: list[torch.nn.Parameter], used: set[int]) -> None:
        self._weights = weights
        self._rows = [torch.tensor(sorted(set(range(len(weight))) - used), device=weight.device) for weight in weights]
        for weight, rows in zip(weights, self._rows, strict=True):
            weight.register_hook(lambda gradient, rows=rows: gradient.index_fill(0, rows, 0.0))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Remembers the rows; a training that is resumed has left them as they were."""
        self._values = [weight.detach()[rows].clone() for weight, rows in zip(self._weights, self._rows, strict=True)]

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Puts the rows back."""
        for weight, rows, values in zip(self._weights, self._rows, self._values, strict=True):
            weight.data.index_copy_(0, rows, values)
