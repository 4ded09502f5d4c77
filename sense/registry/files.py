"""The files of a registered version: one read, or the model downloaded, whole or not at all."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from sense import config, records
from sense.errors import EndpointError, InputError, SenseError, StorageError, says_disk_full
from sense.tracking import store

ORIGIN_FILE = "registered.json"  # in a downloaded folder: which version it is; sizes alone do not tell one version from another


@store.endpoint_errors()
def download(name: str, version: str, target: Path) -> Path:
    """Downloads the version's model (transformers' files and sense.json) to the folder `target`, and returns that.

    A folder that holds all files of this version, as the store lists them, is kept. A killed download leaves nothing under the
    name `target`. InputError if the version is no model folder or `target` another folder; StorageError if the disk is full.
    """
    repository = artifact_repository(name, version)
    expected = list_files(repository, "model")
    if "config.json" not in expected:
        raise InputError(f"{name} version {version}: no model folder among its files; register it by `sense publish`")
    origin = {"name": name, "version": version, "source": str(repository.artifact_uri)}
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two gateways may share one cache
        partial = target.with_name(f".{target.name}.arriving")
        records.remove(partial)  # of a killed try
        if _is_complete(target, expected, origin):
            return target
        if target.exists() and not (target / ORIGIN_FILE).is_file():
            raise InputError(f"{target}: holds something else than a downloaded model; name another folder or delete it")
        partial.mkdir()
        folder = _fetch(repository, "model", partial)
        records.write_json(folder / ORIGIN_FILE, origin)
        if not _is_complete(folder, expected, origin):
            raise StorageError(f"{name} version {version}: the store sent less than it lists; check its files, then run again")
        records.deliver(folder, target)
        records.remove(partial)
    return target


@store.endpoint_errors()
def artifact_repository(name: str, version: str) -> Any:
    """MLflow's artifact repository with the files of a version."""
    uri = config.tracking_uri()
    try:
        # not mlflow.artifacts with `models:/...`: that looks into the process's own registry, whatever it is told
        artifacts = store.read_client().get_model_version_download_uri(name, version)
        return get_artifact_repository(artifacts, tracking_uri=uri, registry_uri=uri)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise InputError(f"{name} version {version}: the run that held its files is gone from MLflow; publish it again") from None


def list_files(repository: Any, folder: str) -> dict[str, int | None]:
    """Every file below `folder`: its path from there and its size in bytes, None where the store does not say."""
    sizes: dict[str, int | None] = {}
    with _endpoint_errors(repository):
        entries = repository.list_artifacts(folder)
    for entry in entries:
        if entry.is_dir:
            name = entry.path.rpartition("/")[2]
            sizes |= {f"{name}/{path}": size for path, size in list_files(repository, entry.path).items()}
        else:
            sizes[entry.path.removeprefix(f"{folder}/")] = entry.file_size
    return sizes


@store.endpoint_errors()
def read_text(repository: Any, path: str) -> str | None:
    """The text of one file of a version, or None if it has no such file."""
    with _endpoint_errors(repository):
        entries = repository.list_artifacts(path.rpartition("/")[0])
    if not any(entry.path == path for entry in entries):
        return None
    with TemporaryDirectory() as folder:
        text: str = _fetch(repository, path, Path(folder)).read_text(encoding="utf-8")
        return text


def _fetch(repository: Any, path: str, target: Path) -> Path:
    """Downloads `path`, a file or a folder, below `target`, and returns where it is; StorageError if the disk is full."""
    with _endpoint_errors(repository):
        try:
            return Path(repository.download_artifacts(path, dst_path=str(target)))
        except (OSError, MlflowException) as error:
            if not says_disk_full(error):
                raise
            raise StorageError(f"{target}: cannot be written ({error}); free space, then run again") from None


@contextmanager
def _endpoint_errors(repository: Any) -> Iterator[None]:
    """Turns what an artifact store's own library raises (boto3's errors, requests') into an EndpointError."""
    try:
        yield
    except (SenseError, MlflowException):
        raise
    except Exception as error:
        uri = str(repository.artifact_uri)
        address = store.hide_credentials(uri, uri)
        message = store.hide_credentials(" ".join(str(error).split()), config.tracking_uri())[:300]
        raise EndpointError(
            f"the artifacts at {address}: {type(error).__name__}: {message}; "
            "check that their store runs and the credentials for it (AWS_ACCESS_KEY_ID, MLFLOW_S3_ENDPOINT_URL, ...), "
            "then run the same command again"
        ) from None


def _is_complete(folder: Path, expected: dict[str, int | None], origin: dict[str, str]) -> bool:
    """Whether `folder` was downloaded from `origin` and holds every expected file with its size."""
    if not (folder / ORIGIN_FILE).is_file() or records.read_json(folder / ORIGIN_FILE) != origin:
        return False
    sizes = {f.relative_to(folder).as_posix(): f.stat().st_size for f in folder.rglob("*") if f.is_file()}
    return all(path in sizes and size in (None, sizes[path]) for path, size in expected.items())
