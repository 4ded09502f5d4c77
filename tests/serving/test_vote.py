"""Candidates vote by their results."""

import random

from sense.serving.vote import Vote, vote
from sense.sql.execute import Failure, Result

ERROR = Failure("error", "no such column: x")


def result(*rows, columns=None):
    return Result(columns or tuple("abcdefgh"[: len(rows[0])]), list(rows))


def test_the_largest_group_wins_and_failures_have_no_vote():
    one, two = result((1, "x")), result((2, "y"))
    assert vote([one, ERROR, two, two]) == Vote((1, 0, 2, 2), (2, 3), False)
    assert vote([one]) == Vote((1,), (0,), False)
    assert vote([ERROR, ERROR]) == Vote((0, 0), (), False)
    assert vote([]) == Vote((), (), False)


def test_of_groups_of_the_same_size_the_earliest_candidate_wins():
    one, two = result((1,)), result((2,))
    assert vote([ERROR, two, one, one, two]) == Vote((0, 2, 2, 2, 2), (1, 4), True)


def test_order_names_and_columns_order_do_not_matter():
    same = [
        result((1, "x"), (2, "y"), (2, "y")),
        result((2, "y"), (1, "x"), (2, "y"), columns=("p", "q")),
        result(("y", 2), ("y", 2), ("x", 1)),
        result((1.0, "x"), (2.0000000001, "y"), (2.0, "y")),
    ]
    assert vote(same) == Vote((4,) * 4, (0, 1, 2, 3), False)


def test_what_differs_differs():
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


def test_numbers_that_are_rounded_apart_still_agree():
    one, other = 0.10000000049999999, 0.10000000050000001  # their ninth digits differ
    assert vote([result((one, "x")), result((other, "x"))]).votes == (2, 2)


def test_columns_that_look_alike_are_told_apart_by_their_rows():
    ring = [(1, 2), (2, 3), (3, 1)]
    turned = [(b, a) for a, b in ring]
    assert vote([result(*ring), result(*turned), result((1, 1), (2, 2), (3, 3))]).votes == (2, 2, 1)


def test_large_results_are_counted_like_small_ones():
    source = random.Random(0)
    rows = [(number, source.random() * 100, f"name {source.randrange(1000)}", source.randrange(3)) for number in range(10_000)]
    shuffled = [result(*source.sample(rows, len(rows))) for _ in range(4)]
    others = [result(*[(*row[:3], row[3] + number) for row in rows]) for number in (1, 2)]
    turned = result(*[row[::-1] for row in rows])
    assert vote([*others, *shuffled, turned]) == Vote((1, 1, 5, 5, 5, 5, 5), (2, 3, 4, 5, 6), False)


def of_one_hash(state, result, count):
    """Pairs of integers that Python's hash of a tuple takes from `state` to `result`, both of 64 bits."""
    mask, one, two = (1 << 64) - 1, 11400714785074694791, 14029467366897019727
    number = found = 0
    while found < count:
        number += 1
        mixed = (state + number * two) & mask
        mixed = ((mixed << 31 | mixed >> 33) & mask) * one & mask
        other = (result - mixed) * pow(two, -1, 1 << 64) & mask
        if other < (1 << 61) - 1:  # else it is not its own hash
            found += 1
            yield number, other


def test_rows_that_all_have_the_same_hash_are_no_more_work_than_others():
    """Looked up by their hashes they would take the square of their number: half a minute, in which nothing else goes on."""
    mask, middle = (1 << 64) - 1, 1 << 40
    first = list(of_one_hash(2870177450012600261, middle, 100))
    state = (middle << 31 | middle >> 33) * 11400714785074694791 & mask
    rows = [one + two for one in first for two in of_one_hash(state, 1 << 50, 100)]
    assert len({hash(row) for row in rows}) == 1
    assert vote([result(*rows), result(*rows[::-1]), result(*rows[1:], (1, 2, 3, 4))]).votes == (2, 2, 1)
