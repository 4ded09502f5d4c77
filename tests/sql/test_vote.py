"""Candidates whose results are equal vote for one another."""

import random
from collections import Counter

from sense.sql.result import Failure, Result
from sense.sql.vote import Vote, vote

ERROR = Failure("error", "no such column: x")


def result(*rows, columns=None):
    return Result(columns or tuple("abcdefgh"[: len(rows[0])]), list(rows))


def test_the_largest_group_wins_and_failures_do_not_vote():
    one, two = result((1, "x")), result((2, "y"))
    assert vote([one, ERROR, two, two]) == Vote((1, 0, 2, 2), (2, 3), False)
    assert vote([one]) == Vote((1,), (0,), False)
    assert vote([ERROR, ERROR]) == Vote((0, 0), (), False)
    assert vote([]) == Vote((), (), False)


def test_the_earliest_candidate_decides_between_groups_of_the_same_size():
    one, two = result((1,)), result((2,))
    assert vote([ERROR, two, one, one, two]) == Vote((0, 2, 2, 2, 2), (1, 4), True)


def test_order_of_rows_names_and_order_of_columns_do_not_matter():
    same = [
        result((1, "x"), (2, "y"), (2, "y")),
        result((2, "y"), (1, "x"), (2, "y"), columns=("p", "q")),
        result(("y", 2), ("y", 2), ("x", 1)),
        result((1.0, "x"), (2.0000000001, "y"), (2.0, "y")),
    ]
    assert vote(same) == Vote((4,) * 4, (0, 1, 2, 3), False)


def test_different_results_do_not_agree():
    different = [
        result((1, "x"), (2, "y")),
        result((1, "y"), (2, "x")),  # the same columns, other rows
        result((1, "x"), (2, "y"), (2, "y")),
        result((1,), (2,)),
        result(("1", "x"), ("2", "y")),
        result((1.01, "x"), (2, "y")),
        result((b"1", "x"), (b"2", "y")),
        result((None, "x"), (2, "y")),
    ]
    assert vote(different) == Vote((1,) * 8, (0,), True)


def test_empty_results_agree_with_one_another():
    assert vote([Result(("a",), []), Result(("b",), []), Result(("a", "b"), [])]).votes == (2, 2, 1)


def test_close_numbers_that_round_differently_still_agree():
    one, other = 0.10000000049999999, 0.10000000050000001  # their ninth digits differ
    assert vote([result((one, "x")), result((other, "x"))]).votes == (2, 2)


def test_columns_with_the_same_values_are_distinguished_by_their_rows():
    ring = [(1, 2), (2, 3), (3, 1)]
    turned = [(b, a) for a, b in ring]
    assert vote([result(*ring), result(*turned), result((1, 1), (2, 2), (3, 3))]).votes == (2, 2, 1)


def test_large_results_vote_like_small_ones():
    source = random.Random(0)
    rows = [(number, source.random() * 100, f"name {source.randrange(1000)}", source.randrange(3)) for number in range(10_000)]
    shuffled = [result(*source.sample(rows, len(rows))) for _ in range(4)]
    others = [result(*[(*row[:3], row[3] + number) for row in rows]) for number in (1, 2)]
    turned = result(*[row[::-1] for row in rows])
    assert vote([*others, *shuffled, turned]) == Vote((1, 1, 5, 5, 5, 5, 5), (2, 3, 4, 5, 6), False)


def test_whole_rows_are_not_looked_up_by_their_hash(monkeypatch):
    """Hashes of numbers are predictable: rows that all collide could be crafted, and each look-up would compare all of them."""
    counted = []

    class Counting(Counter):
        def __init__(self, values):
            counted.extend(values)
            super().__init__(values)

    monkeypatch.setattr("sense.sql.vote.Counter", Counting)
    rows = [(1, 2.5, "x"), (2, None, b"y"), (2, None, b"y")]
    assert vote([result(*rows), result(*rows[::-1]), result(*rows[1:], rows[1])]).votes == (2, 2, 1)
    assert counted
    assert not any(isinstance(value, tuple) for value in counted)
