"""A DVC remote: a folder, or a bucket of an S3-compatible store. It is looked at before DVC is, whose words are less clear."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import url2pathname

from sense import config
from sense.errors import EndpointError, UserError

_PROBE = ".sense-probe"  # one name for all: what cannot be deleted again is at least never more than one
_FORMS = "write it as s3://bucket/prefix or as a folder"


@dataclass(frozen=True)
class Remote:
    """Where versions lie: a folder or, if that is None, a bucket. `url` is for DVC and for people; it holds no credentials."""

    url: str
    folder: Path | None = None
    bucket: str = ""
    prefix: str = ""


def parse(text: str) -> Remote:
    """The remote that a URL or path names; UserError if it is neither, or if credentials stand in it."""
    scheme, found, rest = text.strip().partition("://")
    if not found and text.strip():
        folder = Path(text.strip()).expanduser().absolute()
        return Remote(str(folder), folder)
    host, _, path = rest.partition("/")
    if scheme == "file" and host in ("", "localhost") and path:
        folder = Path(url2pathname(f"/{path}"))
        return Remote(str(folder), folder)
    shown = f"{scheme}://{host.rpartition('@')[2]}/{path}" if found else repr(text)
    if scheme != "s3" or not host:
        raise UserError(f"the data remote {shown}: not a remote that SENSE knows; {_FORMS}")
    if "@" in host:
        raise UserError(
            f"the data remote {shown}: credentials do not belong in its URL, which is shown and kept; "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
        )
    prefix = path.strip("/")
    return Remote(f"s3://{host}/{prefix}".rstrip("/"), bucket=host, prefix=f"{prefix}/" if prefix else "")


def reach(remote: Remote) -> None:
    """Raises EndpointError, with the fix, unless the remote can be read."""
    if remote.folder is None:
        from sense.data_versions import s3

        s3.reach(remote.url, remote.bucket, remote.prefix)
    elif not remote.folder.is_dir():
        # DVC would make it: where a mount is missing, the data would be lost with the container
        raise EndpointError(f"the data remote {remote.url}: no such folder; mount it, create it, or give another remote")


def probe(remote: Remote) -> None:
    """Raises EndpointError, with the fix, unless the remote can be read and written; writes a file and deletes it again."""
    reach(remote)
    if remote.folder is None:
        from sense.data_versions import s3

        s3.probe(remote.url, remote.bucket, remote.prefix + _PROBE)
        return
    file = remote.folder / _PROBE
    try:
        file.write_text("SENSE looked whether it can write here\n")
        file.unlink(missing_ok=True)
    except OSError as error:
        raise EndpointError(
            f"the data remote {remote.url}: cannot be written ({error.strerror or error}); give this user write access to it"
        ) from None


def missing(remote: Remote, revisions: Iterable[str]) -> list[str]:
    """Those of the revisions that the remote does not hold; EndpointError if it cannot be asked."""
    wanted = {revision: place(revision) for revision in revisions}
    if remote.folder is None:
        from sense.data_versions import s3

        gone = s3.missing(remote.url, remote.bucket, [remote.prefix + key for key in wanted.values()])
        return [revision for revision, key in wanted.items() if remote.prefix + key in gone]
    return [revision for revision, key in wanted.items() if not (remote.folder / key).is_file()]


def place(revision: str) -> str:
    """Where DVC's remotes and caches keep the object `revision`, since its version 3."""
    return f"files/md5/{revision[:2]}/{revision[2:]}"


def safe(text: str) -> str:
    """The start of a message on one line, without what stands for a user in its addresses, and without the keys of S3."""
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"):
        secret = config.environment(name)
        text = text.replace(secret, "***") if secret else text
    words = [_without_user(word) for word in text.split()]
    line = " ".join(words)
    return line if len(line) <= 300 else line[:300] + "..."


def _without_user(word: str) -> str:
    before, found, rest = word.partition("://")
    host, slash, path = rest.partition("/")
    return f"{before}://{host.rpartition('@')[2]}{slash}{path}" if found else word
