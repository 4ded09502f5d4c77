"""The commands `sense ingest` to `sense report`: their flags are the fields of the stage's Inputs and Outputs."""

import argparse
import json
from dataclasses import fields
from pathlib import Path

from sense import config, console
from sense.errors import UserError
from sense.stages import module
from sense.stages.launch import launch


def add_arguments(parser: argparse.ArgumentParser, stage: str) -> None:
    """Adds a flag for each field of the stage's Inputs and Outputs, and those that all stages have."""
    code = module(stage)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    ports = [(field.name, kind) for kind in (code.Inputs, code.Outputs) for field in fields(kind)]
    for port, kind in ports:
        direction = "read from" if kind is code.Inputs else "written to"
        parser.add_argument(f"--{port.replace('_', '-')}", type=Path, required=True, metavar="PATH", help=direction)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="default: params.yaml")
    parser.add_argument("--section", default=stage, metavar="NAME", help=f"section of the file, default: {stage}")
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON on stdout, nothing else")
    if hasattr(code, "add_flags"):
        code.add_flags(parser)
    example = " \\\n    ".join(f"--{port.replace('_', '-')} {pipeline_path(stage, port)}" for port, _ in ports)
    parser.epilog = f"example:\n  sense {stage} \\\n    {example}"


def main(options: argparse.Namespace) -> int:
    """Runs the stage with its section of params.yaml; returns the exit code."""
    console.quiet(options.json or not config.is_main_process())
    params = config.load(options.params)
    section = getattr(params, options.section, None)
    if not isinstance(section, config.Section):
        sections = ", ".join(config.Params.model_fields)
        raise UserError(f"--section {options.section}: no such section in {options.params}; there are: {sections}")
    code = module(options.command)
    ports = {kind: {field.name: getattr(options, field.name) for field in fields(kind)} for kind in (code.Inputs, code.Outputs)}
    values = section.model_dump()
    if hasattr(code, "add_flags"):
        values = code.apply_flags(values, options)
        if options.dry_run is not None:
            settings = config.validate(code.Config, values, f"the section of {options.command}")
            print(code.dry_run(settings, code.Inputs(**ports[code.Inputs]), options.dry_run))
            return 0
    metrics = launch(options.command, values, ports[code.Inputs], ports[code.Outputs])
    if options.json:
        print(json.dumps(metrics))
    return 0


def pipeline_path(stage: str, port: str) -> str:
    """The path that the pipeline uses for a port of a stage: `dvc.yaml` and `--help` show the same."""
    paths = {
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
        "decontamination": "data/decontamination.json",
    }
    return paths.get(port, f"data/{port}")
