"""How sure a number is: bootstrap intervals for execution accuracy, McNemar's test between two models on the same questions."""

from collections.abc import Sequence

import numpy as np


def interval(correct: Sequence[bool], resamples: int, seed: int) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of the share that is correct, both ends in 0..1; (0, 0) for no rows."""
    if not correct:
        return 0.0, 0.0
    # resampling n flags with replacement and averaging is drawing from Binomial(n, share) / n
    draws = np.random.default_rng(seed).binomial(len(correct), sum(correct) / len(correct), resamples) / len(correct)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def mean_interval(scores: Sequence[float], resamples: int, seed: int) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of the mean of the scores; (0, 0) for no rows."""
    if not scores:
        return 0.0, 0.0
    random, values = np.random.default_rng(seed), np.array(scores)
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def mcnemar(before: Sequence[bool], after: Sequence[bool]) -> tuple[int, int, float]:
    """(wins, losses, p): questions only `after` gets right, only `before` gets right, and the exact two-sided p of that split."""
    wins = sum(b and not a for a, b in zip(before, after, strict=True))
    losses = sum(a and not b for a, b in zip(before, after, strict=True))
    if wins + losses == 0:
        return 0, 0, 1.0
    from scipy import stats  # half a second, which every command of the registry would wait for

    return wins, losses, float(stats.binomtest(wins, wins + losses).pvalue)
