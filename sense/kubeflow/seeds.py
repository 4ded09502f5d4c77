"""Human-written seeds for a task of the pipeline, which sees no working copy."""

import shutil
from pathlib import Path

from sense import records
from sense.config import DataConfig
from sense.errors import InputError

_BUILT_IN = Path(__file__).parents[1] / "seeds"


def fetch(remote: str, revision: str, folder: str, target: Path) -> None:
    """Puts the seeds at `target`: `revision` of the DVC remote, else `folder`, which is built-in if it is params.yaml's default.

    InputError if there is no such folder here.
    """
    if remote and revision:
        from sense import data_versions

        data_versions.pull(remote, revision, target)
        return
    source = _BUILT_IN if folder == DataConfig().seeds else Path(folder)
    if not source.is_dir():
        raise InputError(
            f"data.seeds {folder}: no such folder where the task runs; push it with DVC and give cluster.remote and "
            "cluster.seeds (the md5 in its .dvc file) in params.yaml"
        )
    copied = target.with_name(f".{target.name}.copied")
    records.remove(copied)
    shutil.copytree(source, copied, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    records.deliver(copied, target)
