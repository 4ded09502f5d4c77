"""Counts as bars, classes of SQLite errors, and which questions compare the models."""

import pytest

from sense.report import contents
from tests.report_runs import read_run, write_run


def test_outcomes_take_turns_and_disagreement_comes_first(tmp_path):
    run = read_run(write_run(tmp_path))
    assert [comparison.outcome for comparison in contents.compare_models(run, 0, 10)] == [
        "gained",
        "lost",
        "taught",
        "taught",
        "forgotten",
        "none",
        "all",
    ]
    assert [comparison.outcome for comparison in contents.compare_models(run, 0, 3)] == ["gained", "lost", "taught"]
    assert {comparison.example.id for comparison in contents.compare_models(run, 0, 10)} == {f"dev{i}" for i in range(7)}
    assert contents.compare_models(run, 5, 3) == contents.compare_models(run, 5, 3)


def test_rare_domains_are_one_bar():
    rows = contents.domains({f"d{n:02}": 1 + (n == 3) for n in range(20)})
    assert (rows[0].name, rows[0].n, rows[0].percentage) == ("d03", 2, "9.5%")
    assert (rows[-1].name, rows[-1].n) == ("8 more", 8)
    assert len(rows) == 13


@pytest.mark.parametrize(
    ("detail", "name"),
    [
        ("no such column: T1.x", "no such column"),
        ('near "FROM": syntax error', "syntax"),
        ("incomplete input", "syntax"),
        ("no such function: YEAR", "no such function"),
        ("misuse of aggregate: COUNT()", "aggregate in the wrong place"),
        ("SELECTs to the left and right of UNION do not have the same number of result columns", "set operation of unlike width"),
        ("out of memory", "other"),
    ],
)
def test_the_detail_of_an_error_tells_its_class(detail, name):
    assert contents.error_class(detail) == name
