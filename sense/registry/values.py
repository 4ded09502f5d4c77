"""The values for the Helm chart: one resolved version, and the one that is still served beside it during a rollout."""

import json
from collections.abc import Iterator

from sense import console
from sense.errors import InputError
from sense.registry import versions
from sense.registry.versions import ResolvedVersion


def chart_values(name: str, version_or_alias: str) -> str:
    """The YAML for a version of the model `name`.

    Its `previous` is the champion, or, if the version is the champion itself, the champion before: what is served until the
    rollout is complete. Beside the champion, `canary` is the candidate with that alias, if there is one.
    """
    version = versions.find_version(name, version_or_alias).version
    aliases = versions.list_aliases(name)
    champion, before = aliases.get("champion"), aliases.get("previous")
    other = before if version == champion else champion
    if other == version:
        other = None
    lines = ["model:", *_version_lines(versions.resolve_deployable(name, version), "  ", name)]
    try:
        lines += (
            ["  previous: null"]
            if other is None
            else ["  previous:", *_version_lines(versions.resolve_deployable(name, other), "    ")]
        )
    except InputError as error:
        console.say(f"{error}; previous is left empty")
        lines.append("  previous: null")
    candidate = aliases.get("canary")
    if version == champion and candidate is not None and candidate != champion:
        lines += ["  canary:", *_version_lines(versions.resolve_deployable(name, candidate), "    ")]
    return "\n".join(lines) + "\n"


def _version_lines(version: ResolvedVersion, indent: str, name: str = "") -> Iterator[str]:
    """One version, line by line. Text stands in JSON's quotes, which are YAML's too: "3" must not become a number."""
    prompt = version.prompt
    style, samples, target = json.dumps(prompt["schema_style"]), prompt["sample_values"], json.dumps(prompt["target"])
    if name:
        yield f"{indent}name: {json.dumps(name)}"
    yield f"{indent}version: {json.dumps(version.version)}"
    yield f"{indent}digest: {json.dumps(version.digest)}"
    yield f"{indent}prompt: {{schemaStyle: {style}, sampleValues: {samples}, target: {target}}}"
