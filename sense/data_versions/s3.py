"""An S3-compatible store, asked directly: short timeouts, and errors that name the fix. Data itself goes through DVC."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sense.data_versions.remote import safe
from sense.errors import EndpointError, UserError

_PATIENCE = {"connect_timeout": 5, "read_timeout": 5, "retries": {"total_max_attempts": 2, "mode": "standard"}}
_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the task a role"
_RIGHTS = "check these credentials and what the bucket's policy lets them do"
_ADDRESS = "check AWS_ENDPOINT_URL and that the server runs"
_FIXES = {
    "NoSuchBucket": "create the bucket or correct the remote",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL: this server does not know that key",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "renew the credentials",
    "InvalidToken": "renew the credentials",
    "PermanentRedirect": "set AWS_DEFAULT_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set AWS_DEFAULT_REGION to the bucket's region",
}


def reach(url: str, bucket: str, prefix: str) -> None:
    """Raises EndpointError unless the bucket can be listed, as DVC will."""
    with _client(url, "be read") as client:
        client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)


def probe(url: str, bucket: str, key: str) -> None:
    """Raises EndpointError unless an object can be put; it is deleted again where that is allowed."""
    from botocore.exceptions import ClientError

    with _client(url, "be written") as client:
        client.put_object(Bucket=bucket, Key=key, Body=b"SENSE looked whether it can write here\n")
        try:
            client.delete_object(Bucket=bucket, Key=key)
        except ClientError:  # a store that keeps everything: DVC only adds
            return


def missing(url: str, bucket: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that the bucket lacks."""
    with _client(url, "be read") as client:
        return {key for key in keys if not _is_there(client, bucket, key)}


def _is_there(client: Any, bucket: str, key: str) -> bool:
    # listed, not asked for: without the right to list, a missing object would be "forbidden"
    listed = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    return any(entry["Key"] == key for entry in listed)


@contextmanager
def _client(url: str, purpose: str) -> Iterator[Any]:
    """A client for the store that the environment names; its failures become EndpointErrors."""
    try:
        import botocore.session
        from botocore import exceptions
        from botocore.config import Config
    except ImportError:
        raise UserError(f"the data remote {url}: S3 needs the extra `data`; pip install 'sense[data]'") from None
    try:
        client = botocore.session.get_session().create_client("s3", config=Config(**_PATIENCE))
        try:
            yield client
        finally:
            client.close()
    except exceptions.ClientError as error:
        code, said = (str(error.response.get("Error", {}).get(name, "")) for name in ("Code", "Message"))
        raise _refused(url, purpose, f"{code}: {said}", _FIXES.get(code, _RIGHTS)) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError) as error:
        raise _refused(url, purpose, f"no credentials: {error}", _KEYS) from None
    except (exceptions.ProfileNotFound, exceptions.ParamValidationError) as error:
        raise _refused(url, purpose, str(error), "correct AWS_PROFILE or the remote") from None
    except (exceptions.BotoCoreError, ValueError) as error:  # a malformed endpoint is a ValueError
        raise _refused(url, purpose, str(error), _ADDRESS) from None


def _refused(url: str, purpose: str, what: str, fix: str) -> EndpointError:
    return EndpointError(f"the data remote {url} cannot {purpose} ({safe(what)}); {fix}")
