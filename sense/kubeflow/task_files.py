"""Files of a pipeline task, which sees no working copy: seeds, one's own databases, and the metrics folder for the report."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sense import records
from sense.config import DataConfig, Params
from sense.errors import InputError

_OWN_LIST = "folders.json"
_BUILT_IN_SEEDS = Path(__file__).parents[1] / "seeds"


class DataRevisions(NamedTuple):
    """Which data a run takes: `key` tells it from all other data, `seeds` and `own` are revisions of the remote, if any."""

    key: str
    seeds: str
    own: list[str]


def resolve_data(params: Params, data_rev: str) -> DataRevisions:
    """The revisions of seeds and own databases, `latest` resolved now; `data_rev` tells the rest of the data from other data.

    UserError if the remote has no newest version.
    """
    cluster = params.cluster
    if "latest" not in (cluster.seeds, *cluster.own):
        return DataRevisions(data_rev, cluster.seeds, list(cluster.own))
    from sense import data_versions

    def resolve(revision: str, folder: str) -> str:
        return data_versions.resolve(cluster.remote, Path(folder).name) if revision == data_versions.LATEST else revision

    seeds = resolve(cluster.seeds, params.data.seeds)
    own = [resolve(*pair) for pair in zip(cluster.own, params.synthesize.own, strict=False)]
    return DataRevisions(" ".join([data_rev, seeds, *own]), seeds, own)


def fetch_seeds(remote: str, revision: str, folder: str, target: Path) -> None:
    """Puts the seeds at `target`: `revision` from the DVC remote if both are given, else `folder`.

    The default of `data.seeds` stands for the built-in seeds. InputError if there is no such folder here.
    """
    if remote and revision:
        from sense import data_versions

        data_versions.pull(remote, revision, target)
    else:
        _copy(_BUILT_IN_SEEDS if folder == DataConfig().seeds else Path(folder), target, "data.seeds", "cluster.seeds")


def fetch_own(remote: str, revisions: Sequence[str], folders: Sequence[str], target: Path) -> None:
    """Puts the dataset folders of `synthesize.own` into `target`, each under its number and name; without any, a list of none.

    They are `revisions` of the DVC remote, in the order of `folders`, if there are any, else the folders. InputError if one is
    not here.
    """
    staged = target.with_name(f".{target.name}.fetched")
    records.remove(staged)  # left by a killed try
    names = [f"{number}/{Path(folder).name}" for number, folder in enumerate(folders)]
    for number, (name, folder) in enumerate(zip(names, folders, strict=True)):
        (staged / name).parent.mkdir(parents=True)
        if remote and revisions:
            from sense import data_versions

            data_versions.pull(remote, revisions[number], staged / name)
        else:
            _copy(Path(folder), staged / name, "synthesize.own", "cluster.own")
    records.write_json(staged / _OWN_LIST, names)  # an artifact without a file is none
    records.deliver(staged, target)


def place_own(section: Mapping[str, Any], own: Path) -> dict[str, Any]:
    """The section of `synthesize` with the folders that `fetch_own` has put into `own`."""
    return {**section, "own": [str(own / name) for name in records.read_json(own / _OWN_LIST)]}


def _copy(source: Path, target: Path, key: str, revision_key: str) -> None:
    """Copies a folder; InputError if it is not here."""
    if not source.is_dir():
        raise InputError(
            f"{key} {source}: no such folder where the task runs; push it with DVC and give cluster.remote and "
            f"{revision_key} (the md5 in its .dvc file) in params.yaml"
        )
    copy = target.with_name(f".{target.name}.copied")
    records.remove(copy)  # left by a killed try
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    records.deliver(copy, target)


def collect_metrics(files: Mapping[str, Path], curves: Mapping[str, Path], folder: Path) -> None:
    """Writes `folder` anew, as a working copy has it: <name>.json for each of `files`, curves/<name>.csv for each of `curves`.

    InputError names a file that is missing or is not JSON; then `folder` stays as it was.
    """
    metrics = {name: records.read_json(path) for name, path in files.items()}
    missing = [
        f"{path}: no such file; {name} writes its training curve there" for name, path in curves.items() if not path.is_file()
    ]
    if missing:
        raise InputError("\n".join(missing))
    staged = folder.with_name(f".{folder.name}.laid.partial")
    records.remove(staged)  # left by a killed try
    for name, value in metrics.items():
        records.write_json(staged / f"{name}.json", value)
    for name, path in curves.items():
        records.write_text(staged / "curves" / f"{name}.csv", path.read_text(encoding="utf-8"))
    records.deliver(staged, folder)
