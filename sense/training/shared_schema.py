"""SFT that reads a schema once for several questions on it.

A sequence is a schema and then questions, each with its answer. A question sees the schema and itself, and stands at the
positions that it would have alone, so the gradient is that of separate rows at about half the work: most of a row is its schema.
"""

import random
from collections.abc import Sequence
from itertools import chain, groupby
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from sense.training import tokenization

_SCHEMA, _PADDING = 0, -1  # segments; the questions are 1, 2, ...
_IGNORED = -100
_BATCHES_SORTED_TOGETHER = 50  # by length, as transformers' group_by_length does


def sequences(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[dict[str, Any]], tokenized: Sequence[dict[str, list[int]]], max_length: int
) -> list[dict[str, list[int]]]:
    """input_ids, labels, position_ids and segments of rows that `tokenization.sft_rows` has tokenized, loss not on the schema.

    Rows with equal, adjacent `sequence` have the schema in common and share a sequence, as far as `max_length` tokens allow. A
    segment is 0 for the tokens of the schema, and the number of the question, from 1, for its tokens.
    """
    schemas = tokenization.schema_tokens(tokenizer, rows)
    packed = []
    for _, group in groupby(zip(rows, tokenized, strict=True), key=lambda pair: pair[0]["sequence"]):
        members = list(group)
        shared = min(tokenization.shared_length(schemas[row["schema"]], ids["input_ids"]) for row, ids in members)
        part: list[dict[str, list[int]]] = []
        for _, row in members:
            if part and shared + sum(len(one["input_ids"]) - shared for one in [*part, row]) > max_length:
                packed.append(sequence(part, shared))
                part = []
            part.append(row)
        packed.append(sequence(part, shared))
    return packed


def sequence(rows: Sequence[dict[str, list[int]]], shared: int) -> dict[str, list[int]]:
    """One sequence of rows whose first `shared` tokens are the same."""
    sequence = {
        "input_ids": rows[0]["input_ids"][:shared],
        "labels": [_IGNORED] * shared,
        "position_ids": list(range(shared)),
        "segments": [_SCHEMA] * shared,
    }
    for number, row in enumerate(rows, 1):
        own = row["input_ids"][shared:]
        sequence["input_ids"] += own
        # what stands before the first token in the sequence is another question's end, so it cannot bear loss; nor does it alone
        sequence["labels"] += [_IGNORED, *row["labels"][shared + 1 :]]
        sequence["position_ids"] += range(shared, shared + len(own))
        sequence["segments"] += [number] * len(own)
    return sequence


def order(lengths: Sequence[int], batch_size: int, passes: int, seed: int) -> list[int]:
    """The numbers of the sequences in the order of training, all in each pass; sequences of similar length share a batch."""
    rng = random.Random(seed)
    return list(chain.from_iterable(_batched(lengths, batch_size, rng) for _ in range(passes)))


def _batched(lengths: Sequence[int], batch_size: int, rng: random.Random) -> list[int]:
    shuffled = rng.sample(range(len(lengths)), len(lengths))
    batches = []
    for start in range(0, len(shuffled), batch_size * _BATCHES_SORTED_TOGETHER):
        part = sorted(shuffled[start : start + batch_size * _BATCHES_SORTED_TOGETHER], key=lengths.__getitem__)
        own = [part[first : first + batch_size] for first in range(0, len(part), batch_size)]
        batches += rng.sample(own, len(own))
    return list(chain.from_iterable(batches))


def collate(members: Sequence[dict[str, list[int]]], padding: int) -> dict[str, torch.Tensor]:
    """A batch of sequences: input_ids, labels and position_ids, all of the shape (batch, tokens), and attention_mask.

    The mask, of shape (batch, 1, tokens, tokens), is True where a token of the third dimension sees one of the fourth.
    """
    size = max(len(sequence["input_ids"]) for sequence in members)
    size += -size % 8  # shapes that processors are fast with

    def padded(key: str, value: int) -> torch.Tensor:
        return torch.tensor([sequence[key] + [value] * (size - len(sequence[key])) for sequence in members])

    segments = padded("segments", _PADDING)
    before = torch.ones(size, size, dtype=torch.bool).tril()
    one_question = segments[:, :, None] == segments[:, None, :]
    return {
        "input_ids": padded("input_ids", padding),
        "labels": padded("labels", _IGNORED),
        "position_ids": padded("position_ids", 0),
        "attention_mask": (before & (one_question | (segments[:, None, :] == _SCHEMA)))[:, None],
    }
