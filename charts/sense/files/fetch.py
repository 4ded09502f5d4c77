"""Brings models before vLLM starts, each whole or not at all, and compares them with the digests that were published.

Each argument is a JSON object with `needs` (a file that the model must hold) and `digest` (SHA-256 of the folder of that file as
it was published, "": not compared). One with `uri` (MLflow's, of one version, or s3:// or gs://) is downloaded into the folder
`into`, in which its folder is called `under`. One with `path`, a folder on a volume that `name` describes, is compared where it
lies. Other pods may download the same to the same volume: each into a folder of its own, and the first to be done wins.
Exit code 1: trying again may help; 3: it would end in the same way.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

WHOLE = ".whole"  # made last; a folder without it counts for nothing
REFUSED = 3  # the exit code on which the Job before an upgrade gives up at once
NO_SPACE = 64 << 20  # bytes; a disk with fewer left is why a download broke off
WHERE = (
    "is mlflow.trackingUri right, and does the version exist?",
    "is modelSource.uri right, and may the keys in modelSource.existingSecret read it?",
)
LONGEST_HEADER = 100_000_000  # bytes that safetensors allows before the tensors
STALE_S = 86_400  # an unfinished download that has not grown for so long is nobody's


def check(path: str, name: str, needs: str, digest: str) -> None:
    """Ends the container unless the folder `path` is the model that was published."""
    print(f"{name}: comparing {path}", flush=True)
    if not (Path(path) / needs).is_file():
        refuse(f"{name}: no {needs} in {path}: does the volume hold the model, and is the path in modelSource right?")
    compare(name, Path(path), digest)
    print(f"{name}: {path} is whole", flush=True)


def fetch(uri: str, into: str, needs: str, digest: str, under: str = "") -> None:
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
        download(uri, arriving, target / under, needs, digest)
        (target / WHOLE).touch()
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
        sys.exit(f"{uri}: the download failed (see above): {WHERE[uri.startswith(('s3://', 'gs://'))]}")
    folder = root(arriving, needs)
    if folder is None:
        refuse(f"{uri}: there must be one {needs} in it")
    compare(uri, (folder / needs).parent, digest)
    os.sync()
    place(folder, target)
    print(f"{uri}: {target} is whole", flush=True)


def compare(name: str, folder: Path, digest: str) -> None:
    """Ends the container unless `folder` has the digest; says what is missing or cut off, if anything is."""
    actual = content(folder) if digest else ""
    if actual != digest:
        faults = "; ".join(weight_faults(folder)) or "it was changed since it was published"
        cure = "publish it again, or set vllm.download.verify to false" if name.startswith("models:/") else "copy it there again"
        refuse(f"{name}: its SHA-256 is {actual}, not {digest}: {faults}; {cure}")


def weight_faults(folder: Path) -> Iterator[str]:
    """Files of weights that are missing, as their index says, or end too early, as they themselves say."""
    index = folder / "model.safetensors.index.json"
    with suppress(OSError, ValueError, KeyError, AttributeError):  # whatever else it is, it is not what was published
        for name in sorted(set(json.loads(index.read_text())["weight_map"].values())):
            if not (folder / name).is_file():
                yield f"{name} is missing"
    for file in sorted(folder.glob("*.safetensors")):
        with suppress(OSError, ValueError, KeyError, AttributeError), file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            size, has = 8 + length, file.stat().st_size
            if length > LONGEST_HEADER:
                continue  # no safetensors at all
            if has >= size:  # else not even the header is whole
                tensors = json.loads(stream.read(length))
                size += max(row["data_offsets"][1] for name, row in tensors.items() if name != "__metadata__")
            if has < size:
                yield f"{file.name} ends after {has} of {size} bytes"


def refuse(message: str) -> NoReturn:
    """Ends the container: what is wrong stays wrong."""
    print(message, file=sys.stderr, flush=True)
    sys.exit(REFUSED)


def root(arrived: Path, needs: str) -> Path | None:
    """The one folder of a download that holds `needs`."""
    found = [folder for folder in (arrived, *arrived.rglob("*")) if (folder / needs).is_file()]
    return found[0] if len(found) == 1 else None


def place(folder: Path, target: Path) -> None:
    """Gives `folder` its final name. If another pod was first, its folder stays: vLLM may read it already."""
    target.parent.mkdir(exist_ok=True)
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
    keys = json.loads(argument)
    (check if "path" in keys else fetch)(**keys)
