"""Files of a pipeline task, which sees no working copy: the human-written seeds, and the metrics folder for the report."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from sense import records
from sense.config import DataConfig
from sense.errors import InputError

_BUILT_IN_SEEDS = Path(__file__).parents[1] / "seeds"


def fetch_seeds(remote: str, revision: str, folder: str, target: Path) -> None:
    """Puts the seeds at `target`: `revision` from the DVC remote if both are given, else `folder`.

    The default of `data.seeds` stands for the built-in seeds. InputError if there is no such folder here.
    """
    if remote and revision:
        from sense import data_versions

        data_versions.pull(remote, revision, target)
        return
    source = _BUILT_IN_SEEDS if folder == DataConfig().seeds else Path(folder)
    if not source.is_dir():
        raise InputError(
            f"data.seeds {folder}: no such folder where the task runs; push it with DVC and give cluster.remote and "
            "cluster.seeds (the md5 in its .dvc file) in params.yaml"
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
