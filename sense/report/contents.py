"""What the page shows of data and predictions: counts as bars, hardness, classes of errors, and examples to read.

Examples are drawn with a seed, so that the same run gives the same page.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sense import records
from sense.records import HARDNESS, Example, JudgedRow
from sense.report import text
from sense.report.results import MODEL_NAMES, set_title
from sense.report.run_data import MODELS, RunData, ScoredPrediction
from sense.sql.difference import Piece, exact_pieces
from sense.sql.error_class import error_class
from sense.sql.hardness import BANDS

_MAX_DOMAINS = 12


@dataclass(frozen=True)
class CountBar:
    """A count as a row of a bar chart.

    `length` is the bar's, as a share (0..1) of the longest one's. `percentage` is the count as a share of all, as text; it may
    be empty. `color` is the name of a colour in style.css.
    """

    name: str
    n: int
    length: float
    percentage: str
    color: str


def bars(counts: Mapping[str, int], total: int | None) -> list[CountBar]:
    """Counts as bars, the largest first, each with its share of `total`, if there is one."""
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    largest = max([*counts.values(), 1])
    return [CountBar(text.humanize(name), n, n / largest, text.percent(n / total) if total else "", "data") for name, n in rows]


def funnel(counts: Mapping[str, Any]) -> list[CountBar]:
    """How many examples were asked for, dropped for each reason, and kept: all as shares of those asked for."""
    asked = counts.get("asked", 0) or 1
    reasons = sorted(counts.get("dropped", {}).items(), key=lambda item: (-item[1], item[0]))
    dropped = [(text.humanize(name), n, "dropped") for name, n in reasons]
    rows = [("asked", asked, "asked"), *dropped, ("kept", counts.get("kept", 0), "kept")]
    return [CountBar(name, n, min(1.0, n / asked), text.percent(n / asked), color) for name, n, color in rows]


def teacher(metrics: Mapping[str, Any]) -> str:
    """Who wrote the strong data: the grammar, or an LLM and its name."""
    name, model = str(metrics.get("teacher", "")), metrics.get("model")
    return f"the LLM {model}" if model else {"grammar": "the grammar", "llm": "an LLM"}.get(name, name)


def repairs(counts: Mapping[str, Any]) -> str:
    """How many drafts of a funnel were repaired, as a sentence; '' if none was."""
    repaired = counts.get("repairs", {})
    if not repaired:
        return ""
    asked, kept = text.number(repaired["asked"]), text.number(repaired["kept"])
    return f"Drafts whose fault the teacher was told, and which it wrote once more: {asked}; kept of these: {kept}."


def teacher_rows(teachers: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, int, int, int]]:
    """(name, examples wanted, drafts asked, examples kept) of each of several teachers."""
    return [(name, part["wanted"], part["asked"], part["kept"]) for name, part in teachers.items()]


def quota_rows(quotas: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[tuple[str, str, int, int]]:
    """(kind, name, asked, kept) of each level, feature of SQL and style that an LLM was asked for, or that was kept."""
    return [
        (kind, name, counts["asked"], counts["kept"])
        for kind, names in quotas.items()
        for name, counts in names.items()
        if counts["asked"] or counts["kept"]
    ]


def agreement_sentence(counts: Mapping[str, Any]) -> str:
    """How many examples the LLM's own answers did not confirm, and where they are; empty if none was to be confirmed."""
    if not counts:
        return ""
    apart = counts["hard"] + counts["ambiguous"]
    if not apart:
        return "The LLM's own answers confirm every example that it was asked about."
    hard, ambiguous = text.number(counts["hard"]), text.number(counts["ambiguous"])
    return (
        f"{text.number(apart)} examples are set apart, as the LLM's own answers do not confirm them: {hard} hard and {ambiguous} "
        f"ambiguous, in data/{counts['folder']}, for a person to look at."
    )


def domains(counts: Mapping[str, int]) -> list[CountBar]:
    """The commonest domains, and the rest as one bar."""
    rows = bars(counts, sum(counts.values()))
    if len(rows) <= _MAX_DOMAINS:
        return rows
    rest = sum(row.n for row in rows[_MAX_DOMAINS:])
    percentage = text.percent(rest / sum(counts.values()))
    return [
        *rows[:_MAX_DOMAINS],
        CountBar(f"{len(rows) - _MAX_DOMAINS} more", rest, min(1.0, rest / rows[0].n), percentage, "rest"),
    ]


def hardness_rows(asked: Mapping[str, int], kept: Mapping[str, int]) -> list[tuple[str, int, int, float, float]]:
    """(level, asked, kept, share of all asked, share of all kept) for each level of hardness."""
    all_asked, all_kept = sum(asked.values()) or 1, sum(kept.values()) or 1
    counts = [(level, asked.get(level, 0), kept.get(level, 0)) for level in HARDNESS]
    return [(level, before, after, before / all_asked, after / all_kept) for level, before, after in counts]


def false_right_rows(measured: Mapping[str, Any]) -> list[tuple[str, int, int, float]]:
    """(kind, mutants, those that gave the gold's result, their share): for each level of hardness, then by further databases.

    `measured` is the `false_right` of synthesize's metrics.
    """
    levels = [(level, measured.get("by_hardness", {}).get(level)) for level in HARDNESS]
    instances = measured.get("by_instances", {})
    numbers = [(_databases(int(number)), instances[number]) for number in sorted(instances, key=int)]
    return [(name, counts["mutants"], counts["survived"], counts["rate"]) for name, counts in [*levels, *numbers] if counts]


def _databases(further: int) -> str:
    return "the main database alone" if further == 0 else f"with {further} further database{'s' if further > 1 else ''}"


def complexity_bands(counts: Mapping[str, int]) -> list[CountBar]:
    """How many examples are in each band of complexity, the simplest first."""
    total, largest = sum(counts.values()) or 1, max([*counts.values(), 1])
    rows = [(band, counts.get(band, 0)) for band in BANDS]
    return [CountBar(band, n, n / largest, text.percent(n / total), "data") for band, n in rows]


def count_error_classes(answers: Iterable[tuple[str, str, JudgedRow]]) -> Counter[str]:
    """How many answers that EX counts as wrong, given as (gold, SQL, verdict), are of each class; without those not asked for."""
    return Counter(
        error_class(gold, sql, row.verdict, row.detail)
        for gold, sql, row in answers
        if not row.ex and row.verdict != "gold_error" and row.limit != "context"
    )


def strong_examples(run: RunData, seed: int, n: int = 3) -> list[Example]:
    """`n` strong examples, drawn with `seed`."""
    return records.draw(run.strong, n, f"{seed}-strong")


@dataclass(frozen=True)
class PairDifference:
    """A preference pair whose two SQL texts are cut where they differ; `error` says what is wrong with the rejected one."""

    question: str
    chosen: list[Piece]
    rejected: list[Piece]
    error: str


def pair_differences(run: RunData, seed: int, n: int = 3) -> list[PairDifference]:
    """`n` pairs, drawn with `seed`, in the order of the file."""
    differences = []
    for pair in records.draw(run.pairs, n, f"{seed}-pairs"):
        chosen, rejected = exact_pieces(text.printable(pair.chosen), text.printable(pair.rejected))
        question = run.unseen[pair.example_id].question
        source = "a mutant of the gold" if pair.source == "mutant" else ""
        error = ", ".join(part for part in (text.humanize(pair.error), pair.error_class, source) if part)
        differences.append(PairDifference(question, chosen, rejected, error))
    return differences


# Which models are right, the most interesting outcome first. The keys name colours in style.css.
OUTCOMES = {
    "gained": "SENSE right, SFT wrong",
    "lost": "SENSE wrong, SFT right",
    "taught": "SFT and SENSE right, base wrong",
    "forgotten": "base right, SFT and SENSE wrong",
    "none": "all wrong",
    "all": "all right",
}


@dataclass(frozen=True)
class ModelComparison:
    """A question with every model's prediction; `predictions` are (model, the model's name as shown, prediction)."""

    outcome: str
    title: str
    set_name: str
    example: Example
    predictions: list[tuple[str, str, ScoredPrediction]]


def compare_models(run: RunData, seed: int, n: int) -> list[ModelComparison]:
    """At most `n` questions that every model answered, grouped by outcome: which models EX counts as right.

    They are taken in turns, one of each outcome, as long as there are any; within an outcome `seed` shuffles them.
    """
    by_outcome: dict[str, list[ModelComparison]] = {outcome: [] for outcome in OUTCOMES}
    for name, questions in run.questions.items():
        for key, example in questions.items():
            if all(key in run.predictions[name][model] for model in MODELS):
                predictions = [(model, MODEL_NAMES[model], run.predictions[name][model][key]) for model in MODELS]
                outcome = _outcome(*(prediction.verdict.ex for *_, prediction in predictions))
                by_outcome[outcome].append(ModelComparison(outcome, OUTCOMES[outcome], set_title(name), example, predictions))
    for outcome, comparisons in by_outcome.items():
        random.Random(f"{seed}-cases-{outcome}").shuffle(comparisons)
    turns = [(turn, outcome) for turn in range(n) for outcome in OUTCOMES if turn < len(by_outcome[outcome])]
    n_of = Counter(outcome for _, outcome in turns[:n])
    return [comparison for outcome in OUTCOMES for comparison in by_outcome[outcome][: n_of[outcome]]]


def _outcome(base: bool, sft: bool, sense: bool) -> str:
    """The key in `OUTCOMES` for which models are right."""
    if sft != sense:
        return "gained" if sense else "lost"
    if base != sft:
        return "taught" if sft else "forgotten"
    return "all" if base else "none"
