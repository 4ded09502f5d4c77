"""Publish: the model becomes a version in MLflow's registry, and a gate decides whether it is the new champion.

Every version is registered as `challenger`. It becomes `champion` if there is none, or if it is at least as good on the
very same evaluation set, unless `promote` is off; the champion before it becomes `previous`. `preview` tells before a version is
registered what would become of it. With the version goes what each question came to, so that any two can be compared later.
Killed at any moment and run again, the stage ends as if nothing had happened: the version is found by the digest of its content,
the decision in the work directory.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sense import config as configs
from sense import records
from sense.config import PublishConfig
from sense.errors import InputError

if TYPE_CHECKING:
    from sense import registry

Config = PublishConfig


@dataclass(frozen=True)
class Inputs:
    """The model folder, evaluate's metrics and its predictions, the sets it judged on, and the data behind the model."""

    sense: Path
    evaluation: Path
    predictions: Path
    dev: Path
    heldout: Path
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
    from sense import registry

    work = outputs.record.parent
    sets = _sets(inputs.evaluation, config.gate)
    digests = {name: records.digest(path) for name, path in vars(inputs).items()}
    version = _register(config, inputs, sets, digests, work)
    registry.set_alias(config.model, "challenger", version.version)
    decision, at = _decided(work / "decision.json", config, version)
    if decision.promoted:
        if decision.champion is not None:
            registry.set_alias(config.model, "previous", decision.champion)
        registry.set_alias(config.model, "champion", version.version)
    if decision.champion != version.version:  # else nothing was decided
        _remember(config, decision, at, sets[config.gate])
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
    records.write_json(outputs.record, {"uri": uri, **metrics, "digests": digests, "tags": _lasting(version)})
    return metrics


def _lasting(version: "registry.Version") -> dict[str, str]:
    """The tags that a version is registered with, without those that came later."""
    return {name: value for name, value in version.tags.items() if not name.startswith(("sense.promotion.", "sense.latency."))}


def _remember(config: PublishConfig, decision: "registry.gate.Decision", at: str, measured: Mapping[str, Any]) -> None:
    """Keeps the decision with the version, among those that people make later."""
    from sense.registry import moves

    evidence = {"set": config.gate, "digest": measured["digest"], "ex": measured["models"]["sense"]["ex"]}
    move = moves.Move(
        action="publish",
        version=decision.version,
        before=decision.champion,
        reason=decision.reason,
        by=moves.whoever(),
        at=at,
        promoted=decision.promoted,
        evidence=evidence | {"champion_ex": decision.champion_ex},
    )
    moves.record(config.model, move)


def preview(section: Mapping[str, Any], evaluation: Path) -> "registry.gate.Decision":
    """What the gate says to a model with evaluate's metrics in `evaluation`, before it is registered; its version is "this run".

    `section` is publish's. Raises InputError if the gate's set was not evaluated, EndpointError if the registry cannot be asked.
    """
    from sense.registry import package

    config: PublishConfig = configs.validate(PublishConfig, section, "the section of publish")
    standing = package.standings(_sets(evaluation, config.gate))[config.gate]
    return _judged(config, replace(standing, version="this run"))


def _register(
    config: PublishConfig, inputs: Inputs, sets: Mapping[str, Any], digests: Mapping[str, str], work: Path
) -> "registry.Version":
    """The version of this model with this evaluation: registered now, or by an earlier run."""
    from sense import registry
    from sense.registry import package

    datasets = {"dev": inputs.dev, "heldout": inputs.heldout}
    origin = package.Origin(inputs.sense, inputs.predictions, datasets, inputs.strong, digests, sets)
    return registry.publish_model(package.package(config.model, origin, {"sense.gate": config.gate}, work), work / "package")


def _decided(file: Path, config: PublishConfig, version: "registry.Version") -> tuple["registry.gate.Decision", str]:
    """The decision about `version`, and when: a killed try's if it came so far (its aliases may be half moved), or a new one."""
    from sense import registry

    if file.is_file():
        kept = records.read_json(file)
        decision = registry.gate.Decision(**kept["decision"])
        champion = registry.find_alias(config.model, "champion")
        unchanged = (None if champion is None else champion.version) in (decision.champion, version.version)
        if decision.version == version.version and unchanged:  # else people have decided since
            return decision, str(kept["at"])
    decision, at = _judged(config, registry.gate.standing(version.version, version.tags, config.gate)), registry.moves.now()
    records.write_json(file, {"at": at, "decision": asdict(decision)})
    return decision, at


def _judged(config: PublishConfig, new: "registry.gate.Standing") -> "registry.gate.Decision":
    """What the gate says to `new` beside today's champion; without `promote` it is held back, whatever that is."""
    from sense import registry

    champion = registry.find_alias(config.model, "champion")
    old = None if champion is None else registry.gate.standing(champion.version, champion.tags, config.gate)
    decision = registry.gate.decide(new, old, config.gate)
    if config.promote or decision.champion == new.version:  # what is champion already stays it
        return decision
    why = f"publish.promote is false (the gate: {decision.reason})" if decision.promoted else decision.reason
    return replace(decision, promoted=False, alias="challenger", reason=f"held back: {why}")


def _sets(evaluation: Path, gate: str) -> dict[str, Any]:
    """The dev sets of evaluate's metrics; InputError unless the gate's is among them, with an EX of SENSE."""
    sets: dict[str, Any] = records.read_json(evaluation).get("sets", {})
    if sets.get(gate, {}).get("models", {}).get("sense", {}).get("ex") is None:
        known = ", ".join(sets) or "none"
        raise InputError(
            f"{evaluation}: no EX of sense on {gate!r} (sets there: {known}); set publish.gate in params.yaml to one of them"
        )
    return sets
