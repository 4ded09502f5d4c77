"""The gate: which version is the champion. Only EX on the very same edition of a set, under one scoring mode, is compared."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

EARLY_MODE = "strict@1"  # of all EX that does not say under which scoring mode it was measured


@dataclass(frozen=True)
class VersionScore:
    """EX of a version on one set, a share, with its 95% interval; None: never measured.

    `digest` is that of the set's edition, `mode` the scoring mode.
    """

    version: str
    digest: str | None
    ex: float | None
    low: float | None = None
    high: float | None = None
    mode: str = EARLY_MODE


@dataclass(frozen=True)
class GateDecision:
    """What the gate decided about `version`, and which champion it was compared with (None: there was none)."""

    version: str
    promoted: bool
    alias: str
    reason: str
    champion: str | None
    champion_ex: float | None


def score_tags(scores: Mapping[str, VersionScore]) -> dict[str, str]:
    """The tags that a version carries so that it can be compared later, on each set; numbers are written exactly."""
    tags: dict[str, str] = {}
    for name, score in scores.items():
        values = {"ex": score.ex, "ex_low": score.low, "ex_high": score.high}
        tags |= {f"sense.eval.{name}.digest": str(score.digest), f"sense.eval.{name}.mode": score.mode}
        tags |= {f"sense.eval.{name}.{key}": repr(value) for key, value in values.items() if value is not None}
    return tags


def score_from_tags(version: str, tags: Mapping[str, str], name: str) -> VersionScore:
    """The score on the set `name` of a version that carries these tags."""
    ex, low, high = (number_tag(tags, f"sense.eval.{name}.{key}", 1.0) for key in ("ex", "ex_low", "ex_high"))
    digest, mode = tags.get(f"sense.eval.{name}.digest") or None, tags.get(f"sense.eval.{name}.mode") or EARLY_MODE
    return VersionScore(version, digest, ex, low, high, mode)


def number_tag(tags: Mapping[str, str], name: str, maximum: float = math.inf) -> float | None:
    """A tag as a number from 0 to `maximum`; None if there is none, or somebody wrote something else into it."""
    try:
        number = float(tags.get(name, ""))
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number <= maximum else None


def decide(new: VersionScore, champion: VersionScore | None, name: str) -> GateDecision:
    """Champion if there is none yet, or if on the same edition of the set `name` the new EX is not below the champion's."""
    if champion is None:
        return GateDecision(new.version, True, "champion", "there was no champion yet", None, None)
    if champion.version == new.version:
        return GateDecision(new.version, False, "champion", "this version is the champion already", champion.version, champion.ex)
    problem = why_not_comparable(new, champion, name, f"the champion, version {champion.version},")
    if problem:
        force = f"sense models promote {new.version} --force --reason WHY"
        fix = f"evaluate both on one edition and under one scoring mode, or: {force}"
        reason = f"not comparable: {problem}; {fix}"
        return GateDecision(new.version, False, "challenger", reason, champion.version, champion.ex)
    promoted = (new.ex or 0.0) >= (champion.ex or 0.0)
    digits = 3 if 0 < abs((new.ex or 0.0) - (champion.ex or 0.0)) < 0.001 else 1  # one question of 1,034 is less than 0.1%
    reason = f"EX {new.ex:.{digits}%} on {name} against {champion.ex:.{digits}%} of the champion, version {champion.version}"
    return GateDecision(new.version, promoted, "champion" if promoted else "challenger", reason, champion.version, champion.ex)


def why_not_comparable(new: VersionScore, old: VersionScore, name: str, old_description: str = "") -> str:
    """Why the two may not be compared on the set `name`, or nothing; `old_description` stands for the old one in the sentence."""
    old_description = old_description or f"version {old.version}"
    for score, description in ((old, old_description), (new, f"version {new.version}")):
        if score.digest is None or score.ex is None:
            return f"{description} carries no EX on {name}"
    if old.digest != new.digest:
        return (
            f"version {new.version} was evaluated on {name} with the digest {new.digest}, "
            f"{old_description} on one with {old.digest}"
        )
    if old.mode != new.mode:
        return f"version {new.version} was scored under {new.mode}, {old_description} under {old.mode}"
    return ""


def why_too_slow(version: str, tags: Mapping[str, str], budget_s: float) -> str:
    """Why a version that carries these tags is slower than `budget_s` seconds at the 95th percentile allow, or nothing."""
    p95_ms = number_tag(tags, "sense.latency.p95_ms")
    if p95_ms is None:
        return f"no latency is recorded of version {version}; measure it: sense models measure {version}"
    if p95_ms > budget_s * 1000:
        where = tags.get("sense.latency.where", "nobody says where")
        return f"p95 latency {p95_ms / 1000:.3g} s ({where}) is above {budget_s:g} s"
    return ""
