"""Which version is champion: the one way in which `publish`, `sense models promote` and `sense models rollback` move aliases.

Three aliases: `challenger` is the version published last, `champion` the one to serve, `previous` the champion before. A decision
is recorded as a tag on the version that it is about; if it makes that version the champion, `champion` is moved next, and
`previous` last. A command that was killed in between (kill -9, too) leaves a record that the aliases do not agree with yet: the
same command finds it, and carries out that decision instead of making a second one. Once the champion has moved, any command
completes `previous` first.

ONE WRITER AT A TIME: MLflow's registry has no transactions, and nothing here keeps apart two commands that move the champion of
one model at the same moment. Both are recorded then, and each alias may be of either; `sense models promote` sets them right.
"""

import getpass
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from sense.errors import InputError, UserError
from sense.registry import comparison, gate, versions
from sense.registry.comparison import SetComparison
from sense.registry.versions import RegisteredVersion
from sense.report.text import printable
from sense.tracking import store

_LONGEST_REASON = 1000  # characters
_LONGEST_NAME = 200  # characters of --by
RECORD_TAG = "sense.promotion."  # followed by the time; one tag of the version for each decision about it
_TIME = "%Y-%m-%d %H:%M:%S.%f"


@dataclass(frozen=True)
class PromotionRecord:
    """A decision about `version`: who made it, when (UTC) and why, the champion before it, and what was known of both.

    `action` is publish, promote, rollback, canary or abort. `promoted` is false where the champion stayed: where `publish` only
    registered the version, and for a canary that was started or aborted.
    """

    action: str
    version: str
    before: str | None
    reason: str
    by: str
    at: str
    promoted: bool = True
    forced: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)


_RECORD = TypeAdapter(PromotionRecord)  # validates: anybody may write a tag


@dataclass(frozen=True)
class PromotionRequest:
    """What a person asks for: who and why, the set that decides (None: that which the version was published by), the latency
    allowed.
    """

    by: str
    reason: str = ""
    dataset: str | None = None
    latency_budget_s: float | None = None
    force: bool = False


@dataclass(frozen=True)
class PromotionReview:
    """What is known about a promotion, on the set `dataset`; it may go ahead if there are no `objections`."""

    decision: gate.GateDecision
    dataset: str
    comparison: SetComparison | None
    objections: Sequence[str]


def now() -> str:
    """The time as records hold it, UTC."""
    return datetime.now(UTC).strftime(_TIME)


def current_user() -> str:
    """The operating system's name for who runs this process, or the user's number where it has none (a container)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def history(version: RegisteredVersion) -> list[PromotionRecord]:
    """The decisions recorded with a version, oldest first; a tag of that name that is no record is left out."""
    records = []
    for _, value in sorted((key, value) for key, value in version.tags.items() if key.startswith(RECORD_TAG)):
        with suppress(ValueError, TypeError):
            records.append(_RECORD.validate_python(json.loads(value) | {"version": version.version}))
    return records


@store.endpoint_errors()
def set_alias(name: str, alias: str, version: str) -> None:
    """Points `alias` of the registered model `name` at a version, away from any other."""
    store.open_store().client.set_registered_model_alias(name, alias, version)


@store.endpoint_errors()
def carry_out(name: str, record: PromotionRecord) -> None:
    """Records a decision about a version of the model `name`; if it promotes, that becomes `champion`, and `before` `previous`.

    The same record again completes what a killed call left.
    """
    value = {key: value for key, value in asdict(record).items() if key != "version"}
    tag = RECORD_TAG + record.at.replace(":", ".")
    store.open_store().client.set_model_version_tag(name, record.version, tag, json.dumps(value, ensure_ascii=False))
    if not record.promoted:
        return
    set_alias(name, "champion", record.version)
    if record.before is not None:
        set_alias(name, "previous", record.before)


def find_interrupted(name: str) -> PromotionRecord | None:
    """The latest promotion on record of the model `name`, if its aliases are those of a command killed while it was carried out.

    (Of a decision from before the record came first, or of aliases that were moved by hand, they may look the same.)
    """
    records = [record for version in versions.list_versions(name) for record in history(version) if record.promoted]
    if not records:
        return None
    last = max(records, key=lambda record: record.at)
    aliases = versions.list_aliases(name)
    champion_moved = aliases.get("champion") == last.version
    previous_moved = aliases.get("previous") == last.before
    if champion_moved:
        return None if previous_moved or last.before is None else last
    return last if aliases.get("champion") == last.before and (last.before is None or not previous_moved) else None


def finish_interrupted(name: str, is_same_command: Callable[[PromotionRecord], bool]) -> PromotionRecord | None:
    """Carries out what a killed run of the same command recorded, and returns that record: nothing else remains to be done.

    What another command left is completed only if the champion has moved already; then, and if there is nothing, returns None.
    """
    record = find_interrupted(name)
    if record is None:
        return None
    same = is_same_command(record)
    if same or versions.list_aliases(name).get("champion") == record.version:
        carry_out(name, record)
    return record if same else None


def check_request(request: PromotionRequest) -> None:
    """UserError unless there is a reason where one must be, and reason and name are plain text, short enough for a tag."""
    if request.force and not request.reason:
        raise UserError("--force: say why, it is recorded with the version: --reason TEXT")
    if len(request.by) > _LONGEST_NAME:
        raise UserError(f"--by: {len(request.by):,} characters; a name has at most {_LONGEST_NAME}")
    if len(request.reason) > _LONGEST_REASON:
        raise UserError(f"--reason: {len(request.reason):,} characters; say it in {_LONGEST_REASON:,}")
    for flag, text in (("--reason", request.reason), ("--by", request.by)):
        if printable(text) != text:  # control characters, and what was no UTF-8
            raise UserError(f"{flag}: holds characters that cannot be shown; write plain text in UTF-8")


def review(name: str, new: RegisteredVersion, champion: RegisteredVersion | None, request: PromotionRequest) -> PromotionReview:
    """Compares EX, edition of the set, verdicts and latency; moves nothing. InputError if `new` could not be deployed at all."""
    dataset = versions.deciding_set(request.dataset, new, champion)
    score = versions.score_on(new, dataset)
    champion_score = None if champion is None else versions.score_on(champion, dataset)
    decision = gate.decide(score, champion_score, dataset)
    objections = [] if decision.promoted else [decision.reason]
    if decision.promoted and (score.ex is None or score.digest is None):
        objections.append(f"version {new.version} carries no EX on {dataset}; publish it with its evaluation")
    if request.latency_budget_s is not None:
        objections += filter(None, [gate.why_too_slow(new.version, new.tags, request.latency_budget_s)])
    set_comparison = None if champion is None else comparison.compare(name, champion, new, dataset)[0]
    versions.resolve_deployable(name, new.version)
    return PromotionReview(decision, dataset, set_comparison, objections)


def promote(
    name: str, new: RegisteredVersion, champion: RegisteredVersion | None, review: PromotionReview, request: PromotionRequest
) -> PromotionRecord:
    """Makes `new` the champion; UserError, and nothing moved, if the review has objections and the request does not force it."""
    if review.objections and not request.force:
        objections = "\n".join(f"  {printable(line)}" for line in review.objections)
        raise UserError(
            f"version {new.version} is not promoted, nothing was moved:\n{objections}\nTo overrule: --force --reason WHY"
        )
    record = PromotionRecord(
        action="promote",
        version=new.version,
        before=None if champion is None else champion.version,
        reason=request.reason or review.decision.reason,
        by=request.by,
        at=now(),
        forced=bool(review.objections),
        evidence=_evidence(review, new, request),
    )
    carry_out(name, record)
    return record


def rollback(name: str, request: PromotionRequest) -> PromotionRecord:
    """Makes the previous champion champion again, and the champion the previous one: a second rollback undoes the first.

    InputError if there is no previous version.
    """
    aliases = versions.list_aliases(name)
    champion, previous = aliases.get("champion"), aliases.get("previous")
    if previous is None or previous == champion:
        raise InputError(f"{name}: there is no previous version to go back to; choose one: sense models promote VERSION")
    versions.resolve_deployable(name, previous)
    record = PromotionRecord(
        action="rollback",
        version=previous,
        before=champion,
        reason=request.reason or (f"rolled back from version {champion}" if champion else "there was no champion"),
        by=request.by,
        at=now(),
    )
    carry_out(name, record)
    return record


def _evidence(review: PromotionReview, new: RegisteredVersion, request: PromotionRequest) -> dict[str, Any]:
    """What was known when it was decided; short, because MLflow limits the length of a tag."""
    score = versions.score_on(new, review.dataset)
    test = None if review.comparison is None or review.comparison.test is None else vars(review.comparison.test)
    return {
        "set": review.dataset,
        "digest": score.digest,
        "ex": score.ex,
        "champion_ex": review.decision.champion_ex,
        "mcnemar": test,
        "latency_budget_s": request.latency_budget_s,
        "against": [line[:300] for line in review.objections],
    }
