"""The `sense` command: one subcommand per stage, its flags the fields of the stage's Inputs and Outputs.

Stage modules are imported only when asked for, so that `sense --help` is instant. Exit codes: 0 done,
2 something the user can mend, 1 a defect of SENSE, 130 interrupted.
"""

import argparse
import errno
import importlib
import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from sense import __version__
from sense.errors import SenseError, UserError

ABOUT = {
    "ingest": "read human-written seeds (built-in, Spider or BIRD), check every gold, split by database",
    "synthesize": "strong data: a teacher writes schema, question and SQL; all of it is executed",
    "sft": "fine-tune a model on strong data (the student; with --section weak, the weak model)",
    "sample": "weak data: k SQL per unseen question from the weak model, executed against the gold",
    "prefer": "turn right and wrong samples into preference pairs",
    "dpo": "preference-tune the SFT model on the pairs (cDPO): the SENSE model",
    "evaluate": "execution accuracy of base, SFT and SENSE on the same dev sets",
    "publish": "register the model in MLflow and let the gate decide about champion",
    "report": "one HTML file with everything the run made",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command = arguments[0] if arguments else ""
    parser = _parser(command)
    options = parser.parse_args(arguments)
    if not command:
        parser.print_help()
        return 0
    try:
        return _run(command, options)
    except SenseError as error:
        print(f"sense {command}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
            raise
        print(f"sense {command}: {error}; free space or mend permissions, then run the same command again", file=sys.stderr)
        return UserError.exit_code
    except KeyboardInterrupt:
        again = "starts over" if command == "score" else "resumes"
        print(f"sense {command}: interrupted; the same command again {again}", file=sys.stderr)
        return 130


def _parser(command: str) -> argparse.ArgumentParser:
    """The parser; only the subcommand in use gets its flags, the others their one line of help."""
    parser = argparse.ArgumentParser(
        prog="sense",
        description="SENSE: train an open text-to-SQL model on data it makes itself.",
        epilog="The whole pipeline: dvc repro. One command's flags and an example: sense COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"sense {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for stage, about in ABOUT.items():
        sub = commands.add_parser(stage, help=about, description=about[0].upper() + about[1:] + ".")
        if stage == command:
            _stage_flags(sub, stage)
    for name, (about, flags) in _OTHERS.items():
        sub = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        if name == command:
            flags(sub)
    return parser


def _stage_flags(parser: argparse.ArgumentParser, stage: str) -> None:
    from sense.stages import module

    code = module(stage)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    flags = [(field.name, kind) for kind in (code.Inputs, code.Outputs) for field in fields(kind)]
    for name, kind in flags:
        word = "read from" if kind is code.Inputs else "written to"
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True, metavar="PATH", help=word)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="default: params.yaml")
    parser.add_argument("--section", default=stage, metavar="NAME", help=f"section of the file, default: {stage}")
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON on stdout, nothing else")
    shown = " \\\n    ".join(f"--{name.replace('_', '-')} {example(stage, name)}" for name, _ in flags)
    parser.epilog = f"example:\n  sense {stage} \\\n    {shown}"


def example(stage: str, name: str) -> str:
    """The path that the pipeline uses for a port of a stage: `dvc.yaml` and `--help` show the same."""
    places = {
        "seeds": "sense/seeds",
        "samples": "data/weak/samples.jsonl",
        "pairs": "data/pairs/pairs.jsonl",
        "model": {"sft": "models/sft", "sample": "models/weak", "dpo": "models/sense"}.get(stage, ""),
        "sft": "models/sft",
        "sense": "models/sense",
        "record": "models/published.json",
        "curve": f"metrics/curves/{stage}.csv",
        "evaluation": "metrics/evaluate.json",
        "metrics": "metrics" if stage == "report" else f"metrics/{stage}.json",
        "report": "report/index.html",
    }
    return places.get(name, f"data/{name}")


def _run(command: str, options: argparse.Namespace) -> int:
    from sense import config, console

    if command == "profile":
        return _profile(options)
    if command == "results":
        from sense.report import terminal

        terminal.show(options.metrics, options.report)
        return 0
    if command == "score":
        return _score(options)
    if command in _COMMANDS:
        return int(importlib.import_module(_COMMANDS[command]).main(options))
    from sense.stages import execute, module

    console.quiet(options.json)
    params = config.load(options.params)
    section = getattr(params, options.section, None)
    if not isinstance(section, config.Section):
        known = ", ".join(config.Params.model_fields)
        raise UserError(f"--section {options.section}: no such section in {options.params}; there are: {known}")
    code = module(command)
    ports = {kind: {f.name: getattr(options, f.name) for f in fields(kind)} for kind in (code.Inputs, code.Outputs)}
    metrics = execute(command, section.model_dump(), ports[code.Inputs], ports[code.Outputs])
    if options.json:
        print(json.dumps(metrics))
    return 0


def _score_flags(parser: argparse.ArgumentParser) -> None:
    from sense.sql.modes import MODES, STRICT

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for name, about in (
        ("databases", "folder of <db_id>/<db_id>.sqlite"),
        ("examples", 'the gold, JSONL: {"id", "db_id", "sql"} a line'),
        ("predictions", 'JSONL: {"id", "sql"} a line, and "example_id" where an example has several'),
        ("output", "verdicts, JSONL: a line for every prediction and mode"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="PATH", help=about)
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


def _above_zero(kind: type[int] | type[float]) -> Callable[[str], float]:
    """Reads a flag's number, finite and above 0."""

    def read(text: str) -> float:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"{text}: must be a number above 0")
        return value

    read.__name__ = kind.__name__  # argparse names it where `kind` itself refuses
    return read


def _score(options: argparse.Namespace) -> int:
    from sense import console
    from sense.evaluation import scoreboard, scoring
    from sense.sql.modes import STRICT

    console.quiet(options.json)
    files = scoring.Files(options.databases, options.examples, options.predictions, options.output)
    modes = list(dict.fromkeys(options.mode or [STRICT]))
    found = scoring.run(files, modes, scoring.limits(options.timeout, options.workers))
    if options.json:
        print(json.dumps(found))
    else:
        scoreboard.show(found)
    return 0


def _profile_flags(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "example:\n  sense profile --set data.seeds=../spider --set synthesize.count=500"
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="default: params.yaml")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. data.seeds=../spider; may be repeated"
    )


def _results_flags(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--metrics", type=Path, default=Path("metrics"), metavar="PATH", help="folder of metrics, default: metrics"
    )
    parser.add_argument(
        "--report", type=Path, default=Path("report/index.html"), metavar="PATH", help="default: report/index.html"
    )
    parser.epilog = "example:\n  sense results"


def _pipeline_flags(parser: argparse.ArgumentParser) -> None:
    from sense.kubeflow.command import flags

    flags(parser)


def _serve_flags(parser: argparse.ArgumentParser) -> None:
    from sense.serving.command import flags

    flags(parser)


def _models_flags(parser: argparse.ArgumentParser) -> None:
    from sense.registry.command import flags

    flags(parser)


# commands with actions or flags of their own: a module with `flags` and `main`
_COMMANDS = {"pipeline": "sense.kubeflow.command", "serve": "sense.serving.command", "models": "sense.registry.command"}
_OTHERS = {
    "score": ("judge a file of predictions, of whatever model, by the gold: EX as SENSE, Spider or BIRD define it", _score_flags),
    "pipeline": ("the pipeline on Kubeflow: compile, describe, run on this machine, submit", _pipeline_flags),
    "serve": ("the gateway: answers questions on databases over HTTP, with a page to try it", _serve_flags),
    "models": ("the registry: versions listed, compared, measured, promoted, rolled back", _models_flags),
    "profile": ("set keys of params.yaml, keeping its comments", _profile_flags),
    "results": ("print the results table of the last run, and where its report lies", _results_flags),
}


def _profile(options: argparse.Namespace) -> int:
    """Sets keys of params.yaml in place, keeping its comments; refuses what would not validate."""
    from sense import config
    from sense.config import profile

    text = profile.edited(options.params, [_assignment(item) for item in options.set])
    config.validate(config.Params, config.parse(text, str(options.params)), str(options.params))
    profile.save(options.params, text)
    return 0


def _assignment(item: str) -> tuple[list[str], Any]:
    key, equals, value = item.partition("=")
    if not (key and equals):
        raise UserError(f"--set {item}: write KEY=VALUE, for instance data.seeds=../spider")
    return key.split("."), value
