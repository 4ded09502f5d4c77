"""Copies of a stage's unfinished work in an S3-compatible store, from which a task resumes that was killed on another node.

Without SENSE_CHECKPOINTS (s3://bucket/prefix) nothing here does anything. With it, each work directory has a folder there:

    NAME/manifest.json         path, size and SHA-256 of every file of the last whole copy
    NAME/objects/<SHA-256>     their contents

A copy becomes visible with its manifest, which is written last, in one request; only then are the objects deleted that it does
not name. So a kill at any moment leaves a whole copy. Copying needs no process to wait, and its failures do not end the stage.
"""

import fcntl
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pydantic import ValidationError

from sense import config, console, object_store, records
from sense.errors import EndpointError, UserError

_MANIFEST, _OBJECTS = "manifest.json", "objects"
_RECEIPT = "stored.json"  # in a work directory: the manifest of its last copy
_MERGED_MODELS = "whole-"  # folders with models for vLLM, which are as large as a base and made again from the inputs
_PROBE = ".sense-probe"
_PATIENCE = {"connect_timeout": 10, "read_timeout": 60, "retries": {"total_max_attempts": 6, "mode": "standard"}}
_INTERVAL_S = 60.0  # between copies of logs, which are copied whole


class StoredFile(records.Record):
    """A file of a copy: its path in the work directory, its size in bytes and its digest."""

    path: str
    size: int
    sha256: str


class Manifest(records.Record):
    """All files of a copy."""

    files: tuple[StoredFile, ...]


@dataclass(frozen=True)
class _Folder:
    """The folder of one work directory in the store."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"the checkpoint store s3://{self.bucket}/{self.prefix}"

    def key(self, *parts: str) -> str:
        return "/".join([self.prefix, *parts]).lstrip("/")


class _Copies:
    """The copies of one work directory."""

    def __init__(self, folder: _Folder, work: Path) -> None:
        self._folder, self._work = folder, work
        self._thread: threading.Thread | None = None
        self._ended = 0.0  # when the last copy was finished, on time.monotonic

    def fetch(self) -> None:
        """Puts the copy in the place of the work directory, unless that is the one that was copied last, or goes on from it.

        EndpointError if the store cannot be asked: begun anew, the stage would lose hours. A damaged copy is passed over.
        """
        with object_store.client(str(self._folder), "be read", _PATIENCE) as client:
            content = self._manifest(client)
            receipt = self._work / _RECEIPT
            if content is None or (receipt.is_file() and receipt.read_bytes() == content):
                return
            arriving = self._work.with_name(f".{self._work.name}.fetched.partial")
            records.remove(arriving)
            arriving.mkdir(parents=True)
            problem = self._download(client, content, arriving)
        if problem:
            console.say(f"{self._folder}: {problem}; the unfinished work there is left out, and this starts without it")
            records.remove(arriving)
            return
        (arriving / _RECEIPT).write_bytes(content)
        records.remove(self._work)
        arriving.replace(self._work)
        console.say(f"{self._work.name}: goes on from the copy in {self._folder}")

    def save(self, soon: bool) -> None:
        """Starts a copy, once the one before it has ended; unless it has to be `soon`, not more often than the interval."""
        if not soon and time.monotonic() - self._ended < _INTERVAL_S:
            return
        self.wait()
        files = sorted(file for file in self._work.rglob("*") if self._belongs(file))
        self._thread = threading.Thread(target=self._try_to_save, args=(files,), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Returns when no copy is being made: files of the last one may be deleted then."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def remove(self) -> None:
        """Deletes the copy, its manifest first; a failure is told, and the objects stay."""
        self.wait()
        try:
            with object_store.client(str(self._folder), "be cleared", _PATIENCE) as client:
                client.delete_object(Bucket=self._folder.bucket, Key=self._folder.key(_MANIFEST))
                self._delete_objects(client, frozenset())
        except EndpointError as error:
            console.say(f"{error} (the copy of finished work stays there)")

    def _belongs(self, file: Path) -> bool:
        parts = file.relative_to(self._work).parts
        return (
            not (parts[0] == _RECEIPT or parts[0].startswith(_MERGED_MODELS) or any(part.endswith(".partial") for part in parts))
            and file.is_file()
        )

    def _try_to_save(self, files: list[Path]) -> None:
        try:
            self._save(files)
        except (UserError, OSError) as error:
            console.say(f"{error}; the stage goes on, and copies its work again after its next checkpoint")
        self._ended = time.monotonic()

    def _save(self, files: list[Path]) -> None:
        with object_store.client(str(self._folder), "be written", _PATIENCE) as client:
            receipt = self._work / _RECEIPT
            stored = _digests(receipt.read_bytes()) if receipt.is_file() else frozenset()
            manifest = Manifest(files=tuple(self._upload(client, file, stored) for file in files))
            content = json.dumps(manifest.model_dump(), indent=1).encode()
            client.put_object(Bucket=self._folder.bucket, Key=self._folder.key(_MANIFEST), Body=content)
            with records.atomic(receipt) as stream:
                stream.write(content)
            self._delete_objects(client, _digests(content))

    def _upload(self, client: Any, file: Path, stored: frozenset[str]) -> StoredFile:
        with file.open("rb") as stream:
            size = file.stat().st_size  # a log grows meanwhile: it is copied up to here
            digest = hashlib.sha256()
            part = _Beginning(stream, size)
            while block := part.read(1 << 20):
                digest.update(block)
            name = digest.hexdigest()
            if name not in stored:
                stream.seek(0)
                key = self._folder.key(_OBJECTS, name)
                client.upload_fileobj(_Beginning(stream, size), self._folder.bucket, key)
        return StoredFile(path=file.relative_to(self._work).as_posix(), size=size, sha256=name)

    def _manifest(self, client: Any) -> bytes | None:
        key = self._folder.key(_MANIFEST)
        # listed, not asked for: without the right to list, a missing object would be "forbidden"
        entries = client.list_objects_v2(Bucket=self._folder.bucket, Prefix=key, MaxKeys=1).get("Contents", [])
        if not any(entry["Key"] == key for entry in entries):
            return None
        content: bytes = client.get_object(Bucket=self._folder.bucket, Key=key)["Body"].read()
        return content

    def _download(self, client: Any, content: bytes, arriving: Path) -> str:
        """Writes the files of the copy below `arriving`; returns what is wrong with it, '' for nothing."""
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError:
            return f"{_MANIFEST} is not one of SENSE's"
        for file in manifest.files:
            path = PurePosixPath(file.path)
            if path.is_absolute() or ".." in path.parts or not path.parts:
                return f"{_MANIFEST} names {file.path!r}, which is no file of its folder"
            target = arriving / path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                client.download_file(self._folder.bucket, self._folder.key(_OBJECTS, file.sha256), str(target))
            except client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
                    raise
                return f"{file.path} is missing"
            if records.digest(target) != file.sha256:
                return f"{file.path} is damaged"
        return ""

    def _delete_objects(self, client: Any, except_for: frozenset[str]) -> None:
        prefix = self._folder.key(_OBJECTS, "")
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._folder.bucket, Prefix=prefix)
        for key in [entry["Key"] for page in pages for entry in page.get("Contents", [])]:
            if key.removeprefix(prefix) not in except_for:
                client.delete_object(Bucket=self._folder.bucket, Key=key)


class _Beginning:
    """The first `size` bytes of a stream, as a file that can be read."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, amount: int = -1) -> bytes:
        """At most `amount` bytes, all that are left if it is negative."""
        block = self._stream.read(self._left if amount < 0 else min(amount, self._left))
        self._left -= len(block)
        return block


_current: _Copies | None = None


@contextmanager
def mirror(work: Path) -> Iterator[None]:
    """Within the block, `save` copies the work directory `work`; what was copied of it is fetched first.

    Every process of a stage calls this. The first that comes on each node fetches, the others wait for it. When the block ends
    without an error, the stage is done: its first process deletes the copy.
    """
    global _current  # a process runs one stage at a time, and a trainer's callback does not know it
    uri = config.checkpoint_store()
    if not uri:
        yield
        return
    copies = _Copies(_folder(uri, work.name), work)
    work.parent.mkdir(parents=True, exist_ok=True)
    with (work.parent / f".{work.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        copies.fetch()
    main = config.is_main_process()
    _current = copies if main else None
    try:
        yield
    finally:
        _current = None
        copies.wait()
    if main:
        copies.remove()
        (work.parent / f".{work.name}.lock").unlink(missing_ok=True)


def save(soon: bool = True) -> None:
    """Copies the work directory as it is, while the stage goes on; a log that grows is copied up to its present end."""
    if _current is not None:
        _current.save(soon)


def wait() -> None:
    """Returns when the last copy is finished, so that files in it may be deleted."""
    if _current is not None:
        _current.wait()


def check(uri: str) -> None:
    """Raises EndpointError, with the fix, unless the store can be listed and written."""
    folder = _folder(uri, "")
    with object_store.client(str(folder), "be written") as client:
        client.list_objects_v2(Bucket=folder.bucket, Prefix=folder.prefix, MaxKeys=1)
        client.put_object(Bucket=folder.bucket, Key=folder.key(_PROBE), Body=b"")
        client.delete_object(Bucket=folder.bucket, Key=folder.key(_PROBE))


def _folder(uri: str, name: str) -> _Folder:
    scheme, _, rest = uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket or "@" in bucket:
        raise UserError("SENSE_CHECKPOINTS: write it as s3://bucket/prefix, without credentials")
    return _Folder(bucket, "/".join(filter(None, [prefix.strip("/"), name])))


def _digests(content: bytes) -> frozenset[str]:
    return frozenset(file.sha256 for file in Manifest.model_validate_json(content).files)
