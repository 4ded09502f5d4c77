from pathlib import Path

from sense.sql.execute import Executor, Failure
from sense.sql.score import score

GOLD = "SELECT name FROM pet WHERE kind = 'cat'"


def verdicts(executor, pets, *pairs):
    items = [(f"q{number}", pets, predicted, gold) for number, (predicted, gold) in enumerate(pairs)]
    rows = score(executor, items, "test")
    assert [row.id for row in rows] == [item[0] for item in items]
    return [(row.correct, row.verdict, row.detail, row.vacuous) for row in rows]


def test_every_verdict_with_its_detail(executor, pets):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    many = "SELECT 1 FROM pet a, pet b, pet c, pet d"
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
        (False, "mismatch", "rows (4 against 2)", False),
        (False, "mismatch", "columns (2 against 1)", False),
        (False, "mismatch", "values", False),
        (False, "mismatch", "order", False),
        (False, "error", "no such column: nme", False),
        (False, "rejected", "not a SELECT: it begins with DROP", False),
        (False, "rejected", "empty", False),
        (False, "timeout", "more than 1,000,000 steps", False),
        (False, "too_large", "more than 100 rows", False),
        (True, "match", "", True),
        (False, "gold_error", "gold: error: no such column: nme", False),
        (False, "gold_error", "gold: timeout: more than 1,000,000 steps", False),
    ]


def test_ties_in_the_gold_order_may_come_either_way(executor, pets):
    gold = "SELECT name, kind FROM pet WHERE kind IS NOT NULL ORDER BY kind, id DESC"
    shown = "SELECT name, kind FROM pet WHERE kind IS NOT NULL ORDER BY kind"
    other = "SELECT name, kind FROM pet WHERE kind IS NOT NULL ORDER BY kind, name DESC"
    assert [row[1] for row in verdicts(executor, pets, (other, shown), (other, gold))] == ["match", "mismatch"]


class Counting:
    """An Executor that remembers what it was asked."""

    def __init__(self, executor: Executor) -> None:
        self.executor, self.jobs = executor, []

    def map(self, jobs):
        self.jobs += jobs
        return self.executor.map(jobs)


def test_the_same_work_is_done_once(executor, pets, tmp_path):
    counting = Counting(executor)
    other = tmp_path / "other.sqlite"
    other.write_bytes(pets.read_bytes())
    one, two = "SELECT name FROM pet", "SELECT count(*) FROM pet"
    pairs = [(one, one), (two, one), (two, one), (one, two), (two, two), (one, one)]
    items = [(f"{path.stem}{number}", path, *pair) for path in (pets, other) for number, pair in enumerate(pairs)]
    rows = score(counting, items, "test")
    assert [row.correct for row in rows] == [True, False, False, False, True, True] * 2
    assert counting.jobs == [(pets, one), (pets, two), (other, one), (other, two)]


def test_a_missing_database_is_an_error_of_the_gold(executor, tmp_path):
    missing: Path = tmp_path / "missing.sqlite"
    (row,) = score(executor, [("q", missing, "SELECT 1", "SELECT 1")], "test")
    assert row.verdict == "gold_error"
    assert str(missing) in row.detail
    assert isinstance(executor.run(missing, "SELECT 1"), Failure)


def test_nothing_to_score(executor):
    assert score(executor, [], "test") == []
