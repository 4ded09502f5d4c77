"""The estimate of a run's cost by a few answers: right on average, and in its interval as often as the interval says."""

from random import Random

import pytest

from sense.teacher.estimate import estimate
from sense.teacher.ledger import Tokens


@pytest.mark.parametrize(("share", "probe"), [(0.9, 10), (0.6, 10), (0.6, 40)])
def test_the_true_cost_lies_in_the_interval(share, probe, monkeypatch):
    monkeypatch.setattr("sense.teacher.estimate.DRAWS", 500)
    random, hits, runs = Random(1), 0, 200
    for run in range(runs):
        tokens = [Tokens(1000, 0, round(random.lognormvariate(6, 0.5))) for _ in range(probe)]
        kept = [int(random.random() < share) for _ in range(probe)]
        money = [each.completion / 1000 for each in tokens]
        result = estimate(500, 10_000, kept, 1, tokens, money, seed=run)
        assert result.money is not None
        true = 500 / share * 2.718281828 ** (6 + 0.5**2 / 2) / 1000
        hits += result.money.low <= true <= result.money.high
    assert hits / runs >= 0.9


@pytest.mark.parametrize(
    ("requests", "share", "alike", "repair"),
    [
        (8, 0.8, 0.0, 50),  # the drafts of a request are independent of one another
        (8, 0.8, 0.3, 50),  # they fare alike: the database is good or bad
        (8, 0.6, 0.3, 0),
        (20, 0.6, 0.3, 100),
        (3, 0.8, 0.2, 0),
    ],
)
def test_the_true_cost_lies_in_the_interval_of_requests_for_several_drafts(requests, share, alike, repair, monkeypatch):
    """A draft that is not kept has cost `repair` more, as it was asked for once more."""
    monkeypatch.setattr("sense.teacher.estimate.DRAWS", 500)
    random, size, runs, covered = Random(1), 5, 200, 0

    def request() -> tuple[int, float]:
        rest = (1 - alike) / alike if alike else 1e6
        own_share = random.betavariate(share * rest, (1 - share) * rest)
        kept = sum(random.random() < own_share for _ in range(size))
        return kept, random.lognormvariate(6, 0.3) + repair * (size - kept)

    true = 500 / (size * share) * (2.718281828 ** (6 + 0.3**2 / 2) + repair * size * (1 - share))
    for run in range(runs):
        kept, money = zip(*(request() for _ in range(requests)), strict=True)
        result = estimate(500, 100_000, kept, size, [Tokens(1000, 0, 100)] * requests, money, seed=run)
        assert result.money is not None
        covered += result.money.low <= true <= result.money.high
    assert 0.9 <= covered / runs <= 0.99


def test_drafts_that_fare_alike_tell_less():
    def width(kept: list[int]) -> float:
        drafts = estimate(1000, 100_000, kept, 5, [Tokens(1000, 0, 100)] * 8, None, seed=0).drafts
        assert drafts.value == 1250
        return drafts.high - drafts.low

    assert width([4] * 8) < width([5, 5, 5, 5, 5, 5, 2, 0]) / 1.5


def test_more_answers_give_a_narrower_interval_and_attempts_bound_it():
    def width(probe: int) -> float:
        tokens = [Tokens(1000, 0, 300 + 100 * (number % 2)) for number in range(probe)]
        drafts = estimate(1000, 4000, [0, 1] * (probe // 2), 1, tokens, None, seed=0).drafts
        assert drafts.low <= drafts.value == 2000 <= drafts.high <= 4000
        return drafts.high - drafts.low

    assert width(10) > width(40) > width(160)
    nothing = estimate(1000, 4000, [0] * 3, 1, [Tokens(10, 0, 1)] * 3, [0.5] * 3, seed=0)
    assert nothing.drafts.value == nothing.drafts.high == 4000
    assert nothing.money is not None
    assert nothing.money.text(",.2f").startswith("2,000.00 (")
