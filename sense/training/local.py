"""A model folder of SENSE as a Generator in this process."""

from pathlib import Path
from typing import Any

from sense.training.generator import Generator


def local(folder: Path, batch_size: int, base: bool = False) -> Generator:
    """The model of `folder`, or with `base` the base it grew from, ready to generate `batch_size` prompts at a time."""
    from sense.training import generate, load

    model: Any = load.base_of(folder) if base else load.trained(folder)
    return generate.TransformersGenerator(model, load.tokenizer(folder), batch_size)
