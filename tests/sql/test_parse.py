import pytest

from sense.sql.parse import CLOSING_QUOTES, MAX_LENGTH, check_select, tidy, tokens, varies_between_runs


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
    ("text", "reason"),
    [(f"SELECT{BLANKS};x", "several statements"), (f"SELECT{BLANKS}\n1", None)],
    ids=["semicolon", "two lines"],
)
def test_long_texts_of_little_are_read_at_once(text, reason):
    """A pattern that tries each blank anew takes the square of their number: minutes."""
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
        ("SELECT name FROM t ORDER BY random()", True),
        ("SELECT abs(RANDOM ( /* draw */ ) % 6) FROM t", True),
        ('SELECT hex("randomblob"(4))', True),
        ("SELECT random, 'random()' FROM t -- random()", False),
        ("WITH random(n) AS (SELECT 1) SELECT n FROM random", False),
    ],
)
def test_whether_a_result_depends_on_the_time_or_on_chance(sql, expected):
    assert varies_between_runs(sql) is expected


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM t;",
        "SELECT a FROM t ;; ; ",
        "\ufeffSELECT a FROM t",
        "\ufeff\n ;SELECT a FROM t\u00a0",
        "SELECT a FROM t -- all of them",
        "SELECT a FROM t; -- by hand; twice",
        "/* first */ -- one\nSELECT a FROM t /* last */ ; /* open",
        "SELECT a FROM t; --",
    ],
)
def test_what_stands_around_a_statement_is_left_out(text):
    assert tidy(text) == "SELECT a FROM t"
    assert tidy(tidy(text)) == tidy(text)


@pytest.mark.parametrize(
    "text",
    ["SELECT '--', \"/*\"", "SELECT 1 -- one\n+ 1", "SELECT ';'", "SELECT 1; SELECT 2", "SELECT '\ufeff'", "", "SELECT ';--"],
)
def test_what_stands_within_a_statement_stays(text):
    assert tidy(text) == text


def test_a_text_of_nothing_else_becomes_empty():
    assert [tidy(text) for text in (" ", ";;", "\ufeff", "-- SELECT 1", "/**/;--")] == [""] * 5


def test_every_quote_runs_to_the_one_that_closes_it():
    for opening, closing in CLOSING_QUOTES.items():
        [quoted, space, word] = tokens(f"{opening}a b{closing} c")
        assert (quoted.kind, quoted.text) == ("quoted", f"{opening}a b{closing}")
        assert (space.text, word.text) == (" ", "c")
