"""The estimate of a run's cost by a few answers: right on average, and in its interval as often as the interval says."""

from random import Random

import pytest

from sense.teacher.estimate import estimate
from sense.teacher.ledger import Tokens


@pytest.mark.parametrize(("share", "probe"), [(0.9, 10), (0.6, 10), (0.6, 40)])
def test_the_true_cost_lies_in_the_interval(share, probe):
    random, hits, runs = Random(1), 0, 200
    for run in range(runs):
        tokens = [Tokens(1000, 0, round(random.lognormvariate(6, 0.5))) for _ in range(probe)]
        kept = sum(random.random() < share for _ in range(probe))
        money = [each.completion / 1000 for each in tokens]
        result = estimate(500, 10_000, kept, tokens, money, seed=run)
        assert result.money is not None
        true = 500 / share * 2.718281828 ** (6 + 0.5**2 / 2) / 1000
        hits += result.money.low <= true <= result.money.high
    assert hits / runs >= 0.9


def test_more_answers_give_a_narrower_interval_and_attempts_bound_it():
    def width(probe: int) -> float:
        tokens = [Tokens(1000, 0, 300 + 100 * (number % 2)) for number in range(probe)]
        drafts = estimate(1000, 4000, probe // 2, tokens, None, seed=0).drafts
        assert drafts.low <= drafts.value == 2000 <= drafts.high <= 4000
        return drafts.high - drafts.low

    assert width(10) > width(40) > width(160)
    nothing = estimate(1000, 4000, 0, [Tokens(10, 0, 1)] * 3, [0.5] * 3, seed=0)
    assert nothing.drafts.value == nothing.drafts.high == 4000
    assert nothing.money is not None
    assert nothing.money.text(",.2f").startswith("2,000.00 (")
