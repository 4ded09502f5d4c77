"""The command `sense results`: EX of every model of the last run on every dev set, what was published, the report's path."""

import argparse
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sense import records


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
    """Prints the results; returns the exit code."""
    show(options.metrics, options.report)
    return 0


def show(metrics: Path, report: Path) -> None:
    """Prints the table of metrics/evaluate.json; InputError if no run has got that far."""
    out = Console()
    for name, found in records.read_json(metrics / "evaluate.json")["sets"].items():
        table = Table(box=SIMPLE_HEAD, title=f"Execution accuracy on {name} ({found['n']} questions)", title_justify="left")
        for column in ("model", "EX", "95% CI", "runs", "easy", "medium", "hard", "extra", "McNemar p"):
            table.add_column(column, justify="left" if column == "model" else "right", no_wrap=True)
        for model, row in found["models"].items():
            levels = [row["hardness"].get(level) for level in records.HARDNESS]
            table.add_row(
                model,
                f"{row['ex']:.1%}",
                f"{row['ex_low']:.1%}–{row['ex_high']:.1%}",
                f"{row['executable']:.1%}",
                *(f"{level['ex']:.1%}" if level else "-" for level in levels),
                "-" if row["mcnemar_p"] is None else f"{row['mcnemar_p']:.3g}",
            )
        out.print(table)
    if (metrics / "publish.json").is_file():
        published = records.read_json(metrics / "publish.json")
        out.print(
            f"MLflow: {published['model']} version {published['version']} is {published['alias']}: {published['reason']}",
            soft_wrap=True,
        )
    if report.is_file():
        out.print(f"Report: {report.resolve()}", soft_wrap=True, highlight=False)
