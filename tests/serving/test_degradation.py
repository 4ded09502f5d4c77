"""What aborts a candidate: one within the limits stays, one beyond them goes, with the probability that is promised."""

import random

import pytest
from scipy import stats

from sense.config import AbortConfig
from sense.serving.backend import ServedVersion
from sense.serving.degradation import Observation, binomial_tail, find_degradation, lower_bound, upper_bound

VERSION, DEFAULT = ServedVersion("sense", "1", ""), AbortConfig()


def observations(count, rng, errors=0.0, abstentions=0.0, slowness=1.0, agreement=0.8):
    def observe():
        if rng.random() < errors:
            return Observation(VERSION, "error", 30.0)
        outcome = "abstained" if rng.random() < abstentions else "answered"
        share = sum(rng.random() < agreement for _ in range(4)) / 4
        return Observation(VERSION, outcome, slowness * rng.lognormvariate(0, 0.5), share)

    return [observe() for _ in range(count)]


def first_limit(candidate, champion, config=DEFAULT):
    """The limit by which a candidate is aborted that answers one request after the other, or nothing; and after how many."""
    for judgement in range(1, len(candidate) // config.answers + 1):
        answers = judgement * config.answers
        degradation = find_degradation(candidate[:answers], champion, config, judgement)
        if degradation is not None:
            return degradation.limit, answers
    return "", 0


@pytest.mark.parametrize(("k", "n", "p"), [(1, 10, 0.05), (3, 50, 0.02), (950, 1000, 0.95), (60, 1000, 0.05), (0, 5, 0.5)])
def test_binomial_tails_and_bounds_are_scipys(k, n, p):
    assert binomial_tail(k, n, p) == pytest.approx(stats.binom.sf(k - 1, n, p), rel=1e-9)
    interval = stats.binomtest(k, n).proportion_ci(0.98, "exact")
    assert lower_bound(k, n, 0.01) == pytest.approx(interval.low, abs=1e-9)
    assert upper_bound(k, n, 0.01) == pytest.approx(interval.high, abs=1e-9)


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"errors": 0.2, "abstentions": 0.3, "slowness": 3.0, "agreement": 0.4},
    ],
)
def test_a_candidate_like_the_champion_is_not_aborted_however_often_it_is_judged(same):
    rng = random.Random(1)
    aborted = [first_limit(observations(500, rng, **same), observations(1000, rng, **same)) for _ in range(10)]
    assert [one for one in aborted if one[0]] == []  # alpha is 0.01, and the limits leave room


def test_at_the_very_edge_of_the_limits_no_more_than_alpha_are_aborted():
    """With alpha 0.2, at most 4 of 20 in expectation; 10 or more would be a chance of 0.3%."""
    rng, config = random.Random(2), AbortConfig(alpha=0.2)
    usual = {"errors": 0.05, "abstentions": 0.2, "agreement": 0.8}
    edge = {"errors": 0.07, "abstentions": 0.25, "slowness": 1.5, "agreement": 0.7}
    aborted = sum(
        bool(first_limit(observations(500, rng, **edge), observations(1000, rng, **usual), config)[0]) for _ in range(30)
    )
    assert aborted < 10


@pytest.mark.parametrize(
    ("limit", "worse", "most_answers"),
    [
        ("error_share", {"errors": 0.5}, 50),
        ("abstention_share", {"abstentions": 0.6}, 100),
        ("latency_ratio", {"slowness": 4.0}, 200),
        ("vote_share", {"agreement": 0.4}, 100),
    ],
)
def test_a_candidate_that_is_clearly_worse_is_aborted_soon_and_for_the_right_reason(limit, worse, most_answers):
    rng = random.Random(3)
    for _ in range(3):
        champion = observations(1000, rng, errors=0.01, abstentions=0.1)
        candidate = observations(400, rng, **{"errors": 0.01, "abstentions": 0.1, **worse})
        aborted_by, answers = first_limit(candidate, champion)
        assert aborted_by == limit
        assert answers <= most_answers


def test_a_limit_that_is_null_aborts_nothing():
    config = AbortConfig(error_share=None, abstention_share=None, latency_ratio=None, vote_share=None)
    rng = random.Random(4)
    candidate = observations(200, rng, errors=0.5, abstentions=1.0, slowness=100.0, agreement=0.0)
    assert first_limit(candidate, observations(1000, rng), config) == ("", 0)


def test_without_answers_of_the_champion_only_errors_are_judged():
    rng = random.Random(5)
    assert first_limit(observations(200, rng, abstentions=1.0, agreement=0.1), []) == ("", 0)
    assert first_limit(observations(200, rng, errors=0.5), [])[0] == "error_share"
