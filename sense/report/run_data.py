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

    The questions of further sets, which evaluate's metrics name, are read from `predictions`. Files of metrics and curves may be
    missing. InputError names any other file that is missing, not valid, or that has an id which belongs to no example.
    """
    metrics_files = {name: metrics / f"{name}.json" for name in METRICS}
    metrics_of = {name: records.read_json(path) for name, path in metrics_files.items() if path.is_file()}
    further = [name for name in metrics_of.get("evaluate", {}).get("sets", {}) if name not in SETS]
    origins = {**sets, **{name: predictions / f"{name}.examples.jsonl" for name in further}}
    rows = {name: records.read_dataset(folder) for name, folder in sets.items()}
    rows |= {name: records.read_rows(origins[name], Example) for name in further}
    questions = {name: {row.id: row for row in of_set} for name, of_set in rows.items()}
    unseen_by_id = {row.id: row for row in records.read_dataset(unseen)}
    pair_rows = records.read_rows(pairs, Pair)
    _check_ids(pairs, [pair.example_id for pair in pair_rows], unseen, unseen_by_id)
    curve_files = {name: metrics / "curves" / f"{name}.csv" for name in TRAININGS}
    return RunData(
        metrics=metrics_of,
        curves={name: _read_curve(path) for name, path in curve_files.items() if path.is_file()},
        strong=records.read_dataset(strong),
        unseen=unseen_by_id,
        samples=records.read_rows(samples, Sample),
        pairs=pair_rows,
        questions=questions,
        predictions={
            name: {model: _read_predictions(predictions, f"{name}.{model}", origin, questions[name]) for model in MODELS}
            for name, origin in origins.items()
        },
    )


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


def _read_predictions(folder: Path, stem: str, dataset: Path, questions: dict[str, Example]) -> dict[str, ScoredPrediction]:
    """The predictions of one model on one set, by the id of the example."""
    predictions_file, verdicts_file = folder / f"{stem}.predictions.jsonl", folder / f"{stem}.verdicts.jsonl"
    verdicts = {row.id: row for row in records.read_rows(verdicts_file, Verdict)}
    predictions = {row.id: row for row in records.read_rows(predictions_file, Prediction)}
    _check_ids(predictions_file, list(predictions), dataset, questions)
    _check_ids(predictions_file, list(predictions), verdicts_file, verdicts)
    return {key: ScoredPrediction(row.sql, verdicts[key]) for key, row in predictions.items()}


def _check_ids(path: Path, ids: list[str], other: Path, other_ids: Collection[str]) -> None:
    """InputError if one of the `ids` in `path` is not among those in `other`."""
    missing = [key for key in ids if key not in other_ids]
    if missing:
        raise InputError(
            f"{path}: the id {missing[0]!r} ({len(missing)} in all) is not in {other}; run the stages again: dvc repro"
        )
