"""Two versions side by side: EX on every set and hardness, and McNemar's test on the same questions, joined BY ID."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sense.registry import evidence, reference
from sense.registry.evidence import Judged, Level

if TYPE_CHECKING:
    from sense.registry.gate import Standing
    from sense.registry.versions import Version

UNKEPT = "no per-question verdicts registered; publish again (dvc repro publish)"


@dataclass(frozen=True)
class Test:
    """McNemar's exact test: questions that only the second gets right, that only the first does, and the two-sided p."""

    wins: int
    losses: int
    p: float


@dataclass(frozen=True)
class Compared:
    """Two versions on one set. `problem` says why their EX may not be compared, `untested` why there is no test."""

    name: str
    first: "Standing"
    second: "Standing"
    first_levels: Sequence[Level]
    second_levels: Sequence[Level]
    problem: str
    untested: str
    test: Test | None


def compare(name: str, first: "Version", second: "Version", only: str | None = None) -> list[Compared]:
    """The two on every set that either was measured on, or `only` on one; verdicts come from the store."""
    names = sorted({*reference.sets(first), *reference.sets(second)}) if only is None else [only]
    return [_on(name, dataset, first, second) for dataset in names]


def _on(name: str, dataset: str, first: "Version", second: "Version") -> Compared:
    from sense.registry import gate

    old, new = (reference.standing(one, dataset) for one in (first, second))
    problem = gate.incomparable(new, old, dataset)
    # not read where there is no EX: a version that others registered may keep its files where they cannot be read
    before, after = (None if one.ex is None else evidence.verdicts(name, one.version, dataset) for one in (old, new))
    untested, test = problem, None
    if not problem and before is not None and after is not None:
        untested, test = paired(before, after)
    elif not problem:
        lacking = [one.version for one, rows in ((first, before), (second, after)) if rows is None]
        untested = f"version {' and '.join(lacking)}: {UNKEPT}"
    return Compared(dataset, old, new, evidence.levels(before or []), evidence.levels(after or []), problem, untested, test)


def paired(before: Sequence[Judged], after: Sequence[Judged]) -> tuple[str, Test | None]:
    """('', the test) on the same questions joined by id, or (why there is none, None)."""
    from sense.evaluation.statistics import mcnemar

    one, other = ({row.id: row.correct for row in rows} for rows in (before, after))
    if one.keys() != other.keys():
        odd = sorted(one.keys() ^ other.keys())
        return f"their verdicts are not on the same questions ({len(odd)} differ, such as {odd[0]!r}); evaluate both again", None
    return "", Test(*mcnemar(list(one.values()), [other[key] for key in one]))
