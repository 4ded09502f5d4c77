"""Whether examples that share a sequence are hidden from one another, tried on the model itself before it is trained.

Packing and `questions_per_sequence` rely on position ids and attention masks, which not every architecture heeds: ALiBi, learned
positions with an offset, convolutions and recurrent states do not. Such a model would learn from its neighbours without a word.
"""

from typing import Any

import torch

from sense import config
from sense.errors import InputError
from sense.training import shared_schema

_LENGTH = 8  # tokens of an example
_SHARED = 4  # of them that stand for the schema
# Largest difference of a logit that may be rounding, as a share of the largest logit, in float32 and in lower precision.
_TOLERANCES = {torch.float32: 1e-3}
_TOLERANCE = 0.1


def check(model: Any, settings: config.SftConfig) -> None:
    """InputError if, with `packing` or `questions_per_sequence`, the model lets an example see another one, or fails."""
    if not settings.packing and settings.questions_per_sequence == 1:
        return
    key, off = ("packing", "false") if settings.packing else ("questions_per_sequence", "1")
    shape = model.config.get_text_config()
    refusal = f"{key}: {shape.model_type} does not keep the examples of a sequence apart; set {key} to {off}"
    window = getattr(shape, "sliding_window", None)
    if not settings.packing and window and window < settings.train.max_length:
        raise InputError(
            f"{key}: {shape.model_type} sees {window} tokens at a time (sliding_window), which the mask of several questions "
            f"does not heed; set {key} to {off}, or train.max_length to {window} at most"
        )
    alone, together = _packed(shape.vocab_size) if settings.packing else _questions(shape.vocab_size)
    try:
        expected, logits = _last_logits(model, alone), _last_logits(model, together)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{refusal} ({type(error).__name__}: {error})") from error
    difference = (logits - expected).abs().max() / expected.abs().max()
    if not difference <= _TOLERANCES.get(model.dtype, _TOLERANCE):
        raise InputError(refusal)


def _tokens(vocabulary: int) -> list[list[int]]:
    """Two examples of random tokens with the same beginning."""
    draw = torch.Generator().manual_seed(0)
    first, second = torch.randint(vocabulary, (2, _LENGTH), generator=draw).tolist()
    return [first, [*first[:_SHARED], *second[_SHARED:]]]


def _packed(vocabulary: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The second example alone, and behind the first one, as TRL's packing gives them to a model."""
    first, second = _tokens(vocabulary)
    positions = list(range(_LENGTH))
    alone = {"input_ids": torch.tensor([second]), "position_ids": torch.tensor([positions])}
    return alone, {"input_ids": torch.tensor([first + second]), "position_ids": torch.tensor([positions * 2])}


def _questions(vocabulary: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The second example alone, and in one sequence with the first one, which has the schema in common with it."""
    rows = [{"input_ids": tokens, "labels": tokens} for tokens in _tokens(vocabulary)]
    together = shared_schema.collate([shared_schema.sequence(rows, _SHARED)], 0)
    del together["labels"]
    size = 2 * _LENGTH - _SHARED  # without what `collate` pads
    together = {name: value[..., :size] for name, value in together.items()}
    together["attention_mask"] = together["attention_mask"][:, :, :size]
    return {"input_ids": torch.tensor([rows[1]["input_ids"]])}, together


def _last_logits(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The logits of the last tokens, those that the second example has for itself: (tokens, vocabulary)."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs = model(**{name: value.to(model.device) for name, value in inputs.items()}, use_cache=False)
    model.train(was_training)
    logits: torch.Tensor = outputs.logits[0, _SHARED - _LENGTH :].float()
    return logits
