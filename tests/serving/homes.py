"""A home for a database server of a test's own: a folder, a free port, and, as servers refuse to run as root, the user nobody."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest


class Home:
    """`command` runs a program there as a user who may; `remove` deletes all of it."""

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"sense-{name}-"))
        self._as = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        if self._as:
            shutil.chown(self.folder, "nobody")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def command(self, program: Path, *given: str) -> list[str]:
        return [*self._as, str(program), *given]

    def file(self, name: str, text: str) -> Path:
        """A file that the server may read."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def remove(self) -> None:
        shutil.rmtree(self.folder)


def program(name: str, *folders: str) -> Path:
    """A program on the path or in one of the folders (patterns); skips the test where there is none."""
    places = [Path(folder) / name for folder in os.get_exec_path()]
    places += [path for folder in folders for path in sorted(Path("/").glob(f"{folder.lstrip('/')}/{name}"))]
    for path in places:
        if path.exists():
            return path
    pytest.skip(f"there is no {name}: install its database server to run these tests")
