"""Supervised fine-tuning: (schema, question) -> SQL, for the student and, from another section, the weak model (paper, 3.1)."""

import operator
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

from sense import prompts, records
from sense.config import SftConfig, is_main_process
from sense.errors import InputError
from sense.prompts.dataset import database_keys, read_schemas
from sense.records import Example
from sense.schema import Schema, schema_text
from sense.training import renaming

Config = SftConfig


# what a copy of an example is: one whose SQL is not understood for certain keeps its names
_RENAMED, _NOT_RENAMED = "renamed", "not renamed"


@dataclass(frozen=True)
class Inputs:
    """The strong data and the human-written seeds, both dataset folders."""

    strong: Path
    seed: Path


@dataclass(frozen=True)
class Outputs:
    """The model folder, its training curve (CSV) and the metrics."""

    model: Path
    curve: Path
    metrics: Path


def run(config: SftConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Trains one model; returns examples, rows, copies, steps, loss, parameters and what was dropped by reason."""
    from sense import tracking
    from sense.training import checks, fit, model_folder, nano, shared_schema, tokenization

    inventor: renaming.Inventor = renaming.of_syllables
    if config.model.name is not None:  # loaded and checked before the data are read, which takes long
        dtype = model_folder.TRAINING_DTYPE if config.lora is None else None
        quantize = config.lora is not None and config.lora.quantize is not None
        model, tokenizer = model_folder.load_pretrained(config.model, dtype, quantize)
        checks.check_settings(model, config, config.model.name)
        if config.rename.invented_of == "tokens":
            inventor = renaming.of_tokens(tokenization.word_pieces(tokenizer))
    datasets = [folder for name, folder in (("strong", inputs.strong), ("seed", inputs.seed)) if name in config.data.split("+")]
    rows = [row for folder in datasets for row in _rows(folder, config, inventor)]
    if config.model.nano is not None:
        tokenizer = nano.train_tokenizer((row["prompt"] + row["completion"] for row in rows), config.model.nano.vocabulary)
        model = nano.create_model(config.model.nano, tokenizer, config.seed)
        checks.check_settings(model, config, "the nano model")
    tokenized = tokenization.sft_rows(tokenizer, rows, config.loss_on)
    fits = [len(row["input_ids"]) <= config.train.max_length for row in tokenized]
    fitting, fitting_tokenized = list(compress(rows, fits)), list(compress(tokenized, fits))
    if not fitting:
        raise InputError(f"{inputs.strong}: no example fits into train.max_length = {config.train.max_length} tokens; raise it")
    if config.questions_per_sequence > 1:
        fitting_tokenized = shared_schema.sequences(tokenizer, fitting, fitting_tokenized, config.train.max_length)
    with tracking.training_run("sft", config.model_dump(mode="json"), outputs.metrics.with_name("mlflow.json")) as tracked_run:
        model, curve = fit.sft(
            model,
            tokenizer,
            fitting_tokenized,
            config,
            checkpoints=outputs.model.with_name("checkpoints"),
            on_log=tracked_run.log,
        )
        if is_main_process():
            recipe = {"sft": config.model_dump(mode="json", exclude={"model", "prompt"})}
            info = model_folder.ModelInfo(config.model, config.seed, config.prompt, recipe, databases=_database_keys(datasets))
            model_folder.save(model, tokenizer, info, outputs.model)
            records.write_text(outputs.curve, fit.curve_csv(curve))
        metrics = {
            "model": config.model.name or "nano",
            "examples": len({(row["source"], row["id"]) for row in fitting}),
            "rows": len(fitting),
            "dropped": {"longer than max_length": len(rows) - len(fitting)},
            "copies": {kind: sum(row["kind"] == kind for row in fitting) for kind in (_RENAMED, _NOT_RENAMED)},
            **model_folder.count_parameters(model),
            "steps": int(curve[-1]["step"]),
            "loss": curve[-1]["loss"],
        }
        tracked_run.finish(metrics)
    return metrics


def _database_keys(datasets: Sequence[Path]) -> frozenset[str]:
    """The databases of all examples, so that nobody samples the model on what it was trained on."""
    return frozenset(key for folder in datasets for key in database_keys(folder, records.read_dataset(folder)).values())


def _rows(folder: Path, config: SftConfig, inventor: renaming.Inventor) -> Iterator[dict[str, Any]]:
    """Prompt and completion of each example of a dataset folder and of its renamed copies.

    Rows that follow each other and have the same `sequence` have their schema in common.
    """
    examples = records.read_dataset(folder)
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
            yield _row(*(renamed or (example, schema)), config, _RENAMED if renamed else _NOT_RENAMED)


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
        renamable = [renaming.can_rename(example, schema_of[db_id]) for example in own]
        for copy in range(0 if config.rename.keep_original else 1, config.rename.copies + 1):
            parts = {"original": own}
            if copy:
                parts = {
                    _RENAMED: list(compress(own, renamable)),
                    _NOT_RENAMED: list(compress(own, map(operator.not_, renamable))),
                }
            rng = random.Random(f"{config.seed}-{db_id}-{copy}")
            for kind, members in parts.items():
                shuffled = rng.sample(members, len(members))
                for start in range(0, len(shuffled), config.questions_per_sequence):
                    group = shuffled[start : start + config.questions_per_sequence]
                    rows = _group(group, schema_of[db_id], kind, config, inventor, rng)
                    yield from (row | {"sequence": f"{folder} {db_id} {copy} {kind} {start}"} for row in rows)


def _group(
    examples: Sequence[Example], schema: Schema, kind: str, config: SftConfig, inventor: renaming.Inventor, rng: random.Random
) -> Iterator[dict[str, Any]]:
    """The rows of one sequence: the examples, renamed together if the kind says so, on their common schema in a new order."""
    if kind == _RENAMED:
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
