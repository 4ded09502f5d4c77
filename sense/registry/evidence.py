"""What is kept with a version of how it answered: every question's verdict, and prompts to measure its latency with.

In the version's files that is `evaluation/<set>.verdicts.jsonl` and `evaluation/<set>.prompts.jsonl`. The verdicts are what
two versions are compared by, question by question.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from sense import config, records
from sense.errors import InputError
from sense.prompts.dataset import question_prompts
from sense.records import HARDNESS, Example, Hardness, Record, Verdict
from sense.verdicts import VerdictName

PROMPTS = 200  # kept of each set: enough for a 95th percentile
_RESAMPLES, _SEED = 1000, 0
R = TypeVar("R", bound=Record)


class Judged(Record):
    """What became of a version's answer to one question."""

    id: str
    correct: bool
    verdict: VerdictName
    hardness: Hardness


class Asked(Record):
    """A question as it is put to the model."""

    id: str
    prompt: str


@dataclass(frozen=True)
class Level:
    """EX (a share) on the questions of one hardness, or on `all`, with its 95% interval."""

    name: str
    n: int
    ex: float
    low: float
    high: float


def judged(predictions: Path, sets: Mapping[str, Any]) -> dict[str, list[Judged]]:
    """set -> the verdicts on SENSE in evaluate's folder; InputError unless they are those that evaluate's `sets` count."""
    return {name: _judged(predictions, name, found) for name, found in sets.items() if "sense" in found["models"]}


def _judged(predictions: Path, name: str, found: Mapping[str, Any]) -> list[Judged]:
    examples = {example.id: example for example in records.read_rows(predictions / f"{name}.examples.jsonl", Example)}
    file = predictions / f"{name}.sense.verdicts.jsonl"
    given = records.read_rows(file, Verdict)
    ex = sum(verdict.correct for verdict in given) / len(given) if given else 0.0
    same = {verdict.id for verdict in given} == set(examples) and len(given) == found["n"]
    if not (same and math.isclose(ex, found["models"]["sense"]["ex"], abs_tol=1e-6)):
        raise InputError(
            f"{file}: these verdicts are not those that evaluate's metrics count on {name}; run `sense evaluate` again"
        )
    rows = [(verdict, examples[verdict.id].hardness) for verdict in given]
    return [Judged(id=v.id, correct=v.correct, verdict=v.verdict, hardness=hardness) for v, hardness in rows]


def write(
    folder: Path,
    found: Mapping[str, Sequence[Judged]],
    predictions: Path,
    datasets: Mapping[str, Path],
    prompt: config.PromptConfig,
) -> None:
    """Writes both files of each set into a fresh `folder`; the prompts are those of its first questions by chance."""
    records.remove(folder)
    folder.mkdir(parents=True)
    for name, rows in found.items():
        records.write_jsonl(folder / f"{name}.verdicts.jsonl", rows)
        asked = records.draw(records.read_rows(predictions / f"{name}.examples.jsonl", Example), PROMPTS, _SEED)
        texts = question_prompts(datasets[name], asked, prompt)
        kept = (Asked(id=example.id, prompt=text) for example, text in zip(asked, texts, strict=True))
        records.write_jsonl(folder / f"{name}.prompts.jsonl", kept)


def verdicts(name: str, version: str, dataset: str) -> list[Judged] | None:
    """The verdicts that are kept with a version on a set; None if none are."""
    return _read(name, version, f"evaluation/{dataset}.verdicts.jsonl", Judged)


def prompts(name: str, version: str, dataset: str) -> list[Asked] | None:
    """The prompts that are kept with a version of a set; None if none are."""
    return _read(name, version, f"evaluation/{dataset}.prompts.jsonl", Asked)


def _read(name: str, version: str, path: str, kind: type[R]) -> list[R] | None:
    from sense import registry

    text = registry.files.read(registry.files.repository(name, version), path)
    if text is None:
        return None
    try:
        return [kind.model_validate_json(line) for line in text.splitlines() if line.strip()]
    except ValidationError as error:
        what = error.errors()[0]["msg"]
        raise InputError(
            f"{name} version {version}: {path} is not as `sense publish` writes it ({what}); publish again"
        ) from None


def levels(rows: Sequence[Judged]) -> list[Level]:
    """EX on all questions, then by hardness, of each that occurs."""
    parts = [("all", list(rows)), *((name, [row for row in rows if row.hardness == name]) for name in HARDNESS)]
    return [_level(name, [row.correct for row in part]) for name, part in parts if part]


def _level(name: str, right: Sequence[bool]) -> Level:
    from sense.evaluation.statistics import interval

    return Level(name, len(right), sum(right) / len(right), *interval(right, _RESAMPLES, _SEED))
