"""Preference learning on the SFT model from executed pairs: cDPO, which is DPO with label smoothing (paper, 3.3)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

from sense import console, manifest, prompts, records
from sense.config import DpoConfig, PromptConfig, is_main_process
from sense.errors import InputError, UserError
from sense.prompts.dataset import database_keys, question_prompts
from sense.records import Pair
from sense.stages.pairs import UNEXECUTED

Config = DpoConfig

_CHANGE = "logps/chosen_change"  # in the curve: nats of a chosen answer above the SFT model's, in the mean


@dataclass(frozen=True)
class Inputs:
    """The SFT model, the preference pairs, and the dataset folder whose questions they answer."""

    sft: Path
    pairs: Path
    unseen: Path


@dataclass(frozen=True)
class Outputs:
    """The SENSE model, its training curve (CSV) and the metrics."""

    model: Path
    curve: Path
    metrics: Path


def run(config: DpoConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Trains on the pairs; returns pairs, steps, loss, rewards, what became of the answers, and what was dropped by reason."""
    from sense import tracking
    from sense.training import checks, fit, model_folder, tokenization

    if config.label_smoothing == "auto":
        config = config.model_copy(update={"label_smoothing": _measured_smoothing(inputs.unseen)})
    info = model_folder.read_info(inputs.sft)
    sft_model = model_folder.load_model(inputs.sft, trainable=True, dtype=model_folder.TRAINING_DTYPE)
    checks.check_max_length(sft_model, config.train.max_length, str(inputs.sft))
    pairs = records.read_rows(inputs.pairs, Pair)
    rows = _rows(inputs, pairs, info.prompt)
    tokenizer = model_folder.load_tokenizer(inputs.sft)
    max_length = config.train.max_length
    tokenized = tokenization.dpo_rows(tokenizer, rows)
    fits = [len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"])) <= max_length for row in tokenized]
    fitting = list(compress(tokenized, fits))
    if not fitting:
        raise InputError(f"{inputs.pairs}: no pair fits into train.max_length = {max_length} tokens; raise it or make more pairs")
    with tracking.training_run("dpo", config.model_dump(mode="json"), outputs.metrics.with_name("mlflow.json")) as tracked_run:
        checkpoints = outputs.model.with_name("checkpoints")
        on_log = _watch(config, tracked_run.log)
        model, curve = fit.dpo(sft_model, tokenizer, fitting, config, checkpoints=checkpoints, on_log=on_log)
        if is_main_process():
            recipe = {**info.recipe, "dpo": config.model_dump(mode="json")}
            paired = {pair.example_id for pair in pairs}
            examples = [example for example in records.read_dataset(inputs.unseen) if example.id in paired]
            keys = None if info.databases is None else info.databases | set(database_keys(inputs.unseen, examples).values())
            model_folder.save(model, tokenizer, replace(info, recipe=recipe, databases=keys), outputs.model)
            records.write_text(outputs.curve, fit.curve_csv(curve))
        rewards = {name.replace("/", "_"): value for name, value in sorted(curve[-1].items()) if name.startswith("rewards/")}
        metrics = {
            "model": info.base.name or "nano",
            "pairs": len(fitting),
            "label_smoothing": config.label_smoothing,
            "dropped": {"longer than max_length": len(rows) - len(fitting)},
            **model_folder.count_parameters(model),
            "steps": int(curve[-1]["step"]),
            "loss": curve[-1]["loss"],
            **rewards,
            **_answers(config, curve, fitting, list(compress(pairs, fits))),
        }
        tracked_run.finish(metrics)
    return metrics


def _watch(config: DpoConfig, log: Callable[[int, dict[str, float]], None]) -> Callable[[int, dict[str, float]], None]:
    """`log`, which also warns, once, when the chosen answers have become less likely than the configuration allows."""
    warned = False

    def log_and_warn(step: int, values: dict[str, float]) -> None:
        nonlocal warned
        log(step, values)
        if not warned and values[_CHANGE] < -config.max_chosen_drop:
            warned = True
            console.say(
                f"dpo: at step {step} the chosen answers have lost {-values[_CHANGE]:.2f} nats of log-probability, more than "
                f"dpo.max_chosen_drop = {config.max_chosen_drop:g}: the model unlearns right answers. Raise dpo.sft_weight or "
                "dpo.beta, or lower dpo.train.learning_rate"
            )

    return log_and_warn


def _answers(
    config: DpoConfig,
    curve: Sequence[Mapping[str, float]],
    rows: Sequence[Mapping[str, Sequence[int]]],
    pairs: Sequence[Pair],
) -> dict[str, Any]:
    """What became of the answers: their log-probabilities (nats) at the last point of the curve, and what they are.

    `rows` are the tokenized `pairs`. `chosen_lowest` is the lowest change in the curve.
    """
    last, lowest = curve[-1], min(point[_CHANGE] for point in curve)
    return {
        "logps": {
            "chosen": last["logps/chosen"],
            "rejected": last["logps/rejected"],
            "chosen_change": last[_CHANGE],
            "chosen_lowest": lowest,
        },
        "chosen_dropped": lowest < -config.max_chosen_drop,
        "tokens": {side: sum(len(row[f"{side}_ids"]) for row in rows) / len(rows) for side in ("chosen", "rejected")},
        "rejected_runs": sum(pair.error not in UNEXECUTED for pair in pairs) / len(pairs),
    }


def _measured_smoothing(dataset: Path) -> float:
    """The false-right rate in the manifest of a dataset; UserError if nobody measured it, or it is too high to learn from."""
    false_right = manifest.read_manifest(dataset).false_right
    file = dataset / manifest.FILE
    if false_right is None or false_right.mutants == 0:
        raise UserError(
            f"{file}: no false_right, which dpo.label_smoothing: auto takes; run synthesize, which measures it, or give a number"
        )
    if false_right.rate >= 0.5:
        raise UserError(
            f"{file}: {false_right.survived} of {false_right.mutants} mutants pass for right, and labels that are as often wrong "
            "teach nothing: build test suites that tell more apart, or give dpo.label_smoothing a number"
        )
    return false_right.rate


def _rows(inputs: Inputs, pairs: Sequence[Pair], prompt: PromptConfig) -> list[dict[str, str]]:
    """Prompt, chosen and rejected of each pair; InputError if a pair belongs to no question of the dataset."""
    examples = {example.id: example for example in records.read_dataset(inputs.unseen)}
    for pair in pairs:
        if pair.example_id not in examples:
            raise InputError(
                f"{inputs.pairs}: the pair {pair.id!r} answers {pair.example_id!r}, which {inputs.unseen} does not hold"
            )
    texts = question_prompts(inputs.unseen, [examples[pair.example_id] for pair in pairs], prompt)
    return [
        {"prompt": text, **{side: prompts.completion(getattr(pair, side), prompt.target) for side in ("chosen", "rejected")}}
        for text, pair in zip(texts, pairs, strict=True)
    ]
