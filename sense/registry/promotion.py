"""Promotion and rollback: what the gate weighs, who overruled it and why, and the aliases moved.

Rolling back makes `previous` the champion and what was champion `previous`, as an undo would: a second rollback is a redo.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sense.errors import InputError, UserError
from sense.registry import comparison, reference
from sense.registry.comparison import Compared
from sense.report.text import shown

if TYPE_CHECKING:
    from sense.registry.gate import Decision
    from sense.registry.moves import Move
    from sense.registry.versions import Version


_LONGEST_NAME = 200  # characters of who it is


@dataclass(frozen=True)
class Terms:
    """What a promotion asks for: the set that decides (None: the one it was published by), the latency allowed, who and why."""

    by: str
    reason: str = ""
    dataset: str | None = None
    latency_budget_s: float | None = None
    force: bool = False


@dataclass(frozen=True)
class Weighed:
    """What speaks about a promotion on the set `dataset`; `refusals` is empty if nothing is against it."""

    decision: "Decision"
    dataset: str
    compared: Compared | None
    refusals: Sequence[str]


def settle(name: str, action: str, by: str, version: str | None = None) -> "Move | None":
    """Ends what a killed command left. The move, if it was this very `action` (on this version): nothing remains to be done.

    UserError if a command may still be at work, unless it was this one, of the same person.
    """
    from sense.registry import moves

    def same(move: "Move") -> bool:
        return move.action == action and version in (None, move.version)

    left = moves.recover(name, again=lambda move: move.by == by and same(move))
    return left if left is not None and same(left) else None


def weigh(name: str, new: "Version", champion: "Version | None", terms: Terms) -> Weighed:
    """Looks at EX, edition, verdicts and latency; moves nothing. InputError if it could not be deployed, whoever forces it."""
    from sense.registry import gate

    dataset = reference.gate_set(terms.dataset, new, champion)
    standing = reference.standing(new, dataset)
    old = None if champion is None else reference.standing(champion, dataset)
    decision = gate.decide(standing, old, dataset)
    refusals = [] if decision.promoted else [decision.reason]
    if decision.promoted and (standing.ex is None or standing.digest is None):
        refusals.append(f"version {new.version} carries no EX on {dataset}; publish it with its evaluation")
    if terms.latency_budget_s is not None:
        refusals += filter(None, [gate.late(new.version, new.tags, terms.latency_budget_s)])
    compared = None if champion is None else comparison.compare(name, champion, new, dataset)[0]
    reference.resolved(name, new.version)
    return Weighed(decision, dataset, compared, refusals)


def insist(terms: Terms) -> None:
    """UserError unless a reason is given where one must be, and reason and name are short enough to be kept, and plain text."""
    from sense.registry import moves

    if terms.force and not terms.reason:
        raise UserError("--force: say why, it is recorded with the version: --reason TEXT")
    if len(terms.by) > _LONGEST_NAME:
        raise UserError(f"--by: {len(terms.by):,} characters; a name has at most {_LONGEST_NAME}")
    if len(terms.reason) > moves.LONGEST_REASON:
        raise UserError(f"--reason: {len(terms.reason):,} characters; say it in {moves.LONGEST_REASON:,}")
    for flag, text in (("--reason", terms.reason), ("--by", terms.by)):
        if shown(text) != text:  # control characters, and what was no UTF-8
            raise UserError(f"{flag}: holds characters that cannot be shown; write plain text in UTF-8")


def promote(name: str, new: "Version", champion: "Version | None", weighed: Weighed, terms: Terms) -> "Move":
    """Makes `new` the champion; UserError, and nothing moved, if something is against it and it is not forced."""
    from sense.registry import moves

    if weighed.refusals and not terms.force:
        against = "\n".join(f"  {shown(line)}" for line in weighed.refusals)
        raise UserError(
            f"version {new.version} is not promoted, nothing was moved:\n{against}\nTo overrule: --force --reason WHY"
        )
    move = moves.Move(
        action="promote",
        version=new.version,
        before=None if champion is None else champion.version,
        reason=terms.reason or weighed.decision.reason,
        by=terms.by,
        at=moves.now(),
        forced=bool(weighed.refusals),
        evidence=_evidence(weighed, new, terms),
    )
    moves.carry_out(name, move)
    return move


def rollback(name: str, terms: Terms) -> "Move":
    """Makes the previous champion champion again; InputError if there is none."""
    from sense import registry

    aliases = registry.versions.aliases(name)
    champion, previous = aliases.get("champion"), aliases.get("previous")
    if previous is None or previous == champion:
        raise InputError(f"{name}: there is no previous version to go back to; choose one: sense models promote VERSION")
    reference.resolved(name, previous)
    move = registry.moves.Move(
        action="rollback",
        version=previous,
        before=champion,
        reason=terms.reason or (f"rolled back from version {champion}" if champion else "there was no champion"),
        by=terms.by,
        at=registry.moves.now(),
    )
    registry.moves.carry_out(name, move)
    return move


def _evidence(weighed: Weighed, new: "Version", terms: Terms) -> dict[str, Any]:
    """What was known when it was decided: short, for MLflow keeps it in a tag."""
    standing, found = reference.standing(new, weighed.dataset), weighed.compared
    test = None if found is None or found.test is None else vars(found.test)
    return {
        "set": weighed.dataset,
        "digest": standing.digest,
        "ex": standing.ex,
        "champion_ex": weighed.decision.champion_ex,
        "mcnemar": test,
        "latency_budget_s": terms.latency_budget_s,
        "against": [line[:300] for line in weighed.refusals],
    }
