"""The modes' verdicts, in process: what the workers do with a gold and predictions."""

import sqlite3
from contextlib import closing

import pytest

from sense.sql.database_file import DatabaseFile
from sense.sql.judge import GoldCache, judge
from sense.sql.modes import make_batch
from sense.sql.sandbox import Limits, Sandbox

LIMITS = Limits(timeout_s=5, max_rows=1000, max_bytes=100_000, max_steps=10_000_000, max_sql=100_000)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("judge") / "t.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE t(i INTEGER, r REAL, s TEXT); INSERT INTO t VALUES (1, 1.0, 'a'), (10, 10.0, 'b'), (10, 10.0, 'b');"
            "CREATE TABLE latin(s TEXT); INSERT INTO latin VALUES (CAST(x'61e9' AS TEXT)), ('a')"
        )
    return path


def verdict_on(database, mode, predicted, gold):
    sandbox = Sandbox(LIMITS)
    (verdict,) = judge(
        sandbox, GoldCache(sandbox), make_batch(mode, (DatabaseFile.from_path(database),), gold, [predicted]), lambda *_: None
    )
    return verdict


@pytest.mark.parametrize(
    ("predicted", "gold", "strict", "spider", "bird"),
    [
        ("SELECT s FROM t", "SELECT DISTINCT s FROM t", False, True, True),
        ("SELECT s, i FROM t", "SELECT i, s FROM t", True, True, False),
        ("SELECT r FROM t", "SELECT i FROM t", True, True, True),
        # the quick rejection sorts cells as texts: 1 before 10, but 10 before 1.0
        ("SELECT 1.0, 10", "SELECT 1, 10", True, False, True),
        ("SELECT s FROM t ORDER BY s DESC", "SELECT s FROM t ORDER BY s", False, False, True),
        ("SELECT s FROM t ORDER BY i DESC", "SELECT s FROM (SELECT s FROM t ORDER BY s LIMIT 3)", True, False, True),
        ("SELECT 0.1 + 0.2", "SELECT 0.3", True, False, False),
        ("SELECT 1, 2 WHERE 0", "SELECT 1 WHERE 0", False, True, True),
        ("", "SELECT 1 WHERE 0", False, False, True),
        ("EXPLAIN SELECT 1", "SELECT 1 WHERE 0", False, False, False),
        ("VALUES ('a')", "SELECT 'a'", False, True, True),
        ("SELECT s FROM t; SELECT 1", "SELECT s FROM t", False, True, False),
        ("SELECT s FROM latin WHERE rowid = 1", "SELECT 'a'", False, True, False),
        ("SELECT s FROM latin WHERE rowid = 2", "SELECT 'a'", True, True, True),
    ],
)
def test_where_the_modes_differ(database, predicted, gold, strict, spider, bird):
    correct = [verdict_on(database, mode, predicted, gold).correct for mode in ("strict@1", "spider-exec@1", "bird-ex@1")]
    assert correct == [strict, spider, bird]


def test_bird_wants_texts_that_are_utf8(database):
    verdict = verdict_on(database, "bird-ex@1", "SELECT s FROM latin", "SELECT 'a'")
    assert (verdict.verdict, verdict.detail[:23]) == ("error", "Could not decode to UTF")
    verdict = verdict_on(database, "bird-ex@1", "SELECT 'a'", "SELECT s FROM latin")
    assert (verdict.verdict, verdict.detail[:36]) == ("gold_error", "gold: error: Could not decode to UTF")


def test_strict_tells_texts_apart_by_their_bytes(database):
    assert not verdict_on(database, "strict@1", "SELECT CAST(x'61e8' AS TEXT)", "SELECT s FROM latin WHERE rowid = 1").correct
    assert verdict_on(database, "strict@1", "SELECT CAST(x'61e9' AS TEXT)", "SELECT s FROM latin WHERE rowid = 1").correct


@pytest.mark.parametrize(
    ("predicted", "gold", "score"),
    [
        ("SELECT 1", "SELECT 1", 1.0),
        ("SELECT 1 WHERE 0", "SELECT 1 WHERE 0", 1.0),
        ("SELECT 2", "SELECT 1", 0.0),
        # one cell of two in common: hits 1/2, extra 1/2, missed 1/2
        ("SELECT 1, 3", "SELECT 1, 2", 0.5),
        # the first rows agree, a second row too many: precision 1/2, recall 1
        ("SELECT 1 UNION ALL SELECT 2", "SELECT 1", 2 / 3),
        ("SELECT 1", "SELECT 1 UNION ALL SELECT 2", 2 / 3),
        ("SELECT 1 UNION ALL SELECT 1", "SELECT 1", 1.0),
        ("SELECT nme FROM t", "SELECT 1", 0.0),
        ("SELECT 2, 1", "SELECT 1, 2", 1.0),
    ],
)
def test_soft_f1(database, predicted, gold, score):
    verdict = verdict_on(database, "bird-f1@1", predicted, gold)
    assert verdict.score == pytest.approx(score)
    assert verdict.correct is (score == 1)


def test_rves_rewards_what_is_right(database):
    assert verdict_on(database, "bird-rves@1", "SELECT s FROM t", "SELECT s FROM t").score in (0.25, 0.5, 0.75, 1.0, 1.25)
    assert verdict_on(database, "bird-rves@1", "SELECT i FROM t", "SELECT s FROM t").score == 0
    assert verdict_on(database, "bird-rves@1", "SELECT nme FROM t", "SELECT s FROM t").score == 0
    assert verdict_on(database, "bird-rves@1", "SELECT s FROM t", "SELECT nme FROM t").score is None


def test_every_database_of_a_suite_decides(database, tmp_path):
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as connection:
        connection.executescript("CREATE TABLE t(i INTEGER, r REAL, s TEXT); INSERT INTO t VALUES (2, 2, 'b'), (3, 3, 'c')")
    sandbox = Sandbox(LIMITS)
    files = (DatabaseFile.from_path(database), DatabaseFile.from_path(other))
    predictions = ["SELECT count(*) FROM t WHERE i > 1", "SELECT 2", "SELECT i FROM nowhere"]
    batch = make_batch("spider-exec@1", files, "SELECT count(*) FROM t WHERE s > 'a'", predictions)
    assert [(r.correct, r.verdict) for r in judge(sandbox, GoldCache(sandbox), batch, lambda *_: None)] == [
        (True, "match"),
        (True, "match"),
        (False, "error"),
    ]
    batch = make_batch("spider-exec@1", files, "SELECT s FROM latin", ["SELECT 1", ""])
    details = [(r.verdict, r.detail) for r in judge(sandbox, GoldCache(sandbox), batch, lambda *_: None)]
    assert details == [("gold_error", f"gold: {other}: error: no such table: latin")] * 2


def test_a_gold_is_executed_once_and_again_after_its_database_was_replaced(database, tmp_path):
    path = tmp_path / "t.sqlite"
    path.write_bytes(database.read_bytes())
    sandbox = Sandbox(LIMITS)
    golds = GoldCache(sandbox)
    one = golds.get(DatabaseFile.from_path(path), "SELECT count(*) FROM t", "strict")
    assert golds.get(DatabaseFile.from_path(path), "SELECT count(*) FROM t", "strict") is one
    fresh = tmp_path / "fresh.sqlite"
    with closing(sqlite3.connect(fresh)) as connection:
        connection.executescript("CREATE TABLE t(i)")
    fresh.replace(path)
    assert golds.get(DatabaseFile.from_path(path), "SELECT count(*) FROM t", "strict").rows == [(0,)]


def test_each_statement_and_comparison_is_announced_before_it_begins(database):
    announced = []
    sandbox = Sandbox(LIMITS)
    batch = make_batch("strict@1", (DatabaseFile.from_path(database),), "SELECT 1", ["SELECT 1", "DROP TABLE t", "SELECT nme"])
    verdicts = list(judge(sandbox, GoldCache(sandbox), batch, lambda *activity: announced.append(activity)))
    assert [verdict.verdict for verdict in verdicts] == ["match", "rejected", "error"]
    assert announced == [(-1, False), (0, False), (0, True), (2, False)]
