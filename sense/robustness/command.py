"""`sense perturb`: perturbed copies of a dataset folder, on which the robustness of models is measured."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from sense import console
from sense.config import ExecutionConfig
from sense.robustness.kinds import KINDS
from sense.robustness.perturb import Perturbation, perturb


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the flags."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a dataset folder; it stays as it is")
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=list(KINDS),
        default=list(KINDS),
        metavar="KIND",
        help="what is perturbed (default: all of them)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder; each kind gets a dataset folder in it")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random draws (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON on stdout, nothing else")
    kinds = "\n".join(f"  {name:22}{kind.help}" for name, kind in KINDS.items())
    parser.epilog = (
        f"kinds:\n{kinds}\n\nexample:\n  sense perturb --data data/dev --kinds columns-synonym question-typos --out data/robust"
    )


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    console.quiet(options.json)
    kinds = list(dict.fromkeys(options.kinds))
    results = perturb(options.data, kinds, options.out, options.seed, ExecutionConfig())
    if options.json:
        print(json.dumps({kind: result.counts for kind, result in results.items()}))
    else:
        _print(results, options.out)
    return 0


def _print(results: Mapping[str, Perturbation], out: Path) -> None:
    """The table of rows and dropped rows by kind, and what to write into params.yaml."""
    width = max(map(len, results))
    print(f"{'kind':{width}}  {'rows':>6}  {'dropped':>7}")
    for kind, result in results.items():
        reasons = ", ".join(f"{count} {reason}" for reason, count in result.dropped.most_common())
        print(f"{kind:{width}}  {result.rows:>6}  {result.dropped.total():>7}{'  ' if reasons else ''}{reasons}")
    folders = {kind: (out / kind).as_posix() for kind, result in results.items() if result.rows}
    compared = [f"    - {folder}" for folder in folders.values()]
    evaluated = [f"    {kind}: {folder}" for kind, folder in folders.items()]
    print("\nto evaluate on them, write into params.yaml (training data are compared with the sets that they are evaluated on):")
    print("\n".join(["synthesize:", "  decontaminate:", *compared, "evaluate:", "  sets:", *evaluated]))
