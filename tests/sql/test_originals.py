"""The modes named after other evaluators agree with them: on odd cases by hand, on mutated gold queries by the thousand."""

import math
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from benchmarks.mutations import mutations
from benchmarks.originals import GoldError, StepsExceededError, bird_ex, bird_f1, spider_exec
from sense import ingest
from sense.config import ExecutionConfig
from sense.evaluation.score import ScoringItem, score
from sense.sql.execute import Executor

ROOT = Path(__file__).parents[2]
SPIDER = ROOT.parent / "shared" / "spider"
SPIDER_PAIRS = 1_200
MAX_STEPS = 2_000_000  # for the originals; what takes more is left out
ORIGINALS = {"spider-exec@1": spider_exec, "bird-ex@1": bird_ex, "bird-f1@1": bird_f1}
NOT_RUN = ("PRAGMA", "EXPLAIN")  # the originals run them; here they are rejected


@pytest.fixture(scope="module")
def executor():
    limits = ExecutionConfig(timeout_s=10, max_rows=100_000, max_bytes=50_000_000, max_steps=20_000_000, workers=2)
    with Executor(limits) as running:
        yield running


def items(pairs):
    return [ScoringItem(f"q{number}", *pair) for number, pair in enumerate(pairs)]


def differences(executor, mode, pairs):
    """A line for each of `pairs` (database, predicted, gold) that is judged differently, and how many there are of what kind."""
    lines, kinds = [], Counter()
    for (database, predicted, gold), verdict in zip(pairs, score(executor, items(pairs), "test", mode), strict=True):
        try:
            expected = ORIGINALS[mode](database, predicted, gold, MAX_STEPS)
        except (GoldError, StepsExceededError) as reason:
            kinds[type(reason).__name__] += 1
            continue
        if verdict.limit:
            kinds["limit"] += 1
            continue
        kinds["right" if expected else "wrong"] += 1
        actual = (verdict.score or 0.0) if mode == "bird-f1@1" else verdict.correct
        if not math.isclose(actual, expected, abs_tol=1e-12):  # the order of additions, and how sum() rounds in later Pythons
            why = f"{verdict.verdict} {verdict.kind} {verdict.detail}".strip()
            lines.append(
                f"\n{mode}: the original says {expected}, here {actual} ({why})\n  {predicted!r}\n  {gold!r}\n  {database}"
            )
    return lines, kinds


def mutate_golds(source, folder, count, each):
    """About `count` pairs: `each` mutations of the golds of a source, whose databases are laid into `folder`."""
    rows = [*source.seed, *(source.dev or ())]
    golds = {row.db_id: [other.sql for other in rows if other.db_id == row.db_id] for row in rows}
    random = Random(0)
    pairs = []
    for row in random.sample(rows, min(len(rows), count // each)):
        database = folder / row.db_id / f"{row.db_id}.sqlite"
        if not database.is_file():
            source.write_database(row.db_id, database.parent)
        pairs += [(database, text, row.sql) for text in mutations(row.sql, random, each, golds[row.db_id])]
    return [pair for pair in pairs if not pair[1].startswith(NOT_RUN)]


def assert_agreement(executor, pairs):
    results = {mode: differences(executor, mode, pairs) for mode in ORIGINALS}
    lines = [line for lines, _ in results.values() for line in lines]
    assert not lines, f"{len(lines)} differences in {len(pairs)} pairs{''.join(lines[:20])}"
    for _, kinds in results.values():
        assert kinds["right"] > 0.1 * len(pairs)
        assert kinds["wrong"] > 0.1 * len(pairs)
        assert kinds["GoldError"] < 0.02 * len(pairs)
        assert kinds["StepsExceededError"] + kinds["limit"] < 0.02 * len(pairs)


def test_mutated_golds_of_the_built_in_seeds(executor, tmp_path):
    assert_agreement(executor, mutate_golds(ingest.read_seeds(ROOT / "sense" / "seeds"), tmp_path, 600, 2))


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.is_dir(), reason="Spider is not beside this checkout")
def test_mutated_golds_of_spider(executor, tmp_path):
    assert_agreement(executor, mutate_golds(ingest.read_seeds(SPIDER), tmp_path, SPIDER_PAIRS, 2))


ONE_ONE_TWO = "SELECT column1 FROM (VALUES (1), (1), (2))"
ONE_TWO_TWO = "SELECT column1 FROM (VALUES (1), (2), (2))"
ONE_TWO = "SELECT column1 FROM (VALUES (1), (2))"
NOTHING = "SELECT 1 WHERE 0"
ERROR = None  # of the gold: the original has no verdict, or calls all predictions wrong

# predicted, gold, and what test-suite-sql-eval and BIRD say
CASES = [
    # numbers: Python's equality; but Spider's first look sorts each row by text and type, where "1.0<" comes before "10<",
    # and that before "1<"
    ("SELECT 1.0", "SELECT 1", True, True),
    ("SELECT 1.0, 2", "SELECT 1, 2", True, True),
    ("SELECT 1.0, 10", "SELECT 1, 10", False, True),
    ("SELECT 1.0, '1/'", "SELECT 1, '1/'", False, True),
    ("SELECT 0.1 + 0.2", "SELECT 0.3", False, False),
    ("SELECT -0.0", "SELECT 0", True, True),
    ("SELECT 9e999", "SELECT 9e999", True, True),
    ("SELECT '1'", "SELECT 1", False, False),
    ("SELECT 9007199254740992.0", "SELECT 9007199254740992", True, True),
    ("SELECT 9007199254740992.0", "SELECT 9007199254740993", False, False),
    ("SELECT 9223372036854775807.0", "SELECT 9223372036854775807", False, False),
    ("SELECT 9223372036854775807", "SELECT 9223372036854775807", True, True),
    # NULL, texts, blobs
    ("SELECT NULL", "SELECT NULL", True, True),
    ("SELECT 'None'", "SELECT NULL", False, False),
    ("SELECT NULL, 'None'", "SELECT 'None', NULL", True, False),
    ("SELECT X'6162'", "SELECT X'6162'", True, True),
    ("SELECT 'ab'", "SELECT X'6162'", False, False),
    ("SELECT CAST(X'61FF62' AS TEXT)", "SELECT 'ab'", True, False),
    ("SELECT CAST(X'61FF62' AS TEXT)", "SELECT CAST(X'61FE62' AS TEXT)", True, False),
    ("SELECT 'ab'", "SELECT CAST(X'61FF62' AS TEXT)", True, ERROR),
    ("SELECT 1, CAST(X'FF' AS TEXT)", "SELECT 1", False, False),
    ("SELECT CAST(X'61FF62' AS BLOB)", "SELECT 'ab'", False, False),
    ("SELECT 'a' || char(0) || 'b'", "SELECT 'a'", False, False),
    # rows: a bag against a set
    (ONE_TWO_TWO, ONE_ONE_TWO, False, True),
    (ONE_TWO, ONE_ONE_TWO, False, True),
    (ONE_ONE_TWO, ONE_TWO, False, True),
    (f"{ONE_ONE_TWO} ORDER BY 1 DESC", ONE_ONE_TWO, True, True),
    (ONE_TWO, "SELECT column1 FROM (VALUES (1), (3))", False, False),
    ("SELECT 1", NOTHING, False, False),
    (NOTHING, "SELECT 1", False, False),
    (NOTHING, "SELECT 1, 2 WHERE 0", True, True),
    # DISTINCT goes from both, everywhere, but stays in texts and quoted names
    ("SELECT DISTINCT column1 FROM (VALUES (1), (1), (2))", ONE_ONE_TWO, True, True),
    ("SELECT count(DISTINCT column1) FROM (VALUES (1), (1), (2))", "SELECT 3", True, False),
    ("SELECT count(*) FROM (SELECT DISTINCT column1 FROM (VALUES (1), (1), (2)))", "SELECT 2", False, True),
    ("SELECT 'distinct'", "SELECT 'distinct'", True, True),
    ("SELECT 'distinct'", "SELECT ''", False, False),
    ('SELECT DISTINCT "distinct" FROM (SELECT 1 AS "distinct")', "SELECT 1", True, True),
    ("SELECT [distinct] FROM (SELECT 1 AS `distinct`)", "SELECT 1", True, True),
    # a backslash ends no text in SQLite, but one in sqlparse: this DISTINCT is inside of it
    (r"SELECT '\', count(DISTINCT column1), '' FROM (VALUES (1), (1))", r"SELECT '\', 1, ''", True, True),
    ("SELECT DISTINCT 1 UNION SELECT DISTINCT 1", "SELECT 1", True, True),
    # the order of rows counts where the gold says "order by", anywhere, with one space
    (f"{ONE_TWO} ORDER BY 1 DESC", f"{ONE_TWO} ORDER BY 1", False, True),
    (f"{ONE_TWO} ORDER BY 1", f"{ONE_TWO} order by column1", True, True),
    (f"{ONE_TWO} ORDER BY 1 DESC", f"{ONE_TWO} ORDER  BY 1", True, True),
    (f"{ONE_TWO} ORDER BY 1 DESC", f"{ONE_TWO} ORDER\nBY 1", True, True),
    (f"{ONE_TWO} ORDER BY 1 DESC", f"SELECT * FROM ({ONE_TWO} ORDER BY 1)", False, True),
    (f"{ONE_TWO} ORDER BY 1 DESC", f"{ONE_TWO} WHERE 'Order By' <> ''", False, True),
    (f"{ONE_TWO} ORDER BY 1 DESC", f"{ONE_TWO} /* order by */", False, True),
    (f"{ONE_TWO} ORDER BY 1 DESC", f"{ONE_TWO}; SELECT 1 ORDER BY 1", True, ERROR),
    ("SELECT 2, column1 FROM (VALUES (1), (3))", "SELECT column1, 2 FROM (VALUES (1), (3)) ORDER BY 1", True, False),
    ("SELECT 2, column1 FROM (VALUES (3), (1))", "SELECT column1, 2 FROM (VALUES (1), (3)) ORDER BY 1", False, False),
    # columns: one order of them for all rows
    ("SELECT 4, 3, 2, 1", "SELECT 1, 2, 3, 4", True, False),
    ("SELECT 5, 1, 5, 1, 5", "SELECT 1, 5, 5, 5, 1", True, False),
    ("SELECT 1, 1, 1, 1, 1, 1", "SELECT 1, 1, 1, 1, 1, 1", True, True),
    ("SELECT 1, 1, 1, 1, 2", "SELECT 1, 1, 1, 2, 2", False, False),
    ("SELECT 1, 1, 2", "SELECT 1, 2, 2", False, False),
    ("SELECT 1, 2", "SELECT 1", False, False),
    ("VALUES (1, 2), (4, 3)", "VALUES (1, 2), (3, 4)", False, False),
    ("VALUES (2, 1), (4, 3)", "VALUES (1, 2), (3, 4)", True, False),
    ("VALUES (1, 2, 3, 4), (6, 5, 7, 8)", "VALUES (1, 2, 3, 4), (5, 6, 7, 8)", False, False),
    ("VALUES (1, 2, 2), (2, 1, 1)", "VALUES (1, 2, 1), (2, 1, 2)", True, False),
    # clean-up of the prediction's " value ", and of operators in both, in texts too
    (f"{ONE_TWO} WHERE column1 = value LIMIT 1", "SELECT 1", True, False),
    (f"{ONE_TWO} WHERE column1 = value", "SELECT 1", False, False),
    ("SELECT 'a value b'", "SELECT 'a value b'", False, True),
    ("SELECT 'a value b'", "SELECT 'a 1 b'", True, False),
    (f"{ONE_TWO} WHERE column1 > = 2", "SELECT 2", True, False),
    (f"{ONE_TWO} WHERE column1 < = 1", "SELECT 1", True, False),
    (f"{ONE_TWO} WHERE column1 ! = 1", "SELECT 2", True, False),
    (f"{ONE_TWO} WHERE column1 >  = 2", "SELECT 2", False, False),
    ("SELECT '>='", "SELECT '> ='", True, False),
    ("SELECT 2", f"{ONE_TWO} WHERE column1 > = 2", True, ERROR),
    # this year is 2020; the spaces after it go too
    ("SELECT year ( CURDATE ( ) ) + 1", "SELECT 2021", True, False),
    ("SELECT YEAR(CURDATE()) AS y", "SELECT 2020", False, False),
    ("SELECT 2020", "SELECT YEAR(CURDATE())", True, ERROR),
    ("SELECT 'YEAR(CURDATE()) '", "SELECT '2020'", True, False),
    # statements: the first, of which sqlparse says where it ends; BIRD takes one
    ("SELECT 1;", "SELECT 1", True, True),
    ("SELECT 1 ; -- done", "SELECT 1", True, True),
    ("SELECT 1; SELECT 2", "SELECT 1", True, False),
    ("SELECT 2; SELECT 1", "SELECT 1", False, False),
    ("; SELECT 1", "SELECT 1", False, True),
    ("SELECT ';'", "SELECT ';'", True, True),
    ("SELECT CASE WHEN 1 THEN 1 END; SELECT 2", "SELECT 1", True, False),
    # what is no statement returns nothing; Spider's evaluation ends on an empty line
    ("", NOTHING, False, True),
    (" ", NOTHING, False, True),
    ("", "SELECT 1", False, False),
    (";", NOTHING, True, True),
    ("-- no answer", NOTHING, True, True),
    ("/* no answer */", "SELECT 1", False, False),
    # what is not SELECT, or not SQL
    ("VALUES (1)", "SELECT 1", True, True),
    ("WITH t(a) AS (VALUES (1)) SELECT a FROM t", "SELECT 1", True, True),
    ("EXPLAIN SELECT 1", "SELECT 1", False, False),
    ("PRAGMA table_info(t)", "SELECT 1", False, False),
    ("(SELECT 1)", "SELECT 1", False, False),
    ("SELECT", "SELECT 1", False, False),
    ("SELEC 1", "SELECT 1", False, False),
    ("SELECT missing FROM t", "SELECT 1", False, False),
    ("SELECT 1\0", "SELECT 1", False, False),
    ("SELECT '\ud800'", "SELECT 1", False, False),
    ("I do not know.", "SELECT 1", False, False),
    ("SELECT a FROM t", "SELECT a FROM t", True, True),
    ("SELECT A, B FROM T", "SELECT * FROM t", True, True),
    ("SELECT b, a FROM t", "SELECT * FROM t", True, False),
    ("SELECT 1", "SELECT missing FROM t", ERROR, ERROR),
]

# predicted, gold, Soft F1
SOFT = [
    ("VALUES (1, 'a'), (2, 'b')", "VALUES (1, 'a'), (2, 'b')", 1.0),
    # hits 1 + 1/2, extra 1/2, missing 1/2: precision and recall 3/4
    ("VALUES (1, 'a'), (2, 'c')", "VALUES (1, 'a'), (2, 'b')", 0.75),
    # a row too few: precision 1, recall 2/3; two too many: precision 1/2, recall 1
    ("VALUES (1), (2)", "VALUES (1), (2), (3)", 0.8),
    ("VALUES (1), (2), (3), (4)", "VALUES (1), (2)", 2 / 3),
    # a column too many: hits 1, extra 1; a column too few: hits 1/2, missing 1/2
    ("SELECT 1, 2", "SELECT 1", 2 / 3),
    ("SELECT 1", "SELECT 1, 2", 2 / 3),
    # the column twice: hits 2, nothing extra
    ("SELECT 1, 1", "SELECT 1", 1.0),
    # twice and one too many: hits 2, extra 1, so precision 2/3
    ("SELECT 1, 1, 3", "SELECT 1", 0.8),
    # cells in any order within a row, a different one in each
    ("VALUES (2, 1), (3, 4)", "VALUES (1, 2), (3, 4)", 1.0),
    # distinct rows are compared place by place: 2 with 1, 1 with 2
    ("VALUES (2), (1)", "VALUES (1), (1), (2)", 0.0),
    ("VALUES (1), (1), (2)", "VALUES (1), (2), (2)", 1.0),
    ("VALUES (1), (1.0), (2)", "VALUES (1), (2)", 1.0),
    ("SELECT 1.0, NULL", "SELECT 1, NULL", 1.0),
    (NOTHING, "SELECT 1, 2 WHERE 0", 1.0),
    ("", NOTHING, 1.0),
    (NOTHING, "SELECT 1", 0.0),
    ("SELECT 1", NOTHING, 0.0),
    ("SELECT missing FROM t", NOTHING, 0.0),
    ("SELECT 1; SELECT 2", "SELECT 1", 0.0),
    ("SELECT CAST(X'61FF62' AS TEXT)", "SELECT 'ab'", 0.0),
]


def database(path, script):
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return database(
        tmp_path_factory.mktemp("odd") / "odd.sqlite", "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'x'), (2, NULL)"
    )


def original(mode, table, predicted, gold):
    try:
        return ORIGINALS[mode](table, predicted, gold, MAX_STEPS)
    except GoldError:
        return ERROR


def test_the_reimplemented_originals_decide_as_expected(table):
    wrong = []
    for predicted, gold, spider, bird in CASES:
        actual = original("spider-exec@1", table, predicted, gold), original("bird-ex@1", table, predicted, gold)
        wrong += [(predicted, gold, *actual)] if actual != (spider, bird) else []
    assert wrong == []
    for predicted, gold, expected in SOFT:
        assert original("bird-f1@1", table, predicted, gold) == pytest.approx(expected), (predicted, gold)


def test_odd_cases_by_hand(executor, table):
    pairs = [(table, predicted, gold) for predicted, gold, *_ in (*CASES, *SOFT)]
    results = {mode: differences(executor, mode, pairs) for mode in ORIGINALS}
    assert not "".join(line for lines, _ in results.values() for line in lines)
    assert all(kinds["limit"] == kinds["StepsExceededError"] == 0 for _, kinds in results.values())
    assert {mode: kinds["GoldError"] for mode, (_, kinds) in results.items()} == {
        "spider-exec@1": sum(case[2] is ERROR for case in CASES),
        "bird-ex@1": sum(case[3] is ERROR for case in CASES),
        "bird-f1@1": sum(case[3] is ERROR for case in CASES),
    }


CELLS = ["1", "1.0", "10", "10.0", "'1'", "'1/'", "NULL", "'None'", "X'31'", "CAST(X'31FF' AS TEXT)", "-0.0", "0", "9e999", "0.5"]


def values(rows):
    return "SELECT * FROM (VALUES " + ", ".join(f"({', '.join(row)})" for row in rows) + ")"


def shuffle_cells(rows, random):
    """`rows` with columns and rows moved, and at times a cell, a row or a column of its own."""
    order = random.sample(range(len(rows[0])), len(rows[0]))
    moved = [[row[index] for index in order] for row in rows]
    kind = random.randrange(6)
    if kind == 0:
        random.shuffle(moved)
    elif kind == 1:
        random.choice(moved)[random.randrange(len(order))] = random.choice(CELLS)
    elif kind == 2:
        moved.append(random.choice(moved))
    elif kind == 3:
        row = random.choice(moved)
        random.shuffle(row)
    elif kind == 4:
        moved = [[*row, row[0]] for row in moved]
    return moved


def test_small_tables_of_odd_cells(executor, table):
    random = Random(0)
    pairs = []
    for _ in range(500):
        cells = random.sample(CELLS, random.choice([1, 2, 3, 6]))
        width = random.randint(1, 5)
        rows = [random.choices(cells, k=width) for _ in range(random.randint(1, 5))]
        pairs.append((table, values(shuffle_cells(rows, random)), values(rows) + random.choice(["", " ORDER BY 1"])))
    assert_agreement(executor, pairs)


def test_every_database_of_the_folder_decides_for_spider_and_one_for_bird(executor, tmp_path):
    tables = "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2){}"
    one = database(tmp_path / "one" / "one.sqlite", tables.format(""))
    database(tmp_path / "one" / "one_other.sqlite", tables.format(", (3)"))
    # the third file has no such table: only there the gold fails
    two = database(tmp_path / "two" / "two.sqlite", tables.format(""))
    database(tmp_path / "two" / "another.sqlite", "CREATE TABLE u(a)")
    alone = database(tmp_path / "alone" / "alone.sqlite", tables.format(""))
    (alone.parent / "notes.txt").write_text("no database")
    pairs = [
        (path, predicted, gold)
        for path in (one, two, alone)
        for predicted, gold in (("SELECT max(a) FROM t", "SELECT 2"), ("SELECT a FROM t", "SELECT a FROM t"))
    ]
    spider = [verdict.correct for verdict in score(executor, items(pairs), "test", "spider-exec@1")]
    bird = [verdict.correct for verdict in score(executor, items(pairs), "test", "bird-ex@1")]
    assert spider == [False, True, False, False, True, True]
    assert bird == [True] * 6
    assert [original("spider-exec@1", *pair) for pair in pairs] == [False, True, False, ERROR, True, True]
    assert [original("bird-ex@1", *pair) for pair in pairs] == bird


def test_what_does_more_than_read_is_rejected_though_the_originals_execute_it(executor, tmp_path):
    for number, (predicted, gold) in enumerate(
        [
            ("DROP TABLE t", NOTHING),
            ("DELETE FROM t", NOTHING),
            ("CREATE TEMP TABLE u(a)", NOTHING),
            ("PRAGMA user_version", "SELECT 0"),
            ("SELECT name FROM pragma_table_info('t')", "SELECT 'a'"),
        ]
    ):
        path = database(tmp_path / f"d{number}" / f"d{number}.sqlite", "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
        before = path.read_bytes()
        for mode in ORIGINALS:
            (verdict,) = score(executor, items([(path, predicted, gold)]), "test", mode)
            assert (verdict.correct, verdict.verdict) == (False, "rejected"), (mode, predicted)
        assert path.read_bytes() == before
        assert original("bird-ex@1", path, predicted, gold) is True


def test_mutations_are_different_texts_and_the_same_for_the_same_seed():
    gold = "SELECT name, count(*) FROM pet WHERE weight > 3 GROUP BY name ORDER BY 2 DESC LIMIT 1"
    texts = mutations(gold, Random(1), 30, ["SELECT 7"])
    assert len({gold, *texts}) == 31
    assert texts == mutations(gold, Random(1), 30, ["SELECT 7"])
    assert len(set(mutations("no SQL", Random(1), 30))) == 30
