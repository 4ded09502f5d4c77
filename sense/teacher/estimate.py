"""What the answers to a whole run will cost, by the first few of them: the tokens of each, and how many became examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random
from statistics import fmean, stdev

from sense.teacher.ledger import Tokens

DRAWS = 4_000
LEVEL = 0.95
"""The share of draws that an interval holds."""


@dataclass(frozen=True)
class Range:
    """A number by the means of the probe, and an interval that holds it with a probability of LEVEL."""

    value: float
    low: float
    high: float

    def text(self, form: str) -> str:
        """The number and its interval, each in the given format, such as `,.0f`."""
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"


@dataclass(frozen=True)
class Estimate:
    """What is asked of the teacher until there are enough examples; `money` is None without prices."""

    drafts: Range
    prompt: Range
    completion: Range
    money: Range | None


def estimate(count: int, most: int, kept: int, tokens: Sequence[Tokens], money: Sequence[float] | None, seed: int) -> Estimate:
    """The cost of `count` examples, for which at most `most` drafts are asked, by two probed drafts or more.

    `kept` of them became examples. `tokens` and `money` have an item for each probed draft. The share that is kept is drawn from
    its posterior under Jeffreys' prior, the means of tokens and money from Student's distribution; the draws come from `seed`.
    """
    random, n = Random(seed), len(tokens)
    shares = [max(random.betavariate(kept + 0.5, n - kept + 0.5), 1e-9) for _ in range(DRAWS)]
    deviates = [random.gauss(0, 1) / sqrt(random.gammavariate((n - 1) / 2, 2) / (n - 1)) for _ in range(DRAWS)]
    drafts = [min(count / share, most) for share in shares]
    expected = min(count * n / kept, most) if kept else most

    def total(costs: Sequence[float]) -> Range:
        mean, error = fmean(costs), stdev(costs) / sqrt(n)
        sums = [number * max(mean + error * deviate, min(costs)) for number, deviate in zip(drafts, deviates, strict=True)]
        return _range(expected * mean, sums)

    return Estimate(
        drafts=_range(expected, drafts),
        prompt=total([each.prompt for each in tokens]),
        completion=total([each.completion for each in tokens]),
        money=None if money is None else total(money),
    )


def _range(value: float, draws: Sequence[float]) -> Range:
    ordered = sorted(draws)
    tail = int(len(ordered) * (1 - LEVEL) / 2)
    return Range(value, ordered[tail], ordered[-1 - tail])
