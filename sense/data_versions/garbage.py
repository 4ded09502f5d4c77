"""What DVC's cache and a remote hold that nothing names any more, and its removal: `sense data gc`.

DVC's own `gc` keeps what Git commits or workspaces name. Registered versions and runs in MLflow name data too, so what stays is
decided here; where objects lie, how they are listed and how they are removed is DVC's part.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from sense import object_store, records
from sense.data_versions import latest, workspace
from sense.data_versions import remote as remotes
from sense.errors import EndpointError, InputError, UserError

if TYPE_CHECKING:
    from sense.tracking import DataReference  # which brings mlflow

_DIR = ".dir"
_REMOTE = "sense-gc"  # the name of a remote that is given by its URL


@dataclass(frozen=True)
class StoredObject:
    """An object in a cache or remote: its path there, its size in bytes, when it was written (Unix seconds; None: unknown)."""

    path: str
    size: int
    modified: float | None


@dataclass(frozen=True)
class ObjectStore:
    """A cache or remote as it was listed: its objects by md5, folders' with `.dir`; `database` is DVC's access to it."""

    name: str
    database: Any
    objects: Mapping[str, StoredObject]

    def read(self, md5: str) -> bytes:
        """The content of an object."""
        with _access_errors(self.name), self.database.fs.open(self.objects[md5].path, "rb") as stream:
            content: bytes = stream.read()
        return content

    def sha256(self, md5: str) -> str:
        """The SHA-256 of an object's content."""
        with _access_errors(self.name), self.database.fs.open(self.objects[md5].path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Holding:
    """What stays because `label` names it: objects and bytes that are there, and the names of data that are not, or not whole."""

    label: str
    objects: int
    size: int
    missing: list[str]


@dataclass(frozen=True)
class GarbagePlan:
    """What stays, by what names it; what goes, by store: md5 -> object; and the objects that nothing names but that are young."""

    holdings: list[Holding]
    garbage: list[tuple[ObjectStore, dict[str, StoredObject]]]
    young: int


@contextmanager
def open_project(remote: str | None) -> Iterator[Any]:
    """The DVC project of the current folder, locked against other DVC commands in it; its remote is `remote`, if one is given.

    `remote` is the name of one of its remotes, or a URL or folder. UserError if there is no project, or if DVC cannot read it.
    """
    workspace.check_installed()
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo() as project:
            configured = remote is None or remote in project.config["remote"]
        settings: dict[str, Any] = {"core": {"remote": remote}} if remote else {}
        if remote and not configured:
            target = remotes.parse_remote(remote)
            remotes.check_readable(target)
            settings = {"core": {"remote": _REMOTE}, "remote": {_REMOTE: {"url": target.url}}}
        with Repo(config=settings) as project, project.lock:
            yield project
    except NotDvcRepoError:
        raise UserError(f"{Path.cwd()}: in no DVC project; change to the checkout whose dvc.lock names the data in use") from None
    except DvcException as error:
        raise UserError(f"DVC cannot use this project ({error}); mend it, or end the DVC command that runs in it") from None


def list_stores(project: Any) -> list[ObjectStore]:
    """The cache and, if the project has one, the remote, each with all its objects; EndpointError if a remote cannot be read."""
    stores = [_list_store("the cache", project.cache.local)]
    if project.config["core"].get("remote"):
        database = project.cloud.get_remote_odb(command="gc")
        name = f"the remote {object_store.hide_credentials(database.fs.unstrip_protocol(database.path))}"
        if database.fs.protocol == "local" and not Path(database.path).parent.parent.is_dir():
            raise EndpointError(f"{name}: no such folder; mount it, or give another by --remote")
        stores.append(_list_store(name, database))
    return stores


def workspace_references(project: Any, all_commits: bool) -> "list[DataReference]":
    """What dvc.lock and the .dvc files of the checkout name, and, with `all_commits`, those of each Git commit."""
    from dvc.scm import NoSCM

    from sense.tracking import DataReference

    if all_commits and isinstance(project.scm, NoSCM):
        raise UserError("--all-commits: this DVC project is in no Git repository; leave the flag out")
    references = []
    for revision in project.brancher(all_commits=all_commits):
        outputs = [out for out in project.index.outs if out.use_cache and out.hash_info]
        label = f"commit {revision[:8]}" if revision not in ("", "workspace") else "the workspace"
        references.append(DataReference(label, {str(out): out.hash_info.value for out in outputs}))
    return references


def latest_references(stores: Sequence[ObjectStore]) -> "list[DataReference]":
    """The newest version of each folder that `sense data push` has written to a remote."""
    from sense.tracking import DataReference

    references = []
    for store in stores:
        folder = f"{store.database.path.rsplit('/', 2)[0]}/{latest.FOLDER}"
        with _access_errors(store.name):
            for path in store.database.fs.find(folder) if store.database.fs.exists(folder) else ():
                with store.database.fs.open(path, "rb") as stream:
                    name, revision = PurePosixPath(path).name, stream.read().decode("utf-8").strip()
                references.append(DataReference(f"latest {name}", {name: revision}))
    return references


def plan(stores: Sequence[ObjectStore], references: "Sequence[DataReference]", youngest: float) -> GarbagePlan:
    """What stays and what goes. Objects written at or after `youngest` (Unix seconds) stay, with all that young folders name.

    List the stores first and read the references after that: then what was pushed meanwhile is in no plan. InputError if the
    listing of a folder that is named is damaged, so that nobody knows which files it names.
    """
    sizes = {md5: one.size for store in stores for md5, one in store.objects.items()}
    unresolved = {digest for reference in references for digest in reference.digests.values()}
    by_content = _find_by_content(stores, unresolved) if unresolved else {}
    holdings, named = [], set[str]()
    for reference in references:
        revisions = {**reference.revisions, **{name: by_content.get(value, "") for name, value in reference.digests.items()}}
        holding, members = _hold(stores, sizes, reference.label, revisions)
        holdings.append(holding)
        named |= members
    young = {md5 for store in stores for md5, one in store.objects.items() if one.modified is None or one.modified >= youngest}
    reached = young.union(*(_members(stores, md5, "an object pushed lately") for md5 in young if md5.endswith(_DIR)))
    garbage = [(store, {md5: one for md5, one in store.objects.items() if md5 not in named | reached}) for store in stores]
    return GarbagePlan(holdings, garbage, len((reached - named) & sizes.keys()))


def delete(store: ObjectStore, garbage: Mapping[str, StoredObject]) -> None:
    """Removes objects, the listings of folders first: a kill leaves no listing whose files are gone."""
    from dvc_data.hashfile.db import get_index

    get_index(store.database).clear()  # what DVC remembers of the remote, so that the next push looks again
    for is_listing in (True, False):
        paths = [one.path for md5, one in garbage.items() if md5.endswith(_DIR) == is_listing]
        if paths:
            with _access_errors(store.name):
                store.database.fs.remove(paths)


def _list_store(name: str, database: Any) -> ObjectStore:
    with _access_errors(name):
        files = database.fs.fs.find(database.path, detail=True)
        # of an object store the listing says all; of a folder DVC lists the paths alone
        entries = files if isinstance(files, Mapping) else {path: database.fs.info(path) for path in files}
    objects = {}
    for path, entry in entries.items():
        try:
            md5 = database.path_to_oid(path)
        except ValueError:
            continue  # no object: a file that a killed DVC has left, or somebody else's
        modified = entry.get("mtime") or entry.get("LastModified")
        seconds = modified.timestamp() if hasattr(modified, "timestamp") else modified
        objects[md5] = StoredObject(path, int(entry["size"]), seconds)
    return ObjectStore(name, database, objects)


def _hold(
    stores: Sequence[ObjectStore], sizes: Mapping[str, int], label: str, revisions: Mapping[str, str]
) -> tuple[Holding, set[str]]:
    """What `label` holds by naming `revisions`, and the md5s of all that belongs to them."""
    members: dict[str, set[str]] = {name: _members(stores, md5, label) if md5 else set() for name, md5 in revisions.items()}
    named = set().union(*members.values())
    present = named & sizes.keys()
    missing = [name for name, md5s in members.items() if not md5s or not md5s <= sizes.keys()]
    return Holding(label, len(present), sum(sizes[md5] for md5 in present), sorted(missing)), named


def _members(stores: Sequence[ObjectStore], md5: str, label: str) -> set[str]:
    """An object and, if it is a folder's listing, the files that this names."""
    if not md5.endswith(_DIR):
        return {md5}
    holders = [store for store in stores if md5 in store.objects]
    for store in holders:
        content = store.read(md5)
        if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5.removesuffix(_DIR):
            return {md5, *(str(entry["md5"]) for entry in json.loads(content))}
    if holders:
        names = " and ".join(store.name for store in holders)
        raise InputError(
            f"{md5}, which {label} names, is damaged in {names}: nobody knows which files it names; delete it there and "
            "dvc push it again from where the data was made, then run again"
        )
    return {md5}


def _find_by_content(stores: Sequence[ObjectStore], digests: Iterable[str]) -> dict[str, str]:
    """SHA-256 of data -> its md5, for versions that were registered before their md5s were: every object may have to be read."""
    wanted, matches = set(digests), dict[str, str]()
    for store in stores:
        read = cache(store.sha256)
        for md5 in sorted(store.objects, key=lambda md5: not md5.endswith(_DIR)):
            if not wanted - matches.keys():
                return matches
            digest = _folder_digest(store, md5, read) if md5.endswith(_DIR) else read(md5)
            if digest in wanted:
                matches[digest] = md5
    return matches


def _folder_digest(store: ObjectStore, md5: str, read: Any) -> str:
    """What records.digest says of the folder; '' if one of its files is not in the store."""
    try:
        entries = {PurePosixPath(entry["relpath"]): entry["md5"] for entry in json.loads(store.read(md5))}
    except (ValueError, KeyError, TypeError):  # damaged: it is no folder that anything names
        return ""
    if not set(entries.values()) <= store.objects.keys():
        return ""
    return records.combine_digests((path.as_posix(), read(entries[path])) for path in sorted(entries))


@contextmanager
def _access_errors(name: str) -> Iterator[None]:
    """Turns what a store's own library raises into an EndpointError without secrets."""
    try:
        yield
    except Exception as error:
        message = object_store.hide_credentials(f"{type(error).__name__}: {error}")
        raise EndpointError(
            f"{name} cannot be used ({message}); check that it is there and what you may do with it, then run again"
        ) from None
