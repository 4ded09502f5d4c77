"""The candidate beside the champion, in the registry: the alias `canary`, and a tag of the registered model with the rest.

`sense models canary` writes them, and every gateway follows them; a gateway that aborts a candidate writes that here too, so that
all of them stop using it, and none starts it again. The tag is written first: a command that was killed in between leaves a
canary that does not run, or one that has ended, and the same command completes it.
"""

import json
from contextlib import suppress
from dataclasses import asdict, replace

from pydantic import TypeAdapter

from sense.registry.rollout import Canary, Rollout
from sense.tracking import store

ALIAS = "canary"
TAG = "sense.canary"  # of the registered model
_LONGEST_REASON = 1000  # characters
_CANARY = TypeAdapter(Canary)  # validates: anybody may write a tag


@store.endpoint_errors()
def read(name: str) -> Rollout:
    """What the registry says now of the model `name`, by one request; EndpointError, within seconds, if it cannot be asked."""
    with store.short_timeouts():
        model = store.read_client().get_registered_model(name)
    aliases = {alias: str(version) for alias, version in model.aliases.items()}
    canary = None
    with suppress(ValueError, TypeError):
        canary = _CANARY.validate_python(json.loads(model.tags.get(TAG, "")))
    return Rollout(aliases.get("champion"), aliases.get(ALIAS), canary)


@store.endpoint_errors()
def write(name: str, canary: Canary) -> None:
    """Records `canary` and moves the alias: to its version, or, if it has ended, away."""
    client = store.read_client()
    with store.short_timeouts():
        client.set_registered_model_tag(name, TAG, json.dumps(asdict(canary), ensure_ascii=False))
        if canary.end:
            client.delete_registered_model_alias(name, ALIAS)
        else:
            client.set_registered_model_alias(name, ALIAS, canary.version)


def end(name: str, canary: Canary, how: str, by: str, reason: str, at: str) -> bool:
    """Ends `canary` (aborted or promoted); False, and nothing is written, if the registry holds another one by now."""
    now = read(name).canary
    if now is None or now.started != canary.started:
        return False
    ended = now if now.end else replace(now, end=how, ended=at, ended_by=by, end_reason=reason[:_LONGEST_REASON])
    write(name, ended)
    return True
