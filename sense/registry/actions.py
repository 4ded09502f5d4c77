"""What each action of `sense models` does: asks MLflow, prints for a person or as JSON."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sense import config, console, records
from sense.errors import InputError
from sense.registry import aliases, canary_actions, comparison, files, gate, hub, hub_card, latency, tables, values, versions
from sense.registry.aliases import PromotionRecord, PromotionRequest
from sense.registry.versions import RegisteredVersion


def list_versions(options: argparse.Namespace) -> None:
    """Every version of the model, the newest first."""
    registered = versions.list_versions(options.model)
    try:
        dataset = versions.deciding_set(options.set, *registered, None)
    except InputError:  # early versions only: show the set that publish decides by unless configured otherwise
        dataset = config.PublishConfig().gate
    alias_names = _aliases_by_version(options.model)
    decisions = _decisions(registered)
    rows = [
        _version_row(options.model, version, alias_names.get(version.version, []), dataset, decisions) for version in registered
    ]
    if options.json:
        print(json.dumps({"name": options.model, "set": dataset, "versions": rows}, indent=2))
    else:
        tables.print_versions(options.model, dataset, rows)
    interrupted = aliases.find_interrupted(options.model)
    if interrupted is not None:
        command = f"a {interrupted.action} to version {interrupted.version} by {interrupted.by}"
        console.say(f"{command} was interrupted, or the aliases were moved by hand since; run it again to end it")


def _version_row(
    name: str,
    version: RegisteredVersion,
    alias_names: Sequence[str],
    dataset: str,
    decisions: Sequence[PromotionRecord],
) -> dict[str, Any]:
    """One version; its reason is that of the last of `decisions`, those on all versions, that concerned it."""
    score = versions.score_on(version, dataset)
    concerning = [
        record for record in decisions if version.version in (record.version, record.before if record.promoted else None)
    ]
    return {
        "version": version.version,
        "name": name,
        "aliases": list(alias_names),
        "ex": score.ex,
        "ex_low": score.low,
        "ex_high": score.high,
        "edition": score.digest,
        "mode": score.mode,
        "latency_p95_ms": gate.number_tag(version.tags, "sense.latency.p95_ms"),
        "digest": versions.model_digest(version),
        "created": tables.format_time(version.created),
        "decision": tables.describe_decision(asdict(concerning[-1])) if concerning else "",
        "reason": concerning[-1].reason if concerning else "",
    }


def show_version(options: argparse.Namespace) -> None:
    """One version: tags, decisions about it, its whole card."""
    name, version = versions.find_by_reference(options.version, options.model)
    decisions = _decisions(versions.list_versions(name))
    card = files.read_text(files.artifact_repository(name, version.version), "model/README.md") or version.description
    details = {
        "name": name,
        "version": version.version,
        "aliases": _aliases_by_version(name).get(version.version, []),
        "created": tables.format_time(version.created),
        "run_id": version.run_id,
        "model_id": version.model_id,
        "tags": {key: value for key, value in sorted(version.tags.items()) if not key.startswith(aliases.RECORD_TAG)},
        "history": [asdict(record) for record in decisions if version.version in (record.version, record.before)],
        "card": card,
    }
    if options.json:
        print(json.dumps(details, indent=2))
    else:
        tables.print_version(details)


def compare_versions(options: argparse.Namespace) -> None:
    """Two versions of one model."""
    name, other = (versions.parse_reference(text, options.model)[0] for text in (options.first, options.second))
    if other != name:
        raise InputError(f"{options.first} and {options.second} are versions of two models; compare versions of one")
    first, second = (versions.find_by_reference(text, name)[1] for text in (options.first, options.second))
    comparisons = comparison.compare(name, first, second)
    if options.json:
        sets = {on_set.name: _comparison_json(on_set) for on_set in comparisons}
        print(json.dumps({"name": name, "first": first.version, "second": second.version, "sets": sets}, indent=2))
    else:
        tables.print_comparison(first.version, second.version, comparisons)


def _comparison_json(on_set: comparison.SetComparison) -> dict[str, Any]:
    fields = {key: value for key, value in asdict(on_set).items() if key != "name"}
    return {"comparable": not on_set.problem, **fields}


def promote_version(options: argparse.Namespace) -> None:
    """A version becomes the champion; UserError, with the objections of the gate, if it may not."""
    request = PromotionRequest(
        by=options.by or aliases.current_user(),
        reason=options.reason,
        dataset=options.set,
        latency_budget_s=options.latency_budget,
        force=options.force,
    )
    aliases.check_request(request)
    name, new = versions.find_by_reference(options.version, options.model)
    finished = aliases.finish_interrupted(name, lambda record: (record.action, record.version) == ("promote", new.version))
    if finished is not None:
        _print_promotion(options, finished, "finished what was interrupted: ")
        return
    champion = versions.find_by_alias(name, "champion")
    if champion is not None and champion.version == new.version:
        _print_outcome(options, {"promoted": False, "version": new.version}, f"version {new.version} is the champion already")
        return
    review = aliases.review(name, new, champion, request)
    if not options.json and review.comparison is not None and champion is not None:
        tables.print_comparison(champion.version, new.version, [review.comparison])
    _print_promotion(options, aliases.promote(name, new, champion, review, request))


def run_canary(options: argparse.Namespace) -> None:
    """A candidate is started, gets another weight, is aborted or becomes the champion; or what there is is shown."""
    if options.promote:
        running = canary_actions.running_to_promote(options)
        promote_version(options)
        canary_actions.record_promotion(options, running)
    else:
        outcome, line = canary_actions.run(options)
        _print_outcome(options, outcome, line)


def roll_back(options: argparse.Namespace) -> None:
    """The previous champion is champion again."""
    request = PromotionRequest(by=options.by or aliases.current_user(), reason=options.reason)
    aliases.check_request(request)
    finished = aliases.finish_interrupted(options.model, lambda record: record.action == "rollback")
    if finished is not None:
        _print_promotion(options, finished, "finished what was interrupted: ")
    else:
        _print_promotion(options, aliases.rollback(options.model, request))


def write_values(options: argparse.Namespace) -> None:
    """The chart's values, on stdout or in a file."""
    text = values.chart_values(*versions.parse_reference(options.version, options.model))
    if options.output is None:
        sys.stdout.write(text)
    else:
        records.write_text(options.output, text)


def write_card(options: argparse.Namespace) -> None:
    """The card of a version as a hub reads it, on stdout or in a file."""
    text = hub_card.render(*versions.find_by_reference(options.version, options.model), options.license)
    if options.output is None:
        sys.stdout.write(text)
    else:
        records.write_text(options.output, text)


def push_version(options: argparse.Namespace) -> None:
    """A version is sent to a hub."""
    to = hub.target(options.repo, options.revision, options.private)
    name, version = versions.find_by_reference(options.version, options.model)
    card = hub_card.render(name, version, options.license)
    if options.license is None:
        console.say("the card names no licence: give that of the base with --license, or nobody may use the model")
    folder = _download(name, version.version)
    pushed = hub.push(folder, (files.ORIGIN_FILE,), card, f"{name} version {version.version}", to)
    line = f"version {version.version} of {name} is at {pushed.url}, branch {pushed.revision}, commit {pushed.commit[:12]}"
    _print_outcome(options, {"name": name, "version": version.version, "repo": to.repo, **asdict(pushed)}, line)


def _download(name: str, version: str) -> Path:
    """The files of a version in the folder where the gateway keeps them."""
    return files.download(name, version, config.work_root() / "serving" / f"{name}-{version}")


def measure_latency(options: argparse.Namespace) -> None:
    """A version's latency, recorded as its tags."""
    name, version = versions.find_by_reference(options.version, options.model)
    dataset = versions.deciding_set(options.set, version)
    registered = comparison.read_prompts(name, version.version, dataset)
    if registered is None:
        raise InputError(
            f"{name} version {version.version}: no prompts of {dataset} registered; publish again (dvc repro publish), "
            "or measure on --set dev or heldout: those of evaluate.sets have no prompts"
        )
    prompts = records.draw([row.prompt for row in registered], options.questions, 0)
    if options.endpoint:
        endpoint = latency.ModelEndpoint(options.endpoint, options.served_name or f"{name}-{version.version}")
        measured = latency.measure_endpoint(endpoint, prompts, options.max_new_tokens)
    else:
        measured = latency.measure_here(_download(name, version.version), prompts, options.max_new_tokens)
    versions.set_tags(name, version.version, measured.tags(), last=latency.GATE_TAG)
    times = f"p50 {measured.p50_ms / 1000:.3g} s, p95 {measured.p95_ms / 1000:.3g} s"
    line = f"version {version.version}: {times} over {measured.n} questions of {dataset} ({measured.where})"
    _print_outcome(options, {"version": version.version, "set": dataset, **asdict(measured)}, line)


def _print_promotion(options: argparse.Namespace, record: PromotionRecord, prefix: str = "") -> None:
    _print_outcome(options, {"promoted": True, **asdict(record)}, prefix + tables.describe_promotion(record))


def _print_outcome(options: argparse.Namespace, outcome: Mapping[str, Any], line: str) -> None:
    """The outcome: as JSON with --json, else the line."""
    print(json.dumps(outcome, indent=2) if options.json else line)


def _decisions(registered: Sequence[RegisteredVersion]) -> list[PromotionRecord]:
    """The decisions about any of the versions, oldest first."""
    return sorted((record for version in registered for record in aliases.history(version)), key=lambda record: record.at)


def _aliases_by_version(name: str) -> dict[str, list[str]]:
    """version -> its aliases."""
    names: dict[str, list[str]] = {}
    for alias, version in versions.list_aliases(name).items():
        names.setdefault(version, []).append(alias)
    return names


ACTIONS = {
    "list": list_versions,
    "show": show_version,
    "compare": compare_versions,
    "promote": promote_version,
    "rollback": roll_back,
    "canary": run_canary,
    "values": write_values,
    "card": write_card,
    "push": push_version,
    "measure": measure_latency,
}
