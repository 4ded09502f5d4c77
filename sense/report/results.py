"""The results of evaluate: EX of every model on every set, by hardness and complexity too, and shares of verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sense.records import HARDNESS
from sense.report import charts, text
from sense.report.run_data import MODELS, SETS
from sense.sql.hardness import BANDS

MODEL_NAMES = {"base": "base", "sft": "SFT", "sense": "SENSE"}
SET_NAMES = {"dev": "dev", "heldout": "held out"}
SET_DESCRIPTIONS = {"dev": "human-written questions", "heldout": "synthetic questions on databases that no training saw"}
VERDICTS = ("match", "mismatch", "error", "rejected", "timeout", "too_large", "gold_error")  # in the order of the page


@dataclass(frozen=True)
class ModelResult:
    """EX (0..1) of one model on the `n` questions of a set, with its 95% interval `low`..`high`; TS too, None without suites.

    `executable` is the share of answers that ran. `change` (of EX), `wins`, `losses` and `p_value` (McNemar's) compare the model
    with the one before it, and are None for the first.
    """

    model: str
    name: str
    n: int
    ex: float
    low: float
    high: float
    executable: float | None
    change: float | None
    wins: int | None
    losses: int | None
    p_value: float | None
    ts: float | None = None
    ts_low: float | None = None
    ts_high: float | None = None


class LevelResult(NamedTuple):
    """EX of each model of a set, in their order, on the `n` questions of one level of hardness or band of complexity."""

    level: str
    n: int
    ex: list[float | None]


@dataclass(frozen=True)
class SetResults:
    """The results of all models on one set; `conclusion` is a sentence on the last model and the one before it.

    `too_long` is how many of its questions were longer than a model reads, `further` how many databases lie beside the main ones.
    """

    name: str
    description: str
    n: int
    digest: str
    models: list[ModelResult]
    chart: charts.Chart
    hardness_chart: charts.Chart | None
    hardness: list[LevelResult]
    complexity: list[LevelResult]
    conclusion: str
    too_long: int
    further: int = 0


def set_results(evaluate: Mapping[str, Any]) -> list[SetResults]:
    """The results on each set in evaluate's metrics, in the order of `SETS`."""
    sets = evaluate.get("sets", {})
    highest = max(
        [metrics.get("ex_high", metrics["ex"]) for on_set in sets.values() for metrics in on_set["models"].values()], default=1.0
    )
    return [_set_results(name, sets[name], highest) for name in SETS if name in sets]


def _set_results(name: str, on_set: Mapping[str, Any], highest: float) -> SetResults:
    """The results on one set; `highest` is the highest share in all sets, so that their charts have one scale."""
    models: list[ModelResult] = []
    for model in (model for model in MODELS if model in on_set["models"]):
        metrics = on_set["models"][model]
        models.append(
            ModelResult(
                model=model,
                name=MODEL_NAMES[model],
                n=metrics["n"],
                ex=metrics["ex"],
                low=metrics.get("ex_low", metrics["ex"]),
                high=metrics.get("ex_high", metrics["ex"]),
                executable=metrics.get("executable"),
                change=metrics["ex"] - models[-1].ex if models else None,
                wins=metrics.get("wins"),
                losses=metrics.get("losses"),
                p_value=metrics.get("mcnemar_p"),
                ts=metrics.get("ts"),
                ts_low=metrics.get("ts_low"),
                ts_high=metrics.get("ts_high"),
            )
        )
    hardness = _level_results(on_set["models"], models, "hardness", HARDNESS)
    set_name = SET_NAMES[name]
    return SetResults(
        name=set_name,
        description=SET_DESCRIPTIONS[name],
        n=on_set["n"],
        digest=str(on_set.get("digest", "")),
        models=models,
        chart=charts.interval_chart(f"EX on {set_name}", [(m.model, m.name, m.ex, m.low, m.high) for m in models], highest),
        hardness_chart=_level_chart(f"EX by hardness, {set_name}", models, hardness) if hardness else None,
        hardness=hardness,
        complexity=_level_results(on_set["models"], models, "complexity", BANDS),
        conclusion=_conclusion(models[-1], models[-2]) if len(models) > 1 else "",
        too_long=max((metrics.get("too_long", 0) for metrics in on_set["models"].values()), default=0),
        further=on_set.get("suite", {}).get("databases", 0),
    )


def _level_results(
    metrics: Mapping[str, Any], models: Sequence[ModelResult], measure: str, levels: Sequence[str]
) -> list[LevelResult]:
    """EX on each of the levels that occur; `measure` is "hardness" or "complexity", the key in each model's metrics."""
    by_level = {level: [metrics[result.model].get(measure, {}).get(level, {}) for result in models] for level in levels}
    return [
        LevelResult(level, max(cell.get("n", 0) for cell in cells), [cell.get("ex") for cell in cells])
        for level, cells in by_level.items()
        if any(cells)
    ]


def _level_chart(title: str, models: Sequence[ModelResult], levels: Sequence[LevelResult]) -> charts.Chart:
    rows = [(result.model, result.name, [level.ex[index] for level in levels]) for index, result in enumerate(models)]
    return charts.column_chart(title, [level.level for level in levels], rows)


def _conclusion(last: ModelResult, before: ModelResult) -> str:
    """How the last model compares with the one before it, and whether chance explains the difference."""
    distance = text.percentage_points(last.change).lstrip("+−")
    if distance == "0.0":
        comparison = f"{last.name} and {before.name} are level"
    else:
        comparison = f"{last.name} is {distance} points {'above' if (last.change or 0) > 0 else 'below'} {before.name}"
    if last.p_value is None:
        return f"{comparison}."
    p = text.p_value(last.p_value)
    p = p if p.startswith("<") else f"= {p}"
    significance = "more than chance explains" if last.p_value < 0.05 else "no more than chance explains"
    return f"{comparison}: {last.wins} questions won and {last.losses} lost (McNemar p {p}), {significance}."


@dataclass(frozen=True)
class VerdictShare:
    """How many answers have a verdict; `share` (0..1) of all. `color` is the verdict, `name` the same in words."""

    color: str
    name: str
    n: int
    share: float


def verdict_shares(counts: Mapping[str, int]) -> list[VerdictShare]:
    """Counts of verdicts as shares of their sum, in the order of `VERDICTS`; those that do not occur are left out."""
    total = sum(counts.values()) or 1
    return [
        VerdictShare(verdict, text.humanize(verdict), counts[verdict], counts[verdict] / total)
        for verdict in VERDICTS
        if counts.get(verdict)
    ]
