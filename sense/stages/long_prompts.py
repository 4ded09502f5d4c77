"""Questions whose prompt is longer than the model reads: told at the start, counted, never cut and never put to the model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sense import console
from sense.errors import InputError
from sense.records import Example

if TYPE_CHECKING:
    from sense.training.generate import Generator

_DATABASES_SHOWN = 5


def rejections(
    generator: "Generator", examples: Sequence[Example], prompts: Sequence[str], max_tokens: int, label: str
) -> list[str]:
    """Why the prompt of each example cannot be put to the model, '' for one that can; says so if there are any.

    A prompt and an answer of `max_tokens` tokens have to fit together, as vLLM wants it too.
    """
    if generator.context is None:
        return [""] * len(prompts)
    reads, room = f"{generator.context:,}", generator.context - max_tokens
    reasons = [
        f"longer than the model reads: {tokens:,} tokens and {max_tokens:,} for the answer, and it reads {reads}"
        if tokens > room
        else ""
        for tokens in generator.count_tokens(prompts)
    ]
    databases = sorted({example.db_id for example, reason in zip(examples, reasons, strict=True) if reason})
    if databases:
        names = ", ".join(databases[:_DATABASES_SHOWN]) + (", ..." if len(databases) > _DATABASES_SHOWN else "")
        console.say(
            f"{label}: {sum(map(bool, reasons)):,} of {len(prompts):,} questions are not put to the model: with an answer of "
            f"{max_tokens:,} tokens they are longer than the {reads} tokens that it reads; databases: {names}"
        )
    return reasons


def nothing_to_ask(dataset: Path, questions: int, first: str, section: str) -> InputError:
    """The error for a dataset of which every question is too long; `first` is the reason of the first one."""
    return InputError(
        f"{dataset}: of {questions:,} questions not one fits the model, the first is {first}; "
        f"lower {section}.max_new_tokens, show less of the schemas (prompt.schema_style: compact, prompt.sample_values: 0), "
        "or train a base that reads more"
    )
