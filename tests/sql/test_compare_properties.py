"""Laws of the scoring modes, on results that hypothesis makes up: as values for compare(), as SQL for the judges of the workers.

A law that a mode breaks on purpose, because the evaluation that it reproduces does, is in that mode's own table below.
"""

import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sense.sql.compare import compare
from sense.sql.database_file import DatabaseFile
from sense.sql.judge import Batch, GoldCache, judge
from sense.sql.modes import MODES
from sense.sql.result import Result
from sense.sql.sandbox import Limits, Sandbox

LIMITS = Limits(timeout_s=30, max_rows=1000, max_bytes=100_000, max_steps=10_000_000, max_sql=100_000)
STRICT, STRICT_TS, STRICT_1, SPIDER, EX, F1, _ = MODES
UNTIMED_MODES = (STRICT, STRICT_TS, STRICT_1, SPIDER, EX, F1)  # bird-rves@1 compares as bird-ex@1 does, and then takes its time
ABSENT = "in no result"

VALUES = st.one_of(
    st.none(),
    st.integers(-3, 3),
    st.sampled_from([10_000_000, 10_000_000.5]),  # within the tolerance of one another
    st.sampled_from([10, 2**63 - 1, -(2**63)]),
    st.sampled_from([0.5, 1.0, 10.0, 0.1 + 0.2, 0.3, 1e6 + 0.5, -2.0, float("inf")]),
    st.sampled_from(["", "a", "A", "1", "1.0", "None", "it's", "é", "\U0001f600"]),
    st.sampled_from([b"", b"a", b"\x00\xff"]),
)
quick = settings(
    max_examples=80,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
draws = st.randoms(use_true_random=False)


@st.composite
def results(draw, width=None, least=0):
    width = draw(st.integers(1, 4)) if width is None else width
    rows = draw(st.lists(st.tuples(*[VALUES] * width), min_size=least, max_size=6))
    return Result(tuple(f"c{number}" for number in range(width)), rows)


@st.composite
def pairs(draw):
    """Two results of the same width, often the same rows but for a few."""
    width = draw(st.integers(1, 3))
    one = draw(results(width))
    if draw(st.booleans()):
        return one, draw(results(width))
    repeated = draw(st.lists(st.sampled_from(one.rows), max_size=6)) if one.rows else []
    return one, Result(one.columns, repeated + draw(results(width)).rows[:1])


def reorder_columns(result, order):
    """The same result with its columns in another order."""
    rows = [tuple(row[number] for number in order) for row in result.rows]
    return Result(tuple(result.columns[number] for number in order), rows)


def shuffle_rows(result, draw):
    return Result(result.columns, draw.sample(result.rows, len(result.rows)))


def change_cell(result, draw, value=ABSENT):
    """The same result but for one cell."""
    rows = [list(row) for row in result.rows]
    row = draw.choice(rows)
    row[draw.randrange(len(row))] = value
    return Result(result.columns, [tuple(row) for row in rows])


def column_order(result, draw):
    return draw.sample(range(len(result.columns)), len(result.columns))


@pytest.fixture(scope="module")
def judge_by(tmp_path_factory):
    """Judges one result by another, both written as SQL, as a worker does."""
    path = tmp_path_factory.mktemp("properties") / "p" / "p.sqlite"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t(a)")
    sandbox = Sandbox(LIMITS)
    golds = GoldCache(sandbox)

    def judge_one(mode, predicted, gold, ordered=False):
        batch = Batch(mode, (DatabaseFile.from_path(path),), query_of(gold), ordered, None, None, ((query_of(predicted), ""),))
        (verdict,) = judge(sandbox, golds, batch, lambda *_: None)
        assert verdict.verdict in ("match", "mismatch"), verdict
        assert verdict.correct is (verdict.verdict == "match")
        return verdict

    return judge_one


def query_of(result):
    """A query with this result."""
    if not result.rows:
        return "SELECT " + ",".join("NULL" for _ in result.columns) + " WHERE 0"
    return "SELECT * FROM (VALUES " + ",".join(f"({','.join(map(literal, row))})" for row in result.rows) + ")"


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if value == -(2**63):
        return "(-9223372036854775807 - 1)"
    return repr(value).replace("inf", "9e999")


@quick
@given(results(least=1), draws, st.booleans())
def test_a_changed_cell_is_never_equal(one, draw, ordered):
    other = change_cell(one, draw)
    assert compare(other, one, ordered) is not None
    assert compare(reorder_columns(shuffle_rows(other, draw), column_order(one, draw)), one, ordered) is not None


@quick
@given(results(least=1), draws, VALUES)
def test_equal_results_hold_equal_values(one, draw, value):
    """Whatever else is asked, each value of one result has its equal in the other."""
    other = change_cell(one, draw, value)
    cells = [Result(("c",), [(cell,) for row in result.rows for cell in row]) for result in (one, other)]
    assert compare(one, other, ordered=False) is not None or compare(*cells, ordered=False) is None


@quick
@given(results(least=1), draws, st.booleans())
def test_duplicates_count(one, draw, ordered):
    again = Result(one.columns, [*one.rows, draw.choice(one.rows)])
    assert compare(again, one, ordered) == "rows"
    twice, thrice = Result(one.columns, [*one.rows] * 2), Result(one.columns, [*one.rows] * 3)
    assert compare(twice, thrice, ordered) == "rows"
    first, mark = one.rows[0], (ABSENT,) * len(one.columns)
    assert compare(Result(one.columns, [first, first, mark]), Result(one.columns, [first, mark, mark]), ordered) == "values"


@quick
@given(results(), draws)
def test_an_order_that_counts_is_stricter_and_ties_are_between(one, draw):
    """Equal in order implies equal with ties, and that implies equal as bags."""
    other = shuffle_rows(one, draw)
    keys = tuple(number for number in range(len(one.columns)) if draw.random() < 0.5)
    in_order, with_ties, as_bags = (
        compare(other, one, ordered=True),
        compare(other, one, ordered=True, order_columns=keys),
        compare(other, one, ordered=False),
    )
    assert as_bags is None
    assert with_ties in (None, "order")
    assert in_order is not None or with_ties is None


@quick
@given(results(width=1), draws)
def test_the_order_of_a_single_column_is_its_values(one, draw):
    other = shuffle_rows(one, draw)
    pairs_in_place = zip(one.rows, other.rows, strict=True)
    same = all(
        compare(Result(("c",), [mine]), Result(("c",), [theirs]), ordered=False) is None for mine, theirs in pairs_in_place
    )
    for keys in (None, (0,)):
        assert compare(other, one, ordered=True, order_columns=keys) == (None if same else "order")


@quick
@given(results(), draws)
def test_ties_may_come_either_way_and_nothing_else_may(one, draw):
    """The gold is sorted by a column of its own, in which values come more than once."""
    keys = sorted(f"key {draw.randrange(3)}" for _ in one.rows)
    gold = Result(("key", *one.columns), [(key, *row) for key, row in zip(keys, one.rows, strict=True)])
    ties = sorted(gold.rows, key=lambda row: (row[0], draw.random()))
    assert compare(Result(gold.columns, ties), gold, ordered=True, order_columns=(0,)) is None
    if len(set(keys)) > 1:
        assert compare(Result(gold.columns, gold.rows[::-1]), gold, ordered=True, order_columns=(0,)) == "order"


@quick
@given(results(), draws, st.booleans())
def test_rounding_noise_does_not_count(one, draw, ordered):
    def noisy(value):
        return value * (1 + draw.uniform(-1e-12, 1e-12)) if isinstance(value, (int, float)) else value

    other = Result(one.columns, [tuple(map(noisy, row)) for row in one.rows])
    assert compare(other, one, ordered) is None


@quick
@given(results(least=1), draws, st.booleans(), st.sampled_from([0.3, -7.5, 1e6 + 0.5, 1e-3]))
def test_more_than_noise_counts(one, draw, ordered, value):
    gold = change_cell(one, draw, value)
    positions = [(row, column) for row, cells in enumerate(gold.rows) for column, cell in enumerate(cells) if cell == value]
    row, column = draw.choice(positions)
    rows = [list(cells) for cells in gold.rows]
    rows[row][column] *= 1.00001
    assert compare(Result(gold.columns, list(map(tuple, rows))), gold, ordered) is not None


@pytest.mark.parametrize("mode", MODES)
@quick
@given(one=results(), ordered=st.booleans())
def test_every_mode_is_reflexive(judge_by, mode, one, ordered):
    if mode == MODES[-1] and len(one.rows) > 2:
        one = Result(one.columns, one.rows[:2])  # each is executed a hundred times
    verdict = judge_by(mode, one, one, ordered)
    assert (verdict.correct, verdict.vacuous) == (True, not one.rows)
    assert verdict.score == {F1: 1.0}.get(mode, verdict.score)
    assert mode != MODES[-1] or verdict.score in (0.25, 0.5, 0.75, 1.0, 1.25)


@pytest.mark.parametrize("mode", UNTIMED_MODES)
@quick
@given(both=pairs(), ordered=st.booleans())
def test_every_mode_is_symmetric(judge_by, mode, both, ordered):
    one, other = both
    assert judge_by(mode, one, other, ordered).correct == judge_by(mode, other, one, ordered).correct


@quick
@given(both=pairs(), ordered=st.booleans())
def test_the_strict_judge_decides_on_streams_as_compare_does_on_results(judge_by, both, ordered):
    one, other = both
    assert judge_by(STRICT, one, other, ordered).kind == (compare(one, other, ordered) or "")


@pytest.mark.parametrize("mode", [STRICT, SPIDER, EX])
@quick
@given(both=pairs(), draw=draws)
def test_where_order_does_not_count_rows_may_be_shuffled(judge_by, mode, both, draw):
    one, other = both
    assert judge_by(mode, shuffle_rows(one, draw), one).correct
    assert judge_by(mode, shuffle_rows(one, draw), other).correct == judge_by(mode, one, other).correct


@pytest.mark.parametrize("mode", [STRICT, SPIDER])
@quick
@given(both=pairs(), draw=draws, ordered=st.booleans())
def test_columns_may_change_places(judge_by, mode, both, draw, ordered):
    one, other = both
    mine = reorder_columns(one, column_order(one, draw))
    assert judge_by(mode, mine, one, ordered).correct
    assert judge_by(mode, mine, other, ordered).correct == judge_by(mode, one, other, ordered).correct


@quick
@given(both=pairs(), draw=draws)
def test_cells_of_a_row_may_change_places_in_soft_f1(judge_by, both, draw):
    one, other = both
    order = column_order(one, draw)
    assert judge_by(F1, reorder_columns(one, order), one).score == 1.0
    if len(set(map(repr, reorder_columns(one, order).rows))) == len(set(one.rows)):
        assert judge_by(F1, reorder_columns(one, order), other).score == judge_by(F1, one, other).score


@pytest.mark.parametrize("mode", UNTIMED_MODES)
@quick
@given(one=results(least=1), draw=draws, ordered=st.booleans())
def test_in_no_mode_a_changed_cell_is_equal(judge_by, mode, one, draw, ordered):
    other = change_cell(one, draw)
    for predicted, gold in ((other, one), (one, other)):
        verdict = judge_by(mode, predicted, gold, ordered)
        assert not verdict.correct
        assert verdict.score is None or 0.0 <= verdict.score < 1.0


@pytest.mark.parametrize(("mode", "counts"), [(STRICT, True), (SPIDER, True), (EX, False), (F1, False)])
@quick
@given(one=results(least=1), draw=draws)
def test_duplicates_count_where_results_are_bags(judge_by, mode, counts, one, draw):
    again = Result(one.columns, [*one.rows, draw.choice(one.rows)])
    assert judge_by(mode, again, one).correct is not counts
    assert judge_by(mode, one, again).correct is not counts


@pytest.mark.parametrize("mode", UNTIMED_MODES)
@quick
@given(one=results(least=1), ordered=st.booleans())
def test_a_row_more_or_less_is_never_equal(judge_by, mode, one, ordered):
    more = Result(one.columns, [*one.rows, (ABSENT,) * len(one.columns)])
    assert not judge_by(mode, more, one, ordered).correct
    assert not judge_by(mode, one, more, ordered).correct


counts = st.tuples(*[st.integers(1, 3)] * 4)


@pytest.mark.parametrize(("mode", "equal"), [(STRICT, False), (SPIDER, False), (EX, True)])
@quick
@given(many=counts, draw=draws)
def test_how_often_values_meet_counts_where_results_are_bags(judge_by, mode, equal, many, draw):
    """The same rows and the same columns one by one; only how often which row comes is different."""
    rows = [(0, "x"), (0, "y"), (1, "x"), (1, "y")]
    one, other = (
        Result(("n", "s"), [row for row, times in zip(rows, each, strict=True) for _ in range(times)])
        for each in (
            [many[0] + 1, many[1], many[2], many[3] + 1],
            [many[0], many[1] + 1, many[2] + 1, many[3]],
        )
    )
    assert judge_by(mode, shuffle_rows(one, draw), other).correct is equal


@pytest.mark.parametrize("mode", UNTIMED_MODES)
@quick
@given(rows=st.integers(2, 5), draw=draws, ordered=st.booleans())
def test_values_that_change_partners_are_never_equal(judge_by, mode, rows, draw, ordered):
    one = Result(("n", "s"), [(number, f"s{number}") for number in range(rows)])
    other = Result(one.columns, [(number, f"s{(number + 1) % rows}") for number in range(rows)])
    assert not judge_by(mode, shuffle_rows(other, draw), one, ordered).correct


@pytest.mark.parametrize(("mode", "equal"), [(STRICT, False), (SPIDER, False), (EX, False), (F1, True)])
@quick
@given(rows=st.integers(2, 5), draw=draws)
def test_columns_change_places_as_wholes(judge_by, mode, equal, rows, draw):
    one = Result(("n", "s"), [(number, f"s{number}") for number in range(rows)])
    turned_row = draw.randrange(rows)
    other = Result(one.columns, [row[::-1] if number == turned_row else row for number, row in enumerate(one.rows)])
    assert judge_by(mode, other, one).correct is equal
