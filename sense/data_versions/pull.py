"""Fetches a revision of data from a remote and checks every byte against the digest that names it."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sense import records
from sense.data_versions import remote as remotes
from sense.data_versions import workspace
from sense.errors import InputError, UserError

_REVISION = re.compile(r"[0-9a-f]{32}(\.dir)?")
_OUTPUT = 'outs:\n- md5: "{}"\n  hash: md5\n  path: data\n'  # in quotes: an md5 may look like a number


class _Entry(NamedTuple):
    """A file of a folder's revision: where it lies in the folder, and its md5."""

    path: str
    md5: str


def pull(remote: str, revision: str, target: Path) -> str:
    """Puts the data of `revision` at `target`, which appears only when it is whole and verified; returns the revision.

    `revision` is the md5 that dvc.lock or a .dvc file gives, with `.dir` for a folder. Raises EndpointError if the remote
    cannot be read, UserError if it does not know the revision, InputError if what it holds is damaged, StorageError
    if `target` cannot be written. What a killed call has fetched stays beside `target` for the next one.
    """
    if not _REVISION.fullmatch(revision):
        raise UserError(
            f"the revision {revision!r}: not an md5 as in dvc.lock or a .dvc file (32 hex digits, a folder's with .dir)"
        )
    source = remotes.parse_remote(remote)
    remotes.check_readable(source)
    if remotes.missing_revisions(source, [revision]):
        raise UserError(_unknown_revision(source, revision))
    project = target.with_name(f".{target.name}.pull.partial")
    with workspace.storage_errors(target):
        workspace.create_project(project, source)
        records.write_text(project / "data.dvc", _OUTPUT.format(revision))
        workspace.run_dvc(project, source, "fetch", "data.dvc")
        records.remove(project / "whole")
        _write_target(project, source, revision, project / "whole")
        records.deliver(project / "whole", target)
        records.remove(project)
    return revision


def _unknown_revision(remote: remotes.Remote, revision: str) -> str:
    other = revision.removesuffix(".dir") if revision.endswith(".dir") else f"{revision}.dir"
    if not remotes.missing_revisions(remote, [other]):
        return f"the revision {revision}: the data remote {remote.url} has {other} instead; give that"
    return f"the revision {revision}: the data remote {remote.url} does not have it; dvc push it from where it was made"


def _write_target(project: Path, remote: remotes.Remote, revision: str, target: Path) -> None:
    """Moves the fetched objects to where the revision has them, each one read and compared with its name first."""
    if not revision.endswith(".dir"):
        _object(project, remote, revision, "").replace(target)
        target.chmod(0o644)
        return
    entries = _entries(project, remote, revision)
    uses_left = Counter(entry.md5 for entry in entries)
    target.mkdir()
    for entry in entries:
        uses_left[entry.md5] -= 1
        source = _object(project, remote, entry.md5, entry.path)
        final = target / entry.path
        final.parent.mkdir(parents=True, exist_ok=True)
        if uses_left[entry.md5]:  # the same content again, later: a file of its own for each
            shutil.copyfile(source, final)
        else:
            source.replace(final)
            final.chmod(0o644)  # DVC's cache is read-only


def _entries(project: Path, remote: remotes.Remote, revision: str) -> list[_Entry]:
    """What a folder's revision lists; InputError if a path would lead out of the folder."""
    listing = json.loads(_object(project, remote, revision, "").read_bytes())
    entries = [_Entry(str(row["relpath"]), str(row["md5"])) for row in listing]
    for entry in entries:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts or not path.parts or not _REVISION.fullmatch(entry.md5):
            raise InputError(
                f"the revision {revision} in the data remote {remote.url} lists {entry.path!r}: not a file of its own"
            )
    return entries


def _object(project: Path, remote: remotes.Remote, name: str, path: str) -> Path:
    """The fetched object `name`, whose content has that md5; InputError if it is missing or another."""
    file = workspace.cache_file(project, remotes.object_path(name))
    description = f"{name} ({path})" if path else name
    if not file.is_file():
        raise InputError(
            f"the data remote {remote.url} lacks {description}: "
            "its push was never finished; dvc push again from where the data was made"
        )
    md5 = records.revision(file)
    if md5 != name.removesuffix(".dir"):
        records.remove(project)  # so that the next call fetches it anew
        raise InputError(
            f"the data remote {remote.url}: the content of {description} has the md5 {md5}: it is damaged; delete it there and "
            "dvc push it again from where the data was made"
        )
    return file
