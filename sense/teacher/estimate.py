"""What the answers to a whole run will cost, by the first few of them: the tokens of each, and how many became examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random
from statistics import fmean, linear_regression, stdev, variance

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


def estimate(
    count: int, most: int, kept: Sequence[int], size: int, tokens: Sequence[Tokens], money: Sequence[float] | None, seed: int
) -> Estimate:
    """The cost of `count` examples, for which at most `most` drafts are asked, by two probed requests or more.

    Each asked for `size` drafts; `kept` of them became examples. `kept`, `tokens` and `money` have an item for each request. The
    share that is kept is drawn from its posterior under Jeffreys' prior, the means of tokens and money from Student's
    distribution; the draws come from `seed`. Drafts of one request fare alike, so that they tell less than as many of requests of
    their own would: less by the factor by which `kept` varies more (the design effect), which is drawn too.
    """
    random, n = Random(seed), len(tokens)
    drafts_probed, examples = n * size, sum(kept)
    deviates, scales = [], []
    for _ in range(DRAWS):
        scale = random.gammavariate((n - 1) / 2, 2) / (n - 1)  # of a sample's variance, against the true one
        deviates.append(random.gauss(0, 1) / sqrt(scale))
        scales.append(scale)
    smoothed = (examples + 0.5) / (drafts_probed + 1)
    excess = variance(kept) / (size * smoothed * (1 - smoothed))
    effects = [min(max(excess / scale, 1.0), float(size)) for scale in scales]
    shares = [
        max(random.betavariate(examples / effect + 0.5, (drafts_probed - examples) / effect + 0.5), 1e-9) for effect in effects
    ]
    drafts = [min(count / share, most) for share in shares]
    expected = min(count * drafts_probed / examples, most) if examples else most

    def total(costs: Sequence[float]) -> Range:
        mean, least = fmean(costs), min(costs) / 2  # of two or three requests both may cost more than most
        slope, error = _regression(kept, costs)
        sums = [
            number / size * max(mean + slope * (size * share - examples / n) + error * deviate, least)
            for number, share, deviate in zip(drafts, shares, deviates, strict=True)
        ]
        return _range(expected / size * mean, sums)

    return Estimate(
        drafts=_range(expected, drafts),
        prompt=total([each.prompt for each in tokens]),
        completion=total([each.completion for each in tokens]),
        money=None if money is None else total(money),
    )


def _regression(kept: Sequence[int], costs: Sequence[float]) -> tuple[float, float]:
    """How much more a request costs for each draft that is kept of it (less, if faults are repaired), and the error of the mean.

    Two or three requests do not tell.
    """
    n = len(costs)
    if n < 4 or len(set(kept)) == 1:
        return 0.0, stdev(costs) / sqrt(n)
    slope, intercept = linear_regression(kept, costs)
    rest = sum((cost - intercept - slope * number) ** 2 for number, cost in zip(kept, costs, strict=True))
    return slope, sqrt(rest / (n - 2) / n)


def _range(value: float, draws: Sequence[float]) -> Range:
    ordered = sorted(draws)
    tail = int(len(ordered) * (1 - LEVEL) / 2)
    return Range(value, ordered[tail], ordered[-1 - tail])
