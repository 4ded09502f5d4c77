"""The command `sense results`: EX of every model of the last run on every set, cost, what was published, the report's path."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sense import records
from sense.report import costs, results, run_data, text

CAPTION = "p: McNemar's test against the model above"


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the flags."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--metrics", type=Path, default=Path("metrics"), metavar="PATH", help="folder of metrics, default: metrics"
    )
    parser.add_argument(
        "--report", type=Path, default=Path("report/index.html"), metavar="PATH", help="default: report/index.html"
    )
    parser.epilog = "example:\n  sense results"


def main(options: argparse.Namespace) -> int:
    """Prints the results and returns the exit code; InputError if evaluate.json is missing or holds no results."""
    out = Console()
    for set_name, on_set in run_data.read_evaluation(options.metrics / "evaluate.json")["sets"].items():
        title = f"Execution accuracy on {set_name} ({on_set['n']} questions)"
        table = _table(title, CAPTION)  # without a column for a level that no question has
        suite = ("TS",) if "suite" in on_set else ()
        levels = [level for level in records.HARDNESS if any(level in model["hardness"] for model in on_set["models"].values())]
        for column in ("model", "EX", "95% CI", *suite, "runs", *levels, "p"):
            table.add_column(column, justify="left" if column == "model" else "right", no_wrap=True)
        for model, metrics in on_set["models"].items():
            on_levels = [metrics["hardness"].get(level) for level in levels]
            table.add_row(
                model,
                f"{metrics['ex']:.1%}",
                f"{metrics['ex_low']:.1%}–{metrics['ex_high']:.1%}",
                *(f"{metrics['ts']:.1%}" for _ in suite),
                f"{metrics['executable']:.1%}",
                *(f"{level['ex']:.1%}" if level else "-" for level in on_levels),
                "-" if metrics["mcnemar_p"] is None else f"{metrics['mcnemar_p']:.2g}",
            )
        out.print(table)
        _print_further(out, set_name, on_set)
    _print_costs(out, costs.read(options.metrics, options.report if options.report.is_file() else None))
    if (options.metrics / "publish.json").is_file():
        published = records.read_json(options.metrics / "publish.json")
        out.print(
            f"MLflow: {published['model']} version {published['version']} is {published['alias']}: {published['reason']}",
            soft_wrap=True,
        )
    if options.report.is_file():
        out.print(f"Report: {options.report.resolve()}", soft_wrap=True, highlight=False)
    return 0


def _print_costs(out: Console, cost: costs.RunCost) -> None:
    """What the stages have cost, as far as it is recorded here."""
    if cost.total is None:
        out.print("Cost: not recorded here (it is where the stages ran)", soft_wrap=True, highlight=False)
        return
    table = _table("Cost")
    for head in costs.columns(cost):
        table.add_column(head, justify="left" if head in ("stage", "tokens") else "right", no_wrap=head != "tokens")
    for cells in costs.rows(cost, compact=True):
        table.add_row(*cells)
    out.print(table)
    for line in (costs.conclusion(cost), *costs.notes(cost)):
        out.print(line, soft_wrap=True, highlight=False)


def _print_further(out: Console, set_name: str, on_set: Mapping[str, Any]) -> None:
    """What further scoring modes, the vote and the original of a perturbed set say of the models, as far as there are any."""
    keys = {"modes", "vote", "original"}
    if not any(keys & metrics.keys() for metrics in on_set["models"].values()):
        return
    [result] = results.set_results({"sets": {set_name: on_set}})
    models = result.models
    columns = results.mode_columns(models)
    if columns:
        table = _table(f"The same predictions on {set_name} under several scoring modes")
        table.add_column("model", no_wrap=True)
        for mode, measure in columns:
            name, _, version = mode.partition("@")
            table.add_column(f"{name}\n@{version} {measure}", justify="right")  # in two lines: 80 columns hold it
        for model in models:
            shares = [model.modes.get(column) for column in columns]
            table.add_row(model.model, *(text.percent(share.value) if share else "-" for share in shares))
        out.print(table)
    votes = [(model, model.vote) for model in models if model.vote is not None]
    if votes:
        table = _table(f"The vote of {votes[0][1].k} samples on {set_name}", "p: McNemar's test against greedy of the same model")
        for column in ("model", "greedy", "vote", "95% CI", "p", "pass@k", "95% CI"):
            table.add_column(column, justify="left" if column == "model" else "right", no_wrap=True)
        for model, vote in votes:
            table.add_row(
                model.model,
                f"{model.ex:.1%}",
                f"{vote.ex.value:.1%}",
                f"{vote.ex.low:.1%}–{vote.ex.high:.1%}",
                f"{vote.p_value:.2g}",
                f"{vote.pass_at_k.value:.1%}",
                f"{vote.pass_at_k.low:.1%}–{vote.pass_at_k.high:.1%}",
            )
        out.print(table)
    compared = [(model, model.original) for model in models if model.original is not None]
    if compared:
        title = f"{set_name} against the same {compared[0][1].n} questions of {result.original}"
        table = _table(title, "change in points, paired; p: McNemar's test")
        for column in ("model", "original", "perturbed", "change", "95% CI", "p"):
            table.add_column(column, justify="left" if column == "model" else "right", no_wrap=True)
        for model, original in compared:
            table.add_row(
                model.model,
                f"{original.ex.value:.1%}",
                f"{original.perturbed.value:.1%}",
                text.percentage_points(original.change.value),
                f"{text.percentage_points(original.change.low)} to {text.percentage_points(original.change.high)}",
                f"{original.p_value:.2g}",
            )
        out.print(table)


def _table(title: str, caption: str | None = None) -> Table:
    """A table that 80 columns hold: with narrow padding."""
    return Table(
        box=SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 0, 0, 1), caption=caption, caption_justify="left"
    )
