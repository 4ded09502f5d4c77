"""The question prompts of a dataset folder's examples, each database introspected once."""

from collections.abc import Sequence
from pathlib import Path

from sense import records
from sense.config import PromptConfig
from sense.prompts import question_prompt
from sense.records import Example
from sense.schema import Schema, introspect


def schemas(dataset: Path, examples: Sequence[Example], prompt: PromptConfig) -> dict[str, Schema]:
    """db_id -> schema, with the sample values the prompt shows; InputError names a broken database."""
    names = sorted({example.db_id for example in examples})
    return {name: introspect(records.database_path(dataset, name), prompt.sample_values) for name in names}


def question_prompts(dataset: Path, examples: Sequence[Example], prompt: PromptConfig) -> list[str]:
    """One prompt an example, in order, as the model with this prompt config was trained on."""
    known = schemas(dataset, examples, prompt)
    return [question_prompt(known[e.db_id], e.question, e.evidence, prompt.schema_style) for e in examples]
