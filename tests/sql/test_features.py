"""Features of queries: each is recognized where it stands, in subqueries too."""

import pytest

from sense.sql.features import features
from sense.sql.tree import parse_query


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a.x FROM a JOIN b ON a.i = b.i JOIN c ON b.i = c.i JOIN d ON c.i = d.i", {"join", "3+ joins"}),
        ("SELECT x FROM t WHERE a = 1 AND (b = 2 OR c = 3)", {"3+ conditions"}),
        ("SELECT x FROM t WHERE a = 1 AND b BETWEEN 2 AND 3", set()),
        ("SELECT a, b, c, d FROM t UNION SELECT e, f, g, h FROM u", {"4+ columns", "set operation"}),
        ("SELECT x FROM t ORDER BY a, b LIMIT 3", {"ORDER BY", "2 order keys", "LIMIT"}),
        ("SELECT DISTINCT x FROM t WHERE y NOT LIKE '%a'", {"DISTINCT", "LIKE"}),
        ("SELECT x, COUNT(*) FROM t GROUP BY x HAVING MAX(y) > 2", {"aggregate", "GROUP BY", "HAVING"}),
        ("SELECT x FROM t WHERE y > (SELECT AVG(y) FROM t)", {"aggregate", "subquery"}),
        ("SELECT x FROM (SELECT x FROM t)", {"subquery"}),
        ("SELECT x FROM t AS a LEFT JOIN t AS b ON a.i = b.j", {"join", "self join", "outer join"}),
        ("SELECT x * 2 FROM t", {"arithmetic"}),
        ("SELECT CASE WHEN x > 1 THEN 'a' ELSE 'b' END FROM t", {"CASE"}),
        ("SELECT IIF(x > 1, 'a', 'b') FROM t", {"CASE"}),
        ("WITH a AS (SELECT x FROM t) SELECT x FROM a", {"CTE"}),
        ("SELECT RANK() OVER (PARTITION BY x ORDER BY y, z) FROM t", {"window"}),
        ("SELECT x FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.i = t.i)", {"EXISTS", "subquery"}),
        ("SELECT strftime('%Y', d), date(d), julianday(d) FROM t", {"date function"}),
        ("SELECT CAST(x AS REAL) FROM t", {"CAST"}),
        ("SELECT UPPER(x) FROM t", {"string function"}),
        ("SELECT substr(x, 1, 2), instr(x, 'a') FROM t", {"string function"}),
        ("SELECT x || y FROM t", {"string function"}),
        ("SELECT COALESCE(x, 0), ROUND(y) FROM t", set()),
    ],
)
def test_features(sql, expected):
    tree = parse_query(sql)
    assert tree is not None
    assert features(tree) == expected
