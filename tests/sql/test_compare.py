import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sense.sql.compare import compare
from sense.sql.result import Result


def result(*rows, columns=None):
    width = len(rows[0]) if rows else 1
    return Result(tuple(columns or (f"c{number}" for number in range(width))), list(rows))


A, B = (1, "x"), (2, "y")


@pytest.mark.parametrize(
    ("predicted", "gold", "ordered", "difference"),
    [
        (result(A, B), result(A, B), True, None),
        (result(A, columns=("n", "count(*)")), result(A, columns=("m", "total")), False, None),
        (result(B, A), result(A, B), False, None),
        (result(B, A), result(A, B), True, "order"),
        (result(("x", 1), ("y", 2)), result(A, B), True, None),
        (result(("y", 2), ("x", 1)), result(A, B), False, None),
        (result(("y", 2), ("x", 1)), result(A, B), True, "order"),
        (result(("x", 2), ("y", 1)), result(A, B), False, "values"),
        (result(("x", 2), ("y", 1)), result(A, B), True, "values"),
        (result((1,), (2,)), result(A, B), False, "columns"),
        (result(A), result(A, B), False, "rows"),
        (result(A, A, B), result(A, B, B), False, "values"),  # a bag, not a set
        (result((1, 1), (2, 2)), result((1, 2), (2, 1)), False, "values"),
        (result((1, 2), (2, 1)), result((2, 1), (1, 2)), True, None),  # the columns changed places
        (result((None,)), result((None,)), False, None),
        (result((None,)), result((0,)), False, "values"),
        (result(("1",)), result((1,)), False, "values"),
        (result((b"a",)), result(("a",)), False, "values"),
        (result(("Rex",)), result(("rex",)), False, "values"),
        (result((1,)), result((1.0,)), False, None),
        (result((1,)), result((1.0000001,)), False, None),
        (result((0.1 + 0.2,)), result((0.3,)), False, None),
        (result((1e-17,)), result((0,)), False, None),
        (result((1.0001,)), result((1.0,)), False, "values"),
        (result((10_000_001,)), result((10_000_000,)), False, "values"),  # integers are exact
        (result((float("inf"),)), result((float("inf"),)), False, None),
        (result((float("inf"),)), result((1e308,)), False, "values"),
        (result(("b", 0.3), ("a", 0.1 + 0.2)), result(("a", 0.3), ("b", 0.1 + 0.2)), False, None),
        (result(("a", 0.3), ("b", 0.1 + 0.2)), result(("a", 0.1 + 0.2), ("b", 0.3)), True, None),
        (result((10_000_001, 0.5)), result((10_000_000, 0.5000000001)), False, "values"),
        (result(), result(), True, None),
    ],
)
def test_compare(predicted, gold, ordered, difference):
    assert compare(predicted, gold, ordered) == difference
    assert compare(gold, predicted, ordered) == difference


def test_ties_of_the_sorting_columns_may_change_places():
    gold = result(("Tom", 4), ("Kit", 4), ("Rex", 30))
    swapped = result((4, "Kit"), (4, "Tom"), (30, "Rex"))
    assert compare(swapped, gold, ordered=True, order_columns=(1,)) is None
    assert compare(swapped, gold, ordered=True) == "order"
    assert compare(result((4, "Kit"), (30, "Rex"), (4, "Tom")), gold, ordered=True, order_columns=(1,)) == "order"


def test_noise_is_never_cut_in_two_by_close_neighbours():
    """A chain of numbers each within the tolerance of the next: pairs that differ by rounding stay together."""
    chain = [1.0 + number * 7e-7 for number in range(50)]
    noisy = [value * (1 + 1e-15) for value in chain]
    assert compare(result(*((v,) for v in noisy)), result(*((v,) for v in chain)), ordered=False) is None
    assert compare(result(*((chain[0],) for _ in chain)), result(*((v,) for v in chain)), ordered=False) == "values"


def test_many_columns_that_look_alike_are_matched_without_trying_every_order():
    draw = random.Random("columns")
    rows = [tuple(draw.randint(0, 1) for _ in range(40)) for _ in range(200)]
    reversed_rows = [tuple(reversed(row)) for row in rows]
    draw.shuffle(reversed_rows)
    assert compare(result(*reversed_rows), result(*rows), ordered=False) is None
    same = [(1, 2) * 30 for _ in range(5)]
    assert compare(result(*same), result(*same[:-1], (2, 1) * 30), ordered=False) == "values"


def test_columns_made_to_be_confused_come_to_an_end():
    """Latin squares: every column holds the same values, and so do all pairs of columns; only the whole rows differ."""
    size = 23
    one = [tuple((row + 2 * column) % size for column in range(size)) for row in range(size)]
    other = [tuple((row * 2 + column * column) % size for column in range(size)) for row in range(size)]
    assert compare(result(*one), result(*other), ordered=False) == "values"


VALUES = st.one_of(
    st.none(),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, 0.1 + 0.2, 0.3, 1e6 + 0.5, -2.0]),
    st.sampled_from(["", "a", "A", "1"]),
    st.sampled_from([b"", b"a"]),
)


@st.composite
def results(draw, width=None):
    width = draw(st.integers(1, 4)) if width is None else width
    rows = draw(st.lists(st.tuples(*[VALUES] * width), max_size=6))
    return Result(tuple(f"c{number}" for number in range(width)), rows)


@st.composite
def pairs(draw):
    width = draw(st.integers(1, 3))
    return draw(results(width)), draw(results(width))


def reorder_columns(one, order):
    """The same result with its columns in another order."""
    return Result(tuple(one.columns[index] for index in order), [tuple(row[index] for index in order) for row in one.rows])


quick = settings(max_examples=150, deadline=None, database=None, derandomize=True)


@quick
@given(results(), st.booleans())
def test_compare_is_reflexive(one, ordered):
    assert compare(one, one, ordered) is None


@quick
@given(pairs(), st.booleans())
def test_compare_is_symmetric(both, ordered):
    one, other = both
    assert compare(one, other, ordered) == compare(other, one, ordered)


@quick
@given(results(), st.randoms(use_true_random=False))
def test_rows_may_be_shuffled_and_columns_exchanged(one, draw):
    order = draw.sample(range(len(one.columns)), len(one.columns))
    other = reorder_columns(one, order)
    assert compare(other, one, ordered=True) is None
    shuffled = Result(other.columns, draw.sample(other.rows, len(other.rows)))
    assert compare(shuffled, one, ordered=False) is None


@quick
@given(pairs(), st.randoms(use_true_random=False), st.booleans())
def test_the_verdict_does_not_depend_on_how_a_result_is_laid_out(both, draw, ordered):
    one, other = both
    order = draw.sample(range(len(one.columns)), len(one.columns))
    assert compare(reorder_columns(one, order), other, ordered) == compare(one, other, ordered)
    if not ordered:
        shuffled = Result(one.columns, draw.sample(one.rows, len(one.rows)))
        assert compare(shuffled, other, ordered) == compare(one, other, ordered)
