import pytest

from sense.sql.order import is_ordered, order_columns


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT a, b FROM t ORDER BY B DESC, 1", (1, 0)),
        ("SELECT a AS n FROM t ORDER BY n", (0,)),
        ("SELECT T1.a, count(*) FROM t AS T1 GROUP BY 1 ORDER BY COUNT( * )", (1,)),
        ("SELECT t.a FROM t ORDER BY a", (0,)),
        ("SELECT a FROM t UNION SELECT b FROM u ORDER BY a", (0,)),
        ("SELECT a FROM t ORDER BY b", None),
        ("SELECT a FROM t ORDER BY a, b", None),
        ("SELECT a FROM t ORDER BY 2", None),
        ("SELECT * FROM t ORDER BY a", None),
        ("SELECT T1.a FROM t T1 JOIN t T2 ON T1.i = T2.i ORDER BY T2.a", None),
        ("WITH x AS (SELECT a FROM t ORDER BY a) SELECT a FROM x ORDER BY a", (0,)),
        ("SELECT a FRM t ORDER BY a", None),
    ],
)
def test_an_outermost_order_by_and_its_columns(sql, columns):
    assert is_ordered(sql)
    assert order_columns(sql) == columns


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t",
        "SELECT a FROM (SELECT a FROM t ORDER BY a)",
        "SELECT row_number() OVER (ORDER BY a) FROM t",
        "SELECT 'ORDER BY' FROM t -- ORDER BY a",
        'SELECT "order" by FROM t',
    ],
)
def test_any_other_order_by_does_not_sort_the_result(sql):
    assert not is_ordered(sql)
    assert order_columns(sql) is None


def test_many_columns_and_keys_are_looked_up_rather_than_compared():
    """Each key with each column would be a hundred million texts written."""
    names = [f"c{number}" for number in range(7_000)]
    assert order_columns(f"SELECT {', '.join(names)} FROM t ORDER BY {', '.join(reversed(names))}") == tuple(
        reversed(range(7_000))
    )
