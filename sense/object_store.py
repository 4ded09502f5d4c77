"""The S3-compatible store that the environment names: a client whose errors name the fix, and no credentials."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sense import config
from sense.errors import EndpointError, UserError, install

PROBE_TIMEOUTS: Mapping[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 5,
    "retries": {"total_max_attempts": 2, "mode": "standard"},
}
_FIX_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the task a role"
_FIX_RIGHTS = "check these credentials and what the bucket's policy lets them do"
_FIX_ADDRESS = "check AWS_ENDPOINT_URL and that the server runs"
_FIXES = {
    "NoSuchBucket": "create the bucket or correct its name",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL: this server does not know that key",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "renew the credentials",
    "InvalidToken": "renew the credentials",
    "PermanentRedirect": "set AWS_DEFAULT_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set AWS_DEFAULT_REGION to the bucket's region",
}


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


@contextmanager
def client(store: str, action: str, timeouts: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """A client for the store that the environment names; its failures become EndpointErrors.

    `store` says in them what the store is for, with its address, and `action` what could not be done: "be read". Without
    `timeouts` it gives up within seconds, as a check must.
    """
    try:
        import boto3.session
        from botocore import exceptions
        from botocore.config import Config
        from s3transfer.exceptions import RetriesExceededError
    except ImportError:
        raise UserError(f"{store}: S3 needs the extra `data`; {install('data')}") from None
    try:
        s3 = boto3.session.Session().client("s3", config=Config(**(timeouts or PROBE_TIMEOUTS)))
        try:
            yield s3
        finally:
            s3.close()
    except exceptions.ClientError as error:
        code, message = (str(error.response.get("Error", {}).get(name, "")) for name in ("Code", "Message"))
        raise _error(store, action, f"{code}: {message}", _FIXES.get(code, _FIX_RIGHTS)) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError) as error:
        raise _error(store, action, f"no credentials: {error}", _FIX_KEYS) from None
    except (exceptions.ProfileNotFound, exceptions.ParamValidationError) as error:
        raise _error(store, action, str(error), "correct AWS_PROFILE or the bucket's name") from None
    except (exceptions.BotoCoreError, RetriesExceededError, ValueError) as error:  # a malformed endpoint is a ValueError
        raise _error(store, action, str(error), _FIX_ADDRESS) from None


def _error(store: str, action: str, problem: str, fix: str) -> EndpointError:
    return EndpointError(f"{store} cannot {action} ({hide_credentials(problem)}); {fix}")
