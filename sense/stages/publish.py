"""Publish: the model becomes a version in MLflow's registry, and a gate decides whether it is the new champion.

Every version is registered as `challenger`. It becomes `champion` if there is none, or if it is at least as good on the
very same evaluation set, unless `promote` is off; the champion before it becomes `previous`. `preview` gives the gate's decision
before a version is registered. The verdict on each question is registered with the version, so that any two can be compared.
Killed at any moment and run again, the stage ends as if nothing had happened: the version is found by the digest of its content,
the decision among those recorded with the version, by its time, which is kept in the work directory. Nobody else may move the
champion of that model meanwhile (see sense.registry.aliases).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sense import config as configs
from sense import records
from sense.config import PublishConfig
from sense.errors import InputError
from sense.registry import gate
from sense.registry.gate import GateDecision, VersionScore

if TYPE_CHECKING:
    from sense.registry.aliases import PromotionRecord
    from sense.registry.versions import RegisteredVersion

Config = PublishConfig


@dataclass(frozen=True)
class Inputs:
    """The model folder, evaluate's metrics and its predictions, the sets that it scored, and the data behind the model."""

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
    from sense.registry import aliases

    work = outputs.record.parent
    sets = _read_sets(inputs.evaluation, config.gate)
    digests = {name: records.digest(path) for name, path in vars(inputs).items()}
    version = _register(config, inputs, sets, digests, work)
    aliases.set_alias(config.model, "challenger", version.version)
    decision = _decide(config, version, sets[config.gate], work / "decision.json")
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
    records.write_json(outputs.record, {"uri": uri, **metrics, "digests": digests, "tags": _registered_tags(version)})
    return metrics


def _registered_tags(version: "RegisteredVersion") -> dict[str, str]:
    """The tags that a version is registered with, without those that came later."""
    return {name: value for name, value in version.tags.items() if not name.startswith(("sense.promotion.", "sense.latency."))}


def preview(section: Mapping[str, Any], evaluation: Path) -> GateDecision:
    """What the gate decides about a model with evaluate's metrics in `evaluation`; its version is called "this run".

    `section` is publish's. Raises InputError if the gate's set was not evaluated, EndpointError if the registry cannot be asked.
    """
    from sense.registry import package

    config: PublishConfig = configs.validate(PublishConfig, section, "the section of publish")
    score = package.scores_by_set(_read_sets(evaluation, config.gate))[config.gate]
    return _gate_decision(config, replace(score, version="this run"))


def _register(
    config: PublishConfig, inputs: Inputs, sets: Mapping[str, Any], digests: Mapping[str, str], work: Path
) -> "RegisteredVersion":
    """The version of this model with this evaluation: registered now, or by an earlier run."""
    from sense import tracking
    from sense.registry import package, registration

    datasets = {"dev": inputs.dev, "heldout": inputs.heldout}
    revisions = {name: records.revision(getattr(inputs, name)) for name in tracking.VERSIONED}
    sources = package.ModelSources(
        inputs.sense, inputs.predictions, datasets, inputs.strong, digests, revisions, sets, inputs.evaluation
    )
    model = package.build_package(config.model, sources, {"sense.gate": config.gate}, work)
    return registration.register_model(model, work / "package")


def _decide(config: PublishConfig, version: "RegisteredVersion", set_metrics: Mapping[str, Any], time_file: Path) -> GateDecision:
    """Decides about `version` and carries that out, or completes what a killed run of this stage has decided.

    `set_metrics` are evaluate's on the gate's set, `time_file` keeps the time of the decision for a rerun.
    """
    from sense.registry import aliases

    earlier = _find_own_record(config, version, time_file)
    if earlier is not None:
        return GateDecision(
            version=version.version,
            promoted=earlier.promoted,
            alias="champion" if earlier.promoted else "challenger",
            reason=earlier.reason,
            champion=earlier.before,
            champion_ex=earlier.evidence.get("champion_ex"),
        )
    decision = _gate_decision(config, gate.score_from_tags(version.version, version.tags, config.gate))
    if decision.champion == version.version:  # the champion already: there is nothing to decide
        return decision
    record = aliases.PromotionRecord(
        action="publish",
        version=version.version,
        before=decision.champion,
        reason=decision.reason,
        by=aliases.current_user(),
        at=aliases.now(),
        promoted=decision.promoted,
        evidence={
            "set": config.gate,
            "digest": set_metrics["digest"],
            "ex": set_metrics["models"]["sense"]["ex"],
            "champion_ex": decision.champion_ex,
        },
    )
    records.write_json(time_file, {"at": record.at})
    aliases.carry_out(config.model, record)
    return decision


def _find_own_record(config: PublishConfig, version: "RegisteredVersion", time_file: Path) -> "PromotionRecord | None":
    """What a killed run of this stage decided about `version`, carried out by now; None if nothing, or if it is out of date.

    A decision that was carried out to its end is recognized by the time in `time_file`, so only with the same work directory.
    """
    from sense.registry import aliases, versions

    finished = aliases.finish_interrupted(
        config.model, lambda record: config.promote and (record.action, record.version) == ("publish", version.version)
    )
    if finished is not None or not time_file.is_file():
        return finished
    at = str(records.read_json(time_file)["at"])
    own = next((record for record in aliases.history(version) if record.at == at), None)
    champion = versions.find_by_alias(config.model, "champion")
    if own is None or (None if champion is None else champion.version) != (own.version if own.promoted else own.before):
        return None
    return own


def _gate_decision(config: PublishConfig, new: VersionScore) -> GateDecision:
    """The gate's decision about `new` beside today's champion; without `promote` a version is held back in any case."""
    from sense.registry import versions

    champion = versions.find_by_alias(config.model, "champion")
    score = None if champion is None else gate.score_from_tags(champion.version, champion.tags, config.gate)
    decision = gate.decide(new, score, config.gate)
    if config.promote or decision.champion == new.version:  # what is champion already stays it
        return decision
    why = f"publish.promote is false (the gate: {decision.reason})" if decision.promoted else decision.reason
    return replace(decision, promoted=False, alias="challenger", reason=f"held back: {why}")


def _read_sets(evaluation: Path, gate_set: str) -> dict[str, Any]:
    """The dev sets of evaluate's metrics; InputError unless the gate's is among them, with an EX of SENSE."""
    sets: dict[str, Any] = records.read_json(evaluation).get("sets", {})
    if sets.get(gate_set, {}).get("models", {}).get("sense", {}).get("ex") is None:
        names = ", ".join(sets) or "none"
        raise InputError(
            f"{evaluation}: no EX of sense on {gate_set!r} (sets there: {names}); set publish.gate in params.yaml to one of them"
        )
    return sets
