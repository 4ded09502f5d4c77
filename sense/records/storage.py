"""Files and folders that are there whole or not at all: written, delivered, deleted.

Writes go to a temporary name beside the target, are flushed to disk and renamed, so a reader never sees half a file.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sense.errors import StorageError


@contextmanager
def atomic(path: Path, durable: bool = True) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` only when the block ends well; StorageError if it can't be written.

    Without `durable` it does not wait for the disk: for many files that are soon replaced, and all written again by a rerun.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); free space or mend permissions, then rerun"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_first(path: Path, content: bytes) -> bool:
    """Writes `path`, whole or not at all, unless it is there: of several processes that write it at once, the first wins.

    Returns whether this was the first one. Raises StorageError if it cannot be written. Where a file system has no hard links,
    the last one wins.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        try:
            with _create(temporary) as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            _link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); free space or mend permissions, then rerun"
        ) from error
    return True


def _create(path: Path) -> IO[bytes]:
    """Opens a new file, in a new folder if need be."""
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def _link(source: Path, target: Path) -> None:
    """Gives a file a second name; where the file system knows no hard links, another one."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        source.replace(target)


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path` atomically, in UTF-8."""
    with atomic(path) as stream:
        stream.write(text.encode())


def deliver(staged: Path, final: Path) -> None:
    """Moves a finished file or folder to its final name, across file systems too, never half of it."""
    final.parent.mkdir(parents=True, exist_ok=True)
    arriving = final.with_name(f".{final.name}.partial")
    remove(arriving)
    try:
        staged.replace(arriving)
    except OSError:  # another file system: copy beside the target first
        if staged.is_dir():
            shutil.copytree(staged, arriving)
        else:
            shutil.copy2(staged, arriving)
    if not final.is_file():  # a file is replaced in one step, a folder cannot be
        remove(final)
    arriving.replace(final)


def remove(path: Path) -> None:
    """Deletes a file or a folder, if it is there; a kill meanwhile leaves nothing half deleted under its name."""
    going = path.with_name(f".{path.name}.old.partial")
    if going.is_dir():  # of a killed try
        shutil.rmtree(going)
    if path.is_dir() and not path.is_symlink():
        path.replace(going)
        shutil.rmtree(going)
    else:
        path.unlink(missing_ok=True)
