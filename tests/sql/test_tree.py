"""Trees of queries: the bound on parsing, the columns of an ORDER BY, and the canonical form."""

import pytest

from sense.sql.hardness import hardness
from sense.sql.parse import check_select
from sense.sql.tree import BacktrackingError, fingerprint, is_ordered, order_columns, parse_query, parse_statements


@pytest.mark.parametrize(
    ("start", "repeated", "inside", "end"),
    [
        ("SELECT ", "date(", "1", ")"),
        ("SELECT ", "CHAR(1, ", "a", ")"),
        ("SELECT ", "abs(time(", "1", "))"),
        ("SELECT * FROM a", " JOIN b", "", ""),
        ("SELECT * FROM a", " LEFT JOIN b", " ON 1", ""),
        ("SELECT 1 WHERE ", "- IF ", "1", ""),
        ("SELECT 1 WHERE ", "IF {", "1", "}"),
    ],
)
def test_texts_that_sqlglot_would_read_twice_at_each_level_are_not_parsed(start, repeated, inside, end):
    """Each level doubles the time: of forty, years."""
    sql = start + 40 * repeated + inside + 40 * end
    with pytest.raises((BacktrackingError, RecursionError)):
        parse_statements(sql)
    assert parse_query(sql) is None
    assert hardness(sql) == hardness("SELECT nothing (")
    assert check_select(sql) is None  # SQLite may read it


def test_a_few_levels_and_long_lists_are_parsed():
    for sql in (
        "SELECT date(datetime(date(time(a)))) FROM t",
        "SELECT * FROM a JOIN b JOIN c JOIN d JOIN e",
        f"SELECT {', '.join(['date(a)'] * 500)} FROM t",
        "SELECT a FROM t WHERE " + " AND ".join(["(a = 1 OR (b = 2 AND c IN (SELECT d FROM u)))"] * 50),
        "SELECT a FROM t" + "".join(f" JOIN u{number} ON t.id = u{number}.id" for number in range(50)),
    ):
        assert parse_query(sql) is not None


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select name from pets", "SELECT  Name\nFROM Pets ; -- all"),
        ("select name from pets", "SELECT T1.name FROM pets AS T1"),
        ("select name from pets", "SELECT pets.name FROM `pets`"),
        ("select name from pets", 'SELECT [name] FROM "pets"'.replace("[name]", "pets.[name]")),
        ("select a.x, b.y from a join b on a.i = b.i", "SELECT T1.x, T2.y FROM a AS T1 INNER JOIN b AS T2 ON T1.i = T2.i"),
        ("select a.x from a left join b on a.i = b.i", "select a.x from a left outer join b on a.i = b.i"),
        ("select count(*) as n from t", "SELECT COUNT( * ) FROM t"),
        ("select a from t order by a asc", "select a from t order by a"),
        ("select a from t where b <> 1", "select a from t where b != 1"),
        ("gibberish   FROM nowhere (", "GIBBERISH from\nNowhere ("),
    ],
)
def test_fingerprints_ignore_how_a_query_is_written(one, other):
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select a from t", "select b from t"),
        ("select a from t where b = 'x'", "select a from t where b = 'X'"),
        ('select a from t where b = "Dog"', 'select a from t where b = "dog"'),
        ("select a from t order by a desc", "select a from t order by a"),
        ("select count(*) as n from t group by a order by n", "select count(*) from t group by a order by a"),
        ("select a.x from a join b on a.i = b.i", "select b.x from a join b on a.i = b.i"),
        ("select x.a from t x join t y on x.i = y.j", "select y.a from t x join t y on x.i = y.j"),
        ("select a from t union select a from u", "select a from t union all select a from u"),
        ("select a from t limit 1", "select a from t limit 2"),
    ],
)
def test_fingerprints_differ_for_queries_that_mean_something_else(one, other):
    assert fingerprint(one) != fingerprint(other)
