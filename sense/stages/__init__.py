"""The stages, in order, and `execute`, which runs one, for the command line, DVC and Kubeflow alike.

A stage module is `Config`, `Inputs`, `Outputs` and `run(config, inputs, outputs) -> metrics`. Inputs and
Outputs are frozen dataclasses of paths; their fields are the CLI's flags, the dvc.yaml command's and the
KFP component's ports. A field `metrics` of Outputs is a JSON file that `execute` writes from run's result. WITHOUT_EFFECT, if the
module has it, names the keys of the section that are no part of the fingerprint, as pydantic's `exclude` takes them;
`further_paths(config)`, if the module has it, what the section names that is read beside the inputs: its contents are part of it.
`add_flags(parser)`, if the module has it, adds flags of its own to the command, `apply_flags(section, options)` sets what they
say, and `dry_run(config, inputs, probe)` tells what a run would do.
`accompany(inputs, outputs)`, if the module has it, writes beside the delivered outputs what is no result, as it differs from run
to run.

`run` writes into a work directory that is named by a fingerprint of everything the result depends on and that survives a kill:
the same command run again finds unfinished outputs, and further files of the stage beside them.
"""

import hashlib
import importlib
import json
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sense import checkpoint_store, config, console, records
from sense.cost import meter
from sense.cost import record as costs
from sense.errors import InputError

STAGES: tuple[str, ...] = ("ingest", "synthesize", "sft", "sample", "prefer", "dpo", "evaluate", "publish", "report")


def module(stage: str) -> Any:
    """The module of a stage; its imports are light, what is heavy it imports inside `run`."""
    return importlib.import_module(f"sense.stages.{stage}")


def execute(stage: str, section: Mapping[str, Any], inputs: Mapping[str, Path], outputs: Mapping[str, Path]) -> dict[str, Any]:
    """Runs one stage and moves its outputs into place; returns its metrics.

    `section` is the stage's section of params.yaml, `inputs` and `outputs` map every field to a path.
    Raises UserError (exit code 2) for what the user can mend; then no output has been touched.
    """
    code = module(stage)
    settings = config.validate(code.Config, section, f"the section of {stage}")
    input_paths = code.Inputs(**{name: Path(path) for name, path in inputs.items()})
    final = code.Outputs(**{name: Path(path) for name, path in outputs.items()})
    missing = [
        f"{path}: no such file or folder (input {name!r} of {stage})"
        for name, path in vars(input_paths).items()
        if not path.exists()
    ]
    if missing:
        remedy = (
            "name a folder of questions in Spider's or BIRD's layout, data/own, which `sense own` writes, or sense/seeds: "
            "data.seeds in params.yaml, or --seeds"
            if stage == STAGES[0]
            else "run the stages before it first: dvc repro"
        )
        raise InputError("\n".join([*missing, remedy]))
    work = config.work_root() / f"{stage}-{fingerprint(stage, settings, vars(input_paths))[:16]}"
    staged = code.Outputs(**{field.name: work / field.name for field in fields(final)})
    started = time.monotonic()
    with checkpoint_store.mirror(work):
        work.mkdir(parents=True, exist_ok=True)
        with meter.measure(work / costs.FOLDER):
            metrics: dict[str, Any] = code.run(settings, input_paths, staged)
        if not config.is_main_process():
            return metrics
        checkpoint_store.wait()
        if hasattr(staged, "metrics"):
            records.write_json(staged.metrics, metrics)
        # before the delivery: a stage that is killed in it has delivered nothing that its cost is missing for
        costs.write(stage, costs.result(vars(staged)), meter.total(work / costs.FOLDER))
        for name, path in vars(final).items():
            records.deliver(getattr(staged, name), path)
        if hasattr(code, "accompany"):
            code.accompany(input_paths, final)
        records.remove(work)  # last: killed before that, the next try still finds what those before it have cost
    console.summary(stage, metrics, vars(final), time.monotonic() - started)
    return metrics


def fingerprint(stage: str, settings: config.Section, inputs: Mapping[str, Path]) -> str:
    """SHA-256 over all that a stage's result depends on: its code, its section, its inputs' contents, the processes."""
    code = module(stage)
    further: Mapping[str, Path] = code.further_paths(settings) if hasattr(code, "further_paths") else {}
    parts = {
        "stage": stage,
        "code": code_digest(),
        "section": settings.model_dump(mode="json", exclude=getattr(code, "WITHOUT_EFFECT", None)),
        "processes": config.processes(),
        "inputs": {name: records.digest(path) for name, path in sorted({**inputs, **further}.items())},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def code_digest() -> str:
    """SHA-256 over the package: the same in a working copy and where it is installed."""
    package = Path(__file__).parent.parent
    return records.digest(package)
