"""The rows that SFT trains on: prompt and completion of each example of a dataset folder, and of its renamed copies."""

import operator
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

from sense import prompts
from sense.config import SftConfig
from sense.prompts.dataset import read_schemas
from sense.records import Example
from sense.schema import Schema, schema_text
from sense.training import renaming, shared_schema, tokenization

# what a copy of an example is: one whose SQL is not understood for certain keeps its names
RENAMED, NOT_RENAMED = "renamed", "not renamed"


def tokenize(
    tokenizer: Any, rows: Sequence[dict[str, Any]], config: SftConfig
) -> tuple[list[dict[str, Any]], list[dict[str, list[int]]]]:
    """The rows of at most `train.max_length` tokens, and their tokens, in sequences of one schema if those are asked for."""
    tokenized = tokenization.sft_rows(tokenizer, rows, config.loss_on)
    fits = [len(row["input_ids"]) <= config.train.max_length for row in tokenized]
    fitting, fitting_tokenized = list(compress(rows, fits)), list(compress(tokenized, fits))
    if config.questions_per_sequence > 1:
        return fitting, shared_schema.sequences(tokenizer, fitting, fitting_tokenized, config.train.max_length)
    return fitting, fitting_tokenized


def rows(
    folder: Path, examples: Sequence[Example], config: SftConfig, inventor: renaming.Inventor = renaming.of_syllables
) -> Iterator[dict[str, Any]]:
    """Prompt and completion of examples on databases of a dataset folder, and of their renamed copies.

    Rows that follow each other and have the same `sequence` have their schema in common.
    """
    schema_of = read_schemas(folder, examples, config.prompt)
    if config.questions_per_sequence > 1:
        yield from _grouped_rows(folder, examples, schema_of, config, inventor)
        return
    for example in examples:
        schema = schema_of[example.db_id]
        if config.rename.keep_original:
            yield _row(example, schema, config, "original")
        for copy in range(config.rename.copies):
            renamed = renaming.rename(example, schema, random.Random(f"{config.seed}-{example.id}-{copy}"))
            yield _row(*(renamed or (example, schema)), config, RENAMED if renamed else NOT_RENAMED)


def _grouped_rows(
    folder: Path, examples: Sequence[Example], schema_of: Mapping[str, Schema], config: SftConfig, inventor: renaming.Inventor
) -> Iterator[dict[str, Any]]:
    """The rows of a dataset folder database by database, `questions_per_sequence` of them on one schema.

    The questions that share a schema are others in each copy. Its tables and columns stand in a new order every time.
    """
    of_database: dict[str, list[Example]] = {}
    for example in examples:
        of_database.setdefault(example.db_id, []).append(example)
    for db_id, own in of_database.items():
        renamable = [config.rename.copies > 0 and renaming.can_rename(example, schema_of[db_id]) for example in own]
        for copy in range(0 if config.rename.keep_original else 1, config.rename.copies + 1):
            parts = {"original": own}
            if copy:
                parts = {
                    RENAMED: list(compress(own, renamable)),
                    NOT_RENAMED: list(compress(own, map(operator.not_, renamable))),
                }
            rng = random.Random(f"{config.seed}-{db_id}-{copy}")
            for kind, members in parts.items():
                shuffled = rng.sample(members, len(members))
                for start in range(0, len(shuffled), config.questions_per_sequence):
                    group = shuffled[start : start + config.questions_per_sequence]
                    group_rows = _group(group, schema_of[db_id], kind, config, inventor, rng)
                    yield from (row | {"sequence": f"{folder} {db_id} {copy} {kind} {start}"} for row in group_rows)


def _group(
    examples: Sequence[Example], schema: Schema, kind: str, config: SftConfig, inventor: renaming.Inventor, rng: random.Random
) -> Iterator[dict[str, Any]]:
    """The rows of one sequence: the examples, renamed together if the kind says so, on their common schema in a new order."""
    if kind == RENAMED:
        examples, schema = renaming.rename_together(examples, schema, rng, config.rename.invented, inventor)
    else:
        schema = renaming.shuffle(schema, rng)
    for example in examples:
        yield _row(example, schema, config, kind)


def _row(example: Example, schema: Schema, config: SftConfig, kind: str) -> dict[str, Any]:
    prompt = prompts.question_prompt(schema, example.question, example.evidence, config.prompt.schema_style)
    completion = prompts.completion(example.sql, config.prompt.target)
    return {
        "id": example.id,
        "source": example.source,
        "kind": kind,
        "schema": schema_text(schema, config.prompt.schema_style),
        "prompt": prompt,
        "completion": completion,
    }
