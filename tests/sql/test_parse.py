import pytest

from sense.sql.parse import MAX_LENGTH, check_select, extract, reads_clock


@pytest.mark.parametrize(
    ("completion", "sql"),
    [
        ("SELECT 1", "SELECT 1"),
        ("  select a from t ;\n", "select a from t"),
        ("SELECT a\nFROM t;\n", "SELECT a\nFROM t"),
        ("Here you are:\n```sql\nSELECT name\nFROM pets;\n```\nIt lists names.", "SELECT name\nFROM pets"),
        ("```\nSELECT 1\n```\n```\nSELECT 2\n```", "SELECT 1"),
        ("```sqlite SELECT 1```", "SELECT 1"),
        ("```sql\nSELECT 1", "SELECT 1"),
        ("SELECT 1\n```\nThe end of SELECT", "SELECT 1"),
        ("```python\nprint(1)\n```\nSQL: SELECT 1", "SELECT 1"),
        ("We SELECT nothing here.\n```\nSELECT 1\n```", "SELECT 1"),
        ("The answer is `SELECT a FROM t`, I think.", "SELECT a FROM t"),
        ("To select names, run SELECT name FROM pets.", "SELECT name FROM pets"),
        ("answer: select name from pets", "select name from pets"),
        ("SELECT a; DROP TABLE t; SELECT b", "SELECT a"),
        (
            "SELECT ';' AS x, \"a;b\" FROM t -- it's; here\nWHERE y = 1; DROP TABLE t",
            "SELECT ';' AS x, \"a;b\" FROM t -- it's; here\nWHERE y = 1",
        ),
        ("SELECT a FROM t\n\nThis returns a.", "SELECT a FROM t"),
        ("SELECT a\n\nFROM t\n\nWHERE b = 1\n\nSo be it.", "SELECT a\n\nFROM t\n\nWHERE b = 1"),
        ("SELECT a FROM t UNION\n\nSELECT b FROM u\n\nSELECT c", "SELECT a FROM t UNION\n\nSELECT b FROM u"),
        ("With care: WITH x AS (SELECT 1)\n\nSELECT * FROM x", "WITH x AS (SELECT 1)\n\nSELECT * FROM x"),
        ("with recursive n(i) as (select 1) select i from n", "with recursive n(i) as (select 1) select i from n"),
        ("<think>SELECT wrong</think>\nSELECT right_one", "SELECT right_one"),
        ("<think>SELECT never ends", ""),
        ("SELECT count(*)) FROM t", "SELECT count(*)) FROM t"),  # what is wrong stays wrong
        ("I cannot answer this.", ""),
        ("", ""),
        ("DROP TABLE t", ""),
        ("selection", ""),
    ],
)
def test_extract_takes_the_first_select(completion, sql):
    assert extract(completion) == sql
    assert extract(sql) == sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "select 1;",
        "SELECT 1;;",
        "SELECT 1; -- done",
        "/* first */ SELECT 1",
        "SELECT ';' FROM t",
        "SELECT 1 UNION SELECT 2 EXCEPT SELECT 3",
        "WITH x AS (SELECT 1), y AS (SELECT 2) SELECT * FROM x, y",
        "WITH replace AS (SELECT 1) SELECT * FROM replace",
        "SELECT replace(a, 'x', 'y') FROM t",
        "SELECT misspelt FRM t",  # SQLite's to say
    ],
)
def test_check_select_lets_a_single_select_pass(sql):
    assert check_select(sql) is None


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("", "empty"),
        (" ;; -- nothing", "empty"),
        ("DROP TABLE t", "not a SELECT: it begins with DROP"),
        ("pragma writable_schema = 1", "not a SELECT: it begins with PRAGMA"),
        ("EXPLAIN SELECT 1", "not a SELECT: it begins with EXPLAIN"),
        ("/* SELECT */ DELETE FROM t", "not a SELECT: it begins with DELETE"),
        ("VALUES (1)", "not a SELECT: it begins with VALUES"),
        ("'SELECT'", "not a SELECT: it begins with 'SELECT'"),
        ("SELECT 1; DROP TABLE t", "several statements; only one SELECT is executed"),
        ("SELECT 1; SELECT 2", "several statements; only one SELECT is executed"),
        ("WITH x AS (SELECT 1) DELETE FROM t", "not a SELECT: WITH ... DELETE"),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "not a SELECT: WITH ... INSERT"),
        ("SELECT 'a\0b'", "contains a NUL character"),
        ("SELECT " + "1" * MAX_LENGTH, "100,007 characters long; at most 100,000 are executed"),
    ],
)
def test_check_select_says_why_it_rejects(sql, reason):
    assert check_select(sql) == reason


BLANKS = " " * (MAX_LENGTH - 100)


@pytest.mark.parametrize(
    ("text", "sql", "reason"),
    [
        (f"SELECT{BLANKS};x", "SELECT", "several statements"),
        (f"SELECT{BLANKS}\n1", f"SELECT{BLANKS}\n1", None),
        (f"SELECT 1{BLANKS}\n\n\n", "SELECT 1", None),
        ("WITH [" * (MAX_LENGTH // 10), "", None),
    ],
    ids=["semicolon", "two lines", "nothing behind", "brackets"],
)
def test_long_texts_of_little_are_read_at_once(text, sql, reason):
    """A pattern that tries each blank anew takes the square of their number: minutes."""
    assert extract(text) == sql
    assert reason is None or reason in check_select(text)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM t WHERE day > date('now', '-7 days')", True),
        ("SELECT strftime('%Y', \"now\")", True),
        ("SELECT current_timestamp", True),
        ("SELECT datetime ( ) FROM t", True),
        ("SELECT CAST(strftime('%Y') AS INT) - born FROM t", True),
        ("SELECT max(date(\"now\", 'start of month')) FROM t", True),
        ("SELECT date(day) FROM t WHERE status = 'then'", False),
        ("SELECT status = 'now', date FROM t", False),
        ("SELECT [date]('now'), 1", True),
        ("SELECT date(day), strftime('%Y', day) FROM t WHERE status = 'now'", False),
        ("SELECT 'current_date', \"time\" FROM t -- date('now')", False),
    ],
)
def test_whether_a_result_depends_on_the_time(sql, expected):
    assert reads_clock(sql) is expected
