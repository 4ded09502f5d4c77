"""The command `sense results`: EX of every model of the last run on every dev set, what was published, the report's path."""

import argparse
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sense import records

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
    """Prints the results and returns the exit code; InputError if there is no evaluate.json in the folder of metrics."""
    out = Console()
    for set_name, on_set in records.read_json(options.metrics / "evaluate.json")["sets"].items():
        title = f"Execution accuracy on {set_name} ({on_set['n']} questions)"
        # 80 columns hold it: narrow padding, and no column for a level that no question has
        table = Table(
            box=SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 0, 0, 1), caption=CAPTION, caption_justify="left"
        )
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
    if (options.metrics / "publish.json").is_file():
        published = records.read_json(options.metrics / "publish.json")
        out.print(
            f"MLflow: {published['model']} version {published['version']} is {published['alias']}: {published['reason']}",
            soft_wrap=True,
        )
    if options.report.is_file():
        out.print(f"Report: {options.report.resolve()}", soft_wrap=True, highlight=False)
    return 0
