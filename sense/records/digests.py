"""The digests of files and folders: SHA-256 for what SENSE compares, md5 as DVC names data."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path


def digest(path: Path) -> str:
    """SHA-256 over a file, or over a folder's relative names and contents in sorted order."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return combine_digests((file.relative_to(path).as_posix(), digest(file)) for file in files)


def combine_digests(files: Iterable[tuple[str, str]]) -> str:
    """The digest of a folder from the relative names and digests of its files, which are sorted as paths."""
    total = hashlib.sha256()
    for name, value in files:
        total.update(f"{name}\0{value}\n".encode())
    return total.hexdigest()


def revision(path: Path) -> str:
    """The md5 by which DVC names a file, or a folder's relative names and contents: that ends with `.dir`."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    listing = json.dumps([{"md5": revision(files[name]), "relpath": name} for name in sorted(files)])
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"
