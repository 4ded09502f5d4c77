"""A registered version is sent to a repository of a model hub: its model folder with its card, in one commit.

The token comes from the environment alone (HF_TOKEN), never from a file that somebody logged in with, and goes to the hub alone.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from http import HTTPStatus
from pathlib import Path

import httpx
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.utils._validators import validate_repo_id
from huggingface_hub.utils.tqdm import disable_progress_bars

from sense import config
from sense.errors import EndpointError, InputError

_CARD = "README.md"
# Weights in a repository that the version does not have: transformers would load them instead of, or beside, its own.
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin*", "adapter_*")
_LONGEST_REASON = 300  # characters of what a server says


@dataclass(frozen=True)
class HubCommit:
    """Where a version lies on a hub: the repository's address, the branch and the commit."""

    url: str
    revision: str
    commit: str


@dataclass(frozen=True)
class HubTarget:
    """A model repository, OWNER/NAME, and its branch on the hub at `endpoint`; `private` if only members may read it."""

    repo: str
    revision: str
    private: bool
    endpoint: str
    token: str


def target(repo: str, revision: str | None, private: bool) -> HubTarget:
    """The repository that is named, on the hub that the environment names (HF_ENDPOINT, HF_TOKEN).

    InputError if the name is none that a hub could have, if there is no token, or if the hub's address holds a password.
    """
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f"{repo}: {error}; write OWNER/NAME") from None
    if "/" not in repo:
        raise InputError(f"{repo}: no owner; write OWNER/NAME, with your name or your organization's on the hub")
    endpoint = (config.environment("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    if "@" in endpoint:
        raise InputError("HF_ENDPOINT: holds a name or password; leave them out, the token is HF_TOKEN")
    token = config.environment("HF_TOKEN").strip()
    if not token:
        raise InputError(
            f"HF_TOKEN: not set, and nobody may write to {endpoint} without a token; create one with the permission to write at "
            f"{endpoint}/settings/tokens, then: export HF_TOKEN=..."
        )
    return HubTarget(repo, revision or constants.DEFAULT_REVISION, private, endpoint, token)


def push(folder: Path, omitted: Sequence[str], card: str, message: str, to: HubTarget) -> HubCommit:
    """Sends the files of a model folder but for those `omitted`, and `card` as their README.md, in one commit.

    The repository and the branch are created where they are missing. Weights in the repository that the folder does not have are
    deleted, its other files stay. InputError if the repository is public although a private one was asked for; EndpointError if
    the hub refuses or cannot be reached: then the branch is as it was.
    """
    if not sys.stderr.isatty():
        disable_progress_bars()
    api = HfApi(endpoint=to.endpoint, token=to.token)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (*omitted, _CARD))
    additions = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in paths]
    additions.append(CommitOperationAdd(_CARD, card.encode()))
    with _hub_errors(to):
        _prepare(api, to)
        own = {addition.path_in_repo for addition in additions}
        stale = [
            CommitOperationDelete(name)
            for name in api.list_repo_files(to.repo, revision=to.revision)
            if name not in own and any(fnmatch(name, pattern) for pattern in _WEIGHTS)
        ]
        commit = api.create_commit(to.repo, [*additions, *stale], commit_message=message, revision=to.revision)
    return HubCommit(f"{to.endpoint}/{to.repo}", to.revision, commit.oid)


def _prepare(api: HfApi, to: HubTarget) -> None:
    """Creates the repository and the branch where they are missing; InputError if it is public and was to be private."""
    try:
        existing = api.model_info(to.repo)
    except RepositoryNotFoundError:
        api.create_repo(to.repo, private=to.private)
    else:
        if to.private and not existing.private:
            raise InputError(
                f"{to.repo}: a public repository, and --private asks for a private one; make it private in its settings "
                f"({to.endpoint}/{to.repo}/settings), name another, or leave out --private"
            )
    if to.revision != constants.DEFAULT_REVISION:
        api.create_branch(to.repo, branch=to.revision, exist_ok=True)


@contextmanager
def _hub_errors(to: HubTarget) -> Iterator[None]:
    """Turns what the hub's library raises into an EndpointError with the fix; the token is in none of them."""
    try:
        yield
    except HfHubHTTPError as error:
        raise EndpointError(f"{to.repo} on {to.endpoint}: {_meaning(error, to)} ({_reason(error, to)})") from None
    except OfflineModeIsEnabled:
        raise EndpointError(f"{to.endpoint}: HF_HUB_OFFLINE is set, so that the hub is not asked; unset it to push") from None
    except (httpx.HTTPError, RuntimeError, OSError, ValueError, KeyError) as error:  # RuntimeError: an upload that failed
        cause = error.__cause__ or error
        if isinstance(cause, HfHubHTTPError):
            raise EndpointError(f"{to.repo} on {to.endpoint}: {_meaning(cause, to)} ({_reason(cause, to)})") from None
        raise EndpointError(
            f"{to.endpoint}: cannot be reached, or sent what is no answer of a hub ({_reason(cause, to)}); check the network and "
            "HF_ENDPOINT, then run the same command again: what was uploaded is not sent twice"
        ) from None


def _meaning(error: HfHubHTTPError, to: HubTarget) -> str:
    """What a status of the hub means for the user, with the fix."""
    status = error.response.status_code
    again = "run the same command again later: what was uploaded is not sent twice"
    meanings: dict[int, str] = {
        HTTPStatus.UNAUTHORIZED: f"the hub refuses the token of HF_TOKEN; create a new one at {to.endpoint}/settings/tokens",
        HTTPStatus.FORBIDDEN: "the token of HF_TOKEN may not write there; permit it, or name a repository of your own",
        HTTPStatus.NOT_FOUND: "no such model repository or branch, or the token may not see it; name another",
        HTTPStatus.CONFLICT: "there is something of that name, which is no model repository or which the token may not see; "
        "name another repository",
        HTTPStatus.BAD_REQUEST: "the hub does not take this commit; mend what it names",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the hub does not take files as large as these; ask its administrator",
        HTTPStatus.TOO_MANY_REQUESTS: f"too many requests; {again}",
    }
    return meanings.get(status, f"the hub answers with status {status}; {again}")


def _reason(error: BaseException, to: HubTarget) -> str:
    """What a library or a server says, on one line, without the token."""
    server = getattr(error, "server_message", None)
    text = " ".join(str(server or error).split()) or type(error).__name__
    return text.replace(to.token, "***")[:_LONGEST_REASON]
