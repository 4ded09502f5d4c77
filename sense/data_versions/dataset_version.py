"""A dataset as one version has it: a folder or file, or what a path held in a Git revision, or what an md5 of DVC names.

Of databases only the digests are read, which DVC has anyway; the rows and the manifest are small.
"""

import hashlib
import json
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import manifest, records
from sense.data_versions import workspace
from sense.errors import InputError, UserError
from sense.manifest import Manifest
from sense.records import Record

ROWS = "examples.jsonl"
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_FETCH = "fetch them: dvc fetch --all-commits, or git checkout {} && dvc pull"


class DataRow(Record):
    """A row of any JSONL file of SENSE's: it has an id, and whatever other fields."""

    id: str


@dataclass(frozen=True)
class DatasetVersion:
    """The rows of a version, the digest of each database by its db_id, and the manifest if it has one.

    `label` names the version in messages. A file of rows has no databases.
    """

    label: str
    rows: list[DataRow]
    databases: Mapping[str, str]
    manifest: Manifest | None


def read_version(name: str | None, path: Path) -> DatasetVersion:
    """The version `name` of the dataset folder or JSONL file at `path`; None is the workspace.

    A name is a folder or file, which is read itself; or the md5 of data in dvc.lock; or a Git revision. Raises UserError if it is
    none of them or has no such data, InputError if the data are malformed.
    """
    if name is None:
        return _read_local(path, f"workspace:{path}")
    if Path(name).exists():
        return _read_local(Path(name), name)
    with _errors(name, path), _project() as project:
        return _read_md5(project, name) if _MD5.fullmatch(name) else _read_revision(project, name, path)


def _read_local(path: Path, label: str) -> DatasetVersion:
    if path.is_file():
        return _parse(label, {ROWS: ""}, lambda _: path.read_bytes(), label)
    if not (path / ROWS).is_file():
        raise InputError(
            f"{path}: no JSONL file and no dataset folder, which has {ROWS}; "
            "dvc checkout (or dvc pull) puts there what dvc.lock names"
        )
    files = (file for file in path.rglob("*") if file.is_file())
    digests = {file.relative_to(path).as_posix(): records.revision(file) if file.name != ROWS else "" for file in files}
    return _parse(label, digests, lambda relative: (path / relative).read_bytes())


def _read_revision(project: Any, revision: str, path: Path) -> DatasetVersion:
    """What `path` is in a Git revision: of DVC's outputs what its cache has, or else its remote; of other files what Git has."""
    from dvc.repo.brancher import switch
    from dvc.scm import NoSCM

    if isinstance(project.scm, NoSCM):
        raise UserError(
            f"{revision}: no folder or file of that name, and Git revisions need a Git repository; "
            "name two folders, or md5s of dvc.lock"
        )
    root = "/" + Path(os.path.relpath(path.absolute(), project.root_dir)).as_posix()
    if root.startswith("/.."):
        raise UserError(f"--path {path}: outside of the repository {project.root_dir}; name a path in it")
    with switch(project, revision):
        files = project.dvcfs
        label = f"{revision}:{path}"
        if files.isfile(root):
            return _parse(label, {ROWS: ""}, lambda _: files.cat_file(root), label)
        listing = files.fs.find(root, detail=True) if files.isdir(root) else {}
        digests = {
            os.path.relpath(file, root): info.get("md5") or hashlib.md5(files.cat_file(file), usedforsecurity=False).hexdigest()
            for file, info in listing.items()
        }
        if ROWS not in digests:
            raise UserError(
                f"{label}: no JSONL file and no dataset folder in that revision; "
                f"name a path that it has (dvc list . --rev {revision} -R)"
            )
        return _parse(label, digests, lambda relative: files.cat_file(f"{root}/{relative}"))


def _read_md5(project: Any, md5: str) -> DatasetVersion:
    """What the md5 of an output in dvc.lock names, from DVC's cache."""

    def read(name: str) -> bytes:
        return Path(project.cache.local.oid_to_path(name)).read_bytes()

    if not md5.endswith(".dir"):
        return _parse(md5, {ROWS: md5}, lambda _: read(md5), md5)
    digests = {entry["relpath"]: entry["md5"] for entry in json.loads(read(md5))}
    if ROWS not in digests:
        raise UserError(f"{md5}: no dataset folder: it has no {ROWS}; name the md5 of one in dvc.lock")
    return _parse(md5, digests, lambda relative: read(digests[relative]))


def _parse(label: str, digests: Mapping[str, str], read: Callable[[str], bytes], rows_label: str = "") -> DatasetVersion:
    """A version of the files in `digests` (path -> md5), of which rows and manifest are read; `rows_label` is for messages."""
    with tempfile.TemporaryDirectory() as name:
        copies = Path(name) / "copies"
        copies.mkdir()
        for file in (ROWS, manifest.FILE):
            if file in digests:
                (copies / file).write_bytes(read(file))
        try:
            rows = records.read_rows(copies / ROWS, DataRow)
            content = manifest.read_manifest(copies) if manifest.FILE in digests else None
        except InputError as error:
            message = str(error).replace(str(copies / ROWS), rows_label or f"{label}/{ROWS}").replace(str(copies), label)
            raise InputError(message) from None
    return DatasetVersion(label, rows, _databases(digests), content)


def _databases(digests: Mapping[str, str]) -> dict[str, str]:
    """A digest of each database over the names and contents of all files in its folder, those of its test suite too."""
    files: defaultdict[str, list[str]] = defaultdict(list)
    for path, digest in sorted(digests.items()):
        match path.split("/"):
            case ["databases", db_id, *rest] if rest:
                files[db_id].append(f"{'/'.join(rest)} {digest}")
    return {db_id: hashlib.sha256("\n".join(lines).encode()).hexdigest() for db_id, lines in files.items()}


@contextmanager
def _project() -> Iterator[Any]:
    """The DVC project of the current folder."""
    workspace.check_installed()
    from dvc.repo import Repo

    with Repo() as project:
        yield project


@contextmanager
def _errors(name: str, path: Path) -> Iterator[None]:
    """Turns DVC's errors into UserErrors that name the version, the path and the fix."""
    workspace.check_installed()
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.scm import RevError
    from dvc_data.index import DataIndexDirError

    try:
        yield
    except NotDvcRepoError:
        raise UserError(
            f"{name}: no folder or file of that name, and the current folder is in no DVC project that has its versions; "
            "change to the repository, or name two folders"
        ) from None
    except RevError:
        raise UserError(
            f"{name}: no folder, file or Git revision of that name; "
            "git log --oneline lists revisions, git fetch gets those of others"
        ) from None
    except (DataIndexDirError, FileNotFoundError):
        fix = "fetch them: dvc fetch, with the dvc.lock that names them" if _MD5.fullmatch(name) else _FETCH.format(name)
        where = name if _MD5.fullmatch(name) else f"{name}:{path}"
        raise UserError(f"{where}: not in dvc.lock, or neither in DVC's cache nor in its remote; {fix}") from None
    except DvcException as error:
        raise UserError(
            f"{name}:{path}: DVC cannot read it ({error}); mend dvc.yaml or dvc.lock of that revision, or name another"
        ) from None
