"""What a report is made from, read once: metrics, curves, data sets, samples, pairs and predictions."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import records
from sense.errors import InputError
from sense.records import Example, Pair, Prediction, Sample, Verdict

MODELS = ("base", "sft", "sense")
SETS = ("dev", "heldout")
SECTIONS = ("ingest", "synthesize", "sft", "weak", "sample", "prefer", "dpo", "evaluate", "publish")
CURVES = ("sft", "weak", "dpo")


@dataclass(frozen=True)
class Answer:
    """One model's SQL for an example, and what came of it."""

    sql: str
    verdict: Verdict


@dataclass(frozen=True)
class Material:
    """`metrics` and `curves` hold only what was there; `answers[set][model]` maps an example's id to its answer."""

    metrics: dict[str, Any]
    curves: dict[str, list[dict[str, float]]]
    strong: list[Example]
    unseen: dict[str, Example]
    samples: list[Sample]
    pairs: list[Pair]
    questions: dict[str, dict[str, Example]]
    answers: dict[str, dict[str, dict[str, Answer]]]


def read(
    *, metrics: Path, strong: Path, unseen: Path, samples: Path, pairs: Path, sets: dict[str, Path], predictions: Path
) -> Material:
    """Reads it all; a section of metrics or a curve may be missing, InputError names anything else that is or does not fit."""
    questions = {name: {row.id: row for row in records.read_dataset(folder)} for name, folder in sets.items()}
    unseen_rows = {row.id: row for row in records.read_dataset(unseen)}
    found_pairs = records.read_rows(pairs, Pair)
    _join(pairs, [pair.example_id for pair in found_pairs], unseen, unseen_rows)
    return Material(
        metrics={name: records.read_json(_metrics(metrics, name)) for name in SECTIONS if _metrics(metrics, name).is_file()},
        curves={name: _curve(_path(metrics, name)) for name in CURVES if _path(metrics, name).is_file()},
        strong=records.read_dataset(strong),
        unseen=unseen_rows,
        samples=records.read_rows(samples, Sample),
        pairs=found_pairs,
        questions=questions,
        answers={
            name: {model: _answers(predictions, f"{name}.{model}", folder, questions[name]) for model in MODELS}
            for name, folder in sets.items()
        },
    )


def _metrics(folder: Path, section: str) -> Path:
    return folder / f"{section}.json"


def _path(folder: Path, curve: str) -> Path:
    return folder / "curves" / f"{curve}.csv"


def _curve(path: Path) -> list[dict[str, float]]:
    """The rows of a training curve; an empty cell is left out. InputError names file and line of what is no number."""
    rows = []
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        for row in reader:
            try:
                rows.append({str(key): float(value) for key, value in row.items() if value})
            except (TypeError, ValueError):
                raise InputError(f"{path}, line {reader.line_num}: not a row of numbers; run the training stage again") from None
    return rows


def _answers(folder: Path, stem: str, dataset: Path, questions: dict[str, Example]) -> dict[str, Answer]:
    asked, judged = folder / f"{stem}.predictions.jsonl", folder / f"{stem}.verdicts.jsonl"
    verdicts = {row.id: row for row in records.read_rows(judged, Verdict)}
    predictions = {row.id: row for row in records.read_rows(asked, Prediction)}
    _join(asked, list(predictions), dataset, questions)
    _join(asked, list(predictions), judged, verdicts)
    return {key: Answer(row.sql, verdicts[key]) for key, row in predictions.items()}


def _join(path: Path, ids: list[str], other: Path, known: dict[str, Any]) -> None:
    """InputError if `path` speaks of an id that `other` does not know."""
    lost = [key for key in ids if key not in known]
    if lost:
        raise InputError(f"{path}: the id {lost[0]!r} ({len(lost)} in all) is not in {other}; run the stages again: dvc repro")
