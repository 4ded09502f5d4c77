"""Two versions side by side: EX on every set and hardness, and McNemar's test on the same questions, joined BY ID.

For that `publish` puts two files of each set among a version's artifacts: every question's verdict in
`evaluation/<set>.verdicts.jsonl`, and prompts to measure its latency with in `evaluation/<set>.prompts.jsonl`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from sense import config, records
from sense.errors import InputError
from sense.evaluation import statistics
from sense.prompts.dataset import question_prompts
from sense.records import HARDNESS, Example, Hardness, Record, Verdict
from sense.registry import files, gate, versions
from sense.registry.gate import VersionScore
from sense.registry.versions import RegisteredVersion
from sense.verdicts import VerdictName

PROMPTS = 200  # of each set are registered: enough for a 95th percentile
_RESAMPLES, _SEED = 1000, 0
R = TypeVar("R", bound=Record)


class QuestionVerdict(Record):
    """The verdict on a version's answer to one question; `correct` is what EX counts."""

    id: str
    correct: bool
    verdict: VerdictName
    hardness: Hardness


class QuestionPrompt(Record):
    """The prompt of one question."""

    id: str
    prompt: str


@dataclass(frozen=True)
class HardnessScore:
    """EX (a share) on the `n` questions of one hardness, or on `all`, with its 95% interval."""

    name: str
    n: int
    ex: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemarTest:
    """McNemar's exact test: questions that only the second gets right, that only the first does, and the two-sided p."""

    wins: int
    losses: int
    p: float


@dataclass(frozen=True)
class SetComparison:
    """Two versions on one set. `problem` says why their EX may not be compared, `untested` why there is no test."""

    name: str
    first: VersionScore
    second: VersionScore
    first_levels: Sequence[HardnessScore]
    second_levels: Sequence[HardnessScore]
    problem: str
    untested: str
    test: McNemarTest | None


def compare(name: str, first: RegisteredVersion, second: RegisteredVersion, dataset: str | None = None) -> list[SetComparison]:
    """Compares two versions of the model `name` on every set that either was evaluated on, or only on `dataset`."""
    datasets = [dataset] if dataset else sorted({*versions.evaluated_sets(first), *versions.evaluated_sets(second)})
    return [_compare_on(name, dataset, first, second) for dataset in datasets]


def _compare_on(name: str, dataset: str, first: RegisteredVersion, second: RegisteredVersion) -> SetComparison:
    old, new = (versions.score_on(version, dataset) for version in (first, second))
    # not read where there is no EX: a version that others registered may keep its files where they cannot be read
    before, after = (None if score.ex is None else read_verdicts(name, score.version, dataset) for score in (old, new))
    problem = gate.why_not_comparable(new, old, dataset)
    untested, test = problem, None
    if not problem and before is not None and after is not None:
        untested, test = mcnemar_test(before, after)
    elif not problem:
        lacking = [score.version for score, verdicts in ((old, before), (new, after)) if verdicts is None]
        untested = f"version {' and '.join(lacking)}: no per-question verdicts registered; publish again (dvc repro publish)"
    return SetComparison(
        name=dataset,
        first=old,
        second=new,
        first_levels=scores_by_hardness(before or []),
        second_levels=scores_by_hardness(after or []),
        problem=problem,
        untested=untested,
        test=test,
    )


def mcnemar_test(before: Sequence[QuestionVerdict], after: Sequence[QuestionVerdict]) -> tuple[str, McNemarTest | None]:
    """('', the test) on the same questions joined by id, or (why there is none, None)."""
    first, second = ({row.id: row.correct for row in rows} for rows in (before, after))
    if first.keys() != second.keys():
        ids = sorted(first.keys() ^ second.keys())
        return f"their verdicts are not on the same questions ({len(ids)} differ, such as {ids[0]!r}); evaluate both again", None
    return "", McNemarTest(*statistics.mcnemar(list(first.values()), [second[key] for key in first]))


def scores_by_hardness(rows: Sequence[QuestionVerdict]) -> list[HardnessScore]:
    """EX on all questions, then by hardness, of each that occurs."""
    parts = [("all", list(rows)), *((name, [row for row in rows if row.hardness == name]) for name in HARDNESS)]
    return [_hardness_score(name, [row.correct for row in part]) for name, part in parts if part]


def _hardness_score(name: str, correct: Sequence[bool]) -> HardnessScore:
    interval = statistics.interval(correct, _RESAMPLES, _SEED)
    return HardnessScore(name, len(correct), sum(correct) / len(correct), *interval)


def evaluated_verdicts(predictions: Path, sets: Mapping[str, Any]) -> dict[str, list[QuestionVerdict]]:
    """set -> the verdicts on SENSE in evaluate's folder `predictions`; `sets` are those of evaluate's metrics.

    InputError unless the verdicts are those that the metrics count.
    """
    return {
        name: _evaluated_verdicts(predictions, name, metrics) for name, metrics in sets.items() if "sense" in metrics["models"]
    }


def _evaluated_verdicts(predictions: Path, name: str, metrics: Mapping[str, Any]) -> list[QuestionVerdict]:
    examples = {example.id: example for example in records.read_rows(predictions / f"{name}.examples.jsonl", Example)}
    file = predictions / f"{name}.sense.verdicts.jsonl"
    verdicts = records.read_rows(file, Verdict)
    ex = sum(verdict.ex for verdict in verdicts) / len(verdicts) if verdicts else 0.0
    same_questions = {verdict.id for verdict in verdicts} == set(examples) and len(verdicts) == metrics["n"]
    if not (same_questions and math.isclose(ex, metrics["models"]["sense"]["ex"], abs_tol=1e-6)):
        raise InputError(
            f"{file}: these verdicts are not those that evaluate's metrics count on {name}; run `sense evaluate` again"
        )
    return [
        QuestionVerdict(id=row.id, correct=row.ex, verdict=row.verdict, hardness=examples[row.id].hardness) for row in verdicts
    ]


def write_evaluation(
    folder: Path,
    verdicts: Mapping[str, Sequence[QuestionVerdict]],
    predictions: Path,
    datasets: Mapping[str, Path],
    prompt: config.PromptConfig,
) -> None:
    """Writes both files of each set into a fresh `folder`; the prompts are those of questions drawn from the set.

    `predictions` is evaluate's folder, `datasets` maps sets to their dataset folders. A set without one has no prompts there.
    """
    records.remove(folder)
    folder.mkdir(parents=True)
    for name, rows in verdicts.items():
        records.write_jsonl(folder / f"{name}.verdicts.jsonl", rows)
        if name not in datasets:
            continue
        examples = records.draw(records.read_rows(predictions / f"{name}.examples.jsonl", Example), PROMPTS, _SEED)
        texts = question_prompts(datasets[name], examples, prompt)
        prompts = (QuestionPrompt(id=example.id, prompt=text) for example, text in zip(examples, texts, strict=True))
        records.write_jsonl(folder / f"{name}.prompts.jsonl", prompts)


def read_verdicts(name: str, version: str, dataset: str) -> list[QuestionVerdict] | None:
    """The verdicts on a set that were registered with a version; None if none were."""
    return _read_artifact(name, version, f"evaluation/{dataset}.verdicts.jsonl", QuestionVerdict)


def read_prompts(name: str, version: str, dataset: str) -> list[QuestionPrompt] | None:
    """The prompts of a set that were registered with a version; None if none were."""
    return _read_artifact(name, version, f"evaluation/{dataset}.prompts.jsonl", QuestionPrompt)


def _read_artifact(name: str, version: str, path: str, row_type: type[R]) -> list[R] | None:
    text = files.read_text(files.artifact_repository(name, version), path)
    if text is None:
        return None
    try:
        return [row_type.model_validate_json(line) for line in text.split("\n") if line.strip()]
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise InputError(
            f"{name} version {version}: {path} is not as `sense publish` writes it ({problem}); publish again"
        ) from None
