"""Whether a candidate is worse than the champion: by tests on what requests have observed of both, not by bare counts.

Each limit of `AbortConfig` is a null hypothesis: the candidate is worse by no more than that. It is aborted if one is rejected.
Who judges again and again finds something in the end. So judgement number j spends alpha / (j (j + 1)), divided among the limits,
and all of them together no more than alpha (a union bound). Shares are compared by Clopper-Pearson's intervals, percentiles by
order statistics, both of which hold for every number of answers; means of votes by Welch's test.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance
from typing import Literal

from sense.config import AbortConfig
from sense.serving.backend import ServedVersion

_PERCENTILE = 0.95
_NEGLIGIBLE = 1e-18  # of a probability: terms below it are not added any more


@dataclass(frozen=True)
class Observation:
    """What one request observed of a version. `seconds` is how long it wrote; `vote_share` is None if there was no vote.

    `error` says what failed, without address and secret.
    """

    version: ServedVersion
    outcome: Literal["answered", "abstained", "error"]
    seconds: float
    vote_share: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Degradation:
    """The limit (a field of AbortConfig) that a candidate is beyond, and a sentence with the figures."""

    limit: str
    text: str


def find_degradation(
    candidate: Sequence[Observation], champion: Sequence[Observation], config: AbortConfig, judgement: int
) -> Degradation | None:
    """The first limit that the candidate is beyond, at its judgement number `judgement` (from 1); None if no test shows one.

    Where the champion has fewer observations than `config.answers`, errors alone are judged, as if it had none.
    """
    compared = len(champion) >= config.answers
    checks: list[tuple[str, float | None, Callable[..., str]]] = [("error_share", config.error_share, _errors)]
    if compared:
        checks += [
            ("abstention_share", config.abstention_share, _abstentions),
            ("latency_ratio", config.latency_ratio, _latency),
            ("vote_share", config.vote_share, _votes),
        ]
    alpha = config.alpha / (judgement * (judgement + 1)) / 4
    for limit, value, check in checks:
        text = check(candidate, champion if compared else (), value, alpha) if value is not None else ""
        if text:
            return Degradation(limit, text)
    return None


def _errors(candidate: Sequence[Observation], champion: Sequence[Observation], limit: float, alpha: float) -> str:
    return _compare_shares("failed requests", "error", candidate, champion, limit, alpha)


def _abstentions(candidate: Sequence[Observation], champion: Sequence[Observation], limit: float, alpha: float) -> str:
    answers, usual = ([one for one in group if one.outcome != "error"] for group in (candidate, champion))
    return _compare_shares("answers without SQL", "abstained", answers, usual, limit, alpha)


def _compare_shares(
    name: str, outcome: str, candidate: Sequence[Observation], champion: Sequence[Observation], limit: float, alpha: float
) -> str:
    """What is wrong if the candidate's share of `outcome` exceeds the champion's by more than `limit`, else nothing."""
    counts = [sum(one.outcome == outcome for one in observations) for observations in (candidate, champion)]
    most = upper_bound(counts[1], len(champion), alpha / 2) if champion else 0.0
    if lower_bound(counts[0], len(candidate), alpha / 2) - most <= limit:
        return ""
    return f"{name}: {counts[0]} of {len(candidate)}, of the champion {counts[1]} of {len(champion)}"


def _latency(candidate: Sequence[Observation], champion: Sequence[Observation], ratio: float, alpha: float) -> str:
    slow, usual = (sorted(one.seconds for one in group if one.outcome != "error") for group in (candidate, champion))
    rank = _upper_rank(len(usual), alpha / 2)
    if rank is None or not slow:
        return ""
    bound = ratio * usual[rank]
    above = sum(seconds > bound for seconds in slow)
    if binomial_tail(above, len(slow), 1 - _PERCENTILE) > alpha / 2:
        return ""
    p95 = [values[min(len(values) - 1, math.ceil(_PERCENTILE * len(values)) - 1)] for values in (slow, usual)]
    return f"p95 of writing: {p95[0]:.3g} s, of the champion {p95[1]:.3g} s"


def _upper_rank(n: int, alpha: float) -> int | None:
    """The index of the least of `n` sorted values that is below their distribution's 95th percentile with `alpha` at most.

    None if there are too few for that.
    """
    above = 0  # it is below where no more than this many values are above the percentile
    while 1 - binomial_tail(above + 1, n, 1 - _PERCENTILE) <= alpha:
        above += 1
    return n - above if above else None


def _votes(candidate: Sequence[Observation], champion: Sequence[Observation], limit: float, alpha: float) -> str:
    shares = [[one.vote_share for one in group if one.vote_share is not None] for group in (candidate, champion)]
    if min(map(len, shares)) < 2:
        return ""
    means = [fmean(values) for values in shares]
    error = math.sqrt(sum(variance(values) / len(values) for values in shares))
    difference = means[1] - means[0] - limit
    if difference <= 0 or difference <= error * NormalDist().inv_cdf(1 - alpha):
        return ""
    return f"share of candidates that agree: {means[0]:.3g} on average, of the champion {means[1]:.3g}"


def binomial_tail(k: int, n: int, p: float) -> float:
    """The probability of `k` or more successes in `n` trials of probability `p`, 0 < p < 1."""
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    if k <= n * p:  # the other tail is the shorter sum
        return 1 - binomial_tail(n - k + 1, n, 1 - p)
    term = math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p))
    total = 0.0
    for successes in range(k, n + 1):
        total += term
        term *= (n - successes) / (successes + 1) * p / (1 - p)
        if term < _NEGLIGIBLE:
            break
    return total


def lower_bound(k: int, n: int, alpha: float) -> float:
    """Clopper-Pearson's lower bound of a probability after `k` successes in `n` trials, wrong with probability `alpha`."""
    if k == 0 or n == 0:
        return 0.0
    low, high = 0.0, k / n
    for _ in range(50):
        middle = (low + high) / 2
        if 0 < middle < 1 and binomial_tail(k, n, middle) > alpha:
            high = middle
        else:
            low = middle
    return low


def upper_bound(k: int, n: int, alpha: float) -> float:
    """The upper bound."""
    return 1 - lower_bound(n - k, n, alpha)
