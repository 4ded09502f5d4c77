"""The files of a registered version: read, or taken to this machine whole or not at all."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from sense import config, records
from sense.errors import EndpointError, InputError, SenseError, StorageError
from sense.tracking import store

_ORIGIN = "registered.json"  # in a downloaded folder: where it is from; sizes alone do not tell one version from another
_FULL = ("No space left", "Disk quota", "File too large")


@store.reported()
def download(name: str, version: str, target: Path) -> Path:
    """Brings the version's model (transformers' files and sense.json) to the folder `target`, and returns that.

    A folder that holds this version whole, as the store lists it, is kept. A killed download leaves nothing under the name
    `target`. InputError if the version is no model folder or `target` another folder; StorageError if the disk is full.
    """
    stored = repository(name, version)
    wanted = listing(stored, "model")
    if "config.json" not in wanted:
        raise InputError(f"{name} version {version}: no model folder among its files; register it by `sense publish`")
    origin = {"name": name, "version": version, "source": str(stored.artifact_uri)}
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two gateways on one cache
        arriving = target.with_name(f".{target.name}.arriving")
        records.remove(arriving)  # of a killed try
        if _whole(target, wanted, origin):
            return target
        if target.exists() and not (target / _ORIGIN).is_file():
            raise InputError(f"{target}: holds something else than a downloaded model; name another folder or delete it")
        arriving.mkdir()
        folder = _fetched(stored, "model", arriving)
        records.write_json(folder / _ORIGIN, origin)
        if not _whole(folder, wanted, origin):
            raise StorageError(f"{name} version {version}: the store sent less than it lists; check its files, then run again")
        records.deliver(folder, target)
        records.remove(arriving)
    return target


@store.reported()
def repository(name: str, version: str) -> Any:
    """Where the files of a version lie, as MLflow's artifact repository."""
    uri = config.tracking_uri()
    try:
        # not mlflow.artifacts with `models:/...`: that looks into the process's own registry, whatever it is told
        place = store.registry().get_model_version_download_uri(name, version)
        return get_artifact_repository(place, tracking_uri=uri, registry_uri=uri)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise InputError(f"{name} version {version}: the run that held its files is gone from MLflow; publish it again") from None


def listing(stored: Any, folder: str) -> dict[str, int | None]:
    """Every file below `folder`: its path from there and its size in bytes, None where the store does not say."""
    found: dict[str, int | None] = {}
    with _reached(stored):
        entries = stored.list_artifacts(folder)
    for entry in entries:
        if entry.is_dir:
            name = entry.path.rpartition("/")[2]
            found |= {f"{name}/{path}": size for path, size in listing(stored, entry.path).items()}
        else:
            found[entry.path.removeprefix(f"{folder}/")] = entry.file_size
    return found


@store.reported()
def read(stored: Any, path: str) -> str | None:
    """The text of one file of a version, or None if it has no such file."""
    with _reached(stored):
        entries = stored.list_artifacts(path.rpartition("/")[0])
    if not any(entry.path == path for entry in entries):
        return None
    with TemporaryDirectory() as place:
        text: str = _fetched(stored, path, Path(place)).read_text(encoding="utf-8")
        return text


def _fetched(stored: Any, path: str, place: Path) -> Path:
    """`path` of the version below `place`; StorageError if there is no room for it."""
    with _reached(stored):
        try:
            return Path(stored.download_artifacts(path, dst_path=str(place)))
        except (OSError, MlflowException) as error:
            if not any(sign in str(error) for sign in _FULL):
                raise
            raise StorageError(f"{place}: cannot be written ({error}); free space, then run again") from None


@contextmanager
def _reached(stored: Any) -> Iterator[None]:
    """Turns what an artifact store's own library raises (boto3's errors, requests') into an EndpointError."""
    try:
        yield
    except (SenseError, MlflowException):
        raise
    except Exception as error:
        place = store.shown(uri=str(stored.artifact_uri))
        what = store.shown(" ".join(str(error).split()))[:300]
        raise EndpointError(
            f"the artifacts at {place}: {type(error).__name__}: {what}; check that their store runs and the credentials for it "
            "(AWS_ACCESS_KEY_ID, MLFLOW_S3_ENDPOINT_URL, ...), then run the same command again"
        ) from None


def _whole(folder: Path, wanted: dict[str, int | None], origin: dict[str, str]) -> bool:
    """Whether `folder` holds every file of the listing with its size, and is from where it should be."""
    if not (folder / _ORIGIN).is_file() or records.read_json(folder / _ORIGIN) != origin:
        return False
    here = {f.relative_to(folder).as_posix(): f.stat().st_size for f in folder.rglob("*") if f.is_file()}
    return all(path in here and size in (None, here[path]) for path, size in wanted.items())
