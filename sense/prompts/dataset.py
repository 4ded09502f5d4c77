"""The question prompts of the examples in a dataset folder, and names of its databases; each schema is read once."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from sense import records
from sense.config import PromptConfig
from sense.prompts import question_prompt
from sense.records import Example
from sense.schema import Schema, introspect, schema_text


def read_schemas(dataset: Path, examples: Sequence[Example], prompt: PromptConfig) -> dict[str, Schema]:
    """db_id -> schema, with the sample values that the prompt shows; InputError names a database that cannot be read."""
    db_ids = sorted({example.db_id for example in examples})
    return {db_id: introspect(records.database_path(dataset, db_id), prompt.sample_values) for db_id in db_ids}


def database_keys(dataset: Path, examples: Iterable[Example]) -> dict[str, str]:
    """db_id -> a name for the database: its id with a digest of its schema, the same whatever rows it has."""
    db_ids = sorted({example.db_id for example in examples})
    texts = {db_id: schema_text(introspect(records.database_path(dataset, db_id)), "compact", values=False) for db_id in db_ids}
    return {db_id: f"{db_id}:{hashlib.sha256(text.encode()).hexdigest()[:16]}" for db_id, text in texts.items()}


def question_prompts(dataset: Path, examples: Sequence[Example], prompt: PromptConfig) -> list[str]:
    """One prompt for each example, in order, in the form that a model with this prompt config was trained on."""
    schemas = read_schemas(dataset, examples, prompt)
    return [
        question_prompt(schemas[example.db_id], example.question, example.evidence, prompt.schema_style) for example in examples
    ]
