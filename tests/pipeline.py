"""The pipeline for tests: stages at a size of seconds, each run in a process of its own that can be killed at a chosen moment.

Importing torch, trl and MLflow takes longer than a stage here runs, so processes are forked from a server that has imported
them once. A run counts what it changes outside itself (files below its folders, commits to MLflow's store) and, told to, is
killed by SIGKILL just before one of these changes: the same moment every time, however fast the machine is.
"""

import multiprocessing
import os
import select
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from sense import config, records

ROOT = Path(__file__).parent.parent
TINY = ROOT / "configs" / "tiny.yaml"
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["sense.cli", "sense.training.fit", "sense.training.generate", "sense.tracking", "sense.report.page"]
    + [f"mlflow.store.{kind}.sqlalchemy_store" for kind in ("tracking", "model_registry")]
    + [f"sense.stages.{stage}" for stage in ("ingest", "synthesize", "sft", "sample", "prefer", "dpo", "evaluate", "publish")]
    + ["tests.frozen"]
)


def sections() -> dict[str, dict[str, Any]]:
    """The sections of the tiny profile, smaller still."""
    params = config.load(TINY).model_dump()
    one_worker = {"execution": {**params["ingest"]["execution"], "workers": 1}}
    steps = {"max_steps": 4, "batch_size": 4, "save_steps": 1, "log_steps": 1}
    passes = {"max_steps": 5, "batch_size": 20}  # each of two steps: two and a half times over the rows
    for name in ("ingest", "synthesize", "sample", "evaluate"):
        params[name] |= one_worker
    params["ingest"] |= {"dev_limit": 8}
    split = {"unseen": 0.55, "heldout": 0.15, "heldout_domains": 2}  # unseen fills two chunks of `sample`
    params["synthesize"] |= {"count": 120, "split": split}
    for name in ("sft", "weak", "dpo"):
        params[name]["train"] |= steps
    params["sft"] |= {"data": "strong", "train": {**params["sft"]["train"], **passes}}
    params["weak"]["train"] |= {"max_steps": 16, "batch_size": 8, "learning_rate": 1e-2}
    params["sample"] |= {"max_new_tokens": 12}
    params["evaluate"] |= {"limit": 6, "max_new_tokens": 4, "vote": 2, "modes": ["bird-f1@1"]}
    return params


# The paths that dvc.yaml gives the stages' ports; `weak` is the stage `sft` with another section.
INPUTS: dict[str, dict[str, str]] = {
    "ingest": {},
    "synthesize": {"seed": "data/seed", "dev": "data/dev"},
    "sft": {"strong": "data/strong", "seed": "data/seed"},
    "weak": {"strong": "data/strong", "seed": "data/seed"},
    "sample": {"model": "models/weak", "unseen": "data/unseen"},
    "prefer": {"samples": "data/weak/samples.jsonl", "unseen": "data/unseen"},
    "dpo": {
        "sft": "models/sft",
        "pairs": "data/pairs/pairs.jsonl",
        "samples": "data/weak/samples.jsonl",
        "unseen": "data/unseen",
        "strong": "data/strong",
        "seed": "data/seed",
    },
    "evaluate": {
        "sft": "models/sft",
        "sense": "models/sense",
        "dev": "data/dev",
        "heldout": "data/heldout",
        "strong": "data/strong",
        "unseen": "data/unseen",
        "seed": "data/seed",
        "decontamination": "data/decontamination.json",
    },
    "publish": {
        "sense": "models/sense",
        "evaluation": "metrics/evaluate.json",
        "predictions": "data/predictions",
        "dev": "data/dev",
        "heldout": "data/heldout",
        "strong": "data/strong",
        "samples": "data/weak/samples.jsonl",
        "pairs": "data/pairs/pairs.jsonl",
    },
    "report": {
        "metrics": "metrics",
        "strong": "data/strong",
        "unseen": "data/unseen",
        "samples": "data/weak/samples.jsonl",
        "pairs": "data/pairs/pairs.jsonl",
        "dev": "data/dev",
        "heldout": "data/heldout",
        "predictions": "data/predictions",
    },
}
OUTPUTS: dict[str, dict[str, str]] = {
    "ingest": {"seed": "data/seed", "dev": "data/dev"},
    "synthesize": {
        "strong": "data/strong",
        "unseen": "data/unseen",
        "heldout": "data/heldout",
        "decontamination": "data/decontamination.json",
    },
    "sft": {"model": "models/sft", "curve": "metrics/curves/sft.csv"},
    "weak": {"model": "models/weak", "curve": "metrics/curves/weak.csv"},
    "sample": {"samples": "data/weak/samples.jsonl"},
    "prefer": {"pairs": "data/pairs/pairs.jsonl"},
    "dpo": {"model": "models/sense", "curve": "metrics/curves/dpo.csv"},
    "evaluate": {"predictions": "data/predictions"},
    "publish": {"record": "models/published.json"},
    "report": {"report": "report/index.html"},
}
SECTIONS = tuple(INPUTS)


def inputs(section: str, folder: Path) -> dict[str, Path]:
    """A section's input ports below `folder`; the seeds are the repository's."""
    if section == "ingest":
        return {"seeds": ROOT / "sense" / "seeds"}
    return {name: folder / path for name, path in INPUTS[section].items()}


def outputs(section: str, folder: Path) -> dict[str, Path]:
    """A section's output ports below `folder`."""
    metrics = {} if section == "report" else {"metrics": f"metrics/{section}.json"}
    return {name: folder / path for name, path in (OUTPUTS[section] | metrics).items()}


@dataclass(frozen=True)
class RunDirs:
    """Where a run leaves what: its outputs, its unfinished work, and MLflow's store."""

    root: Path

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def store_uri(self) -> str:
        return f"sqlite:///{self.store}/mlflow.db"


@dataclass(frozen=True)
class StageRun:
    """A stage to run: its section's name, the ports, and the moments to be killed at, whichever comes first.

    A moment is an area and a number: just before the area's n-th change. Areas are `work`, of it `removal` (a file deleted
    during the work), `store`, `delivery`, `clean-up` (of the work, after the delivery), and `any` of these.
    """

    section: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Path]
    outputs: Mapping[str, Path]
    dirs: RunDirs
    kill: Mapping[str, int] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        return "sft" if self.section == "weak" else self.section


class Changes:
    """Counts by area what this process changes, as Python tells it (audit events), and kills it at a moment of `order.kill`."""

    def __init__(self, stage_run: StageRun, pipe: Any) -> None:
        self.counts: Counter[str] = Counter()
        self._order, self._pipe = stage_run, pipe
        self._areas = {"work": str(stage_run.dirs.work), "delivery": str(stage_run.dirs.out), "store": str(stage_run.dirs.store)}
        self._delivered = False

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python's hook: called with every event, before it happens."""
        for path in _changed(event, arguments):
            area = next((name for name, folder in self._areas.items() if path.startswith(folder)), None)
            if area is not None:
                self._count(area, removal=event == "os.remove")
                return

    def commit(self, _connection: object) -> None:
        """SQLAlchemy's hook: called before every commit."""
        self._count("store")

    def _count(self, area: str, removal: bool = False) -> None:
        self._delivered |= area == "delivery"
        if area == "work" and self._delivered:
            area = "clean-up"
        for name in ("any", area, *(["removal"] if removal and area == "work" else [])):
            self.counts[name] += 1
            if self.counts[name] == self._order.kill.get(name):
                self.tell()
                os.kill(os.getpid(), signal.SIGKILL)

    def tell(self) -> None:
        """Tells the parent the counts and which processes this one has started."""
        threads = Path(f"/proc/{os.getpid()}/task").glob("*/children")
        self._pipe.send((dict(self.counts), [int(child) for file in threads for child in file.read_text().split()]))


def _changed(event: str, arguments: tuple[Any, ...]) -> list[str]:
    """The paths that an audit event is about to change."""
    if event == "open":
        path, _, flags = arguments
        return [_absolute(path)] if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else []
    if event in ("os.rename", "os.link"):
        source, target, source_folder, target_folder = arguments
        return [_absolute(target, target_folder), _absolute(source, source_folder)]
    if event in ("os.remove", "os.rmdir"):
        return [_absolute(*arguments)]
    if event == "os.mkdir":
        return [_absolute(arguments[0], arguments[2])]
    return [_absolute(arguments[0])] if event in ("os.truncate", "sqlite3.connect") else []


def _absolute(path: Any, folder: int = -1) -> str:
    if isinstance(path, int):
        return ""
    text = os.fsdecode(path)
    if folder >= 0 and not text.startswith("/"):
        text = f"{Path(f'/proc/self/fd/{folder}').readlink()}/{text}"
    return text


@dataclass(frozen=True)
class Finished:
    """How a run ended: the exit code (negative: the signal), its counts, and how many processes of its own it had then."""

    code: int
    counts: Mapping[str, int]
    processes: int


def run(stage_run: StageRun) -> Finished:
    """Runs `order` in a process of its own; returns when it has ended, and all that it had started."""
    stage_run.dirs.root.mkdir(parents=True, exist_ok=True)
    here, there = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_child, args=(stage_run, there))
    process.start()
    there.close()
    with here:
        try:
            counts, started = here.recv()
        except EOFError:  # it failed; its traceback is on stderr
            counts, started = {}, []
    process.join()
    code = process.exitcode
    process.close()
    for pid in started:
        _await(pid)
    return Finished(code, counts, len(started))


def _await(pid: int, seconds: float = 20) -> None:
    """Returns when the process has ended; TimeoutError if it does not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([descriptor], [], [], seconds)[0]:
            raise TimeoutError(f"process {pid} outlives the one that started it")
    finally:
        os.close(descriptor)


def _child(stage_run: StageRun, pipe: Any) -> None:
    environment(stage_run.dirs)
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    from sense import console, stages

    console.quiet(True)
    changes = Changes(stage_run, pipe)
    event.listen(Engine, "commit", changes.commit)
    sys.addaudithook(changes.audit)
    stages.execute(stage_run.stage, stage_run.settings, stage_run.inputs, stage_run.outputs)
    changes.tell()


def start(arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> ForkServerProcess:
    """Starts `sense ARGUMENTS` in `folder` with these environment variables, in a process of its own."""
    process = FORKS.Process(target=_command, args=(arguments, folder, variables))
    process.start()
    return process


def _command(arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    from sense import cli

    raise SystemExit(cli.main([*arguments]))


def environment(dirs: RunDirs) -> None:
    """Makes this process work in `place`."""
    os.environ |= {"SENSE_WORK": str(dirs.work), "MLFLOW_TRACKING_URI": dirs.store_uri}
    os.chdir(dirs.root)
    tempfile.tempdir = str(dirs.root)  # what libraries leave there when they are killed goes with the test's folder


def digests(places: Mapping[str, Path]) -> dict[str, str]:
    """The digest of every output that is there."""
    return {name: records.digest(path) for name, path in places.items() if path.exists()}
