"""The values that a promotion gives the chart: one resolved version, and the one that a rollout still shows beside it."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sense import console
from sense.errors import InputError
from sense.registry import reference

if TYPE_CHECKING:
    from sense.registry.versions import Resolved


def values(name: str, which: str) -> str:
    """The YAML for the version `which` (a number or alias) of the model `name`.

    Its `previous` is the champion, or if it is that itself, the champion before: what is being served when it arrives.
    """
    from sense import registry

    found = registry.versions.find(name, which).version
    aliases = registry.versions.aliases(name)
    champion, before = aliases.get("champion"), aliases.get("previous")
    other = before if found == champion else champion
    if other == found:
        other = None
    lines = ["model:", *_version(reference.resolved(name, found), "  ", name)]
    try:
        lines += ["  previous: null"] if other is None else ["  previous:", *_version(reference.resolved(name, other), "    ")]
    except InputError as error:
        console.say(f"{error}; previous is left empty")
        lines.append("  previous: null")
    return "\n".join(lines) + "\n"


def _version(found: "Resolved", margin: str, name: str = "") -> Iterator[str]:
    """One version, line by line. Text stands in JSON's quotes, which are YAML's too: "3" must not become a number."""
    style, samples = json.dumps(found.prompt["schema_style"]), found.prompt["sample_values"]
    if name:
        yield f"{margin}name: {json.dumps(name)}"
    yield f"{margin}version: {json.dumps(found.version)}"
    yield f"{margin}digest: {json.dumps(found.digest)}"
    yield f"{margin}prompt: {{schemaStyle: {style}, sampleValues: {samples}}}"
