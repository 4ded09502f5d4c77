"""The results of evaluate: EX of every model on every set, by hardness and complexity too, and shares of verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sense.records import HARDNESS, JudgedRow
from sense.report import charts, run_data, text
from sense.report.run_data import MODELS
from sense.sql.hardness import BANDS

MODEL_NAMES = {"base": "base", "sft": "SFT", "sense": "SENSE"}
_SECOND_STEPS = {
    "dpo": "preference learning (DPO) on pairs of executed samples",
    "rft": "fine-tuning on executed samples that are right (RFT)",
    "grpo": "reinforcement learning (GRPO), whose reward is what an executed answer is worth",
}
SET_NAMES = {"dev": "dev", "heldout": "held out"}
SET_DESCRIPTIONS = {"dev": "human-written questions", "heldout": "synthetic questions on databases that no training saw"}
_OWN_DESCRIPTION = "{who} questions on the databases of training, held out by {what}"  # databases of one's own
_WRITERS = {"dev": "human-written", "heldout": "synthetic"}
_FURTHER_DESCRIPTION = "questions of a further set"
_COPY_DESCRIPTION = "questions, a perturbed copy of {original}: {kind}"
_MEASURES = {"ex": "EX", "ts": "TS", "soft_f1": "soft F1"}  # of a scoring mode, in the order of the tables
_SOLE_MEASURE = {"strict-ts@1": "ts", "bird-f1@1": "soft_f1"}  # EX is that of strict@2, or nothing that anybody reports
# in the order of the page
VERDICTS = ("match", "match_on_main_database", "mismatch", "error", "rejected", "timeout", "too_large", "gold_error")
_SAMPLED_MODELS = {"weak": "The weak model", "sft": "The student (SFT)"}


class Share(NamedTuple):
    """A share (0..1) with its 95% interval."""

    value: float
    low: float
    high: float


class VoteResult(NamedTuple):
    """What the vote of `k` samples a question scores: EX, and pass@k, the share of questions with a right sample.

    `change`, `wins`, `losses` and `p_value` (McNemar's) compare it with the greedy answers of the same model. `right` is the
    share of samples that are right, `fell_back` the number of questions of which no sample ran: there the greedy answer counts.
    """

    k: int
    temperature: float
    ex: Share
    change: float
    wins: int
    losses: int
    p_value: float
    pass_at_k: Share
    right: float
    fell_back: int


class OriginalResult(NamedTuple):
    """EX on a perturbed set and on the same `n` questions of the set that it is a copy of; `change` is their difference (paired).

    `wins` questions are right on the perturbed set alone, `losses` on the original alone; `p_value` is McNemar's.
    """

    n: int
    ex: Share
    perturbed: Share
    change: Share
    wins: int
    losses: int
    p_value: float


@dataclass(frozen=True)
class ModelResult:
    """EX (0..1) of one model on the `n` questions of a set, with its 95% interval `low`..`high`; TS too, None without suites.

    `executable` is the share of answers that ran. `change` (of EX), `wins`, `losses` and `p_value` (McNemar's) compare the model
    with the one before it, and are None for the first. `modes` holds what scoring modes measure by (mode, measure), that of EX
    among them; it is empty if there is no further mode. `vote` is None if no samples voted, `original` if the set is no perturbed
    copy of another.
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
    modes: Mapping[tuple[str, str], Share] = field(default_factory=dict)
    vote: VoteResult | None = None
    original: OriginalResult | None = None


class DomainResult(NamedTuple):
    """EX of each model of a set, in their order, on the `n` questions of one domain; None for a model without them."""

    domain: str
    n: int
    ex: list[Share | None]


class LevelResult(NamedTuple):
    """EX of each model of a set, in their order, on the `n` questions of one level of hardness or band of complexity."""

    level: str
    n: int
    ex: list[float | None]


@dataclass(frozen=True)
class SetResults:
    """The results of all models on one set; `conclusion` is a sentence on the last model and the one before it.

    `too_long` is how many of its questions were longer than a model reads, `further` how many databases lie beside the main ones.
    `original` is the name of the set that it is a perturbed copy of, None if it is none. `held_out_by` is what its questions are
    held out by, '' if that is the database.
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
    domains: Sequence[DomainResult] = ()
    original: str | None = None
    held_out_by: str = ""

    @property
    def vote(self) -> VoteResult | None:
        """The vote of the first model that has one, for what all have in common: k and the temperature."""
        return next((result.vote for result in self.models if result.vote), None)


def set_results(evaluate: Mapping[str, Any]) -> list[SetResults]:
    """The results on each set in evaluate's metrics: in the order of `SETS`, then the further ones in theirs."""
    sets = evaluate.get("sets", {})
    highest = max(
        [metrics.get("ex_high", metrics["ex"]) for on_set in sets.values() for metrics in on_set["models"].values()], default=1.0
    )
    return [_set_results(name, sets[name], highest) for name in run_data.in_order(sets)]


def _description(name: str, held_out_by: str, perturbation: Mapping[str, str]) -> str:
    """What the questions of a set are; `held_out_by` is what they are held out by, where that is not the database.

    `perturbation` has the kind and the original of a perturbed copy, and is empty for other sets.
    """
    if perturbation:
        return _COPY_DESCRIPTION.format(original=set_title(perturbation["set"]), kind=perturbation["kind"])
    if held_out_by and name in _WRITERS:
        return _OWN_DESCRIPTION.format(who=_WRITERS[name], what=held_out_by)
    return SET_DESCRIPTIONS.get(name, _FURTHER_DESCRIPTION)


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
                modes=_modes(on_set.get("mode", ""), metrics),
                vote=_vote(metrics["ex"], metrics["vote"]) if "vote" in metrics else None,
                original=_original(metrics["original"]) if "original" in metrics else None,
            )
        )
    hardness = _level_results(on_set["models"], models, "hardness", HARDNESS)
    set_name = set_title(name)
    return SetResults(
        name=set_name,
        description=_description(name, on_set.get("held_out_by", ""), on_set.get("perturbation", {})),
        held_out_by=on_set.get("held_out_by", ""),
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
        domains=_domain_results(on_set["models"], models),
        original=set_title(on_set["perturbation"]["set"]) if "perturbation" in on_set else None,
    )


def second_step(method: str) -> str:
    """What `dpo.method` does, in words."""
    return _SECOND_STEPS.get(method, method)


def sampled_model(metrics: Mapping[str, Any]) -> str:
    """Which model the samples are from, at the start of a sentence; `metrics` are those of sample."""
    return _SAMPLED_MODELS.get(metrics.get("model", ""), "A model")


def set_title(name: str) -> str:
    """A set's name as a person reads it."""
    return SET_NAMES.get(name, name)


def mode_columns(results: Iterable[ModelResult]) -> list[tuple[str, str]]:
    """The columns (mode, measure) of a table of scoring modes, those of one mode side by side."""
    columns = list(dict.fromkeys(column for result in results for column in result.modes))
    modes = list(dict.fromkeys(mode for mode, _ in columns))
    return sorted(columns, key=lambda column: modes.index(column[0]))


def _share(metrics: Mapping[str, Any], measure: str) -> Share:
    return Share(metrics[measure], metrics[f"{measure}_low"], metrics[f"{measure}_high"])


def _modes(own_mode: str, metrics: Mapping[str, Any]) -> dict[tuple[str, str], Share]:
    """What each scoring mode measures, EX's own mode first; nothing if there is no further one."""
    by_mode = {own_mode: {key: metrics.get(key) for key in ("ex", "ex_low", "ex_high")}, **metrics.get("modes", {})}
    if len(by_mode) == 1:
        return {}
    return {
        (mode, label): _share(numbers, measure)
        for mode, numbers in by_mode.items()
        for measure, label in _MEASURES.items()
        if measure in numbers and _SOLE_MEASURE.get(mode, measure) == measure
    }


def _original(metrics: Mapping[str, Any]) -> OriginalResult:
    return OriginalResult(
        n=metrics["n"],
        ex=_share(metrics, "ex"),
        perturbed=_share(metrics, "perturbed_ex"),
        change=_share(metrics, "change"),
        wins=metrics["wins"],
        losses=metrics["losses"],
        p_value=metrics["mcnemar_p"],
    )


def _vote(greedy_ex: float, metrics: Mapping[str, Any]) -> VoteResult:
    return VoteResult(
        k=metrics["k"],
        temperature=metrics["temperature"],
        ex=_share(metrics, "ex"),
        change=metrics["ex"] - greedy_ex,
        wins=metrics["wins"],
        losses=metrics["losses"],
        p_value=metrics["mcnemar_p"],
        pass_at_k=_share(metrics, "pass_at_k"),
        right=metrics["right"],
        fell_back=metrics["fell_back"],
    )


def _domain_results(metrics: Mapping[str, Any], models: Sequence[ModelResult]) -> list[DomainResult]:
    """EX in each domain that a model has questions of, in the order of the metrics."""
    of_models = [metrics[result.model].get("domains", {}) for result in models]
    names = list(dict.fromkeys(name for domains in of_models for name in domains))
    return [
        DomainResult(
            name,
            max(domains.get(name, {}).get("n", 0) for domains in of_models),
            [_share(domains[name], "ex") if name in domains else None for domains in of_models],
        )
        for name in names
    ]


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


def verdict_name(row: JudgedRow) -> str:
    """The name in `VERDICTS` of a verdict: EX counts a match on the main database although a further one is wrong."""
    return "match_on_main_database" if row.ex and not row.correct else row.verdict


def verdict_shares(counts: Mapping[str, int]) -> list[VerdictShare]:
    """Counts of verdicts as shares of their sum, in the order of `VERDICTS`; those that do not occur are left out."""
    total = sum(counts.values()) or 1
    return [
        VerdictShare(verdict, text.humanize(verdict), counts[verdict], counts[verdict] / total)
        for verdict in VERDICTS
        if counts.get(verdict)
    ]
