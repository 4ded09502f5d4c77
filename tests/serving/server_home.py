"""What a database server of a test needs: a folder, a free port, and the user nobody, because servers refuse to run as root."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest


class ServerHome:
    """A temporary folder and a free port. `command` is a command line with the right user; `remove` deletes the folder."""

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"sense-{name}-"))
        self._switch_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        if self._switch_user:
            shutil.chown(self.folder, "nobody")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def command(self, program: Path, *arguments: str) -> list[str]:
        return [*self._switch_user, str(program), *arguments]

    def file(self, name: str, text: str) -> Path:
        """A file that the server may read."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def remove(self) -> None:
        shutil.rmtree(self.folder)


def find_program(name: str, *folders: str) -> Path:
    """A program on the path or in one of the folders (patterns); skips the test where there is none."""
    candidates = [Path(folder) / name for folder in os.get_exec_path()]
    candidates += [path for folder in folders for path in sorted(Path("/").glob(f"{folder.lstrip('/')}/{name}"))]
    for path in candidates:
        if path.exists():
            return path
    pytest.skip(f"there is no {name}: install its database server to run these tests")
