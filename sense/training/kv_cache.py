"""Keys and values of the tokens that a model has read, in memory that is laid out once.

transformers' own cache is copied whole for every token that is written: two thirds of the time of a small model on a CPU.
"""

from typing import Any

import torch
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer


class _Layer(DynamicLayer):  # type: ignore[misc]  # transformers has no types
    """Keys and values of one layer, of shape (batch, heads, tokens, size of a head), with room for `tokens` tokens."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.keys: torch.Tensor
        self.values: torch.Tensor
        self._tokens = tokens
        self._room: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adds the keys and values of further tokens; returns those of all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.get_seq_length()
        now = before + key_states.shape[-2]
        if self._room is None or now > self._room[0].shape[-2]:
            self._room = (
                self._with_room(key_states, max(now, self._tokens)),
                self._with_room(value_states, max(now, self._tokens)),
            )
            if before:
                for room, old in zip(self._room, (self.keys, self.values), strict=True):
                    room[:, :, :before] = old
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, before:now] = new
        self.keys, self.values = (room[:, :, :now] for room in self._room)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Takes the sequences `indices`, in their order, in place of those that are here; one may be taken several times."""
        super().batch_select_indices(indices)
        self._room = None

    @staticmethod
    def _with_room(states: torch.Tensor, tokens: int) -> torch.Tensor:
        return states.new_empty((*states.shape[:2], tokens, states.shape[3]))


def is_plain(config: PreTrainedConfig) -> bool:
    """Whether every layer of the model attends to all tokens before; else its cache has another form."""
    layers = DynamicCache(config=config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def with_room(config: PreTrainedConfig, tokens: int) -> DynamicCache:
    """An empty cache of a model that `is_plain`, for sequences of `tokens` tokens; longer ones are possible, and slower."""
    cache = DynamicCache(config=config)
    cache.layers = [_Layer(tokens) for _ in cache.layers]
    return cache


def bytes_per_token(config: PreTrainedConfig, dtype: torch.dtype) -> int:
    """The memory that one token of one sequence takes in the cache of a model that `is_plain`."""
    size_of_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size_of_head * dtype.itemsize)
