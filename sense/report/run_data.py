"""All that a report is made from, read once: metrics, training curves, datasets, samples, pairs and predictions."""

import csv
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import records
from sense.errors import InputError
from sense.records import Example, Pair, Prediction, Sample, Verdict

MODELS = ("base", "sft", "sense")
SETS = ("dev", "heldout")  # of every run; the others are those of `evaluate.sets`
TRAININGS = ("sft", "weak", "dpo")
METRICS = ("ingest", "synthesize", "sft", "weak", "sample", "prefer", "dpo", "evaluate", "publish")


def in_order(names: Iterable[str]) -> list[str]:
    """Names of sets: those of `SETS` first, then the further ones in their order."""
    present = list(names)
    return [*(name for name in SETS if name in present), *(name for name in present if name not in SETS)]


@dataclass(frozen=True)
class ScoredPrediction:
    """One model's SQL for an example, with its verdict."""

    sql: str
    verdict: Verdict


@dataclass(frozen=True)
class RunData:
    """What a run left in its files.

    `metrics` maps a name of `METRICS` to the content of its file, `curves` a training to the rows of its curve; what is missing
    has no key. `unseen` maps an example's id to the example, `questions[set]` too, and `predictions[set][model]` maps it to that
    model's prediction.
    """

    metrics: dict[str, Any]
    curves: dict[str, list[dict[str, float]]]
    strong: list[Example]
    unseen: dict[str, Example]
    samples: list[Sample]
    pairs: list[Pair]
    questions: dict[str, dict[str, Example]]
    predictions: dict[str, dict[str, dict[str, ScoredPrediction]]]


def read(
    *, metrics: Path, strong: Path, unseen: Path, samples: Path, pairs: Path, sets: dict[str, Path], predictions: Path
) -> RunData:
    """Reads all files of a run; `sets` maps a name of `SETS` to its dataset folder.

    The questions of each set, those of further sets in evaluate's metrics too, are the ones that were evaluated: with a limit not
    all of the folder. Files of metrics and curves may be missing. InputError names any other file that is missing, not valid, or
    whose ids are not those of the questions.
    """
    metrics_files = {name: metrics / f"{name}.json" for name in METRICS}
    metrics_of = {
        name: read_evaluation(path) if name == "evaluate" else records.read_json(path)
        for name, path in metrics_files.items()
        if path.is_file()
    }
    further = [name for name in metrics_of.get("evaluate", {}).get("sets", {}) if name not in SETS]
    evaluated = {name: predictions / f"{name}.examples.jsonl" for name in (*sets, *further)}
    questions = {name: {row.id: row for row in records.read_rows(file, Example)} for name, file in evaluated.items()}
    for name, folder in sets.items():
        _check_ids(evaluated[name], questions[name], folder, {row.id for row in records.read_dataset(folder)})
    unseen_by_id = {row.id: row for row in records.read_dataset(unseen)}
    sample_rows, pair_rows = records.read_rows(samples, Sample), records.read_rows(pairs, Pair)
    _check_ids(samples, [sample.example_id for sample in sample_rows], unseen, unseen_by_id)
    _check_ids(pairs, [pair.example_id for pair in pair_rows], unseen, unseen_by_id)
    curve_files = {name: metrics / "curves" / f"{name}.csv" for name in TRAININGS}
    return RunData(
        metrics=metrics_of,
        curves={name: _read_curve(path) for name, path in curve_files.items() if path.is_file()},
        strong=records.read_dataset(strong),
        unseen=unseen_by_id,
        samples=sample_rows,
        pairs=pair_rows,
        questions=questions,
        predictions={
            name: {model: _read_predictions(predictions, f"{name}.{model}", file, questions[name]) for model in MODELS}
            for name, file in evaluated.items()
        },
    )


def read_evaluation(path: Path) -> dict[str, Any]:
    """evaluate's metrics, with results of models under `sets`; InputError if the file is missing, no JSON, or holds none."""
    if not path.exists():
        raise InputError(f"{path}: no such file; there are no results yet, run: dvc repro")
    metrics = records.read_json(path)
    sets = metrics.get("sets") if isinstance(metrics, dict) else None
    if not isinstance(sets, dict) or not all(isinstance(on_set, dict) and "models" in on_set for on_set in sets.values()):
        raise InputError(f"{path}: no metrics of evaluate; run: dvc repro evaluate")
    return dict(metrics)


def _read_curve(path: Path) -> list[dict[str, float]]:
    """The rows of a training curve without their empty cells; InputError names file and line of what is not a number."""
    rows = []
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        for row in reader:
            try:
                rows.append({str(key): float(value) for key, value in row.items() if value})
            except (TypeError, ValueError):
                raise InputError(f"{path}, line {reader.line_num}: not a row of numbers; run the training stage again") from None
    return rows


def _read_predictions(folder: Path, stem: str, evaluated: Path, questions: dict[str, Example]) -> dict[str, ScoredPrediction]:
    """The predictions of one model on the questions of one set, by the id of the example; InputError if one has none."""
    predictions_file, verdicts_file = folder / f"{stem}.predictions.jsonl", folder / f"{stem}.verdicts.jsonl"
    verdicts = {row.id: row for row in records.read_rows(verdicts_file, Verdict)}
    predictions = {row.id: row for row in records.read_rows(predictions_file, Prediction)}
    _check_ids(predictions_file, predictions, evaluated, questions)
    _check_ids(evaluated, questions, predictions_file, predictions)
    _check_ids(predictions_file, predictions, verdicts_file, verdicts)
    return {key: ScoredPrediction(row.sql, verdicts[key]) for key, row in predictions.items()}


def _check_ids(path: Path, ids: Iterable[str], other: Path, other_ids: Collection[str]) -> None:
    """InputError if one of the `ids` in `path` is not among those in `other`."""
    missing = [key for key in ids if key not in other_ids]
    if missing:
        raise InputError(
            f"{path}: the id {missing[0]!r} ({len(missing)} in all) is not in {other}; run the stages again: dvc repro"
        )
