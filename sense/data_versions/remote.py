"""A DVC remote: a folder, or a bucket of an S3-compatible store. It is checked before DVC runs, whose errors are less clear.

S3 is asked directly here, with short timeouts and errors that name the fix; the data itself goes through DVC.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

from sense import object_store, records
from sense.errors import EndpointError, UserError

_PROBE = ".sense-probe"  # one name for all: where it cannot be deleted again there is at least never more than one
_PROBE_TEXT = "SENSE looked whether it can write here\n"
_FORMS = "write it as s3://bucket/prefix or as a folder"


@dataclass(frozen=True)
class Remote:
    """A folder or, if that is None, a bucket with a key prefix. `url` is for DVC and for messages; it holds no credentials."""

    url: str
    folder: Path | None = None
    bucket: str = ""
    prefix: str = ""


def parse_remote(text: str) -> Remote:
    """The remote that a URL or path names; UserError if it is neither, or if credentials stand in it."""
    scheme, separator, rest = text.strip().partition("://")
    if not separator and text.strip():
        folder = Path(text.strip()).expanduser().absolute()
        return Remote(str(folder), folder)
    host, _, path = rest.partition("/")
    if scheme == "file" and host in ("", "localhost") and path:
        folder = Path(url2pathname(f"/{path}"))
        return Remote(str(folder), folder)
    address = f"{scheme}://{host.rpartition('@')[2]}/{path}" if separator else repr(text)
    if scheme != "s3" or not host:
        raise UserError(f"the data remote {address}: not a remote that SENSE knows; {_FORMS}")
    if "@" in host:
        raise UserError(
            f"the data remote {address}: credentials do not belong in its URL, which is shown and kept; "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
        )
    prefix = path.strip("/")
    return Remote(f"s3://{host}/{prefix}".rstrip("/"), bucket=host, prefix=f"{prefix}/" if prefix else "")


def check_readable(remote: Remote) -> None:
    """Raises EndpointError, with the fix, unless the remote can be read."""
    if remote.folder is None:
        _check_bucket_readable(remote.url, remote.bucket, remote.prefix)
    elif not remote.folder.is_dir():
        # DVC would make it: where a mount is missing, the data would be lost with the container
        raise EndpointError(f"the data remote {remote.url}: no such folder; mount it, create it, or give another remote")


def check_writable(remote: Remote) -> None:
    """Raises EndpointError, with the fix, unless the remote can be read and written; writes a file and deletes it again."""
    check_readable(remote)
    if remote.folder is None:
        _check_bucket_writable(remote.url, remote.bucket, remote.prefix + _PROBE)
        return
    file = remote.folder / _PROBE
    try:
        file.write_text(_PROBE_TEXT)
        file.unlink(missing_ok=True)
    except OSError as error:
        raise EndpointError(
            f"the data remote {remote.url}: cannot be written ({error.strerror or error}); give this user write access to it"
        ) from None


def missing_revisions(remote: Remote, revisions: Iterable[str]) -> list[str]:
    """Those of the revisions that the remote does not hold; EndpointError if it cannot be asked."""
    keys = {revision: object_path(revision) for revision in revisions}
    if remote.folder is None:
        missing = _missing_keys(remote.url, remote.bucket, [remote.prefix + key for key in keys.values()])
        return [revision for revision, key in keys.items() if remote.prefix + key in missing]
    return [revision for revision, key in keys.items() if not (remote.folder / key).is_file()]


def write_text(remote: Remote, key: str, text: str) -> None:
    """Writes a small file below the remote, whole or not at all; EndpointError if it cannot be written."""
    if remote.folder is None:
        with object_store.client(f"the data remote {remote.url}", "be written") as client:
            client.put_object(Bucket=remote.bucket, Key=remote.prefix + key, Body=text.encode())
    else:
        records.write_text(remote.folder / key, text)


def read_text(remote: Remote, key: str) -> str | None:
    """The content of a small file below the remote, None if there is none; EndpointError if it cannot be read."""
    if remote.folder is not None:
        file = remote.folder / key
        return file.read_text(encoding="utf-8") if file.is_file() else None
    with object_store.client(f"the data remote {remote.url}", "be read") as client:
        if not _has_object(client, remote.bucket, remote.prefix + key):
            return None
        body: bytes = client.get_object(Bucket=remote.bucket, Key=remote.prefix + key)["Body"].read()
    return body.decode("utf-8")


def object_path(revision: str) -> str:
    """The path of the object `revision` in a remote or cache of DVC 3 and later."""
    return f"files/md5/{revision[:2]}/{revision[2:]}"


def _check_bucket_readable(url: str, bucket: str, prefix: str) -> None:
    """Raises EndpointError unless the bucket can be listed, as DVC will."""
    with object_store.client(f"the data remote {url}", "be read") as client:
        client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)


def _check_bucket_writable(url: str, bucket: str, key: str) -> None:
    """Raises EndpointError unless an object can be put; it is deleted again where that is allowed."""
    from botocore.exceptions import ClientError

    with object_store.client(f"the data remote {url}", "be written") as client:
        client.put_object(Bucket=bucket, Key=key, Body=_PROBE_TEXT.encode())
        try:
            client.delete_object(Bucket=bucket, Key=key)
        except ClientError:  # a store that keeps everything: DVC only adds
            return


def _missing_keys(url: str, bucket: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that the bucket lacks."""
    with object_store.client(f"the data remote {url}", "be read") as client:
        return {key for key in keys if not _has_object(client, bucket, key)}


def _has_object(client: Any, bucket: str, key: str) -> bool:
    # listed, not asked for: without the right to list, a missing object would be "forbidden"
    listed = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    return any(entry["Key"] == key for entry in listed)
