"""The gate: which version is the champion. Only what was measured on the very same edition of a set is compared."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """A version on the gate's set: its EX (a share) and the digest of the set's edition; None if it was never measured."""

    version: str
    digest: str | None
    ex: float | None


@dataclass(frozen=True)
class Decision:
    """What the gate said about `version`, and about which champion (None: there was none)."""

    version: str
    promoted: bool
    alias: str
    reason: str
    champion: str | None
    champion_ex: float | None


def tags(sets: Mapping[str, tuple[str, float | None]]) -> dict[str, str]:
    """What a version must carry to stand at the gate later: set -> (digest, EX); the EX is written exactly."""
    found: dict[str, str] = {}
    for name, (digest, ex) in sets.items():
        found |= {f"sense.eval.{name}.digest": digest} | ({} if ex is None else {f"sense.eval.{name}.ex": repr(ex)})
    return found


def standing(version: str, carried: Mapping[str, str], name: str) -> Standing:
    """The standing on the set `name` of a version that carries these tags."""
    ex = carried.get(f"sense.eval.{name}.ex")
    return Standing(version, carried.get(f"sense.eval.{name}.digest"), None if ex is None else float(ex))


def decide(new: Standing, champion: Standing | None, name: str) -> Decision:
    """Champion if there is none yet, or if on the same edition of the set `name` the new EX is not below the champion's."""
    if champion is None:
        return Decision(new.version, True, "champion", "there was no champion yet", None, None)
    if champion.version == new.version:
        return Decision(new.version, False, "champion", "this version is the champion already", champion.version, champion.ex)
    way_out = f"evaluate both on one edition, or move the alias champion to version {new.version} in MLflow yourself"
    if champion.digest is None or champion.ex is None or new.ex is None:
        reason = f"not comparable: the champion, version {champion.version}, carries no EX on {name}; {way_out}"
        return Decision(new.version, False, "challenger", reason, champion.version, champion.ex)
    if champion.digest != new.digest:
        reason = (
            f"not comparable: this {name} set has the digest {new.digest}, but the champion, version {champion.version}, "
            f"was evaluated on one with {champion.digest}; {way_out}"
        )
        return Decision(new.version, False, "challenger", reason, champion.version, champion.ex)
    promoted = new.ex >= champion.ex
    reason = f"EX {new.ex:.1%} on {name} against {champion.ex:.1%} of the champion, version {champion.version}"
    return Decision(new.version, promoted, "champion" if promoted else "challenger", reason, champion.version, champion.ex)
