"""The command `sense score`: predictions of any model, judged by the gold."""

import argparse
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

from sense import console
from sense.sql.modes import MODES, STRICT


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the flags."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for name, help_text in (
        ("databases", "folder of <db_id>/<db_id>.sqlite"),
        ("examples", 'the gold, JSONL: {"id", "db_id", "sql"} a line'),
        ("predictions", 'JSONL: {"id", "sql"} a line, and "example_id" where an example has several'),
        ("output", "verdicts, JSONL: a line for every prediction and mode"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="PATH", help=help_text)
    help_mode = f"one of those below, may be repeated; default: {STRICT}"
    parser.add_argument("--mode", action="append", choices=MODES, metavar="MODE", help=help_mode)
    parser.add_argument("--timeout", type=_above_zero(float), default=30.0, metavar="SECONDS", help="of one query, default: 30")
    cores = os.cpu_count() or 1
    parser.add_argument("--workers", type=_above_zero(int), default=cores, metavar="N", help="default: one for each CPU")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON on stdout, nothing else")
    parser.epilog = (
        f"modes: {', '.join(MODES)}\n\nexample:\n"
        "  sense score \\\n    --databases data/dev/databases \\\n    --examples data/dev/examples.jsonl \\\n"
        "    --predictions data/predictions/dev.sense.predictions.jsonl \\\n"
        "    --mode strict@1 --mode bird-ex@1 --output data/verdicts.jsonl"
    )


def _above_zero(number: type[int] | type[float]) -> Callable[[str], float]:
    """A reader of a flag's number, finite and above 0."""

    def read(text: str) -> float:
        value = number(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"{text}: must be a number above 0")
        return value

    read.__name__ = number.__name__  # argparse names the type where `number` itself refuses the text
    return read


def main(options: argparse.Namespace) -> int:
    """Scores the predictions and prints the scoreboard; returns the exit code."""
    from sense.evaluation import scoreboard, scoring

    console.quiet(options.json)
    files = scoring.Files(options.databases, options.examples, options.predictions, options.output)
    modes = list(dict.fromkeys(options.mode or [STRICT]))
    scores = scoring.run(files, modes, scoring.limits(options.timeout, options.workers))
    if options.json:
        print(json.dumps(scores))
    else:
        scoreboard.show(scores)
    return 0
