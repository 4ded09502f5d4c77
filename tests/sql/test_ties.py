"""Ties of ordered golds: queries that hypothesis puts together, where SQLite itself says what ties, and odd ones by hand."""

import re
import sqlite3
from contextlib import closing
from itertools import groupby
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sense import ingest
from sense.config import ExecutionConfig
from sense.evaluation.score import ScoringItem, score
from sense.sql.database_file import DatabaseFile
from sense.sql.execute import Executor
from sense.sql.judge import GoldCache, judge
from sense.sql.modes import make_batch
from sense.sql.order import read_ordering
from sense.sql.result import Result
from sense.sql.sandbox import Limits, Sandbox
from sense.sql.ties import TiedResult, fetch_tied
from tests.sql.test_compare_properties import query_of

SPIDER = Path(__file__).parents[3] / "shared" / "spider"
LIMITS = Limits(timeout_s=30, max_rows=1000, max_bytes=1_000_000, max_steps=10_000_000, max_sql=100_000)
SCHEMA = """
CREATE TABLE t(id TEXT, n, r REAL, s TEXT, c TEXT COLLATE NOCASE, d TEXT COLLATE RTRIM);
CREATE TABLE empty(n);
"""

ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, 0, 1, 1.0, 2, -1, "1", "a", b"a", 2**53, 2**53 + 1]),
        st.sampled_from([None, 0.0, -0.0, 0.5, 1.0, 1e300, float("inf")]),
        st.sampled_from([None, "", "a", "A", "a ", "b", "é", "É", "10", "9"]),
        st.sampled_from([None, "a", "A", "b", "B ", "é", "É"]),
        st.sampled_from([None, "a", "a ", "A", "b  "]),
    ),
    max_size=9,
)
# A term of ORDER BY for the columns of all generated queries, and the same for a window, which knows no alias and no position.
KEYS = st.sampled_from(
    [
        *[(key, key) for key in ("n", "t.r", '"s"', "[c]", "(s)", "n + 1", "s || c", "lower(s)", "c || ''", "+c", "-r", "NULL")],
        *[(key, key) for key in ("s COLLATE NOCASE", "c COLLATE BINARY", "(s COLLATE RTRIM)", "abs(n) % 2", "typeof(n)", "'s'")],
        *[(key, key) for key in ("CASE WHEN n > 0 THEN s ELSE c END", "n IN (1, 2)", "s IS DISTINCT FROM 'a'", "n IS NULL")],
        *[
            (key, key)
            for key in ("(SELECT count(*) FROM t AS u WHERE u.s = t.s)", "coalesce(n, r, 0)", "s LIKE 'a%'", "length(s)")
        ],
        *[("2", "s"), ("(2)", "s"), ("+2", "s"), ("0x2", "s"), ("2 COLLATE NOCASE", "s COLLATE NOCASE"), ("3", "c"), ("4", "n")],
        *[("w", "n"), ('"W"', "n"), ("(w)", "n"), ("[w] COLLATE NOCASE", "n COLLATE NOCASE"), ("w || ''", "n || ''")],
        *[('-("w")', "-n"), ("d", "r"), ("d + 1", "d + 1"), ("lower([d])", "lower(d)"), ("t.d", "t.d")],
    ]
)
DIRECTIONS = st.sampled_from(["", " ASC", " desc", " NULLS FIRST", " DESC NULLS LAST", " -- a comment\n", " /* , */"])
COLUMNS = "id, s, c, n AS w, r AS d"
SOURCES = st.sampled_from(["t", "(SELECT * FROM t)", "t LEFT JOIN empty USING (n)"])
LIMIT = st.sampled_from(
    ["", "", "LIMIT 0", "LIMIT 1", "LIMIT 3", "LIMIT 2 OFFSET 1", "LIMIT 1, 3", "LIMIT -1 OFFSET 2", "limit 4 offset 7"]
)

quick = settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
draws = st.randoms(use_true_random=False)


class Shop:
    """A database that is filled again for each example, and a judge of golds and predictions on it."""

    def __init__(self, path):
        self.path, self.file = path, DatabaseFile.from_path(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(SCHEMA)

    def fill(self, rows):
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("DELETE FROM t")
            connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", [(f"#{i}", *row) for i, row in enumerate(rows)])
            connection.commit()

    def execute(self, sql):
        with closing(sqlite3.connect(self.path)) as connection:
            cursor = connection.execute(sql)
            return Result(tuple(column[0] for column in cursor.description), cursor.fetchall())

    def judge(self, predicted, gold, mode="strict@2"):
        sandbox = Sandbox(LIMITS)
        (verdict,) = judge(sandbox, GoldCache(sandbox), make_batch(mode, (self.file,), gold, [predicted]), lambda *_: None)
        return verdict

    def fetch(self, gold) -> TiedResult:
        sandbox = Sandbox(LIMITS)
        ordering = read_ordering(gold)
        assert ordering is not None
        tied = fetch_tied(lambda sql, consume: sandbox.run(self.file, sql, consume, "strict"), gold, ordering)
        assert isinstance(tied, TiedResult), tied
        return tied


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("ties") / "t.sqlite")


@st.composite
def golds(draw):
    """A gold, its LIMIT, and the same rows without LIMIT, the number of its group before each row."""
    terms = draw(st.lists(st.tuples(KEYS, DIRECTIONS), min_size=1, max_size=3))
    source, limit = draw(SOURCES), draw(LIMIT)
    order = ", ".join(key + direction for (key, _), direction in terms)
    window = ", ".join(key + direction for (_, key), direction in terms)
    ranked = f"SELECT dense_rank() OVER (ORDER BY {window}\n) AS g, {COLUMNS} FROM {source} AS t ORDER BY 1"
    if "JOIN" in source:
        ranked = ranked.replace(" AS t ORDER", " ORDER")
        return f"SELECT {COLUMNS} FROM {source} ORDER BY {order} {limit}", limit, ranked
    return f"SELECT {COLUMNS} FROM {source} AS t ORDER BY {order} {limit}", limit, ranked


def bounds(limit, count):
    """The rows that a LIMIT of LIMIT leaves."""
    numbers = [int(word) for word in limit.lower().replace(",", " ").split() if word.lstrip("-").isdigit()]
    if "," in limit:
        numbers.reverse()
    length, start = (*numbers, 0)[:2] if numbers else (-1, 0)
    return min(start, count), count if length < 0 else min(start + length, count)


@quick
@given(ROWS, golds(), draws)
def test_rows_that_tie_may_come_in_any_order_and_at_a_limit_any_of_them(shop, rows, gold, draw):
    shop.fill(rows)
    sql, limit, ranked = gold
    groups = [list(group) for _, group in groupby(shop.execute(ranked).rows, key=lambda row: row[0])]
    shuffled = [row[1:] for group in groups for row in draw.sample(group, len(group))]
    start, stop = bounds(limit, len(shuffled))
    predicted = Result(tuple("abcde"), shuffled[start:stop])
    verdict = shop.judge(query_of(predicted), sql)
    assert (verdict.verdict, verdict.detail) == ("match", ""), (sql, predicted)
    assert shop.judge(sql, sql).correct


@quick
@given(ROWS, golds(), draws)
def test_rows_that_do_not_tie_may_not_change_places(shop, rows, gold, draw):
    """Each row has an id of its own, which no other column can be taken for."""
    shop.fill(rows)
    sql, limit, ranked = gold
    ranked_rows = shop.execute(ranked).rows
    start, stop = bounds(limit, len(ranked_rows))
    apart = [(i, j) for i in range(start, stop) for j in range(len(ranked_rows)) if ranked_rows[i][0] != ranked_rows[j][0]]
    if not apart:
        return
    i, j = draw.choice(apart)
    swapped = [row[1:] for row in ranked_rows]
    swapped[i], swapped[j] = swapped[j], swapped[i]
    verdict = shop.judge(query_of(Result(tuple("abcde"), swapped[start:stop])), sql)
    assert verdict.verdict == "mismatch", (sql, swapped)
    assert verdict.kind == ("order" if start <= j < stop and not shop.fetch(sql).pool[stop - start :] else verdict.kind)


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.is_dir(), reason="Spider is not beside this checkout")
def test_any_order_of_ties_is_right_on_spiders_golds(tmp_path):
    """A last key random() makes SQLite give any of the right answers."""
    source = ingest.read_seeds(SPIDER)
    ordered = [row for row in source.seed if read_ordering(row.sql) and "DISTINCT" not in row.sql.upper()]
    items = []
    for number, row in enumerate(Random(0).sample(ordered, 300)):
        database = tmp_path / row.db_id / f"{row.db_id}.sqlite"
        if not database.is_file():
            source.write_database(row.db_id, database.parent)
        head, by, keys = re.split(r"(?i)(\border +by\b)(?!.*\border +by\b)", row.sql)
        keys = re.sub(r"(?i)(\blimit\b.*)?$", r", random() \1", keys, count=1)
        items.append(ScoringItem(str(number), database, head + by + keys, row.sql))
    with Executor(ExecutionConfig(workers=2)) as executor:
        verdicts = score(executor, items, "test")
    assert [(item.gold, verdict) for item, verdict in zip(items, verdicts, strict=True) if not verdict.correct] == []


@quick
@given(ROWS, golds())
def test_the_result_is_that_of_the_gold(shop, rows, gold):
    shop.fill(rows)
    sql, _, _ = gold
    tied, plain = shop.fetch(sql), shop.execute(sql)
    assert tied.problem == ""
    assert tied.result.columns == plain.columns
    assert tied.pool[tied.start :][: len(tied.result.rows)] == tied.result.rows
    assert len(tied.result.rows) == len(plain.rows)
    assert len(tied.groups) == len(tied.pool)
    assert tied.groups == sorted(tied.groups)


@quick
@given(ROWS, golds(), draws)
def test_what_strict_1_calls_right_is_right(shop, rows, gold, draw):
    shop.fill(rows)
    sql, _, _ = gold
    result = shop.execute(sql)
    shuffled = query_of(Result(result.columns, draw.sample(result.rows, len(result.rows))))
    assert not shop.judge(shuffled, sql, "strict@1").correct or shop.judge(shuffled, sql).correct


# Golds of other shapes: the rows of `pool`, grouped, each as its first column.
SHAPES = [
    # grouped, with keys that are aggregates, aliases of them, or bare columns
    ("SELECT s FROM t GROUP BY s ORDER BY count(*) DESC", ["a", "b|c"]),
    ("SELECT s, count(*) AS n FROM t GROUP BY s ORDER BY n DESC, s", ["a", "b", "c"]),
    ("SELECT s, count(*) AS k FROM t GROUP BY s ORDER BY k * 2 DESC", ["a", "b|c"]),
    ('SELECT s, count(*) AS "k k" FROM t GROUP BY s ORDER BY "k k" + 0 DESC', ["a", "b|c"]),
    ("SELECT s FROM t GROUP BY s HAVING count(*) < 2 ORDER BY sum(n) / count(*) LIMIT 1", ["b|c"]),
    ("SELECT s, max(n) FROM t GROUP BY s ORDER BY r", ["b|c", "a"]),
    # windows
    ("SELECT id FROM t ORDER BY row_number() OVER (ORDER BY s) % 2, s", ["#1", "#3", "#0", "#2"]),
    ("SELECT id, rank() OVER w AS k FROM t WINDOW w AS (ORDER BY s) ORDER BY k", ["#0|#1", "#2", "#3"]),
    # DISTINCT: keys that are columns, keys that follow from the columns, keys that do not
    ("SELECT DISTINCT s FROM t ORDER BY s DESC", ["c", "b", "a"]),
    ("SELECT DISTINCT s FROM t ORDER BY length(s)", ["a|b|c"]),
    ("SELECT DISTINCT s FROM t ORDER BY r > 0", ["b|c", "a"]),
    ("SELECT DISTINCT s FROM t ORDER BY r LIMIT 1", ["b|c"]),
    ("SELECT DISTINCT c FROM t ORDER BY n", "a row of its SELECT DISTINCT has several values of a sort key"),
    # set operations
    ("SELECT s FROM t WHERE n = 1 UNION SELECT c FROM t ORDER BY s COLLATE NOCASE DESC", ["x", "c", "B|b", "a"]),
    ("SELECT id, n AS k FROM t UNION ALL SELECT 'new', 1 ORDER BY k DESC", ["#1", "#0|#2|#3|new"]),
    ("SELECT id, n FROM t UNION ALL SELECT 'new', 1 ORDER BY 2 DESC LIMIT 2", ["#1", "#0|#2|#3|new"]),
    ("SELECT t.id, t.n + 1 FROM t EXCEPT SELECT '#2', 2 ORDER BY n + 1", ["#0|#3", "#1"]),
    ("SELECT * FROM t INTERSECT SELECT * FROM t ORDER BY n DESC", ["#1", "#0|#2|#3"]),
    ("SELECT id, s FROM t UNION SELECT id, c AS k FROM t WHERE 0 ORDER BY k", ["#0|#1", "#2", "#3"]),
    # stars, joins, views of the same name, hidden rowid
    ("SELECT * FROM t ORDER BY n", ["#0|#2|#3", "#1"]),
    ("SELECT * FROM t ORDER BY 2", ["#0|#2|#3", "#1"]),
    ("SELECT t.*, n * 2 AS s FROM t ORDER BY s", ["#0|#1", "#2", "#3"]),
    ("SELECT n * 2 AS s, * FROM t ORDER BY s", ["2|2|2", "4"]),
    ("SELECT *, n * 2 AS k FROM t ORDER BY k", ["#0|#2|#3", "#1"]),
    ('SELECT *, n * 2 AS k FROM t ORDER BY "K" COLLATE NOCASE', ["#0|#2|#3", "#1"]),
    ("SELECT *, n * 2 AS k FROM t ORDER BY k + 1", ["#0|#2|#3", "#1"]),
    ("SELECT * FROM t AS a JOIN t AS b ON a.id = b.id ORDER BY n", ["#0|#2|#3", "#1"]),
    ("SELECT b.id, a.* FROM t AS a JOIN (SELECT id, -n AS n FROM t) AS b ON a.id = b.id ORDER BY n", ["#0|#2|#3", "#1"]),
    ("SELECT DISTINCT * FROM t ORDER BY n", ["#0|#2|#3", "#1"]),
    ("VALUES (5, 1) UNION SELECT n, 0 FROM t ORDER BY 2", ["1|2", "5"]),
    ("SELECT * FROM t UNION SELECT * FROM t ORDER BY c", ["#2|#3", "#0|#1"]),
    ("SELECT *, n AS k FROM t UNION SELECT *, n FROM t ORDER BY K DESC", ["#1", "#0|#2|#3"]),
    ("SELECT a.id FROM t AS a JOIN t AS b ON a.id = b.id ORDER BY b.n", ["#0|#2|#3", "#1"]),
    ("SELECT id AS s FROM t ORDER BY upper(s)", ["#0|#1", "#2", "#3"]),
    ("SELECT id FROM t ORDER BY rowid", ["#0", "#1", "#2", "#3"]),
    # subqueries, common tables, texts that look like clauses
    ("SELECT id FROM (SELECT * FROM t ORDER BY s LIMIT 3) ORDER BY n", ["#0|#2", "#1"]),
    ("WITH u AS (SELECT id, n FROM t ORDER BY id LIMIT 3) SELECT id FROM u ORDER BY n", ["#0|#2", "#1"]),
    (
        "WITH RECURSIVE k(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM k WHERE i < 4) SELECT i FROM k ORDER BY i % 2",
        ["2|4", "1|3"],
    ),
    ("SELECT id, ' FROM ORDER BY LIMIT ' FROM t -- , ORDER BY n\nORDER /* LIMIT */ BY n", ["#0|#2|#3", "#1"]),
    ("SELECT id, n IS NOT DISTINCT FROM 1 FROM t ORDER BY n IS NOT DISTINCT FROM 1", ["#1", "#0|#2|#3"]),
    ("SELECT CASE WHEN n > 1 THEN id ELSE id END FROM t ORDER BY n", ["#0|#2|#3", "#1"]),
    # the same numbers added in another order tie, integers that differ by one do not
    ("SELECT column1 FROM (VALUES ('a', 0.1 + 0.2 + 0.3), ('b', 0.3 + 0.2 + 0.1), ('c', 0.7)) ORDER BY column2", ["a|b", "c"]),
    ("SELECT column1 FROM (VALUES ('a', 9007199254740992), ('b', 9007199254740993)) ORDER BY column2", ["a", "b"]),
    # keys that sort nothing
    ("SELECT id FROM t ORDER BY random()", ["#0|#1|#2|#3"]),
    ("SELECT id FROM t ORDER BY n, random(), s", ["#0|#2|#3", "#1"]),
    ("SELECT id FROM t ORDER BY random() LIMIT 2", ["#0|#1|#2|#3"]),
    ("SELECT id FROM t ORDER BY NULL", ["#0|#1|#2|#3"]),
    ("SELECT count(*) FROM t ORDER BY 1", ["4"]),
    ("SELECT id FROM t WHERE 0 ORDER BY n", []),
    # a LIMIT that is no number leaves its edges as they are
    ("SELECT id FROM t ORDER BY n LIMIT 1 + 1", "rows behind its LIMIT cannot be read: it is no number"),
]


@pytest.mark.parametrize(("gold", "expected"), SHAPES, ids=[gold for gold, _ in SHAPES])
def test_ties_of_golds_of_every_shape(tmp_path, gold, expected):
    shop = Shop(tmp_path / "t.sqlite")
    shop.fill([(1, 1.0, "a", "x", ""), (2, 1.0, "a", "x", ""), (1, 0.0, "b", "B", ""), (1, 0.0, "c", "B", "")])
    tied = shop.fetch(gold)
    if isinstance(expected, str):
        assert tied.problem == expected
        return
    pairs = zip(tied.groups, tied.pool, strict=True)
    actual = ["|".join(sorted(str(row[0]) for _, row in group)) for _, group in groupby(pairs, key=lambda pair: pair[0])]
    assert (tied.problem, actual) == ("", expected)
