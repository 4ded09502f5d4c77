"""`sense ablate`: trains and evaluates the arms of an ablation and writes its table."""

import argparse
import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sense import config, console, records
from sense.ablation import arms, table
from sense.ablation.arms import Arm
from sense.ablation.runs import Runs
from sense.errors import UserError


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the flags."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--arms",
        nargs="*",
        metavar="ARM",
        default=[arm.name for arm in arms.ARMS],
        help="built-in arms; default: all",
    )
    parser.add_argument(
        "--with",
        dest="custom",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "KEY=VALUE"),
        help="one more arm: a name, and keys of params.yaml that it changes; may be repeated",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="default: params.yaml")
    parser.add_argument("--out", type=Path, default=Path("ablation"), metavar="DIR", help="written to; default: ablation")
    parser.add_argument("--json", action="store_true", help="print the table as JSON on stdout, nothing else")
    lines = "\n".join(f"  {arm.name:<16} {arm.effect}" for arm in arms.ARMS)
    example = "sense ablate --arms human strong weak --with beta-0.3 dpo.beta=0.3 --seeds 0 1 2"
    parser.epilog = f"arms:\n{lines}\n\nexample:\n  {example}"


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    console.quiet(options.json)
    chosen = [*arms.named(options.arms), *map(arms.custom, options.custom)]
    names = [arm.name for arm in chosen]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"the arm {repeated[0]} is there twice; give one of them another name")
    if not chosen:
        raise UserError("there is no arm; name some by --arms or --with")
    seeds = list(dict.fromkeys(options.seeds))
    rows = ablate(config.load(options.params), chosen, seeds, options.out)
    if options.json:
        print(json.dumps(rows))
    else:
        _print(rows, seeds)
        print(f"table: {options.out / 'ablation.md'}")
    return 0


def ablate(params: config.Params, chosen: Sequence[Arm], seeds: Sequence[int], out: Path) -> list[dict[str, Any]]:
    """Runs every arm with every seed and writes ablation.json and ablation.md into `out`; returns the rows of the table.

    All runs in MLflow are children of one, `ablation`, which has the figures and the table.
    """
    from sense import tracking

    for arm, seed in itertools.product(chosen, seeds):
        arms.settings(params, arm, seed)  # what is wrong ends the command before hours of training
    key = hashlib.sha256(json.dumps([params.model_dump(mode="json"), [repr(arm) for arm in chosen], seeds]).encode()).hexdigest()
    with tracking.parent_run("ablation", key, {"arms": ", ".join(arm.name for arm in chosen), "seeds": str(seeds)}) as parent:
        runs = Runs(out)
        results = []
        for number, arm in enumerate(chosen, 1):
            for seed in seeds:
                console.say(f"arm {number} of {len(chosen)}: {arm.name} ({arm.effect}), seed {seed}")
                results.append(runs.arm(params, arm, seed))
        rows = table.rows(results)
        text = table.markdown(rows, seeds)
        records.write_json(out / "ablation.json", {"seeds": list(seeds), "rows": rows})
        records.write_text(out / "ablation.md", text)
        parent.log_text(text, "ablation.md")
        parent.finish({row["arm"]: {name: {"ex": values["ex"]} for name, values in row["sets"].items()} for row in rows})
    return rows


def _print(rows: Sequence[dict[str, Any]], seeds: Sequence[int]) -> None:
    terminal = Console()
    for on_set, first in rows[0]["sets"].items():
        shape = Table(title=f"{on_set}: {first['n']:,} questions, seeds {', '.join(map(str, seeds))}", title_justify="left")
        for column in ("arm", "", "EX", "95% interval", "by seed", "TS", "gain", "McNemar p"):
            shape.add_column(column)
        for row in rows:
            shape.add_row(*table.cells(row, on_set))
        terminal.print(shape)
