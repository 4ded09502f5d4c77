"""The metrics folder of a working copy, put together from files that lie anywhere: what the report reads, on Kubeflow too."""

from collections.abc import Mapping
from pathlib import Path

from sense import records
from sense.errors import InputError


def collect(files: Mapping[str, Path], curves: Mapping[str, Path], folder: Path) -> None:
    """Writes `folder` anew: <name>.json for each of `files`, curves/<name>.csv for each of `curves`.

    InputError names a file that is missing, or no JSON; then `folder` is as it was.
    """
    metrics = {name: records.read_json(path) for name, path in files.items()}
    missing = [
        f"{path}: no such file; {name} writes its training curve there" for name, path in curves.items() if not path.is_file()
    ]
    if missing:
        raise InputError("\n".join(missing))
    laid = folder.with_name(f".{folder.name}.laid.partial")
    records.remove(laid)  # of a killed try
    for name, value in metrics.items():
        records.write_json(laid / f"{name}.json", value)
    for name, path in curves.items():
        records.write_text(laid / "curves" / f"{name}.csv", path.read_text(encoding="utf-8"))
    records.deliver(laid, folder)
