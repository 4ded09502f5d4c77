"""What a run of the pipeline made, versioned as in a working copy: its data in the remote, and the dvc.lock that names them."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sense import config, records
from sense.data_versions import remote as remotes
from sense.data_versions import workspace
from sense.errors import EndpointError, InputError, UserError

STAGES = ("ingest", "synthesize", "sample", "prefer")  # of dvc.yaml: those whose outputs are data, and small enough to keep
_PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Made:
    """Where the run's artifacts lie. `seeds` and the `weak` model are what the stages read; the others are versioned."""

    seeds: Path
    seed: Path
    dev: Path
    strong: Path
    unseen: Path
    heldout: Path
    weak: Path
    samples: Path
    pairs: Path
    ingest_metrics: Path
    synthesize_metrics: Path
    sample_metrics: Path
    prefer_metrics: Path


# Where a working copy has them; the seeds lie where params.yaml says.
PLACES = {
    "seed": "data/seed",
    "dev": "data/dev",
    "strong": "data/strong",
    "unseen": "data/unseen",
    "heldout": "data/heldout",
    "weak": "models/weak",
    "samples": "data/weak/samples.jsonl",
    "pairs": "data/pairs/pairs.jsonl",
    "ingest_metrics": "metrics/ingest.json",
    "synthesize_metrics": "metrics/synthesize.json",
    "sample_metrics": "metrics/sample.json",
    "prefer_metrics": "metrics/prefer.json",
}


def commit(project: Path, remote: str, params: Mapping[str, Any] | str, made: Made, lock: Path) -> dict[str, str]:
    """Pushes the data to `remote` and writes the dvc.lock that names them to `lock`; returns each output's path and md5.

    `project` is a folder with the dvc.yaml and .dvcignore of this code. `params` is params.yaml as the working copy has it, its
    text or what stands in it: DVC compares it key by key, so defaults must not be filled in. Put `lock` into a working copy of
    the same revision, and there `dvc pull --allow-missing` brings the data, and `dvc status` and `dvc repro` take the four
    stages as run. Nothing is kept of a call that fails or is killed but what the remote has got; the same call again ends
    the same.
    """
    place = remotes.parse(remote)
    _check(project, made)
    remotes.probe(place)
    folder = lock.with_name(f".{lock.name}.commit.partial")
    text = params if isinstance(params, str) else json.dumps(params, ensure_ascii=False)
    with workspace.writing(folder):
        records.remove(folder)
        root = _lay_out(folder, project, text, made)
    workspace.create(root, place)
    workspace.run(root, place, "commit", "--force", *STAGES)
    workspace.run(root, place, "push", *STAGES)
    digests = read(root / "dvc.lock")
    gone = remotes.missing(place, digests.values())
    if gone:
        raise EndpointError(f"the data remote {place.url} lacks {', '.join(gone)} after the push; run the same command again")
    records.write_text(lock, (root / "dvc.lock").read_text(encoding="utf-8"))
    records.remove(folder)
    return digests


def read(lock: Path) -> dict[str, str]:
    """Each output that a dvc.lock names, with its md5."""
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
    return {out["path"]: out["md5"] for stage in STAGES for out in stages[stage]["outs"]}


def record(digests: Mapping[str, str], remote: str, lock: Path) -> str:
    """Logs the digests and dvc.lock to MLflow as the run `data`, one run for the same data however often; returns its id."""
    from sense import tracking

    text = lock.read_text(encoding="utf-8")
    url = remotes.parse(remote).url
    key = hashlib.sha256(json.dumps([url, text]).encode()).hexdigest()
    named = {".".join(Path(path).with_suffix("").parts).removeprefix("data."): md5 for path, md5 in digests.items()}
    return tracking.record_data(key, named, url, text)


def _check(project: Path, made: Made) -> None:
    lacking = [f"{project / name}: no such file" for name in ("dvc.yaml", ".dvcignore") if not (project / name).is_file()]
    if lacking:
        raise UserError("\n".join([*lacking, "give the folder of SENSE's dvc.yaml: the repository, in the image /opt/sense"]))
    gone = [f"{path}: no such file or folder ({name})" for name, path in vars(made).items() if not path.exists()]
    if gone:
        raise InputError("\n".join([*gone, "run the stages that make them first"]))


def _lay_out(folder: Path, project: Path, params: str, made: Made) -> Path:
    """A working copy below `folder`, as dvc.yaml sees it; returns its root.

    What stages read is linked: DVC only reads it. What they made is copied: DVC makes its own read-only, links included.
    """
    seeds = _seeds(params)
    root = folder.joinpath(*["within"] * (1 + seeds.parts.count("..")))  # so that `../spider` still lies in `folder`
    root.mkdir(parents=True)
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copyfile(project / name, root / name)
    records.write_text(root / "params.yaml", params)
    shutil.copytree(_PACKAGE, root / "sense", ignore=shutil.ignore_patterns("__pycache__"))
    records.remove(root / seeds)
    _link(made.seeds, root / seeds)
    _link(made.weak, root / PLACES["weak"])
    for name, path in PLACES.items():
        source, final = getattr(made, name), root / path
        if name == "weak":
            continue
        final.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, final)
        else:
            shutil.copyfile(source, final)
    return root


def _seeds(params: str) -> Path:
    """Where the working copy has its seeds; dvc.lock holds that path, so it must be one that other machines have too."""
    value = config.parse(params, "params.yaml")
    data = value.get("data") if isinstance(value, dict) else None
    seeds = data.get("seeds") if isinstance(data, dict) else None
    if not isinstance(seeds, str) or not seeds:
        raise UserError("params.yaml: data.seeds is missing, and dvc.yaml asks for it; add it, e.g. data: {seeds: sense/seeds}")
    path = Path(os.path.normpath(seeds))
    if path.is_absolute() or path == Path():
        raise UserError(
            f"data.seeds = {seeds}: no other working copy has the seeds there; give a path relative to it, e.g. ../spider"
        )
    return path


def _link(source: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    final.symlink_to(source.absolute())
