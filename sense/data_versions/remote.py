"""A DVC remote: a folder, or a bucket of an S3-compatible store. It is checked before DVC runs, whose errors are less clear.

S3 is asked directly here, with short timeouts and errors that name the fix; the data itself goes through DVC.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

from sense import config
from sense.errors import EndpointError, UserError

_PROBE = ".sense-probe"  # one name for all: where it cannot be deleted again there is at least never more than one
_PROBE_TEXT = "SENSE looked whether it can write here\n"
_FORMS = "write it as s3://bucket/prefix or as a folder"
_S3_TIMEOUTS = {"connect_timeout": 5, "read_timeout": 5, "retries": {"total_max_attempts": 2, "mode": "standard"}}
_FIX_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the task a role"
_FIX_RIGHTS = "check these credentials and what the bucket's policy lets them do"
_FIX_ADDRESS = "check AWS_ENDPOINT_URL and that the server runs"
_S3_FIXES = {
    "NoSuchBucket": "create the bucket or correct the remote",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL: this server does not know that key",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "renew the credentials",
    "InvalidToken": "renew the credentials",
    "PermanentRedirect": "set AWS_DEFAULT_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set AWS_DEFAULT_REGION to the bucket's region",
}


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


def object_path(revision: str) -> str:
    """The path of the object `revision` in a remote or cache of DVC 3 and later."""
    return f"files/md5/{revision[:2]}/{revision[2:]}"


def hide_credentials(text: str) -> str:
    """A message as one line of at most 300 characters, without the users in its addresses and without the keys of S3."""
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"):
        secret = config.environment(name)
        text = text.replace(secret, "***") if secret else text
    line = " ".join(_without_user(word) for word in text.split())
    return line if len(line) <= 300 else line[:300] + "..."


def _without_user(word: str) -> str:
    scheme, separator, rest = word.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" if separator else word


def _check_bucket_readable(url: str, bucket: str, prefix: str) -> None:
    """Raises EndpointError unless the bucket can be listed, as DVC will."""
    with _s3_client(url, "be read") as client:
        client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)


def _check_bucket_writable(url: str, bucket: str, key: str) -> None:
    """Raises EndpointError unless an object can be put; it is deleted again where that is allowed."""
    from botocore.exceptions import ClientError

    with _s3_client(url, "be written") as client:
        client.put_object(Bucket=bucket, Key=key, Body=_PROBE_TEXT.encode())
        try:
            client.delete_object(Bucket=bucket, Key=key)
        except ClientError:  # a store that keeps everything: DVC only adds
            return


def _missing_keys(url: str, bucket: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that the bucket lacks."""
    with _s3_client(url, "be read") as client:
        return {key for key in keys if not _has_object(client, bucket, key)}


def _has_object(client: Any, bucket: str, key: str) -> bool:
    # listed, not asked for: without the right to list, a missing object would be "forbidden"
    listed = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    return any(entry["Key"] == key for entry in listed)


@contextmanager
def _s3_client(url: str, action: str) -> Iterator[Any]:
    """A client for the store that the environment names; its failures become EndpointErrors."""
    try:
        import botocore.session
        from botocore import exceptions
        from botocore.config import Config
    except ImportError:
        raise UserError(f"the data remote {url}: S3 needs the extra `data`; pip install 'sense[data]'") from None
    try:
        client = botocore.session.get_session().create_client("s3", config=Config(**_S3_TIMEOUTS))
        try:
            yield client
        finally:
            client.close()
    except exceptions.ClientError as error:
        code, message = (str(error.response.get("Error", {}).get(name, "")) for name in ("Code", "Message"))
        raise _s3_error(url, action, f"{code}: {message}", _S3_FIXES.get(code, _FIX_RIGHTS)) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError) as error:
        raise _s3_error(url, action, f"no credentials: {error}", _FIX_KEYS) from None
    except (exceptions.ProfileNotFound, exceptions.ParamValidationError) as error:
        raise _s3_error(url, action, str(error), "correct AWS_PROFILE or the remote") from None
    except (exceptions.BotoCoreError, ValueError) as error:  # a malformed endpoint is a ValueError
        raise _s3_error(url, action, str(error), _FIX_ADDRESS) from None


def _s3_error(url: str, action: str, problem: str, fix: str) -> EndpointError:
    return EndpointError(f"the data remote {url} cannot {action} ({hide_credentials(problem)}); {fix}")
