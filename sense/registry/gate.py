"""The gate: which version is the champion. Only what was measured on the very same edition of a set is compared."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """A version on one set: the digest of the set's edition, its EX (a share) and the 95% interval; None: never measured."""

    version: str
    digest: str | None
    ex: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Decision:
    """What the gate said about `version`, and about which champion (None: there was none)."""

    version: str
    promoted: bool
    alias: str
    reason: str
    champion: str | None
    champion_ex: float | None


def tags(sets: Mapping[str, Standing]) -> dict[str, str]:
    """What a version must carry to stand at the gate later, on each set; numbers are written exactly."""
    found: dict[str, str] = {}
    for name, one in sets.items():
        values = {"ex": one.ex, "ex_low": one.low, "ex_high": one.high}
        found[f"sense.eval.{name}.digest"] = str(one.digest)
        found |= {f"sense.eval.{name}.{key}": repr(value) for key, value in values.items() if value is not None}
    return found


def standing(version: str, carried: Mapping[str, str], name: str) -> Standing:
    """The standing on the set `name` of a version that carries these tags."""
    numbers = [number(carried, f"sense.eval.{name}.{key}", 1.0) for key in ("ex", "ex_low", "ex_high")]
    return Standing(version, carried.get(f"sense.eval.{name}.digest") or None, *numbers)


def number(carried: Mapping[str, str], tag: str, most: float = math.inf) -> float | None:
    """A tag as a number from 0 to `most`; None if there is none, or another hand wrote something else into it."""
    try:
        found = float(carried.get(tag, ""))
    except ValueError:
        return None
    return found if math.isfinite(found) and 0 <= found <= most else None


def decide(new: Standing, champion: Standing | None, name: str) -> Decision:
    """Champion if there is none yet, or if on the same edition of the set `name` the new EX is not below the champion's."""
    if champion is None:
        return Decision(new.version, True, "champion", "there was no champion yet", None, None)
    if champion.version == new.version:
        return Decision(new.version, False, "champion", "this version is the champion already", champion.version, champion.ex)
    problem = incomparable(new, champion, name, f"the champion, version {champion.version},")
    if problem:
        way_out = f"evaluate both on one edition, or: sense models promote {new.version} --force --reason WHY"
        reason = f"not comparable: {problem}; {way_out}"
        return Decision(new.version, False, "challenger", reason, champion.version, champion.ex)
    promoted = (new.ex or 0.0) >= (champion.ex or 0.0)
    digits = 3 if 0 < abs((new.ex or 0.0) - (champion.ex or 0.0)) < 0.001 else 1  # of 1,034 questions one is less
    reason = f"EX {new.ex:.{digits}%} on {name} against {champion.ex:.{digits}%} of the champion, version {champion.version}"
    return Decision(new.version, promoted, "champion" if promoted else "challenger", reason, champion.version, champion.ex)


def incomparable(new: Standing, old: Standing, name: str, called: str = "") -> str:
    """Why the two may not be compared on the set `name`, or nothing; `called` says what the old one is."""
    called = called or f"version {old.version}"
    for one, which in ((old, called), (new, f"version {new.version}")):
        if one.digest is None or one.ex is None:
            return f"{which} carries no EX on {name}"
    if old.digest != new.digest:
        return f"version {new.version} was evaluated on {name} with the digest {new.digest}, {called} on one with {old.digest}"
    return ""


def late(version: str, carried: Mapping[str, str], budget_s: float) -> str:
    """Why a version that carries these tags is slower than `budget_s` seconds at the 95th percentile allow, or nothing."""
    measured = number(carried, "sense.latency.p95_ms")
    if measured is None:
        return f"no latency is recorded of version {version}; measure it: sense models measure {version}"
    if measured > budget_s * 1000:
        where = carried.get("sense.latency.where", "nobody says where")
        return f"p95 latency {measured / 1000:.3g} s ({where}) is above {budget_s:g} s"
    return ""
