"""How sure a number is: bootstrap intervals for execution accuracy, McNemar's test between two models on the same questions."""

from collections.abc import Sequence

import numpy as np

_MISSED = 0.025  # how often each end of a 95% interval may be on the wrong side


def interval(correct: Sequence[bool], resamples: int, seed: int) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of the share that is correct, both ends in 0..1; (0, 0) for no rows.

    Where no row or every row is correct, it is the exact interval of Clopper and Pearson: no resample would differ.
    """
    if not correct:
        return 0.0, 0.0
    if len(set(correct)) == 1:
        return _interval_of_equal(float(correct[0]), len(correct), 0.0)
    # resampling n flags with replacement and averaging is drawing from Binomial(n, share) / n
    draws = np.random.default_rng(seed).binomial(len(correct), sum(correct) / len(correct), resamples) / len(correct)
    low, high = np.quantile(draws, [_MISSED, 1 - _MISSED])
    return float(low), float(high)


def mean_interval(scores: Sequence[float], resamples: int, seed: int, lowest: float = 0.0) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of the mean of scores in `lowest`..1; (0, 0) for no rows.

    Where all scores are the same, it allows for as many others, of the lowest or the highest value, as could have been missed.
    """
    if not scores:
        return 0.0, 0.0
    if len(set(scores)) == 1:
        return _interval_of_equal(scores[0], len(scores), lowest)
    random, values = np.random.default_rng(seed), np.array(scores)
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [_MISSED, 1 - _MISSED])
    return float(low), float(high)


def _interval_of_equal(score: float, n: int, lowest: float) -> tuple[float, float]:
    """The interval of a mean of scores in `lowest`..1, all `n` of which are the same: of flags, that of Clopper and Pearson."""
    others = 1 - _MISSED ** (1 / n)  # the largest share of other scores that `n` rows would all miss as often as that
    return score + (lowest - score) * others, score + (1 - score) * others


def mcnemar(before: Sequence[bool], after: Sequence[bool]) -> tuple[int, int, float]:
    """(wins, losses, p): questions only `after` gets right, only `before` gets right, and the exact two-sided p of that split."""
    wins = sum(b and not a for a, b in zip(before, after, strict=True))
    losses = sum(a and not b for a, b in zip(before, after, strict=True))
    if wins + losses == 0:
        return 0, 0, 1.0
    from scipy import stats  # half a second, which every command of the registry would wait for

    return wins, losses, float(stats.binomtest(wins, wins + losses).pvalue)
