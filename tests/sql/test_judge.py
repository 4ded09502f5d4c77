"""The modes' verdicts, in process: what the workers do with a gold and predictions."""

import sqlite3
from contextlib import closing

import pytest

from sense.sql.database_file import DatabaseFile
from sense.sql.judge import GoldCache, judge
from sense.sql.modes import MODES, databases, make_batch
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
    correct = [verdict_on(database, mode, predicted, gold).correct for mode in ("strict@2", "spider-exec@1", "bird-ex@1")]
    assert correct == [strict, spider, bird]


def test_bird_wants_texts_that_are_utf8(database):
    verdict = verdict_on(database, "bird-ex@1", "SELECT s FROM latin", "SELECT 'a'")
    assert (verdict.verdict, verdict.detail[:23]) == ("error", "Could not decode to UTF")
    verdict = verdict_on(database, "bird-ex@1", "SELECT 'a'", "SELECT s FROM latin")
    assert (verdict.verdict, verdict.detail[:36]) == ("gold_error", "gold: error: Could not decode to UTF")


def test_strict_tells_texts_apart_by_their_bytes(database):
    assert not verdict_on(database, "strict@2", "SELECT CAST(x'61e8' AS TEXT)", "SELECT s FROM latin WHERE rowid = 1").correct
    assert verdict_on(database, "strict@2", "SELECT CAST(x'61e9' AS TEXT)", "SELECT s FROM latin WHERE rowid = 1").correct


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
    assert details == [("gold_error", "gold: other.sqlite: error: no such table: latin")] * 2


@pytest.fixture
def suite(tmp_path):
    """The files of a folder with a main database and two further ones; in the last, `s` is missing."""
    folder = tmp_path / "pets"
    folder.mkdir()
    for name, script in (
        ("pets", "CREATE TABLE t(i INTEGER, s TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')"),
        ("suite_01", "CREATE TABLE t(i INTEGER, s TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'b')"),
        ("a_broken_one", "CREATE TABLE t(i INTEGER); INSERT INTO t VALUES (1), (2)"),
    ):
        with closing(sqlite3.connect(folder / f"{name}.sqlite")) as connection:
            connection.executescript(script)
    return folder / "pets.sqlite"


def suite_verdicts(mode, main, gold, predictions):
    sandbox = Sandbox(LIMITS)
    files = tuple(map(DatabaseFile.from_path, databases(mode, main)))
    return list(judge(sandbox, GoldCache(sandbox), make_batch(mode, files, gold, predictions, str(main)), lambda *_: None))


def test_a_verdict_names_the_further_database_on_which_a_prediction_is_wrong(suite):
    predictions = ["SELECT count(*) FROM t WHERE s = 'b'", "SELECT 1", "SELECT 2", "SELECT nme FROM t"]
    verdicts = suite_verdicts("strict-ts@1", suite, "SELECT count(*) FROM t WHERE s > 'a'", predictions)
    assert [(v.correct, v.verdict, v.instance, v.left_out) for v in verdicts] == [
        (True, "match", "", 1),
        (False, "mismatch", "suite_01.sqlite", 1),  # on the third database the gold fails, which is no prediction's mistake
        (False, "mismatch", "", 1),
        (False, "error", "", 1),
    ]


def test_what_is_right_on_the_main_database_does_not_depend_on_the_order_of_files(suite):
    """Spider's files are judged in the order of their names, in which another one comes first."""
    predictions = ["SELECT i FROM t", "SELECT i FROM t WHERE i < 3", "SELECT i FROM t WHERE i < 2", "SELECT s FROM t"]
    verdicts = suite_verdicts("spider-exec@1", suite, "SELECT i FROM t", predictions)
    assert [(v.correct, v.instance) for v in verdicts] == [(True, ""), (False, "suite_01.sqlite"), (False, ""), (False, "")]
    verdicts = suite_verdicts(
        "spider-exec@1", suite, "SELECT i FROM t", ["SELECT i FROM t UNION SELECT length(s) FROM t LIMIT 2"]
    )
    assert [(v.verdict, v.instance) for v in verdicts] == [("error", "a_broken_one.sqlite")]


def test_a_gold_that_fails_on_the_main_database_is_an_error(suite):
    (verdict,) = suite_verdicts("strict-ts@1", suite, "SELECT nme FROM t", ["SELECT 1"])
    assert (verdict.verdict, verdict.left_out) == ("gold_error", 0)


def test_a_gold_is_executed_once_and_again_after_its_database_was_replaced(database, tmp_path):
    path = tmp_path / "t.sqlite"
    path.write_bytes(database.read_bytes())
    sandbox = Sandbox(LIMITS)
    golds = GoldCache(sandbox)
    one = golds.get(DatabaseFile.from_path(path), "SELECT count(*) FROM t", "strict", None, lambda: None)
    assert golds.get(DatabaseFile.from_path(path), "SELECT count(*) FROM t", "strict", None, lambda: None) is one
    fresh = tmp_path / "fresh.sqlite"
    with closing(sqlite3.connect(fresh)) as connection:
        connection.executescript("CREATE TABLE t(i)")
    fresh.replace(path)
    assert golds.get(DatabaseFile.from_path(path), "SELECT count(*) FROM t", "strict", None, lambda: None).rows == [(0,)]


def test_each_statement_and_comparison_is_announced_before_it_begins(database):
    announced = []
    sandbox = Sandbox(LIMITS)
    batch = make_batch("strict@2", (DatabaseFile.from_path(database),), "SELECT 1", ["SELECT 1", "DROP TABLE t", "SELECT nme"])
    verdicts = list(judge(sandbox, GoldCache(sandbox), batch, lambda *activity: announced.append(activity)))
    assert [verdict.verdict for verdict in verdicts] == ["match", "rejected", "error"]
    assert announced == [(-1, False), (0, False), (0, True), (2, False)]


@pytest.mark.parametrize(
    "around", ["{};", "{};;", "\ufeff{}", "{} -- all", "{}; -- by hand", "/* 7 */ {} ;\n; /* end", "\ufeff -- 7\n{}"]
)
@pytest.mark.parametrize(
    ("predicted", "gold"),
    [
        ("SELECT s FROM t", "SELECT s FROM t"),
        ("SELECT s FROM t ORDER BY r, s", "SELECT s FROM t ORDER BY i"),
        ("SELECT s FROM t ORDER BY i DESC LIMIT 1", "SELECT s FROM t ORDER BY i LIMIT 1"),
        ("SELECT i, '--' FROM t", "SELECT s FROM t"),
        ("DELETE FROM t", "SELECT s FROM t"),
        ("SELECT s FROM t", "SELECT nme FROM t"),
    ],
)
def test_what_stands_around_a_gold_or_a_prediction_changes_nothing(database, around, predicted, gold):
    expected = verdict_on(database, "strict@2", predicted, gold)
    for texts in (
        (around.format(predicted), gold),
        (predicted, around.format(gold)),
        (around.format(predicted), around.format(gold)),
    ):
        assert verdict_on(database, "strict@2", *texts) == expected


def test_published_verdicts_stay(database):
    """strict@1 neither tidies nor knows of keys that are not in the result."""
    for predicted, gold, expected in (
        ("SELECT s FROM t", "SELECT s FROM t;;", "gold_error"),
        ("\ufeffSELECT s FROM t", "SELECT s FROM t", "rejected"),
        ("SELECT rowid FROM t ORDER BY i, rowid DESC", "SELECT rowid FROM t ORDER BY i", "mismatch"),
        ("SELECT rowid, i FROM t ORDER BY i, rowid DESC", "SELECT rowid, i FROM t ORDER BY i", "match"),
        ("SELECT rowid FROM t WHERE i = 10 AND rowid = 3", "SELECT rowid FROM t ORDER BY i DESC LIMIT 1", "mismatch"),
    ):
        assert verdict_on(database, "strict@1", predicted, gold).verdict == expected
        assert verdict_on(database, "strict@2", predicted, gold).verdict == "match"


NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n"


@pytest.mark.parametrize(
    ("gold", "problem"),
    [
        (f"{NUMBERS.format(2000)} ORDER BY 1 > 0 LIMIT 3", "rows behind its LIMIT cannot be read: more than 1,000 rows"),
        ("SELECT i FROM t ORDER BY i LIMIT 1 + 1", "rows behind its LIMIT cannot be read: it is no number"),
        ("SELECT DISTINCT i FROM t ORDER BY rowid", "a row of its SELECT DISTINCT has several values of a sort key"),
    ],
)
def test_a_verdict_says_where_ties_are_not_known(database, gold, problem):
    assert verdict_on(database, "strict@2", gold, gold)[:3] == (True, "match", "")
    other = f"SELECT i + 1 FROM ({gold})"
    assert verdict_on(database, "strict@2", other, gold).detail == f"values (the gold's ties are not known: {problem})"
    assert verdict_on(database, "strict@2", "SELECT 1, 2", gold).detail == "columns (2 against 1)"


def test_a_gold_that_reaches_a_limit_is_not_tried_again(database):
    """Each try would take all of the time that a query may take."""
    executions = []
    sandbox = Sandbox(LIMITS)
    run = sandbox.run
    sandbox.run = lambda file, sql, *rest: executions.append(sql) or run(file, sql, *rest)
    for gold, tries in ((f"{NUMBERS.format(10**9)} ORDER BY i % 7", 1), (f"{NUMBERS.format(10**9)} ORDER BY i % 7 LIMIT 1", 2)):
        executions.clear()
        (verdict,) = judge(
            sandbox,
            GoldCache(sandbox),
            make_batch("strict@2", (DatabaseFile.from_path(database),), gold, ["SELECT 1"]),
            lambda *_: None,
        )
        assert (verdict.verdict, verdict.limit, len(executions)) == ("gold_error", "steps", tries)


@pytest.mark.parametrize("gold", ["", " ;", "-- SELECT 1"])
@pytest.mark.parametrize("mode", MODES)
def test_a_gold_without_a_statement_has_failed(database, mode, gold):
    for predicted in ("SELECT 1 WHERE 0", gold):
        verdict = verdict_on(database, mode, predicted, gold)
        assert (verdict.correct, verdict.verdict, verdict.detail) == (
            False,
            "gold_error",
            "gold: rejected: not a SELECT: it has no result",
        )


def test_a_verdict_does_not_depend_on_the_folder(tmp_path):
    verdicts = []
    for folder in (tmp_path / "one", tmp_path / "another"):
        folder.mkdir()
        (folder / "t.sqlite").write_text("this is no database, whatever its name says; " * 20)
        verdicts.append(verdict_on(folder / "t.sqlite", "strict@2", "SELECT 1", "SELECT 1"))
    assert verdicts[0] == verdicts[1]
    assert verdicts[0].detail.startswith("gold: error: t.sqlite: not a readable SQLite database")
