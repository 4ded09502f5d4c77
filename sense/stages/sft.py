"""Supervised fine-tuning: (schema, question) -> SQL, for the student and, from another section, the weak model (paper, 3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import records
from sense.config import SftConfig, is_main_process
from sense.errors import InputError
from sense.prompts.dataset import database_keys

Config = SftConfig


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
    from sense.stages import sft_rows
    from sense.training import checks, fit, model_folder, nano, renaming, tokenization

    inventor: renaming.Inventor = renaming.of_syllables
    if config.model.name is not None:  # loaded and checked before the data are read, which takes long
        dtype = model_folder.TRAINING_DTYPE if config.lora is None else None
        quantize = config.lora is not None and config.lora.quantize is not None
        model, tokenizer = model_folder.load_pretrained(config.model, dtype, quantize)
        checks.check_settings(model, config, config.model.name)
        if config.rename.invented_of == "tokens":
            inventor = renaming.of_tokens(tokenization.word_pieces(tokenizer))
    datasets = [folder for name, folder in (("strong", inputs.strong), ("seed", inputs.seed)) if name in config.data.split("+")]
    rows = [row for folder in datasets for row in sft_rows.rows(folder, records.read_dataset(folder), config, inventor)]
    if config.model.nano is not None:
        tokenizer = nano.train_tokenizer((row["prompt"] + row["completion"] for row in rows), config.model.nano.vocabulary)
        model = nano.create_model(config.model.nano, tokenizer, config.seed)
        checks.check_settings(model, config, "the nano model")
    fitting, tokenized = sft_rows.tokenize(tokenizer, rows, config)
    if not fitting:
        folders = " and ".join(map(str, datasets))
        raise InputError(f"{folders}: no example fits into train.max_length = {config.train.max_length} tokens; raise it")
    with tracking.training_run("sft", config.model_dump(mode="json"), outputs.metrics.with_name("mlflow.json")) as tracked_run:
        model, curve = fit.sft(
            model,
            tokenizer,
            tokenized,
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
            "copies": {kind: sum(row["kind"] == kind for row in fitting) for kind in (sft_rows.RENAMED, sft_rows.NOT_RENAMED)},
            **model_folder.count_parameters(model),
            "steps": int(curve[-1]["step"]),
            "loss": curve[-1]["loss"],
        }
        tracked_run.finish(metrics)
    return metrics


def _database_keys(datasets: Sequence[Path]) -> frozenset[str]:
    """The databases of all examples, so that nobody samples the model on what it was trained on."""
    return frozenset(key for folder in datasets for key in database_keys(folder, records.read_dataset(folder)).values())
