"""The modes' rulings, in process: what the workers do with a gold and predictions."""

import sqlite3
from contextlib import closing

import pytest

from sense.sql.execute import place
from sense.sql.judge import Golds, judge
from sense.sql.modes import task
from sense.sql.sandbox import Limits
from sense.sql.statement import Session

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


def rule(database, mode, predicted, gold):
    session = Session(LIMITS)
    (ruling,) = judge(session, Golds(session), task(mode, (place(database),), gold, [predicted]), lambda *_: None)
    return ruling


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
    found = [rule(database, mode, predicted, gold).correct for mode in ("strict@1", "spider-exec@1", "bird-ex@1")]
    assert found == [strict, spider, bird]


def test_bird_wants_texts_that_are_utf8(database):
    ruling = rule(database, "bird-ex@1", "SELECT s FROM latin", "SELECT 'a'")
    assert (ruling.verdict, ruling.detail[:23]) == ("error", "Could not decode to UTF")
    ruling = rule(database, "bird-ex@1", "SELECT 'a'", "SELECT s FROM latin")
    assert (ruling.verdict, ruling.detail[:36]) == ("gold_error", "gold: error: Could not decode to UTF")


def test_strict_tells_texts_apart_by_their_bytes(database):
    assert not rule(database, "strict@1", "SELECT CAST(x'61e8' AS TEXT)", "SELECT s FROM latin WHERE rowid = 1").correct
    assert rule(database, "strict@1", "SELECT CAST(x'61e9' AS TEXT)", "SELECT s FROM latin WHERE rowid = 1").correct


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
    ruling = rule(database, "bird-f1@1", predicted, gold)
    assert ruling.score == pytest.approx(score)
    assert ruling.correct is (score == 1)


def test_rves_rewards_what_is_right(database):
    assert rule(database, "bird-rves@1", "SELECT s FROM t", "SELECT s FROM t").score in (0.25, 0.5, 0.75, 1.0, 1.25)
    assert rule(database, "bird-rves@1", "SELECT i FROM t", "SELECT s FROM t").score == 0
    assert rule(database, "bird-rves@1", "SELECT nme FROM t", "SELECT s FROM t").score == 0
    assert rule(database, "bird-rves@1", "SELECT s FROM t", "SELECT nme FROM t").score is None


def test_every_database_of_a_suite_has_its_say(database, tmp_path):
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as connection:
        connection.executescript("CREATE TABLE t(i INTEGER, r REAL, s TEXT); INSERT INTO t VALUES (2, 2, 'b'), (3, 3, 'c')")
    session = Session(LIMITS)
    places = (place(database), place(other))
    predictions = ["SELECT count(*) FROM t WHERE i > 1", "SELECT 2", "SELECT i FROM nowhere"]
    asked = task("spider-exec@1", places, "SELECT count(*) FROM t WHERE s > 'a'", predictions)
    assert [(r.correct, r.verdict) for r in judge(session, Golds(session), asked, lambda *_: None)] == [
        (True, "match"),
        (True, "match"),
        (False, "error"),
    ]
    asked = task("spider-exec@1", places, "SELECT s FROM latin", ["SELECT 1", ""])
    details = [(r.verdict, r.detail) for r in judge(session, Golds(session), asked, lambda *_: None)]
    assert details == [("gold_error", f"gold: {other}: error: no such table: latin")] * 2


def test_a_gold_is_executed_once_and_again_after_its_database_was_replaced(database, tmp_path):
    path = tmp_path / "t.sqlite"
    path.write_bytes(database.read_bytes())
    session = Session(LIMITS)
    golds = Golds(session)
    one = golds.get(place(path), "SELECT count(*) FROM t", "strict")
    assert golds.get(place(path), "SELECT count(*) FROM t", "strict") is one
    fresh = tmp_path / "fresh.sqlite"
    with closing(sqlite3.connect(fresh)) as connection:
        connection.executescript("CREATE TABLE t(i)")
    fresh.replace(path)
    assert golds.get(place(path), "SELECT count(*) FROM t", "strict").rows == [(0,)]


def test_what_a_worker_is_at_is_told_before_it_begins(database):
    told = []
    session = Session(LIMITS)
    asked = task("strict@1", (place(database),), "SELECT 1", ["SELECT 1", "DROP TABLE t", "SELECT nme"])
    rulings = list(judge(session, Golds(session), asked, lambda *what: told.append(what)))
    assert [ruling.verdict for ruling in rulings] == ["match", "rejected", "error"]
    assert told == [(-1, False), (0, False), (0, True), (2, False)]
