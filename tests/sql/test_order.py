"""What a query sorts by, read from its words; test_ties.py holds it against SQLite."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sense.sql.order import read_ordering

WORDS = (
    "SELECT DISTINCT ALL FROM WHERE GROUP ORDER BY LIMIT OFFSET UNION EXCEPT WITH AS CASE WHEN END COLLATE NULLS FIRST LAST ASC "
    "DESC OVER IS NOT count random t a b n \"a\" 'a' `a` [a] * , ( ) . ; + - 1 2 0x1 1.5 -- /* */"
).split()


@pytest.mark.parametrize(
    ("columns", "term", "key", "appended"),
    [
        ("a AS n", "n", 0, ""),
        ("b, a n", "N COLLATE NOCASE DESC", 1, ""),
        ("b, a 'n'", '("n")', 1, ""),
        ("b, f(a) AS [n]", "`n` NULLS LAST", 1, ""),
        ("b, 'x' n", "n", 1, ""),
        ("b, CASE a WHEN 1 THEN 2 END n", "n", 1, ""),
        ("b, a IS NOT n", "n", -1, "(n)"),
        ("b, a COLLATE n", "n", -1, "(n)"),
        ("b, t.n", "n", -1, "(n)"),
        ("b, t.n", "T . N", 1, ""),
        ("b, count( * )", "COUNT(*) DESC", 1, ""),
        ("b, a IS NULL", "null", -1, "(null)"),
        ("(SELECT a, b FROM t ORDER BY a), f(a, b) n", "n", 1, ""),
        ("b", "3", 2, ""),
        ("b", "'3'", -1, "('3')"),
        ("b", "1.5", -1, "(1.5)"),
        ("b", "a /* key */ ASC", -1, "(a)"),
        ("b -- , x\n", "f(a, b) -- key\n", -1, "(f(a, b))"),
    ],
)
def test_a_key_is_a_column_of_the_result_or_appended_to_them(columns, term, key, appended):
    code, space, comment = columns.partition(" -- ")
    for template in ("SELECT {} FROM t ORDER BY {}", "with t as (select 1 order by 2) select distinct {} from t order by {}"):
        sql = template.format(columns, term)
        ordering = read_ordering(sql)
        assert [position for position, _, _ in ordering.keys] == [key]
        assert ordering.hidden == (1 if appended else 0)
        with_key = f"{code}, {appended}" if appended else code
        assert ordering.queries == (template.format(f"{with_key}{space}{comment}", term),)
        assert ordering.distinct == (sql if appended and "distinct" in sql else "")


@pytest.mark.parametrize(
    ("term", "texts"),
    [
        ("n + 1", ["`n` + 1", "(a * 2) + 1"]),
        ('"n" || N', ["`n` || `n`", "(a * 2) || (a * 2)"]),
        ("f(n) + t.n + n(1)", ["f(`n`) + t.n + n(1)", "f((a * 2)) + t.n + n(1)"]),
        ("n + m", ["`n` + `m`", "`n` + (b)", "(a * 2) + `m`", "(a * 2) + (b)"]),
        ("'n' || a", ["'n' || a"]),
    ],
)
def test_a_name_in_an_expression_is_a_column_first_and_an_alias_else(term, texts):
    ordering = read_ordering(f"SELECT a * 2 AS n, b m FROM t ORDER BY {term}")
    assert ordering.queries == tuple(f"SELECT a * 2 AS n, b m, ({text}) FROM t ORDER BY {term}" for text in texts)


@pytest.mark.parametrize(
    ("clause", "start", "stop", "readable"),
    [
        ("", 0, None, True),
        ("LIMIT 3", 0, 3, True),
        ("limit 0", 0, 0, True),
        ("LIMIT 3 OFFSET 2", 2, 5, True),
        ("LIMIT 2, 3", 2, 5, True),
        ("LIMIT - 1", 0, None, True),
        ("LIMIT -1 OFFSET 4", 4, None, True),
        ("LIMIT 3 OFFSET -2", 0, 3, True),
        ("LIMIT /* few */ 3", 0, 3, True),
        ("LIMIT 1 + 1", 0, None, False),
        ("LIMIT 1 0", 0, None, False),
        ("LIMIT (3)", 0, None, False),
        ("LIMIT '3'", 0, None, False),
        ("LIMIT 1, 2 OFFSET 3", 0, None, False),
        ("LIMIT", 0, None, False),
        ("LIMIT 1 UNION SELECT 2", 0, None, False),
        ("LIMIT " + "9" * 30, 0, None, False),
    ],
)
def test_the_rows_that_a_limit_leaves(clause, start, stop, readable):
    ordering = read_ordering(f"SELECT a FROM t ORDER BY a {clause}")
    assert (ordering.start, ordering.stop, ordering.readable) == (start, stop, readable)
    assert ordering.queries == ("SELECT a FROM t ORDER BY a ",)
    assert ordering.limit == clause


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t",
        "SELECT a FROM (SELECT a FROM t ORDER BY a)",
        "SELECT row_number() OVER (ORDER BY a) FROM t",
        "SELECT 'ORDER BY' FROM t -- ORDER BY a",
        'SELECT "order" by FROM t',
        "",
    ],
)
def test_what_is_not_ordered_has_no_ordering(sql):
    assert read_ordering(sql) is None


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.one_of(st.text(max_size=30), st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)))
def test_no_text_is_too_odd(text):
    for sql in (text, f"SELECT a FROM t ORDER BY {text}", f"SELECT {text} ORDER BY a", f"SELECT a UNION {text} ORDER BY {text}"):
        read_ordering(sql)


def test_many_columns_and_keys_are_looked_up_rather_than_compared():
    """Each key with each column would be a hundred million comparisons."""
    names = [f"c{number}" for number in range(7_000)]
    keys = ", ".join(reversed(names))
    for sql in (
        f"SELECT {', '.join(names)} FROM t ORDER BY {keys}",
        f"SELECT {', '.join(f'a AS {name}' for name in names)} FROM t ORDER BY {keys}",
        f"SELECT {', '.join(names)} FROM t UNION SELECT 1 ORDER BY {keys}",
    ):
        assert [position for position, _, _ in read_ordering(sql).keys] == list(reversed(range(7_000)))
    assert (
        len(read_ordering(f"SELECT {', '.join(f'a AS {name}' for name in names)} FROM t ORDER BY {'+'.join(names)}").queries) == 2
    )
