"""The registered versions of a model: found by number or alias, listed, and what serving must know of one."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlflow.exceptions import MlflowException

from sense import config
from sense.errors import InputError
from sense.registry import files
from sense.tracking import contact, store

_DIGESTS = ("sense.digest.model", "sense.digest.sense")  # of what is registered; versions from before have the other only
_ABSENT = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")  # MLflow says either, of a model, a version, an alias
_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))")
_PAGE = 200


@dataclass(frozen=True)
class Version:
    """A registered version: its number, the run and logged model behind it, its tags, its card, when it came (Unix seconds)."""

    version: str
    run_id: str
    model_id: str
    tags: dict[str, str]
    card: str = ""
    created: float = 0.0


@dataclass(frozen=True)
class Resolved:
    """What serving must know of a version: the SHA-256 of its folder ('' if nobody recorded it), how its prompts are written."""

    name: str
    version: str
    digest: str
    prompt: dict[str, Any]


def resolve(uri: str) -> Resolved:
    """The version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` means now.

    UserError if there is none or it is no model of SENSE, EndpointError, within seconds, if the store is away.
    """
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise InputError(f"{uri}: not a registered model; write models:/NAME@ALIAS or models:/NAME/VERSION")
    with contact.briefly():
        found = find(parts["name"], parts["version"] or parts["alias"])
        prompt = _prompt(config.tracking_uri(), parts["name"], found.version, found.model_id)
    return Resolved(parts["name"], found.version, digest(found), json.loads(prompt))


def digest(version: Version) -> str:
    """The SHA-256 of the model folder that was registered as `version`, '' if nobody recorded it."""
    return next((version.tags[name] for name in _DIGESTS if name in version.tags), "")


@store.reported()
def find(name: str, reference: str) -> Version:
    """The version of the model `name` with this number or alias; InputError, which says what there is, if there is none."""
    client = store.registry()
    try:
        if not (reference.isascii() and reference.isdigit()):
            return described(client.get_model_version_by_alias(name, reference))
        if len(reference) < 10:  # no store counts further, and a server fails at such a number
            return described(client.get_model_version(name, str(int(reference))))
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
    known = ", ".join([*(v.version for v in list_versions(name)), *aliases(name)])  # InputError if there is no such model
    raise InputError(f"{name}: no version or alias {reference!r}; there are: {known or 'none, publish a model first'}")


@store.reported()
def list_versions(name: str) -> list[Version]:
    """All versions of the model `name`, the newest first; InputError if there is no such model."""
    client = store.registry()
    with _known(client, name):
        client.get_registered_model(name)
    found: list[Version] = []
    token: str | None = None
    while token != "":
        page = client.search_model_versions(f"name = '{name}'", max_results=_PAGE, page_token=token)
        found += [described(one) for one in page]
        token = page.token or ""
    return sorted(found, key=lambda one: -int(one.version))


@store.reported()
def aliases(name: str) -> dict[str, str]:
    """alias -> version of the model `name`; InputError if there is no such model."""
    client = store.registry()
    with _known(client, name):
        return {alias: str(version) for alias, version in sorted(client.get_registered_model(name).aliases.items())}


@store.reported()
def numbers(version: Version) -> dict[str, float]:
    """The scores that were logged with the model behind `version`, such as `dev.sense.ex_low`; none if it is no logged model."""
    try:
        metrics = store.registry().get_logged_model(version.model_id).metrics or []
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        return {}
    return {metric.key: metric.value for metric in metrics}


@store.reported()
def find_alias(name: str, alias: str) -> Version | None:
    """The version of the model `name` that `alias` points at, or None."""
    try:
        return described(store.current().client.get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise


@store.reported()
def set_tags(name: str, version: str, values: Mapping[str, str], last: str) -> None:
    """Sets tags of a version; `last` is taken away first and set last, so that it never stands beside another's values."""
    client = store.registry()
    if last in find(name, version).tags:
        client.delete_model_version_tag(name, version, last)
    for key in sorted(values, key=lambda key: key == last):
        client.set_model_version_tag(name, version, key, values[key])


def described(found: Any) -> Version:
    """MLflow's model version as ours."""
    model_id = (found.source or "").rpartition("/")[2]
    created = (found.creation_timestamp or 0) / 1000
    return Version(str(found.version), found.run_id or "", model_id, dict(found.tags), found.description or "", created)


@functools.lru_cache(maxsize=64)
def _prompt(_uri: str, name: str, version: str, _model_id: str) -> str:
    """The prompt section of a version's sense.json, as JSON; read once. A version's number may come again, its model's id not."""
    text = files.read(files.repository(name, version), "model/sense.json")
    if text is None:
        raise InputError(f"{name} version {version}: no model of SENSE (no model/sense.json); register it by `sense publish`")
    try:
        value = json.loads(text)["prompt"]
        return json.dumps(config.validate(config.PromptConfig, value, "model/sense.json").model_dump())
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{name} version {version}: model/sense.json holds no prompt; publish the model again") from None


@contextmanager
def _known(client: Any, name: str) -> Iterator[None]:
    """Turns MLflow's words for an unknown registered model into an InputError that says which there are."""
    try:
        yield
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        known = ", ".join(model.name for model in client.search_registered_models(max_results=20))
        raise InputError(
            f"{name}: no such registered model in {store.shown()}; there are: {known or 'none, publish a model first'}"
        ) from None
