"""A temporary DVC project without git: one remote, a cache and a state of its own."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sense import object_store, records
from sense.data_versions.remote import Remote
from sense.errors import EndpointError, StorageError, UserError, install

_CONFIG = """\
[core]
    analytics = false
    check_update = false
    no_scm = true
    remote = store
[cache]
    type = hardlink
['remote "store"']
    url = {url}
"""
# The pipe at 0 closes when the process that waits for DVC ends, however it ends: DVC never works on without it.
_PROGRAM = """\
import os, sys, threading
def end_with_parent():
    os.read(0, 1)
    os._exit(1)
threading.Thread(target=end_with_parent, daemon=True).start()
from dvc.cli import main
sys.exit(main(sys.argv[1:]))
"""


@contextmanager
def storage_errors(target: Path) -> Iterator[None]:
    """Turns a failure to write beside `target` into a StorageError."""
    try:
        yield
    except OSError as error:  # of many files at once, shutil has no reason but a list
        why = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror or error
        raise StorageError(f"{target}: cannot be written ({why}); free space or mend permissions, then run again") from None


def check_installed() -> None:
    """UserError if DVC is not installed."""
    if importlib.util.find_spec("dvc") is None:
        raise UserError(f"data versions need the extra `data`; {install('data')}")


def create_project(folder: Path, remote: Remote) -> None:
    """Makes `folder` a project; what a killed call has fetched into it stays, its locks do not."""
    check_installed()
    records.remove(folder / ".dvc" / "tmp")  # a lock names a process, and another container has another's number
    records.write_text(folder / ".dvc" / "config", _CONFIG.format(url=_quoted(remote.url)))


def run_dvc(folder: Path, remote: Remote, *arguments: str) -> None:
    """Runs one DVC command in the project; EndpointError with DVC's message if it fails."""
    # the user's and the machine's settings stay out: they may move the cache, and a container may have no home and no user
    state = folder.absolute() / ".dvc" / "state"
    settings = [f"DVC_{name}_DIR={state}" for name in ("GLOBAL_CONFIG", "SYSTEM_CONFIG", "SITE_CACHE")]
    command = ["env", "LOGNAME=sense", *settings, sys.executable, "-P", "-c", _PROGRAM, *arguments]
    read_end, write_end = os.pipe()
    try:
        process = subprocess.run(command, cwd=folder, stdin=read_end, capture_output=True, text=True, check=False)
    finally:
        os.close(read_end)
        os.close(write_end)
    if process.returncode:
        lines = [line.strip() for line in process.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines[-1:]
        raise EndpointError(
            f"the data remote {remote.url}: dvc {arguments[0]} failed ({object_store.hide_credentials('; '.join(errors))}); "
            "check the remote and free space, then run the same command again"
        )


def cache_file(folder: Path, object_path: str) -> Path:
    """The file of an object in the project's cache."""
    return folder / ".dvc" / "cache" / object_path


def _quoted(value: str) -> str:
    """A value of DVC's config, in quotes: commas would make it a list, and # end it."""
    quote = "'" if '"' in value else '"'
    if quote in value or "\n" in value:
        raise UserError(f"{value!r}: DVC cannot take a path with both kinds of quotes or a line break; rename the folder")
    return f"{quote}{value}{quote}"
