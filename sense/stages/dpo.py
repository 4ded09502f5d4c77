"""Preference learning on the SFT model from executed pairs: cDPO, which is DPO with label smoothing (paper, 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sense import prompts, records
from sense.config import DpoConfig, PromptConfig, is_main_process
from sense.errors import InputError
from sense.prompts.dataset import question_prompts
from sense.records import Pair

Config = DpoConfig


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
    """Trains on the pairs; returns pairs, steps, loss, rewards and what was dropped by reason."""
    from sense import tracking
    from sense.training import fit, load

    about = load.card(inputs.sft)
    pairs = records.read_rows(inputs.pairs, Pair)
    rows = _rows(inputs, pairs, about.prompt)
    words = load.tokenizer(inputs.sft)
    limit = config.train.max_length
    kept = [
        row for row in rows if max(len(words(row["prompt"] + row[side])["input_ids"]) for side in ("chosen", "rejected")) < limit
    ]
    if not kept:
        raise InputError(f"{inputs.pairs}: no pair fits into train.max_length = {limit} tokens; raise it or make more pairs")
    with tracking.training_run("dpo", config.model_dump(mode="json"), outputs.metrics.with_name("mlflow.json")) as tracked:
        checkpoints = outputs.model.with_name("checkpoints")
        start = load.trained(inputs.sft, trainable=True, kind=load.MASTER)
        model, curve = fit.dpo(start, words, kept, config, checkpoints=checkpoints, on_log=tracked.log)
        if is_main_process():
            recipe = {**about.recipe, "dpo": config.model_dump(mode="json")}
            load.save(model, words, replace(about, recipe=recipe), outputs.model)
            records.write_text(outputs.curve, fit.curve_csv(curve))
        last = {name.replace("/", "_"): value for name, value in sorted(curve[-1].items()) if name.startswith("rewards/")}
        metrics = {
            "model": about.base.name or "nano",
            "pairs": len(kept),
            "dropped": {"longer than max_length": len(rows) - len(kept)},
            **load.parameters(model),
            "steps": int(curve[-1]["step"]),
            "loss": curve[-1]["loss"],
            **last,
        }
        tracked.finish(metrics)
    return metrics


def _rows(inputs: Inputs, pairs: Sequence[Pair], prompt: PromptConfig) -> list[dict[str, str]]:
    """Prompt, chosen and rejected of each pair; InputError if a pair answers no question of the dataset."""
    examples = {example.id: example for example in records.read_dataset(inputs.unseen)}
    for pair in pairs:
        if pair.example_id not in examples:
            raise InputError(
                f"{inputs.pairs}: the pair {pair.id!r} answers {pair.example_id!r}, which {inputs.unseen} does not hold"
            )
    asked = question_prompts(inputs.unseen, [examples[pair.example_id] for pair in pairs], prompt)
    return [
        {"prompt": text, "chosen": prompts.completion(pair.chosen), "rejected": prompts.completion(pair.rejected)}
        for text, pair in zip(asked, pairs, strict=True)
    ]
