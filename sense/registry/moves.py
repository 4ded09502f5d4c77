"""Who is champion, and how that came: aliases moved so that a kill leaves nothing half done, every move recorded on its version.

Three aliases: `challenger` is the version published last, `champion` the one to serve, `previous` the champion before. A move is
first noted on the registered model; a moment later, if note and champion are still what they were, `previous` is set, then
`champion`, which makes it count; then it is recorded and the note goes. The store has no transactions: of commands that begin at
the same time the pause lets the last to write its note go on alone. `recover` finishes or undoes what a kill left. A note under a
minute old may be of a command that still runs, and is left to it unless this is the same command again.
"""

import getpass
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mlflow.exceptions import MlflowException
from pydantic import TypeAdapter

from sense.errors import InputError, UserError
from sense.registry import versions
from sense.tracking import store

LONGEST_REASON = 1000  # characters; MLflow keeps the note of a model in 5,000
_TIME = "%Y-%m-%d %H:%M:%S.%f"
_ALIVE = timedelta(seconds=60)  # so long a note is taken for that of a running command, which needs a few calls of the store
_SETTLE_S = 1.0  # longer than a call of the store takes: between the note and the look at what others have noted
_NOTE = "sense.move"  # on the registered model, while a move is under way
_RECORD = "sense.promotion."  # on the version, one tag a decision; its key ends with the time


@dataclass(frozen=True)
class Move:
    """A decision about `version`: by whom, when (UTC), why, who was champion before it, and what was known of both."""

    action: str
    version: str
    before: str | None
    reason: str
    by: str
    at: str
    promoted: bool = True
    forced: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)


_MOVE = TypeAdapter(Move)  # other hands may have written what is read from a tag


def now() -> str:
    """The time of a move."""
    return datetime.now(UTC).strftime(_TIME)


def whoever() -> str:
    """Who runs this process: the operating system's name for it, or its number where it has none (a container)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


@store.reported()
def carry_out(name: str, move: Move) -> None:
    """Makes `move.version` the champion and `move.before`, which is champion now, the previous one; call `recover` first.

    UserError, the champion as it was, if another command has moved it, is at it, or ended this one as killed.
    """
    client = store.registry()
    overtaken = UserError(
        f"{name}: another command moved the champion, or is about to, before version {move.version} became it; this one has "
        "stopped. See `sense models list`, then run again if it is still wanted"
    )
    known = versions.aliases(name)
    if _noted(client, name) is not None or known.get("champion") != move.before:
        raise overtaken
    noted = json.dumps({"move": asdict(move), "previous": known.get("previous")}, ensure_ascii=False)
    client.set_registered_model_tag(name, _NOTE, noted)
    time.sleep(_SETTLE_S)
    if versions.aliases(name).get("champion") != move.before or _noted(client, name) != noted:
        _forget(client, name, noted)
        raise overtaken
    if move.before is not None:
        client.set_registered_model_alias(name, "previous", move.before)
    if _noted(client, name) != noted:
        raise overtaken
    client.set_registered_model_alias(name, "champion", move.version)
    _close(client, name, move, noted)


@store.reported()
def recover(name: str, again: Callable[[Move], bool] = lambda _: False) -> Move | None:
    """Ends what a killed `carry_out` left: finished and returned if the champion had been moved, undone if not.

    UserError if the move is under a minute old, and so may still be going on, unless it is this very command's, run `again`.
    """
    client = store.registry()
    noted = _noted(client, name)
    if noted is None:
        return None
    move, previous = _read(name, noted)
    if _young(move) and not again(move):
        raise UserError(
            f"{name}: a {move.action} to version {move.version} by {move.by} is under way, since {move.at[:19]} UTC; "
            "wait for it to end, or run again in a minute"
        )
    now_champion = versions.aliases(name).get("champion")
    if now_champion == move.version:
        _close(client, name, move, noted)
        return move
    if now_champion == move.before and move.before is not None:  # else somebody has moved on since
        if previous is None:
            client.delete_registered_model_alias(name, "previous")
        else:
            client.set_registered_model_alias(name, "previous", previous)
        _agree(client, name, move)
    _forget(client, name, noted)
    return None


@store.reported()
def under_way(name: str) -> Move | None:
    """The move that is going on or was killed, if any."""
    noted = _noted(store.registry(), name)
    return None if noted is None else _read(name, noted)[0]


@store.reported()
def record(name: str, move: Move) -> None:
    """Keeps a decision with its version; the same move again changes nothing."""
    value = {key: value for key, value in asdict(move).items() if key != "version"}
    key = _RECORD + move.at.replace(":", ".")
    store.current().client.set_model_version_tag(name, move.version, key, json.dumps(value, ensure_ascii=False))


def history(version: versions.Version) -> list[Move]:
    """The decisions that were recorded with a version, the first one first; tags of that name by other hands are left out."""
    found = []
    for _, value in sorted((key, value) for key, value in version.tags.items() if key.startswith(_RECORD)):
        with suppress(ValueError, TypeError):
            found.append(_MOVE.validate_python(json.loads(value) | {"version": version.version}))
    return found


@store.reported()
def tag(name: str, version: str, values: Mapping[str, str], last: str) -> None:
    """Sets tags of a version; `last` is taken away first and set last, so that it never stands beside another's values."""
    client = store.registry()
    if last in versions.find(name, version).tags:
        client.delete_model_version_tag(name, version, last)
    for key in sorted(values, key=lambda key: key == last):
        client.set_model_version_tag(name, version, key, values[key])


def _noted(client: Any, name: str) -> str | None:
    """The note as it stands in the store now."""
    noted: str | None = client.get_registered_model(name).tags.get(_NOTE)
    return noted


def _read(name: str, noted: str) -> tuple[Move, str | None]:
    """The move of a note, and what was `previous` before; InputError if somebody else wrote it."""
    try:
        note = json.loads(noted)
        move, previous = _MOVE.validate_python(note["move"]), note["previous"]
        datetime.strptime(move.at, _TIME)
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{name}: its tag {_NOTE} is no note of SENSE; delete the tag from the registered model") from None
    return move, previous


def _young(move: Move) -> bool:
    """Whether its command may still run; another machine's clock may be a little ahead of this one's."""
    return abs(datetime.strptime(now(), _TIME) - datetime.strptime(move.at, _TIME)) < _ALIVE


def _close(client: Any, name: str, move: Move, noted: str) -> None:
    _agree(client, name, move)
    record(name, move)
    _forget(client, name, noted)


def _agree(client: Any, name: str, move: Move) -> None:
    """Sets `previous` once more if the move counts: another run of the same command may have put it back meanwhile."""
    known = versions.aliases(name)
    if move.before is not None and known.get("champion") == move.version and known.get("previous") != move.before:
        client.set_registered_model_alias(name, "previous", move.before)


def _forget(client: Any, name: str, noted: str) -> None:
    """Takes the note away, if it is still this one."""
    if _noted(client, name) != noted:
        return
    try:
        client.delete_registered_model_tag(name, _NOTE)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
