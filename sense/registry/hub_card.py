"""The card of a registered version as a model hub reads it: YAML with licence, base and measured EX, then the card itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from sense.errors import InputError
from sense.registry import files, versions
from sense.registry.gate import VersionScore
from sense.registry.versions import RegisteredVersion

_TAGS = ("text-to-sql", "sql", "sense")
_SET_NAMES = {"dev": "Human-written questions (dev)", "heldout": "Synthetic questions (heldout)"}
_LICENSE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-+")


def render(name: str, version: RegisteredVersion, license_id: str | None) -> str:
    """README.md of a version of the model `name` in a repository of a hub.

    `license_id` is the hub's name of a licence, such as apache-2.0; without one the card names none. InputError if that is
    written otherwise, or if the version is no model folder of SENSE.
    """
    if license_id is not None and not (license_id and _LICENSE_LETTERS.issuperset(license_id)):
        raise InputError(f"--license {license_id!r}: write the hub's identifier, such as apache-2.0, mit or llama3.1")
    repository = files.artifact_repository(name, version.version)
    info = _read_info(files.read_text(repository, "model/sense.json"), f"{name} version {version.version}")
    card = files.read_text(repository, "model/README.md") or version.description
    scores = {dataset: versions.score_on(version, dataset) for dataset in versions.evaluated_sets(version)}
    front = yaml.safe_dump(metadata(name, info, scores, license_id), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{card}"


def metadata(name: str, info: Mapping[str, Any], scores: Mapping[str, VersionScore], license_id: str | None) -> dict[str, Any]:
    """The metadata of the model `name` in the hub's keys; `info` is sense.json, `scores` are those by set.

    The tags name the steps of training, the second by its method (dpo, rft or grpo). The base is named if it has a name on the
    hub: not one in a folder, and not random weights.
    """
    base, recipe = (info.get("base") or {}).get("name"), info.get("recipe") or {}
    steps = [*(("sft",) if "sft" in recipe else ()), *((recipe["dpo"].get("method", "dpo"),) if "dpo" in recipe else ())]
    results = [_result(dataset, score) for dataset, score in scores.items() if score.ex is not None]
    return {
        **({"license": license_id} if license_id else {}),
        **({"base_model": base, "base_model_relation": "finetune"} if base is not None and _is_hub_name(base) else {}),
        "language": ["en"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": [*_TAGS, *steps],
        **({"model-index": [{"name": name, "results": results}]} if results else {}),
    }


def _read_info(text: str | None, subject: str) -> dict[str, Any]:
    """The object in a version's sense.json; InputError if it has none."""
    try:
        info = json.loads(text or "")
    except ValueError:
        info = None
    if not isinstance(info, dict):
        raise InputError(f"{subject}: no model of SENSE (no model/sense.json); register it by `sense publish`")
    return info


def _result(dataset: str, score: VersionScore) -> dict[str, Any]:
    """EX on one set, a share, with its 95% interval, as an entry of the hub's model-index."""
    interval = {} if score.low is None or score.high is None else {"ci95_low": score.low, "ci95_high": score.high}
    metric = {"type": "execution_accuracy", "name": "Execution accuracy (EX)", "value": score.ex}
    return {
        "task": {"type": "text-generation", "name": "Text-to-SQL"},
        "dataset": {"type": f"sense-{dataset}", "name": _SET_NAMES.get(dataset, dataset), "revision": score.digest},
        "metrics": [{**metric, "args": {"mode": score.mode, **interval}}],
    }


def _is_hub_name(base: str) -> bool:
    """Whether a base is written as the hub writes names, OWNER/NAME, and is no folder here."""
    try:
        validate_repo_id(base)
    except HFValidationError:
        return False
    return "/" in base and not Path(base).is_dir()
