"""Versions what a run of the pipeline made as a working copy does: its data in the remote, and the dvc.lock that names them."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sense import config, records
from sense.data_versions import remote as remotes
from sense.data_versions import workspace
from sense.errors import EndpointError, InputError, UserError

STAGES = ("ingest", "synthesize", "sample", "prefer")  # of dvc.yaml: those whose outputs are data, and small enough to keep
# The run's data and metrics, and where a working copy has them, as dvc.yaml says.
PATHS = {
    "seed": "data/seed",
    "dev": "data/dev",
    "strong": "data/strong",
    "unseen": "data/unseen",
    "heldout": "data/heldout",
    "decontamination": "data/decontamination.json",
    "samples": "data/weak/samples.jsonl",
    "pairs": "data/pairs/pairs.jsonl",
    "ingest_metrics": "metrics/ingest.json",
    "synthesize_metrics": "metrics/synthesize.json",
    "sample_metrics": "metrics/sample.json",
    "prefer_metrics": "metrics/prefer.json",
}
# What `commit` is given. A working copy has the seeds and the model that was sampled where params.yaml says; dvc.lock names both,
# and neither is pushed.
ARTIFACTS = ("seeds", "model", *PATHS)
_PACKAGE = Path(__file__).parent.parent


def commit(
    project: Path, remote: str, params: Mapping[str, Any] | str, artifacts: Mapping[str, Path], lock: Path
) -> dict[str, str]:
    """Pushes the data to `remote` and writes the dvc.lock that names them to `lock`; returns each output's path and md5.

    `project` is a folder with the dvc.yaml and .dvcignore of this code. `params` is params.yaml as the working copy has it, as
    text or parsed: DVC compares it key by key, so defaults must not be filled in. `artifacts` maps each of ARTIFACTS to its path.

    Put `lock` into a working copy of the same revision: there `dvc pull --allow-missing` fetches the data, and `dvc status` and
    `dvc repro` take the four stages as run. A call that fails or is killed leaves nothing but what it has pushed; the same call
    again ends the same.
    """
    target = remotes.parse_remote(remote)
    _check_files(project, artifacts)
    remotes.check_writable(target)
    folder = lock.with_name(f".{lock.name}.commit.partial")
    text = params if isinstance(params, str) else json.dumps(params, ensure_ascii=False)
    with workspace.storage_errors(folder):
        records.remove(folder)
        root = _create_working_copy(folder, project, text, artifacts)
    workspace.create_project(root, target)
    workspace.run_dvc(root, target, "commit", "--force", *STAGES)
    workspace.run_dvc(root, target, "push", *STAGES)
    digests = read_digests(root / "dvc.lock")
    missing = remotes.missing_revisions(target, digests.values())
    if missing:
        raise EndpointError(f"the data remote {target.url} lacks {', '.join(missing)} after the push; run the same command again")
    records.write_text(lock, (root / "dvc.lock").read_text(encoding="utf-8"))
    records.remove(folder)
    return digests


def read_digests(lock: Path) -> dict[str, str]:
    """Each output that a dvc.lock names, with its md5."""
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
    return {out["path"]: out["md5"] for stage in STAGES for out in stages[stage]["outs"]}


def record(digests: Mapping[str, str], remote: str, lock: Path) -> str:
    """Logs the digests and dvc.lock to MLflow as the run `data`, one run for the same data however often; returns its id."""
    from sense import tracking

    text = lock.read_text(encoding="utf-8")
    url = remotes.parse_remote(remote).url
    key = hashlib.sha256(json.dumps([url, text]).encode()).hexdigest()
    by_name = {".".join(Path(path).with_suffix("").parts).removeprefix("data."): md5 for path, md5 in digests.items()}
    return tracking.record_data(key, by_name, url, text)


def _check_files(project: Path, artifacts: Mapping[str, Path]) -> None:
    missing = [f"{project / name}: no such file" for name in ("dvc.yaml", ".dvcignore") if not (project / name).is_file()]
    if missing:
        raise UserError("\n".join([*missing, "give the folder of SENSE's dvc.yaml: the repository, in the image /opt/sense"]))
    missing = [f"{path}: no such file or folder ({name})" for name, path in artifacts.items() if not path.exists()]
    if missing:
        raise InputError("\n".join([*missing, "run the stages that make them first"]))


def _create_working_copy(folder: Path, project: Path, params: str, artifacts: Mapping[str, Path]) -> Path:
    """A working copy below `folder`, as dvc.yaml sees it; returns its root.

    Inputs of stages are linked: DVC only reads them. Outputs are copied: DVC makes its own read-only, through links too.
    """
    seeds = _seeds_path(params)
    root = folder.joinpath(*["within"] * (1 + seeds.parts.count("..")))  # so that `../spider` still lies in `folder`
    root.mkdir(parents=True)
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copyfile(project / name, root / name)
    records.write_text(root / "params.yaml", params)
    shutil.copytree(_PACKAGE, root / "sense", ignore=shutil.ignore_patterns("__pycache__"))
    records.remove(root / seeds)
    _link(artifacts["seeds"], root / seeds)
    _link(artifacts["model"], root / "models" / _read_key(params, "sample", "model", "e.g. sample: {model: weak}"))
    for name, path in PATHS.items():
        source, final = artifacts[name], root / path
        final.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, final)
        else:
            shutil.copyfile(source, final)
    return root


def _seeds_path(params: str) -> Path:
    """Where the working copy has its seeds; dvc.lock holds that path, so it must be one that other machines have too."""
    seeds = _read_key(params, "data", "seeds", "e.g. data: {seeds: sense/seeds}")
    path = Path(os.path.normpath(seeds))
    if path.is_absolute() or path == Path():
        raise UserError(
            f"data.seeds = {seeds}: no other working copy has the seeds there; give a path relative to it, e.g. ../spider"
        )
    return path


def _read_key(params: str, section: str, key: str, example: str) -> str:
    """A text in params.yaml that dvc.yaml names, and that therefore has to be there."""
    parsed = config.parse(params, "params.yaml")
    keys = parsed.get(section) if isinstance(parsed, dict) else None
    value = keys.get(key) if isinstance(keys, dict) else None
    if not isinstance(value, str) or not value:
        raise UserError(f"params.yaml: {section}.{key} is missing, and dvc.yaml asks for it; add it, {example}")
    return value


def _link(source: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    final.symlink_to(source.absolute())
