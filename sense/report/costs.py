"""What a run has cost, stage by stage, and EX gained for an hour: as a page beside the report, on the terminal, and as Markdown.

Seconds and memory differ from run to run, so none of this is in the report's page, which is the same in every run.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from sense import templates
from sense.cost import record, usage
from sense.cost.record import Cost
from sense.report.run_data import METRICS, read_evaluation

PAGE = "cost.html"
"""The page's file, in the report's folder."""

UNTIL_EX = METRICS[: METRICS.index("evaluate") + 1]
"""The sections whose stages lead to EX; publish and report add nothing to it."""

_GAIN_SET = "heldout"
_TOKEN_NAMES = dict(
    zip(usage.TOKENS, ("trained", "generated", "teacher read", "of these from its cache", "teacher wrote"), strict=True)
)
_GIB = 2**30
_HOUR_S = 3600
NOT_RECORDED = "not recorded"


class StageCost(NamedTuple):
    """A section of params.yaml whose stage has run, and what that has cost; None if it is not recorded here."""

    section: str
    cost: Cost | None


@dataclass(frozen=True)
class RunCost:
    """The costs of a run's stages.

    `gain` is by how many points of EX SENSE is above the base on held-out questions, None without an evaluation. `hours` are the
    sum of those of the stages up to evaluate, None if one of them is not recorded.
    """

    stages: Sequence[StageCost]
    gain: float | None
    hours: float | None

    @property
    def total(self) -> Cost | None:
        """The sum of what is recorded."""
        return record.total(stage.cost for stage in self.stages)

    @property
    def missing(self) -> list[str]:
        """The sections without a record."""
        return [stage.section for stage in self.stages if stage.cost is None]

    @property
    def gain_per_hour(self) -> float | None:
        """Points of EX for an hour; None where one of the two is not known."""
        return self.gain / self.hours if self.gain is not None and self.hours else None


def read(metrics: Path, report: Path | None = None) -> RunCost:
    """The costs of the results in a folder of metrics, and of the page `report`.

    A section without a file of metrics has not run, and is left out.
    """
    files = [(name, metrics / f"{name}.json") for name in METRICS if (metrics / f"{name}.json").is_file()]
    stages = [StageCost(name, _recorded(name, file)) for name, file in files]
    if report is not None:
        stages.append(StageCost("report", record.read("report", report)))
    evaluation = metrics / "evaluate.json"
    return of_stages(stages, read_evaluation(evaluation) if evaluation.is_file() else {})


def read_until_ex(evaluation: Path) -> RunCost:
    """The costs of all that led to evaluate's metrics in the file `evaluation`; the other sections' lie beside it."""
    files = {name: evaluation if name == "evaluate" else evaluation.with_name(f"{name}.json") for name in UNTIL_EX}
    stages = [StageCost(name, _recorded(name, file)) for name, file in files.items()]
    return of_stages(stages, read_evaluation(evaluation))


def _recorded(section: str, file: Path) -> Cost | None:
    return record.read("sft" if section == "weak" else section, file)


def of_stages(stages: Sequence[StageCost], evaluate: Mapping[str, Any]) -> RunCost:
    """The costs with what was gained by evaluate's metrics."""
    models = evaluate.get("sets", {}).get(_GAIN_SET, {}).get("models", {})
    has_both = "ex" in models.get("base", {}) and "ex" in models.get("sense", {})
    until_ex = [stage.cost for stage in stages if stage.section in UNTIL_EX]
    durations = [cost.wall_s for cost in until_ex if cost is not None]
    return RunCost(
        stages,
        100 * (models["sense"]["ex"] - models["base"]["ex"]) if has_both else None,
        sum(durations) / _HOUR_S if durations and len(durations) == len(until_ex) else None,
    )


def from_numbers(numbers: Mapping[str, Mapping[str, Any]], evaluate: Mapping[str, Any]) -> RunCost:
    """The costs among the numbers that Kubeflow keeps with each section's metrics, by section."""
    return of_stages([StageCost(name, record.from_numbers(row)) for name, row in numbers.items()], evaluate)


def columns(cost: RunCost) -> list[str]:
    """The heads of the table: those of GPUs and money only where there were any."""
    costs = [stage.cost for stage in cost.stages if stage.cost is not None]
    gpu = ["GPU s", "GPU GiB"] if any(one.gpu_s for one in costs) else []
    money = ["money"] if any(one.money is not None for one in costs) else []
    return ["stage", "s", "CPU s", *gpu[:1], "GiB", *gpu[1:], "tokens", *money]


def rows(cost: RunCost, compact: bool = False) -> list[list[str]]:
    """The cells of the table, a row for each stage, and the sum in the last; `compact` ones have tokens as 1.2M, and lines."""
    heads = columns(cost)
    named = [(_name(stage, "\n" if compact else " "), stage.cost) for stage in cost.stages]
    return [_cells(name, one, heads, compact) for name, one in [*named, ("all", cost.total)]]


def _name(stage: StageCost, separator: str) -> str:
    tries = 1 if stage.cost is None else stage.cost.tries
    return stage.section if tries == 1 else f"{stage.section}{separator}({tries} tries)"


def _cells(name: str, cost: Cost | None, heads: Sequence[str], compact: bool) -> list[str]:
    if cost is None:
        return [name, NOT_RECORDED, *("–" for _ in heads[2:])]
    at_least = "" if cost.complete else "≥"
    tokens = [f"{_short(n) if compact else f'{n:,}'} {_TOKEN_NAMES.get(kind, kind)}" for kind, n in cost.tokens.items() if n]
    values = {
        "stage": name,
        "s": at_least + seconds(cost.wall_s),
        "CPU s": at_least + seconds(cost.cpu_s),
        "GPU s": at_least + seconds(cost.gpu_s),
        "GiB": f"{cost.peak_bytes / _GIB:.2f}",
        "GPU GiB": "–" if cost.peak_gpu_bytes is None else f"{cost.peak_gpu_bytes / _GIB:.2f}",
        "tokens": at_least + ("\n" if compact else ", ").join(tokens) if tokens else "–",
        "money": "–" if cost.money is None else f"{at_least}{cost.money:,.2f}",
    }
    return [values[head] for head in heads]


def _short(n: int) -> str:
    """A count in at most five characters and its unit."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if n >= size:
            return f"{n / size:.1f}{unit}"
    return str(n)


def seconds(duration: float) -> str:
    """Seconds, with one digit after the point where they are few."""
    return f"{duration:,.1f}" if duration < 100 else f"{duration:,.0f}"


def conclusion(cost: RunCost) -> str:
    """What was gained for an hour, as a sentence, or why that is not known."""
    if cost.gain is None:
        return "EX for an hour: not known, as no model was evaluated on heldout."
    gain = f"{cost.gain:+.1f} points of EX on heldout (SENSE against the base)"
    if cost.gain_per_hour is None or cost.hours is None:
        return f"EX for an hour: not known. {gain}, but not every stage up to evaluate is recorded."
    until_ex = record.total(stage.cost for stage in cost.stages if stage.section in UNTIL_EX)
    is_complete = until_ex is None or until_ex.complete
    hours = f"{'' if is_complete else 'at least '}{cost.hours:.2f} hours"
    bound = "" if is_complete else "at most " if cost.gain >= 0 else "at least "  # more hours bring the rate nearer to 0
    return (
        f"EX for an hour: {bound}{cost.gain_per_hour:+.2f} points. {gain} in {hours}: the stages up to evaluate, one after the "
        "other."
    )


def notes(cost: RunCost) -> list[str]:
    """What a reader has to know of the numbers, as far as it applies."""
    present = [stage.cost for stage in cost.stages if stage.cost is not None]
    lines = ["s: seconds by the clock. CPU s: of the processes of the stage. GiB: the most memory that one of them had."]
    if any(one.gpu_s for one in present):
        lines.append(
            "GPU s: seconds of the stage for each GPU that it computed on. GPU GiB: the most that PyTorch held in one process."
        )
    if any(not one.complete for one in present):
        lines.append("≥: more than that, as a try was killed and its last seconds are lost, or a server did not count tokens.")
    if cost.missing:
        lines.append(f"Not recorded here, and in no sum: {', '.join(cost.missing)}.")
    return lines


def markdown_table(cost: RunCost) -> str:
    """The table in Markdown; nothing in it is written by anybody but SENSE."""
    heads = columns(cost)
    lines: Iterable[Sequence[str]] = (heads, *rows(cost))
    head, *body = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join([head, f"|---{'|---:' * (len(heads) - 1)}|", *body])


def markdown(cost: RunCost) -> str:
    """Table, gain and notes in Markdown; one sentence if nothing is recorded."""
    if cost.total is None:
        return "Not recorded where this was written.\n"
    return "\n\n".join([markdown_table(cost), conclusion(cost), *notes(cost)]) + "\n"


def page(cost: RunCost) -> str:
    """The page as HTML that loads nothing from elsewhere."""
    folder = Path(__file__).parent
    template = templates.environment(folder, autoescape=True).get_template("cost.html.j2")
    html = template.render(
        css=Markup((folder / "style.css").read_text(encoding="utf-8")),  # noqa: S704  (our own file)
        heads=columns(cost),
        rows=rows(cost),
        recorded=cost.total is not None,
        conclusion=conclusion(cost),
        notes=notes(cost),
    )
    return f"{html}\n"
