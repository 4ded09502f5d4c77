"""The registered versions of a model: found by number, alias or what the command line writes (sense@champion), and listed."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from mlflow.exceptions import MlflowException

from sense import config
from sense.errors import InputError
from sense.registry import files, gate
from sense.registry.gate import VersionScore
from sense.tracking import store

# The digest of what was registered: "model" where a LoRA adapter was merged into its base, and in all versions but early ones.
_DIGEST_TAGS = ("sense.digest.model", "sense.digest.sense")
_ABSENT = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")  # MLflow's codes, both used for a model, a version and an alias
_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))")
_EVALUATED_SET = re.compile(r"sense\.eval\.(.+)\.digest")  # a tag
_PAGE = 200  # versions in one request


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model: its number, the run and logged model behind it, its tags, its description.

    `created` is in Unix seconds.
    """

    version: str
    run_id: str
    model_id: str
    tags: dict[str, str]
    description: str = ""
    created: float = 0.0


@dataclass(frozen=True)
class ResolvedVersion:
    """What serving must know of a version: the SHA-256 of its folder ('' if none was recorded), how its prompts are written."""

    name: str
    version: str
    digest: str
    prompt: dict[str, Any]


def resolve(uri: str) -> ResolvedVersion:
    """The version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` means now.

    UserError if there is none or it is no model of SENSE, EndpointError, within seconds, if the store cannot be reached.
    """
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise InputError(f"{uri}: not a registered model; write models:/NAME@ALIAS or models:/NAME/VERSION")
    with store.short_timeouts():
        version = find_version(parts["name"], parts["version"] or parts["alias"])
        prompt = _read_prompt(config.tracking_uri(), parts["name"], version.version, version.model_id)
    return ResolvedVersion(parts["name"], version.version, model_digest(version), json.loads(prompt))


def resolve_deployable(name: str, version: str) -> ResolvedVersion:
    """A version that can be deployed; InputError if its files are gone or carry no digest."""
    resolved = resolve(f"models:/{name}/{version}")
    if not resolved.digest:
        raise InputError(f"{name} version {version}: carries no digest of its files; register it by `sense publish`")
    return resolved


def parse_reference(text: str, default_name: str) -> tuple[str, str]:
    """(registered model, number or alias) of a version as the command line writes it: 3, champion, sense@champion, sense/3.

    `default_name` is the model where the text names none. InputError if it cannot be a version.
    """
    name, separator, version = text.removeprefix("models:/").rpartition("@" if "@" in text else "/")
    reference = (name if separator else default_name, version)
    if not all(reference) or "/" in version:
        raise InputError(f"{text}: names no version; write a number, an alias (champion), or MODEL@ALIAS")
    return reference


def find_by_reference(text: str, default_name: str) -> tuple[str, RegisteredVersion]:
    """(registered model, version) that `text` names on the command line; InputError if there is none."""
    name, version = parse_reference(text, default_name)
    return name, find_version(name, version)


@store.endpoint_errors()
def find_version(name: str, version: str) -> RegisteredVersion:
    """The version of the model `name` with this number or alias; InputError, which lists what there is, if there is none."""
    client = store.read_client()
    try:
        if not (version.isascii() and version.isdigit()):
            return from_mlflow(client.get_model_version_by_alias(name, version))
        if len(version) < 10:  # no store counts further, and a server fails at such a number
            return from_mlflow(client.get_model_version(name, str(int(version))))
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
    numbers = [registered.version for registered in list_versions(name)]  # InputError if there is no such model
    available = ", ".join([*numbers, *list_aliases(name)])
    raise InputError(f"{name}: no version or alias {version!r}; there are: {available or 'none, publish a model first'}")


@store.endpoint_errors()
def find_by_alias(name: str, alias: str) -> RegisteredVersion | None:
    """The version of the model `name` that `alias` points at, or None if there is no such alias or model."""
    try:
        return from_mlflow(store.open_store().client.get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise


@store.endpoint_errors()
def list_versions(name: str) -> list[RegisteredVersion]:
    """All versions of the model `name`, the newest first; InputError if there is no such model."""
    client = store.read_client()
    with _unknown_model_reported(client, name):
        client.get_registered_model(name)
    versions: list[RegisteredVersion] = []
    token: str | None = None
    while token != "":
        page = client.search_model_versions(f"name = '{name}'", max_results=_PAGE, page_token=token)
        versions += [from_mlflow(version) for version in page]
        token = page.token or ""
    return sorted(versions, key=lambda version: -int(version.version))


@store.endpoint_errors()
def list_aliases(name: str) -> dict[str, str]:
    """alias -> version of the model `name`, sorted by alias; InputError if there is no such model."""
    client = store.read_client()
    with _unknown_model_reported(client, name):
        return {alias: str(version) for alias, version in sorted(client.get_registered_model(name).aliases.items())}


@store.endpoint_errors()
def set_tags(name: str, version: str, values: Mapping[str, str], last: str) -> None:
    """Sets tags of a version; the tag `last` is deleted first and set last, so it never stands beside old values."""
    client = store.read_client()
    if last in find_version(name, version).tags:
        client.delete_model_version_tag(name, version, last)
    for tag in sorted(values, key=lambda tag: tag == last):
        client.set_model_version_tag(name, version, tag, values[tag])


def model_digest(version: RegisteredVersion) -> str:
    """The SHA-256 of the model folder that was registered, '' if none was recorded."""
    return next((version.tags[tag] for tag in _DIGEST_TAGS if tag in version.tags), "")


def evaluated_sets(version: RegisteredVersion) -> list[str]:
    """The sets that a version was evaluated on."""
    return sorted(match[1] for match in map(_EVALUATED_SET.fullmatch, version.tags) if match)


def score_on(version: RegisteredVersion, dataset: str) -> VersionScore:
    """A version's EX on a set. The interval of early versions is not among their tags: it comes from the logged model."""
    score = gate.score_from_tags(version.version, version.tags, dataset)
    if score.ex is None or score.low is not None:
        return score
    metrics = _logged_metrics(version)
    return replace(score, low=metrics.get(f"{dataset}.sense.ex_low"), high=metrics.get(f"{dataset}.sense.ex_high"))


def deciding_set(requested: str | None, *candidates: RegisteredVersion | None) -> str:
    """The set whose EX decides: the one requested, else the gate's set of the first candidate that was registered with one.

    InputError if none was (early versions) and the first candidate was evaluated on several sets, or on none.
    """
    published_by = [version.tags["sense.gate"] for version in candidates if version is not None and "sense.gate" in version.tags]
    if requested or published_by:
        return requested or published_by[0]
    first = candidates[0]
    evaluated = [] if first is None else evaluated_sets(first)
    if len(evaluated) == 1:
        return evaluated[0]
    choices = " or ".join(f"--set {name}" for name in evaluated)
    subject = "" if first is None else f"version {first.version}: "
    raise InputError(
        f"{subject}it does not say which set decides; "
        + (f"give {choices}" if evaluated else "it was never measured: publish it")
    )


def from_mlflow(version: Any) -> RegisteredVersion:
    """MLflow's model version as ours."""
    return RegisteredVersion(
        version=str(version.version),
        run_id=version.run_id or "",
        model_id=(version.source or "").rpartition("/")[2],
        tags=dict(version.tags),
        description=version.description or "",
        created=(version.creation_timestamp or 0) / 1000,
    )


@store.endpoint_errors()
def _logged_metrics(version: RegisteredVersion) -> dict[str, float]:
    """The metrics of the logged model behind a version, such as `dev.sense.ex_low`; none if it is no logged model."""
    try:
        metrics = store.read_client().get_logged_model(version.model_id).metrics or []
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        return {}
    return {metric.key: metric.value for metric in metrics}


@functools.lru_cache(maxsize=64)
def _read_prompt(_uri: str, name: str, version: str, _model_id: str) -> str:
    """The prompt section of a version's sense.json, as JSON; read once.

    A deleted version's number may be used again in another store, its model's id never.
    """
    text = files.read_text(files.artifact_repository(name, version), "model/sense.json")
    if text is None:
        raise InputError(f"{name} version {version}: no model of SENSE (no model/sense.json); register it by `sense publish`")
    try:
        section = json.loads(text)["prompt"]
        return json.dumps(config.validate(config.PromptConfig, section, "model/sense.json").model_dump())
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{name} version {version}: model/sense.json holds no prompt; publish the model again") from None


@contextmanager
def _unknown_model_reported(client: Any, name: str) -> Iterator[None]:
    """Turns MLflow's error for an unknown registered model into an InputError that lists which there are."""
    try:
        yield
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        names = ", ".join(model.name for model in client.search_registered_models(max_results=20))
        raise InputError(
            f"{name}: no such registered model in {store.address()}; there are: {names or 'none, publish a model first'}"
        ) from None
