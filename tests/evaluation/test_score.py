from pathlib import Path

from sense.evaluation.score import ScoringItem, score
from sense.sql import modes
from sense.sql.execute import Executor
from sense.sql.result import Failure

GOLD = "SELECT name FROM pet WHERE kind = 'cat'"


def verdicts(executor, pets, *pairs):
    items = [ScoringItem(f"q{number}", pets, predicted, gold) for number, (predicted, gold) in enumerate(pairs)]
    rows = score(executor, items, "test")
    assert [row.id for row in rows] == [item.id for item in items]
    return [(row.correct, row.verdict, row.detail, row.vacuous) for row in rows]


def test_every_verdict_with_its_detail(executor, pets):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    many = "SELECT hex(zeroblob(6000))"
    ordered = "SELECT name FROM pet WHERE kind = 'cat' ORDER BY weight"
    assert verdicts(
        executor,
        pets,
        ("SELECT p.name AS n FROM pet p WHERE p.kind = 'cat' ORDER BY 1", GOLD),
        ("SELECT name FROM pet", GOLD),
        ("SELECT name, kind FROM pet WHERE kind = 'cat'", GOLD),
        ("SELECT kind FROM pet WHERE kind = 'cat'", GOLD),
        (GOLD, ordered),
        ("SELECT nme FROM pet", GOLD),
        ("DROP TABLE pet", GOLD),
        ("", GOLD),
        (endless, GOLD),
        (many, GOLD),
        ("SELECT name FROM pet WHERE kind = 'cow'", "SELECT name FROM pet WHERE weight > 100"),
        ("SELECT 1", "SELECT nme FROM pet"),
        ("SELECT 1", endless),
    ) == [
        (True, "match", "", False),
        (False, "mismatch", "rows (more than 2)", False),
        (False, "mismatch", "columns (2 against 1)", False),
        (False, "mismatch", "values", False),
        (False, "mismatch", "order", False),
        (False, "error", "no such column: nme", False),
        (False, "rejected", "not a SELECT: it begins with DROP", False),
        (False, "rejected", "empty", False),
        (False, "timeout", "more than 1,000,000 steps", False),
        (False, "too_large", "more than 10,000 bytes", False),
        (True, "match", "", True),
        (False, "gold_error", "gold: error: no such column: nme", False),
        (False, "gold_error", "gold: timeout: more than 1,000,000 steps", False),
    ]


def test_ties_in_the_gold_order_may_come_either_way(executor, pets):
    gold = "SELECT name, kind FROM pet WHERE kind IS NOT NULL ORDER BY kind, id DESC"
    tied = "SELECT name, kind FROM pet WHERE kind IS NOT NULL ORDER BY kind"
    other = "SELECT name, kind FROM pet WHERE kind IS NOT NULL ORDER BY kind, name DESC"
    assert [row[1] for row in verdicts(executor, pets, (other, tied), (other, gold))] == ["match", "mismatch"]


def test_a_verdict_says_how_it_differs_and_which_limit_was_reached(executor, pets):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    predictions = [
        "SELECT name, id FROM pet",
        "SELECT 1",
        "SELECT kind FROM pet WHERE kind = 'cat'",
        endless,
        "SELECT nme FROM pet",
    ]
    rows = score(executor, [ScoringItem(str(number), pets, sql, GOLD) for number, sql in enumerate(predictions)], "test")
    assert [(row.mode, row.kind, row.limit, row.score) for row in rows] == [
        ("strict@2", "columns", "", None),
        ("strict@2", "rows", "", None),
        ("strict@2", "values", "", None),
        ("strict@2", "", "steps", None),
        ("strict@2", "", "", None),
    ]


def test_endless_rows_are_stopped_at_the_first_too_many(executor, pets):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    for mode, detail in (("strict@2", "rows (more than 2)"), ("spider-exec@1", "rows (more than 2)"), ("bird-ex@1", "values")):
        (row,) = score(executor, [ScoringItem("q", pets, endless, GOLD)], "test", mode)
        assert (row.verdict, row.detail[: len(detail)]) == ("mismatch", detail)


def test_every_mode_is_known_to_the_workers(executor, pets):
    for mode in modes.MODES:
        (row,) = score(executor, [ScoringItem("q", pets, GOLD, GOLD)], "test", mode)
        assert (row.mode, row.correct, row.verdict) == (mode, True, "match")


class RecordingExecutor:
    """An Executor that records the batches it is given."""

    def __init__(self, executor: Executor) -> None:
        self.executor, self.batches = executor, []

    def judge(self, batches, costs):
        self.batches += [(batch.files[0].path, batch.gold, *(sql for sql, _ in batch.predictions)) for batch in batches]
        return self.executor.judge(batches, costs)


def test_the_same_work_is_done_once(executor, pets, tmp_path):
    recording = RecordingExecutor(executor)
    other = tmp_path / "other.sqlite"
    other.write_bytes(pets.read_bytes())
    one, two = "SELECT name FROM pet", "SELECT count(*) FROM pet"
    pairs = [(one, one), (two, one), (two, one), (one, two), (two, two), (one, one)]
    items = [ScoringItem(f"{path.stem}{number}", path, *pair) for path in (pets, other) for number, pair in enumerate(pairs)]
    rows = score(recording, items, "test")
    assert [row.correct for row in rows] == [True, False, False, False, True, True] * 2
    assert recording.batches == [(str(path), *texts) for path in (pets, other) for texts in ((one, one, two), (two, one, two))]


def test_many_predictions_of_one_question_are_shared_out(executor, pets):
    items = [ScoringItem(str(number), pets, f"SELECT {number}", "SELECT 150") for number in range(200)]
    rows = score(executor, items, "test")
    assert [row.id for row in rows if row.correct] == ["150"]
    assert [row.id for row in rows] == [str(number) for number in range(200)]


def test_a_missing_database_is_an_error_of_the_gold(executor, tmp_path):
    missing: Path = tmp_path / "missing.sqlite"
    (row,) = score(executor, [ScoringItem("q", missing, "SELECT 1", "SELECT 1")], "test")
    assert row.verdict == "gold_error"
    assert row.detail.startswith("gold: error: missing.sqlite: not a readable SQLite database")
    assert isinstance(executor.run(missing, "SELECT 1"), Failure)


def test_nothing_to_score(executor):
    assert score(executor, [], "test") == []
