"""Publish: the model becomes a version in MLflow's registry, and a gate decides whether it is the new champion.

Every version is registered as `challenger`. It becomes `champion` if there is none, or if it is at least as good on the
very same evaluation set, unless `promote` is off; the champion before it becomes `previous`. `preview` tells before a version is
registered what would become of it. Killed at any moment and run again, the stage ends as if nothing had happened: the version is
found by the digest of its content, the decision in the work directory.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sense import config as configs
from sense import records
from sense.config import PublishConfig
from sense.errors import InputError
from sense.prompts.dataset import question_prompts

if TYPE_CHECKING:
    from sense import tracking

Config = PublishConfig


@dataclass(frozen=True)
class Inputs:
    """The model folder, evaluate's metrics, and the data behind the model."""

    sense: Path
    evaluation: Path
    strong: Path
    samples: Path
    pairs: Path


@dataclass(frozen=True)
class Outputs:
    """What was registered, as JSON, and the metrics."""

    record: Path
    metrics: Path


def run(config: PublishConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Registers the model, moves the aliases, writes the record; InputError if the gate's set was not evaluated."""
    from sense import tracking

    work = outputs.record.parent
    sets = _sets(inputs.evaluation, config.gate)
    digests = {name: records.digest(path) for name, path in vars(inputs).items()}
    version = _register(config, inputs, sets, digests, work)
    tracking.set_alias(config.model, "challenger", version.version)
    decision = _decided(work / "decision.json", config, version)
    if decision.promoted:
        if decision.champion is not None:
            tracking.set_alias(config.model, "previous", decision.champion)
        tracking.set_alias(config.model, "champion", version.version)
    metrics = {
        "model": config.model,
        **{key: value for key, value in asdict(decision).items() if key != "champion"},
        "gate": config.gate,
        "ex": sets[config.gate]["models"]["sense"]["ex"],
        "champion_before": decision.champion,
        "run_id": version.run_id,
        "model_id": version.model_id,
    }
    uri = f"models:/{config.model}/{version.version}"
    records.write_json(outputs.record, {"uri": uri, **metrics, "digests": digests, "tags": version.tags})
    return metrics


def preview(section: Mapping[str, Any], evaluation: Path) -> "tracking.gate.Decision":
    """What the gate says to a model with evaluate's metrics in `evaluation`, before it is registered; its version is "this run".

    `section` is publish's. Raises InputError if the gate's set was not evaluated, EndpointError if the registry cannot be asked.
    """
    from sense import tracking

    config: PublishConfig = configs.validate(PublishConfig, section, "the section of publish")
    measured = _measured(_sets(evaluation, config.gate))
    return _judged(config, tracking.gate.standing("this run", tracking.gate.tags(measured), config.gate))


def _register(
    config: PublishConfig, inputs: Inputs, sets: Mapping[str, Any], digests: Mapping[str, str], work: Path
) -> "tracking.Version":
    """The version of this model with this evaluation: registered now, or by an earlier run."""
    from sense import tracking
    from sense.report import card

    tags = {
        "sense.code_rev": tracking.revision.current(),
        **{f"sense.digest.{name}": digest for name, digest in digests.items()},
        **tracking.gate.tags(_measured(sets)),
    }
    folder = _whole(inputs.sense, work / "merged")
    package = tracking.Package(
        name=config.model,
        key=hashlib.sha256(f"{digests['sense']} {digests['evaluation']}".encode()).hexdigest(),
        folder=folder,
        card=card.render(config.model, sets, tags),
        example=_example(inputs),
        params=_params(folder),
        tags=tags,
        scores=_scores(sets),
        data={name: digests[name] for name in ("strong", "samples", "pairs")},
    )
    return tracking.publish_model(package, work / "package")


def _decided(file: Path, config: PublishConfig, version: "tracking.Version") -> "tracking.gate.Decision":
    """The decision about `version`: that of a killed try if it came so far (its aliases may be half moved), else a new one."""
    from sense import tracking

    if file.is_file():
        decision = tracking.gate.Decision(**records.read_json(file))
        if decision.version == version.version:
            return decision
    decision = _judged(config, tracking.gate.standing(version.version, version.tags, config.gate))
    records.write_json(file, asdict(decision))
    return decision


def _judged(config: PublishConfig, new: "tracking.gate.Standing") -> "tracking.gate.Decision":
    """What the gate says to `new` beside today's champion; without `promote` it is held back, whatever that is."""
    from sense import tracking

    champion = tracking.find_alias(config.model, "champion")
    old = None if champion is None else tracking.gate.standing(champion.version, champion.tags, config.gate)
    decision = tracking.gate.decide(new, old, config.gate)
    if config.promote or decision.champion == new.version:  # what is champion already stays it
        return decision
    why = f"publish.promote is false (the gate: {decision.reason})" if decision.promoted else decision.reason
    return replace(decision, promoted=False, alias="challenger", reason=f"held back: {why}")


def _measured(sets: Mapping[str, Any]) -> dict[str, tuple[str, float | None]]:
    """set -> (digest of its edition, EX of SENSE on it): what the gate compares."""
    return {name: (str(found["digest"]), found["models"].get("sense", {}).get("ex")) for name, found in sets.items()}


def _sets(evaluation: Path, gate: str) -> dict[str, Any]:
    """The dev sets of evaluate's metrics; InputError unless the gate's is among them, with an EX of SENSE."""
    sets: dict[str, Any] = records.read_json(evaluation).get("sets", {})
    if sets.get(gate, {}).get("models", {}).get("sense", {}).get("ex") is None:
        known = ", ".join(sets) or "none"
        raise InputError(
            f"{evaluation}: no EX of sense on {gate!r} (sets there: {known}); set publish.gate in params.yaml to one of them"
        )
    return sets


def _scores(sets: Mapping[str, Any]) -> list["tracking.Score"]:
    from sense import tracking

    return [
        tracking.Score(f"{name}.{model}.{key}", float(measured[key]), name, str(found["digest"]))
        for name, found in sets.items()
        for model, measured in found["models"].items()
        for key in ("ex", "ex_low", "ex_high", "executable")
        if measured.get(key) is not None
    ]


def _whole(folder: Path, target: Path) -> Path:
    """`folder`, or, if it holds a LoRA adapter, `target` with that merged into its base: what vLLM and MLflow load as it is."""
    if not (folder / "adapter_config.json").is_file():
        return folder
    from sense.training import load

    return load.merged(folder, target)


def _params(folder: Path) -> dict[str, Any]:
    """The model's shape and the prompt it was trained on."""
    shape = {key: value for key, value in records.read_json(folder / "config.json").items() if isinstance(value, int | str)}
    return {"model": shape, "prompt": records.read_json(folder / "sense.json").get("prompt", {})}


def _example(inputs: Inputs) -> str:
    """A prompt such as the model was trained on: the first strong example's."""
    first = next(records.read_jsonl(inputs.strong / "examples.jsonl", records.Example), None)
    if first is None:
        raise InputError(f"{inputs.strong / 'examples.jsonl'}: no examples; run `sense synthesize` again")
    about = inputs.sense / "sense.json"
    prompt: configs.PromptConfig = configs.validate(configs.PromptConfig, records.read_json(about).get("prompt"), str(about))
    return question_prompts(inputs.strong, [first], prompt)[0]
