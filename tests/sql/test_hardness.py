"""Levels worked out by hand from Spider's rules: (first, nested, others) is noted beside each query."""

import json
from collections import Counter
from pathlib import Path

import pytest

from sense.sql.hardness import hardness
from sense.sql.tree import fingerprint

SPIDER = Path("../shared/spider/train_spider.json")


@pytest.mark.parametrize(
    ("level", "sql"),
    [
        ("easy", "SELECT count(*) FROM t"),  # 0 0 0
        ("easy", "SELECT a FROM t WHERE b > 1"),  # 1 0 0
        ("easy", "SELECT DISTINCT a FROM t ORDER BY a"),  # 1 0 0
        ("easy", "SELECT a FROM t WHERE b NOT IN (1, 2)"),  # 1 0 0: a single NOT is one aggregate, and two make an other
        ("easy", "SELECT a FROM (SELECT b AS a FROM t WHERE b > 1 ORDER BY b LIMIT 3)"),  # 0 0 0: FROM is not looked into
        ("medium", "SELECT a, b FROM t"),  # 0 0 1
        ("medium", "SELECT max(a), min(a) FROM t"),  # 0 0 2
        ("medium", "SELECT a FROM t WHERE b > 1 AND c > 2"),  # 1 0 1
        ("medium", "SELECT T1.a FROM t AS T1 JOIN u AS T2 ON T1.i = T2.i WHERE T2.b = 1"),  # 2 0 0
        ("medium", "SELECT a FROM t, u WHERE t.i = u.i"),  # 2 0 0
        ("medium", "SELECT a FROM t ORDER BY b LIMIT 1"),  # 2 0 0
        ("medium", "SELECT a FROM t WHERE b LIKE '%x%'"),  # 2 0 0
        ("medium", "SELECT a FROM t WHERE b NOT LIKE '%x%'"),  # 2 0 0
        ("medium", "SELECT a FROM t GROUP BY a HAVING count(*) > 1 ORDER BY count(*)"),  # 2 0 0: HAVING counts no aggregate
        ("medium", "SELECT a, b FROM t GROUP BY a, b"),  # 1 0 2
        ("hard", "SELECT a FROM t WHERE b = 1 OR b = 2 ORDER BY a"),  # 3 0 1
        ("hard", "SELECT a, count(*) FROM t GROUP BY a ORDER BY count(*) DESC LIMIT 1"),  # 3 0 2
        ("hard", "SELECT a, b, max(c), min(d) FROM t WHERE e = 1 AND f = 2 GROUP BY a, b"),  # 2 0 4
        ("hard", "SELECT a FROM t UNION SELECT b FROM u"),  # 0 1 0
        ("hard", "SELECT a FROM t UNION SELECT b FROM u ORDER BY 1 LIMIT 3"),  # 0 1 0: they belong to the last SELECT
        ("hard", "SELECT a FROM t EXCEPT SELECT b, c FROM u WHERE d = 1 OR e = 2"),  # 0 1 0
        ("hard", "SELECT a FROM t WHERE b > (SELECT avg(b) FROM t WHERE c = 1 AND d = 2)"),  # 1 1 0
        ("hard", "SELECT a FROM t WHERE NOT EXISTS (SELECT 1 FROM u)"),  # 1 1 0
        ("hard", "WITH x AS (SELECT a, b FROM t) SELECT a FROM x"),  # 0 1 0: ours
        ("hard", "SELECT (SELECT max(a) FROM t)"),  # 0 1 0: ours
        ("extra", "SELECT a FROM t UNION SELECT b FROM u UNION SELECT c FROM v WHERE c IN (1) LIMIT (SELECT 9 FRM"),  # no SQL
        ("extra", "SELECT a, b FROM t INTERSECT SELECT a, b FROM u"),  # 0 1 1
        ("extra", "SELECT a FROM t WHERE b IN (SELECT b FROM u) AND c IN (SELECT c FROM v)"),  # 1 2 1
        ("extra", "SELECT a FROM t WHERE b BETWEEN (SELECT min(b) FROM u) AND (SELECT max(b) FROM u)"),  # 1 2 0
        ("extra", "SELECT a FROM t JOIN u ON t.i = u.i WHERE b = (SELECT 1)"),  # 2 1 0
        ("extra", "SELECT a FROM t JOIN u ON t.i = u.i JOIN v ON u.j = v.j WHERE b = 1 ORDER BY c"),  # 4 0 0
        ("extra", "SELECT a FROM t JOIN u USING (i) NATURAL JOIN v WHERE b = 1 GROUP BY a"),  # 4 0 0
        ("extra", "SELECT a FROM t WHERE b = 1 OR (b = 2 OR (NOT (b = 3 OR b = 4)))"),  # 4 0 1
        ("extra", ""),
    ],
)
def test_hardness_follows_the_published_rules(level, sql):
    assert hardness(sql) == level


def test_not_and_having_count_as_aggregates_as_in_the_original():
    assert hardness("SELECT a FROM t WHERE b NOT IN (1) AND c NOT IN (2)") == "medium"  # 1 0 2
    two_joins = "SELECT a FROM t JOIN u ON t.i = u.i GROUP BY a HAVING count(*) > 1{}"  # 2 0 ...
    assert hardness(two_joins.format(" AND sum(b) > 2")) == "medium"  # ... 0: a single AND
    assert hardness("SELECT a, b FROM t JOIN u ON t.i = u.i GROUP BY a HAVING count(*) > 1") == "medium"  # 2 0 1
    joined = "SELECT a, b FROM t JOIN u ON t.i = u.i GROUP BY a HAVING count(*) > 1 AND sum(b) > 2 AND sum(c) > 3"
    assert hardness(joined) == "extra"  # 2 0 2, and the published rules have no level for it but the last


@pytest.mark.parametrize("depth", [30, 300, 3_000])
@pytest.mark.parametrize(
    "pattern",
    [
        ("(", "1", ")"),
        ("(SELECT ", "1", ")"),
        ("NOT ", "1", ""),
        ("-", "1", ""),
        ("CASE WHEN ", "1", ""),
        ("((", "", ""),
        ("f(", "", ""),
    ],
)
def test_deep_statements_are_no_more_than_unparsable(pattern, depth):
    before, core, after = pattern
    sql = f"SELECT {before * depth}{core}{after * depth}"
    assert hardness(sql) in ("easy", "hard", "extra")
    assert fingerprint(sql) == fingerprint(sql)


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.exists(), reason="Spider is not beside the checkout")
def test_spider_has_its_levels():
    queries = sorted({row["query"] for row in json.loads(SPIDER.read_text())})[::8]
    shares = Counter(hardness(query) for query in queries)
    assert 0.15 < shares["easy"] / len(queries) < 0.35
    assert 0.3 < shares["medium"] / len(queries) < 0.5
    assert 0.1 < shares["hard"] / len(queries) < 0.3
    assert 0.1 < shares["extra"] / len(queries) < 0.25
