"""What each action of `sense models` does: asks the store, prints for a person or as JSON."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sense import config, console, records, registry
from sense.errors import InputError
from sense.registry import aliases, comparison, evidence, latency, reference, tables, values


def listed(options: argparse.Namespace) -> None:
    """Every version of the model, the newest first."""
    versions = registry.versions.list_versions(options.model)
    try:
        dataset = reference.gate_set(options.set, *versions, None)
    except InputError:  # versions of earlier days only: show what publish would decide by unless told otherwise
        dataset = config.PublishConfig().gate
    named = _aliases(options.model)
    moves = _decisions(versions)
    rows = [_row(options.model, version, named.get(version.version, []), dataset, moves) for version in versions]
    if options.json:
        print(json.dumps({"name": options.model, "set": dataset, "versions": rows}, indent=2))
    else:
        tables.listing(options.model, dataset, rows)
    _warn(options.model)


def _row(
    name: str, version: registry.Version, names: Sequence[str], dataset: str, moves: Sequence[aliases.PromotionRecord]
) -> dict[str, Any]:
    """One version; its reason is that of the last decision that put it where it is, `moves` the decisions on all versions."""
    standing = reference.standing(version, dataset)
    kept = [move for move in moves if version.version in (move.version, move.before if move.promoted else None)]
    return {
        "version": version.version,
        "name": name,
        "aliases": list(names),
        "ex": standing.ex,
        "ex_low": standing.low,
        "ex_high": standing.high,
        "edition": standing.digest,
        "latency_p95_ms": registry.gate.number(version.tags, "sense.latency.p95_ms"),
        "digest": registry.versions.digest(version),
        "created": tables.when(version.created),
        "decision": tables.decision(asdict(kept[-1])) if kept else "",
        "reason": kept[-1].reason if kept else "",
    }


def _decisions(versions: Sequence[registry.Version]) -> list[aliases.PromotionRecord]:
    """What was decided about any of the versions, the first first."""
    return sorted((move for one in versions for move in aliases.history(one)), key=lambda move: move.at)


def shown(options: argparse.Namespace) -> None:
    """One version: tags, decisions about it, its whole card."""
    name, version = reference.version(options.version, options.model)
    moves = _decisions(registry.versions.list_versions(name))
    card = registry.files.read(registry.files.repository(name, version.version), "model/README.md") or version.card
    found = {
        "name": name,
        "version": version.version,
        "aliases": _aliases(name).get(version.version, []),
        "created": tables.when(version.created),
        "run_id": version.run_id,
        "model_id": version.model_id,
        "tags": {key: value for key, value in sorted(version.tags.items()) if not key.startswith("sense.promotion.")},
        "history": [asdict(move) for move in moves if version.version in (move.version, move.before)],
        "card": card,
    }
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        tables.details(found)


def compared(options: argparse.Namespace) -> None:
    """Two versions of one model."""
    name, other = (reference.parsed(text, options.model)[0] for text in (options.first, options.second))
    if other != name:
        raise InputError(f"{options.first} and {options.second} are versions of two models; compare versions of one")
    first, second = (reference.version(text, name)[1] for text in (options.first, options.second))
    found = comparison.compare(name, first, second)
    if options.json:
        sets = {one.name: _told(one) for one in found}
        print(json.dumps({"name": name, "first": first.version, "second": second.version, "sets": sets}, indent=2))
    else:
        tables.comparison(first.version, second.version, found)


def _told(one: comparison.Compared) -> dict[str, Any]:
    kept = {key: value for key, value in asdict(one).items() if key != "name"}
    return {"comparable": not one.problem, **kept}


def promoted(options: argparse.Namespace) -> None:
    """A version becomes the champion, or UserError says what is against it."""
    request = aliases.PromotionRequest(
        by=options.by or aliases.current_user(),
        reason=options.reason,
        dataset=options.set,
        latency_budget_s=options.latency_budget,
        force=options.force,
    )
    aliases.check_request(request)
    name, new = reference.version(options.version, options.model)
    finished = aliases.finish_interrupted(name, lambda record: (record.action, record.version) == ("promote", new.version))
    if finished is not None:
        _moved(options, finished, "finished what was interrupted: ")
        return
    champion = registry.find_alias(name, "champion")
    if champion is not None and champion.version == new.version:
        _say(options, {"promoted": False, "version": new.version}, f"version {new.version} is the champion already")
        return
    review = aliases.review(name, new, champion, request)
    if not options.json and review.comparison is not None and champion is not None:
        tables.comparison(champion.version, new.version, [review.comparison])
    _moved(options, aliases.promote(name, new, champion, review, request), "")


def rolled_back(options: argparse.Namespace) -> None:
    """The previous champion is champion again."""
    request = aliases.PromotionRequest(by=options.by or aliases.current_user(), reason=options.reason)
    aliases.check_request(request)
    finished = aliases.finish_interrupted(options.model, lambda record: record.action == "rollback")
    if finished is not None:
        _moved(options, finished, "finished what was interrupted: ")
    else:
        _moved(options, aliases.rollback(options.model, request), "")


def resolved(options: argparse.Namespace) -> None:
    """The chart's values, on stdout or in a file."""
    text = values.values(*reference.parsed(options.version, options.model))
    if options.output is None:
        sys.stdout.write(text)
    else:
        records.write_text(options.output, text)


def measured(options: argparse.Namespace) -> None:
    """A version's latency, kept with it."""
    name, version = reference.version(options.version, options.model)
    dataset = reference.gate_set(options.set, version)
    asked = evidence.prompts(name, version.version, dataset)
    if asked is None:
        raise InputError(
            f"{name} version {version.version}: no prompts of {dataset} registered; publish again (dvc repro publish)"
        )
    prompts = latency.drawn([row.prompt for row in asked], options.questions)
    if options.endpoint:
        served = options.served_name or f"{name}-{version.version}"
        found = latency.at(latency.Endpoint(options.endpoint, served), prompts, options.max_new_tokens)
    else:
        folder = config.work_root() / "serving" / f"{name}-{version.version}"  # the gateway's own
        found = latency.here(registry.download(name, version.version, folder), prompts, options.max_new_tokens)
    registry.versions.set_tags(name, version.version, found.tags(), latency.LAST_TAG)
    times = f"p50 {found.p50_ms / 1000:.3g} s, p95 {found.p95_ms / 1000:.3g} s"
    line = f"version {version.version}: {times} over {found.n} questions of {dataset} ({found.where})"
    _say(options, {"version": version.version, "set": dataset, **asdict(found)}, line)


def _moved(options: argparse.Namespace, move: aliases.PromotionRecord, lead: str) -> None:
    _say(options, {"promoted": True, **asdict(move)}, lead + tables.told(move))


def _say(options: argparse.Namespace, value: Mapping[str, Any], line: str) -> None:
    """The outcome: as JSON if that was asked for, else in a line."""
    print(json.dumps(value, indent=2) if options.json else line)


def _aliases(name: str) -> dict[str, list[str]]:
    """version -> its aliases."""
    found: dict[str, list[str]] = {}
    for alias, version in registry.versions.aliases(name).items():
        found.setdefault(version, []).append(alias)
    return found


def _warn(name: str) -> None:
    record = aliases.find_interrupted(name)
    if record is not None:
        what = f"a {record.action} to version {record.version} by {record.by}"
        console.say(f"{what} was interrupted, or the aliases were moved by hand since; run it again to end it")


CARRY_OUT = {
    "list": listed,
    "show": shown,
    "compare": compared,
    "promote": promoted,
    "rollback": rolled_back,
    "values": resolved,
    "measure": measured,
}
