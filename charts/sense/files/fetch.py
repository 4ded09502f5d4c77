"""Downloads models from MLflow before vLLM starts, each whole or not at all.

Each argument is a JSON object: `uri` (MLflow's, of one version), `into` (the folder to make), `needs` (a file that it must
hold) and `digest` (SHA-256 of the folder of that file as it was published, "": not compared). Other pods may download the same
to the same volume: each into a folder of its own, and the first to be done wins. Exit code 1: trying again may help; 3: it
would end in the same way.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

WHOLE = ".whole"  # made last; a folder without it counts for nothing
REFUSED = 3  # the exit code on which the Job before an upgrade gives up at once
NO_SPACE = 64 << 20  # bytes; a disk with fewer left is why a download broke off
STALE_S = 86_400  # an unfinished download that has not grown for so long is nobody's


def fetch(uri: str, into: str, needs: str, digest: str) -> None:
    """Makes `into`, unless it is there; ends the container if that fails."""
    target = Path(into)
    if (target / WHOLE).is_file():
        print(f"{uri}: {target} is there", flush=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    clean(target.parent)
    arriving = target.parent / f".{target.name}.{os.environ['POD_NAME']}.partial"
    shutil.rmtree(arriving, ignore_errors=True)  # of this pod's last try
    try:
        download(uri, arriving, target, needs, digest)
    finally:  # refused, stopped, or whole: then it is what lay around an adapter
        shutil.rmtree(arriving, ignore_errors=True)


def download(uri: str, arriving: Path, target: Path, needs: str, digest: str) -> None:
    """Brings what is at `uri` to `arriving`, and from there, if it is what it should be, to `target`."""
    arriving.mkdir()
    print(f"{uri}: downloading to {target}", flush=True)
    command = [sys.executable, "-m", "mlflow", "artifacts", "download", "-u", uri, "-d", str(arriving)]
    if subprocess.run(command, check=False).returncode:
        left = shutil.disk_usage(arriving).free
        if left < NO_SPACE:
            refuse(f"{uri}: the disk of {target.parent} is full ({left >> 20}Mi left): enlarge the volume of vllm.storage")
        sys.exit(f"{uri}: the download failed (see above): is mlflow.trackingUri right, and does the version exist?")
    folder = root(arriving, needs)
    if folder is None:
        refuse(f"{uri}: there must be one {needs} in it")
    found = content((folder / needs).parent) if digest else ""
    if found != digest:
        refuse(
            f"{uri}: its SHA-256 is {found}, not {digest}: it was changed since it was published; publish it again, or set "
            "vllm.download.verify to false"
        )
    os.sync()
    place(folder, target)
    print(f"{uri}: {target} is whole", flush=True)


def refuse(message: str) -> NoReturn:
    """Ends the container: what is wrong stays wrong."""
    print(message, file=sys.stderr, flush=True)
    sys.exit(REFUSED)


def root(arrived: Path, needs: str) -> Path | None:
    """The one folder of a download that holds `needs`."""
    found = [folder for folder in (arrived, *arrived.rglob("*")) if (folder / needs).is_file()]
    return found[0] if len(found) == 1 else None


def place(folder: Path, target: Path) -> None:
    """Gives `folder` its final name, then the mark. If another pod was first, its folder stays: vLLM may read it already."""
    try:
        folder.rename(target)
    except OSError:
        if sizes(target) != sizes(folder):  # half, of a volume that renames file by file
            broken = folder.with_name(f"{folder.name}.broken")
            target.rename(broken)
            folder.rename(target)
            shutil.rmtree(broken)
        else:
            shutil.rmtree(folder)
    (target / WHOLE).touch()


def sizes(folder: Path) -> dict[str, int]:
    """Every file under `folder` but the mark: its path and its bytes."""
    return {str(f.relative_to(folder)): f.stat().st_size for f in folder.rglob("*") if f.is_file() and f.name != WHOLE}


def content(folder: Path) -> str:
    """The digest that was recorded when `folder` was published, before the model's card (README.md) joined it."""
    total = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file() and f != folder / "README.md"):
        with file.open("rb") as stream:
            one = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{file.relative_to(folder).as_posix()}\0{one}\n".encode())
    return total.hexdigest()


def clean(folder: Path) -> None:
    """Deletes what pods left behind that are gone."""
    for left in folder.glob(".*.partial*"):
        with suppress(OSError):  # another pod is at it
            if time.time() - max(path.stat().st_mtime for path in (left, *left.rglob("*"))) > STALE_S:
                shutil.rmtree(left)


def stop(*_: object) -> NoReturn:
    """At SIGTERM, which the first process of a container would ignore: the download ends, and nothing is left of it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)  # mlflow, and what it has started
    sys.exit(143)


signal.signal(signal.SIGTERM, stop)
for argument in sys.argv[1:]:
    fetch(**json.loads(argument))
