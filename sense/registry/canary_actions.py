"""What `sense models canary` does: starts a candidate beside the champion, changes its weight, ends it, or shows it."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from sense.errors import InputError, UserError
from sense.registry import aliases, canary, versions
from sense.registry.aliases import PromotionRecord, PromotionRequest
from sense.registry.rollout import Canary, Rollout


def run(options: argparse.Namespace) -> tuple[Mapping[str, Any], str]:
    """The outcome as JSON would have it, and as a sentence."""
    aliases.check_request(_request(options))
    if options.abort:
        return _describe(_abort(options))
    if options.version is None:
        if options.weight is not None:
            raise InputError("--weight: of which version? sense models canary VERSION --weight PERCENT")
        return _describe(canary.read(options.model))
    if options.weight is None:
        raise InputError(f"{options.version}: how many percent of the questions? sense models canary VERSION --weight 10")
    return _describe(_start(options))


def _request(options: argparse.Namespace) -> PromotionRequest:
    return PromotionRequest(by=options.by or aliases.current_user(), reason=options.reason)


def _start(options: argparse.Namespace) -> Rollout:
    """Starts a canary, or gives the one that runs another weight; InputError where that makes no sense."""
    name, version = versions.parse_reference(options.version, options.model)
    number = versions.find_version(name, version).version
    rollout, request = canary.read(name), _request(options)
    if rollout.champion is None:
        raise InputError(f"{name}: there is no champion to compare with; choose one: sense models promote {number}")
    if rollout.champion == number:
        raise InputError(f"version {number} is the champion; a canary is another version")
    running = rollout.running
    if running is not None and running.version != number:
        raise InputError(f"version {running.version} is the canary now; end it first: sense models canary --promote, or --abort")
    versions.resolve_deployable(name, number)
    if running is not None:
        started = replace(running, weight=options.weight, by=request.by, reason=request.reason)
    else:
        started = Canary(number, options.weight, aliases.now(), request.by, request.reason)
    _record(name, "canary", started.version, rollout, request.by, request.reason or f"canary with {started.weight:g}%")
    canary.write(name, started)
    return canary.read(name)


def _abort(options: argparse.Namespace) -> Rollout:
    """Ends the canary; also one whose end was recorded by a command that was killed before it moved the alias."""
    rollout, request = canary.read(options.model), _request(options)
    last = rollout.canary
    if last is None or (rollout.running is None and rollout.alias is None):
        raise InputError(f"{options.model}: no canary runs; sense models canary shows the last one")
    _check_reference(options, last)
    _record(options.model, "abort", last.version, rollout, request.by, request.reason or "aborted by hand")
    canary.end(options.model, last, "aborted", request.by, request.reason or "aborted by hand", aliases.now())
    return canary.read(options.model)


def _check_reference(options: argparse.Namespace, last: Canary) -> None:
    if options.version is None:
        return
    name, version = versions.parse_reference(options.version, options.model)
    if name != options.model or versions.find_version(name, version).version != last.version:
        raise InputError(f"{options.version} is not the canary, that is version {last.version}; leave the version out")


def _record(name: str, action: str, version: str, rollout: Rollout, by: str, reason: str) -> None:
    """Keeps the decision with the version, as those of promote and rollback; first: a killed command repeats it at worst."""
    record = PromotionRecord(action, version, rollout.champion, reason, by, aliases.now(), promoted=False)
    aliases.carry_out(name, record)


def running_to_promote(options: argparse.Namespace) -> Canary:
    """The canary that is to become champion, also one whose promotion was killed; sets `options.version` to it."""
    rollout = canary.read(options.model)
    last = rollout.canary
    if last is None or last.end == "aborted" or rollout.alias != last.version:
        raise UserError(f"{options.model}: no canary runs; to make a version the champion: sense models promote VERSION")
    _check_reference(options, last)
    options.version = last.version
    return last


def record_promotion(options: argparse.Namespace, promoted: Canary) -> None:
    """Ends the canary that has become champion."""
    request = _request(options)
    canary.end(options.model, promoted, "promoted", request.by, request.reason, aliases.now())


def _describe(rollout: Rollout) -> tuple[Mapping[str, Any], str]:
    last, champion = rollout.canary, f"version {rollout.champion}" if rollout.champion else "no version"
    outcome = {"champion": rollout.champion, "running": rollout.running is not None, "canary": last and asdict(last)}
    if last is None:
        return outcome, f"champion is {champion}; there was no canary"
    if rollout.running is not None:
        reason = f": {last.reason}" if last.reason else ""
        return outcome, f"canary is version {last.version} with {last.weight:g}%, champion {champion}; by {last.by}{reason}"
    end = f"{last.end} at {last.ended} by {last.ended_by}: {last.end_reason}" if last.end else "which does not run"
    return outcome, f"champion is {champion}; the last canary was version {last.version}, {end}"
