import pytest

from sense.evaluation.statistics import interval, mcnemar, mean_interval


def test_interval_of_nothing_all_and_none():
    assert interval([], 1000, 0) == (0.0, 0.0)
    # Clopper and Pearson's: 0.025 ** (1 / 20) = 0.8316
    assert interval([True] * 20, 1000, 0) == (pytest.approx(0.8316, abs=1e-4), 1.0)
    assert interval([False] * 20, 1000, 0) == (0.0, pytest.approx(0.1684, abs=1e-4))
    assert interval([False], 1000, 0) == (0.0, 0.975)


def test_interval_is_seeded_and_near_the_normal_one():
    flags = [True] * 30 + [False] * 70
    low, high = interval(flags, 20_000, 1)
    assert (low, high) == interval(flags, 20_000, 1)
    # 0.3 +- 1.96 * sqrt(0.3 * 0.7 / 100) = 0.210 .. 0.390
    assert low == pytest.approx(0.21, abs=0.011)
    assert high == pytest.approx(0.39, abs=0.011)


def test_mcnemar_is_the_exact_binomial_test_on_the_questions_that_differ():
    before = [True, True, False, False, False, False, False, False]
    after = [True, False, True, True, True, True, True, False]
    # 5 wins, 1 loss: two-sided p = 2 * (C(6,0) + C(6,1)) / 2^6 = 14/64
    assert mcnemar(before, after) == (5, 1, pytest.approx(14 / 64))
    assert mcnemar(after, before) == (1, 5, pytest.approx(14 / 64))
    assert mcnemar(before, before) == (0, 0, 1.0)


def test_the_interval_of_a_mean_is_that_of_a_share_where_the_scores_are_flags():
    assert mean_interval([], 1000, 0) == (0.0, 0.0)
    assert mean_interval([0.0] * 20, 1000, 0) == interval([False] * 20, 1000, 0)
    # of 20 rows 16.84% may be others without being seen: all 0, or all 1; of changes, all -1 or all 1
    assert mean_interval([0.25] * 20, 1000, 0) == pytest.approx((0.25 - 0.25 * 0.1684, 0.25 + 0.75 * 0.1684), abs=1e-4)
    assert mean_interval([0] * 20, 1000, 0, lowest=-1.0) == pytest.approx((-0.1684, 0.1684), abs=1e-4)
    low, high = mean_interval([1.0] * 30 + [0.0] * 70, 5_000, 1)
    assert (low, high) == mean_interval([1.0] * 30 + [0.0] * 70, 5_000, 1)
    assert low == pytest.approx(0.21, abs=0.011)  # as above
    assert high == pytest.approx(0.39, abs=0.011)
