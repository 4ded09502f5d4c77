"""Counts worked out by hand; the bands' cuts worked out again from Spider's training set."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sense.records import HARDNESS
from sense.sql.hardness import BANDS, WEIGHTS, Complexity, complexity, hardness

SPIDER = Path("../shared/spider/train_spider.json")


@pytest.mark.parametrize(
    ("sql", "counts"),
    [
        ("SELECT 1", {"columns": 1}),
        ("SELECT count(*) FROM t", {"tables": 1, "columns": 1, "aggregates": 1}),
        ("SELECT * FROM t", {"tables": 1, "columns": 1}),
        (
            "SELECT DISTINCT a, b FROM t ORDER BY a, b LIMIT 3",
            {"tables": 1, "columns": 2, "distincts": 1, "orders": 2, "limits": 1},
        ),
        ("SELECT a FROM t LIMIT 3 OFFSET 2", {"tables": 1, "columns": 1, "limits": 2}),
        # conditions: every unit of WHERE and HAVING; a join's first is part of the join
        ("SELECT a FROM t WHERE b", {"tables": 1, "columns": 1, "conditions": 1}),
        ("SELECT a FROM t WHERE b = 1 AND (c = 2 OR d = 3)", {"tables": 1, "columns": 1, "conditions": 3, "alternatives": 1}),
        ("SELECT a FROM t WHERE b BETWEEN 1 AND 2", {"tables": 1, "columns": 1, "conditions": 1}),
        (
            "SELECT a FROM t WHERE b NOT LIKE 'x' AND c IS NOT NULL",
            {"tables": 1, "columns": 1, "conditions": 2, "alternatives": 1},
        ),
        ("SELECT a FROM t WHERE b NOT LIKE 'x' ESCAPE '!'", {"tables": 1, "columns": 1, "conditions": 1, "alternatives": 1}),
        ("SELECT a FROM t JOIN u ON t.i = u.i", {"tables": 2, "columns": 1, "joins": 1}),
        ("SELECT a FROM t JOIN u ON t.i = u.i AND t.j = u.j", {"tables": 2, "columns": 1, "joins": 1, "conditions": 1}),
        ("SELECT x.a FROM t x, T y WHERE x.i = y.j", {"tables": 1, "columns": 1, "joins": 1, "conditions": 1}),
        (
            "SELECT a, max(b) FROM t GROUP BY a, c HAVING min(b) > 1",
            {"tables": 1, "columns": 2, "aggregates": 2, "groups": 2, "conditions": 1},
        ),
        # functions of one row, and what only looks like one
        ("SELECT strftime('%Y', a), max(b, c), CAST(d AS REAL), e || f", {"columns": 4, "functions": 4}),
        ("SELECT sum(a * b) / count(*) FROM t", {"tables": 1, "columns": 1, "aggregates": 2, "functions": 2}),
        ("SELECT CASE WHEN a = 1 AND b = 2 THEN 1 WHEN c THEN 2 END", {"columns": 1, "cases": 2, "conditions": 1}),
        ("SELECT iif(a, b, c)", {"columns": 1, "cases": 1}),
        ("SELECT a FROM t WHERE EXISTS (SELECT 1)", {"tables": 1, "columns": 2, "conditions": 1, "subqueries": 1, "depth": 1}),
        (
            "SELECT row_number() OVER (PARTITION BY a ORDER BY b), sum(c) OVER () FROM t",
            {"tables": 1, "columns": 2, "windows": 2, "orders": 1},
        ),
        (
            "SELECT sum(a + b) FILTER (WHERE c) OVER (PARTITION BY lower(d)) FROM t",
            {"tables": 1, "columns": 1, "windows": 1, "conditions": 1, "functions": 2},
        ),
        # queries in queries
        ("((SELECT a FROM t))", {"tables": 1, "columns": 1}),
        ("SELECT a FROM (SELECT a FROM t)", {"tables": 1, "columns": 2, "subqueries": 1, "depth": 1}),
        ("SELECT (SELECT 1), (SELECT (SELECT 2))", {"columns": 5, "subqueries": 3, "depth": 2}),
        ("SELECT a FROM t UNION SELECT b FROM u", {"tables": 2, "columns": 2, "set_operations": 1}),
        ("(SELECT 1) UNION (SELECT 2) EXCEPT SELECT 3", {"columns": 3, "set_operations": 2}),
        (
            "SELECT a FROM t WHERE b IN (SELECT 1 UNION SELECT 2)",
            {"tables": 1, "columns": 3, "conditions": 1, "set_operations": 1, "subqueries": 1, "depth": 1},
        ),
        (
            "WITH x AS (SELECT a FROM t), y AS (SELECT (SELECT 1)) SELECT a FROM X JOIN y",
            {"tables": 1, "columns": 4, "joins": 1, "ctes": 2, "subqueries": 1, "depth": 2},
        ),
        ("", {"unknown": 1}),
        ("SELECT FROM WHERE", {"unknown": 1}),
        ("DROP TABLE t", {"unknown": 1}),
        ("SELECT 1; SELECT 2", {"unknown": 1}),
        ("SELECT " + "(" * 3_000 + "1", {"unknown": 1}),
    ],
)
def test_what_is_counted(sql, counts):
    assert {part: count for part, count in complexity(sql)._asdict().items() if count} == counts


def test_score_and_band_are_sums_and_steps():
    assert complexity("SELECT a FROM t").score == 2  # a column, a table
    joined = complexity("SELECT T1.a FROM t AS T1 JOIN u AS T2 ON T1.i = T2.i WHERE T2.b = 1 OR T2.b = 2")
    assert joined.score == 1 + 2 + 2 + 2 * 2 + 1  # a column, two tables, a join, two conditions, an OR
    assert joined.band == "6"
    assert Complexity().band == "1"
    steps = [Complexity(columns=score).band for score in range(23)]
    assert steps == [*"1111", "2", *"33", "4", *"55", *"66", *"777777777", *"88"]
    assert complexity("no SQL").band == "8"
    assert all(weight >= 1 for weight in WEIGHTS)


def test_more_of_anything_is_never_less():
    plain = "SELECT a FROM t"
    for more in (" WHERE b = 1", " JOIN u ON t.i = u.i", " ORDER BY a", " GROUP BY a", " LIMIT 1", " UNION SELECT b FROM t"):
        assert complexity(plain + more).score > complexity(plain).score


WORDS = (
    "SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT JOIN ON UNION EXCEPT WITH AS x t . , ( ) * = < 1 'a' \"b\" [c] AND OR NOT "
    "IN EXISTS BETWEEN LIKE ESCAPE IS NULL CASE WHEN THEN ELSE END CAST count( max( OVER PARTITION DISTINCT VALUES ; -- /* || + "
    "- / ? -> :: 1e5 COLLATE INTERVAL strftime( FILTER WINDOW"
).split()


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=25).map(lambda words: "SELECT " + " ".join(words))))
def test_complexity_never_raises(text):
    counts = complexity(text)
    assert counts.band in BANDS
    assert counts.score >= 0
    assert all(count >= 0 for count in counts)


def test_a_long_query_is_counted_to_its_end():
    counts = complexity(" UNION ".join(["SELECT a FROM t WHERE b = 1"] * 2_000))
    assert counts == Complexity(tables=1, columns=2_000, conditions=2_000, set_operations=1_999)


@pytest.fixture(scope="module")
def questions():
    """(level, score, band) of each of Spider's training questions."""
    golds = [row["query"] for row in json.loads(SPIDER.read_text())]
    levels = {sql: (hardness(sql), complexity(sql).score, complexity(sql).band) for sql in set(golds)}
    return [levels[sql] for sql in golds]


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.exists(), reason="Spider is not beside the checkout")
def test_the_bands_are_sevenths_of_spider_and_what_is_beyond(questions):
    scores = Counter(score for _, score, _ in questions)
    reached = {score: sum(n for other, n in scores.items() if other >= score) / len(questions) for score in range(2, 31)}
    sevenths = [min(reached, key=lambda score: abs(reached[score] - part / 7)) for part in range(6, 0, -1)]
    beyond = min(score for score, share in reached.items() if share <= 0.01)
    cuts = [min(score for score in range(40) if Complexity(columns=score).band == band) for band in BANDS[1:]]
    assert cuts == [*sevenths, beyond]
    shares = Counter(band for *_, band in questions)
    assert all(0.11 < shares[band] / len(questions) < 0.17 for band in BANDS[:-1])


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.exists(), reason="Spider is not beside the checkout")
def test_each_of_spiders_levels_spreads_over_several_bands(questions):
    for level, bands in zip(HARDNESS, (4, 5, 4, 3), strict=True):
        bands_of_level = Counter(band for other, _, band in questions if other == level)
        large = [band for band, n in bands_of_level.items() if n > 0.05 * bands_of_level.total()]
        assert len(large) >= bands, (level, bands_of_level)
        assert max(bands_of_level.values()) < 0.6 * bands_of_level.total(), (level, bands_of_level)
