"""Initial weights with which a small Llama copies from its prompt before its first step.

A model of a few million weights that starts from random ones learns the forms of queries soon, and to copy names from the prompt
only after many thousand steps: that takes two attention heads in different layers which are of no use without each other (an
induction head; Olsson et al., In-context Learning and Induction Heads, 2022). Here they are there from the start, and training
only has to learn where to use them:

- The embeddings have unit length, with one constant component; the last part of the hidden state is free. A token with a capital
  is similar to the one without.
- Layer 0: heads that look one token back, which the constant and the rotary positions tell them, and write a code of that token
  into the free part.
- Layer 1: heads whose query is the code of the present token and whose key is the code of the token before: they look at what
  followed the present token earlier, and add it to the hidden state, so that it becomes likely.

All other heads begin by looking for tokens like their own (Trockman and Kolter, Mimetic Initialization of Self-Attention Layers,
2023), and all layers add little at first.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

ROTARY_BASE = 1e6
"""`rope_theta` of a model with these weights: some components of a head hardly turn from one end of a prompt to the other."""

_CONSTANT = 0.3  # component of each embedding, whose length is 1
_WORD_SHARE = 0.6  # of the hidden state, for the embeddings
_HEAD_SHARE = 0.6  # of the heads, for copying
_FAST_PAIRS = 5  # rotary pairs that tell how far back a token is
_REACH = 300  # tokens over which a code is to be recognized
_LIKENESS = 0.7  # cosine between the embeddings of a token with a capital and the one without
_DAMPING = 0.1  # of all that is added to the hidden state by other heads and the MLPs
_POSITION_SHARPNESS, _CODE_SHARPNESS = 8.0, 3.0
_COPIED = 3.0  # how strongly what is looked at is added, in lengths of an embedding
_SHORTEST_CODE = 4


class _Shape(NamedTuple):
    """Sizes: the hidden state, its part for embeddings, a head, the heads that copy, and the code of a token in each of them."""

    hidden: int
    word: int
    head: int
    heads: int
    code: int


def initialize(model: Any, capitalized: Sequence[tuple[int, int]] = ()) -> None:
    """Changes the random weights of a Llama in place, with torch's generator. A model too small to copy gets no such heads.

    `capitalized` are pairs of tokens that differ in the case of their first letter alone, the one with the capital first.
    """
    config = model.config
    with torch.no_grad():
        for layer in model.model.layers:
            attention = layer.self_attn
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.o_proj.weight.copy_(attention.v_proj.weight.T * _DAMPING)
            layer.mlp.down_proj.weight.mul_(_DAMPING)
        half = config.head_dim // 2
        turns = ROTARY_BASE ** (-torch.arange(half) / half)  # of each rotary pair, in radians a token
        slow = (turns * _REACH < 1).nonzero().flatten()
        lasting = torch.cat([slow, slow + half])  # components of a head that hold a code over the whole reach
        word, heads = round(_WORD_SHARE * config.hidden_size), max(1, round(_HEAD_SHARE * config.num_attention_heads))
        code = min(len(lasting), (config.hidden_size - word) // heads, (word - 1) // heads)
        if config.num_hidden_layers < 2 or code < _SHORTEST_CODE:
            return
        shape = _Shape(config.hidden_size, word, config.head_dim, heads, code)
        constant = _set_embeddings(model.model.embed_tokens.weight, word, capitalized)
        mixed = torch.linalg.qr(torch.randn(word - 1, word - 1))[0]
        first, second = (layer.self_attn for layer in model.model.layers[:2])
        for head in range(heads):
            to_code = torch.zeros(code, shape.hidden)
            to_code[:, 1:word] = mixed[head * code : (head + 1) * code]
            free = slice(word + head * code, word + (head + 1) * code)
            rows = slice(head * shape.head, (head + 1) * shape.head)
            _look_one_back(first, rows, turns, constant)
            _write_code(first, rows, to_code, free, shape)
            _look_behind_equal_code(second, rows, lasting[:code], to_code, free)
            _copy(second, rows, shape)


def _set_embeddings(embeddings: Any, word: int, capitalized: Sequence[tuple[int, int]]) -> float:
    """Gives all embeddings unit length and the constant component; returns that component as the first layer's heads see it."""
    embeddings[:, word:] = 0
    embeddings[:, 0] = 0
    embeddings.div_(embeddings.norm(dim=1, keepdim=True).clamp(min=1e-3))  # padding is all zeros
    if capitalized:
        capital, small = torch.tensor(capitalized).T
        embeddings[capital] = _LIKENESS * embeddings[small] + math.sqrt(1 - _LIKENESS**2) * embeddings[capital]
    embeddings[:, 0] = _CONSTANT
    root_mean_square: float = math.sqrt((1 + _CONSTANT**2) / embeddings.shape[1])  # the layer's norm divides by it
    return _CONSTANT / root_mean_square


def _look_one_back(attention: Any, rows: slice, turns: torch.Tensor, constant: float) -> None:
    """Query and key differ by the turn of one token: the rotation of positions makes them equal where they are one apart."""
    pairs, half = torch.arange(min(_FAST_PAIRS, len(turns))), len(turns)
    query, key = torch.zeros_like(attention.q_proj.weight[rows]), torch.zeros_like(attention.k_proj.weight[rows])
    key[pairs, 0] = _POSITION_SHARPNESS / constant
    query[pairs, 0] = _POSITION_SHARPNESS / constant * torch.cos(turns[pairs])
    query[pairs + half, 0] = -_POSITION_SHARPNESS / constant * torch.sin(turns[pairs])
    attention.q_proj.weight[rows], attention.k_proj.weight[rows] = query, key


def _write_code(attention: Any, rows: slice, to_code: torch.Tensor, free: slice, shape: _Shape) -> None:
    """What the head sees goes, as a code, into its part of the free components; all codes are as long as an embedding."""
    attention.v_proj.weight[rows] = 0
    attention.v_proj.weight[rows][: shape.code] = to_code
    attention.o_proj.weight[:, rows] = 0
    scale = math.sqrt(shape.word / shape.code / shape.heads / shape.hidden)
    attention.o_proj.weight[free, rows.start : rows.start + shape.code] = scale * torch.eye(shape.code)


def _look_behind_equal_code(attention: Any, rows: slice, lasting: torch.Tensor, to_code: torch.Tensor, free: slice) -> None:
    """The query is the present token's code, the key the code that layer 0 has written of the token before."""
    query, key = torch.zeros_like(attention.q_proj.weight[rows]), torch.zeros_like(attention.k_proj.weight[rows])
    query[lasting] = _CODE_SHARPNESS * to_code
    key[lasting, free] = _CODE_SHARPNESS * torch.eye(len(lasting))
    attention.q_proj.weight[rows], attention.k_proj.weight[rows] = query, key


def _copy(attention: Any, rows: slice, shape: _Shape) -> None:
    """What the head sees is added to the hidden state, as far as one head holds it."""
    size = min(shape.head, shape.word - 1)
    seen = torch.zeros(shape.head, shape.hidden)
    seen[:size, 1 : shape.word] = torch.linalg.qr(torch.randn(shape.word - 1, size))[0].T
    attention.v_proj.weight[rows] = seen
    attention.o_proj.weight[:, rows] = _COPIED / math.sqrt(shape.head) * seen.T
