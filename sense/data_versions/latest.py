"""The newest version of a folder in a data remote, by the folder's name: `latest` in cluster.seeds and cluster.own.

A remote of DVC has no names, only objects. Beside them, `latest/NAME` holds the revision that was pushed last.
"""

import shutil
from pathlib import Path

import yaml

from sense import records
from sense.data_versions import remote as remotes
from sense.data_versions import workspace
from sense.errors import InputError, UserError

FOLDER = "latest"
LATEST = "latest"  # in place of a revision in params.yaml


def push(folder: Path, remote: str) -> str:
    """Pushes `folder` to the remote and makes it the newest under its name; returns its revision.

    The name follows last: whoever reads it meets data that is whole. A killed call is completed by its repetition. InputError if
    there is no such folder, EndpointError if the remote cannot be written.
    """
    if not folder.is_dir() or not folder.resolve().name:
        raise InputError(f"{folder}: no such folder; sense own makes one of your databases and questions")
    target = remotes.parse_remote(remote)
    remotes.check_writable(target)
    name = folder.resolve().name
    project = folder.resolve().with_name(f".{name}.push.partial")
    with workspace.storage_errors(project):
        records.remove(project)
        project.mkdir()
        workspace.create_project(project, target)
        shutil.copytree(folder, project / name)
        workspace.run_dvc(project, target, "add", name)
        workspace.run_dvc(project, target, "push", f"{name}.dvc")
        revision = str(yaml.safe_load((project / f"{name}.dvc").read_text(encoding="utf-8"))["outs"][0]["md5"])
        remotes.write_text(target, f"{FOLDER}/{name}", f"{revision}\n")
        records.remove(project)
    return revision


def resolve(remote: str, name: str) -> str:
    """The revision of the newest version of the folder called `name`; UserError if the remote has none."""
    target = remotes.parse_remote(remote)
    remotes.check_readable(target)
    text = remotes.read_text(target, f"{FOLDER}/{name}")
    if text is None:
        command = f"sense data push FOLDER/{name} --remote {target.url}"
        raise UserError(f"the data remote {target.url} has no newest version of {name}; make one: {command}")
    return text.strip()
