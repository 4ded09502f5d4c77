from pathlib import Path

import pytest

from sense.sql import modes
from sense.sql.database_file import DatabaseFile

FILES = (DatabaseFile("/a.sqlite", "file:///a.sqlite", "/a.sqlite"),)


@pytest.mark.parametrize(
    ("sql", "cleaned"),
    [
        ("SELECT a FROM t WHERE b > = 1 AND c ! = 2 AND d < = 3", "SELECT a FROM t WHERE b >= 1 AND c != 2 AND d <= 3"),
        ("SELECT DISTINCT a, count(distinct b) FROM t", "SELECT  a, count( b) FROM t"),
        ("SELECT a FROM t WHERE b = 'a DISTINCT value'", "SELECT a FROM t WHERE b = 'a DISTINCT value'"),
        ('SELECT "distinct" FROM t', 'SELECT "distinct" FROM t'),
        ("SELECT a FROM t; DROP TABLE t", "SELECT a FROM t; "),
        ("SELECT a FROM t WHERE b = value AND c = 1", "SELECT a FROM t WHERE b = 1 AND c = 1"),
        ("SELECT YEAR(CURDATE()) - a FROM t", "SELECT 2020- a FROM t"),
        ("SELECT a FROM t", "SELECT a FROM t"),
    ],
)
def test_spider_cleans_a_prediction(sql, cleaned):
    (prediction,) = modes.make_batch("spider-exec@1", FILES, "SELECT 1", [sql]).predictions
    assert prediction == (cleaned, "")


def test_spider_leaves_value_in_the_gold():
    assert (
        modes.make_batch("spider-exec@1", FILES, "SELECT value FROM t WHERE value > = 1", []).gold
        == "SELECT value FROM t WHERE value >= 1"
    )


@pytest.mark.parametrize(
    ("gold", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("SELECT a FROM (SELECT a FROM t order by b LIMIT 1)", True),
        ("SELECT 'order by' FROM t", True),
        ("SELECT a FROM t ORDER  BY a", False),
        ("SELECT a FROM t", False),
    ],
)
def test_spider_looks_for_order_by_in_the_text(gold, ordered):
    assert modes.make_batch("spider-exec@1", FILES, gold, []).ordered is ordered


def test_an_empty_prediction_is_refused_where_the_original_cannot_take_it():
    assert modes.make_batch("spider-exec@1", FILES, "SELECT 1", ["", " "]).predictions == (("", "empty"), ("", "empty"))
    assert modes.make_batch("bird-ex@1", FILES, "SELECT 1", [""]).predictions == (("", ""),)
    assert modes.make_batch("strict@2", FILES, "SELECT 1", [""]).predictions == (("", "empty"),)


def test_a_text_that_no_query_is_as_long_as_is_refused_by_every_mode():
    for mode in modes.MODES:
        ((_, reason),) = modes.make_batch(mode, FILES, "SELECT 1", ["SELECT '" + "x" * 100_000 + "'"]).predictions
        assert reason == "100,009 characters long; at most 100,000 are executed"


def test_a_test_suite_is_every_database_of_the_folder(tmp_path: Path):
    for name in ("b.sqlite", "a.sqlite", "schema.sql", "._b.sqlite", "b.sqlite-wal", "b.sqlite-backup", "b.sqlite.bak"):
        (tmp_path / name).touch()
    main = tmp_path / "b.sqlite"
    assert modes.databases("spider-exec@1", main) == (tmp_path / "a.sqlite", main)
    assert modes.databases("strict@2", main) == (main,)
    missing = tmp_path / "none" / "none.sqlite"
    assert modes.databases("spider-exec@1", missing) == (missing,)
