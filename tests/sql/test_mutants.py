"""Mutants: plausible mistakes, all different from the gold and from one another, and none that is the gold in other words."""

import json
from pathlib import Path

import pytest

from sense.sql.mutants import mutants
from sense.sql.tree import fingerprint

COLUMNS = {
    "pet": ["id", "name", "kind", "age", "weight", "owner_id"],
    "owner": ["id", "name", "city", "born"],
    "visit": ["id", "pet_id", "day", "cost"],
}
SPIDER = Path(__file__).parents[3] / "shared" / "spider"


def texts(sql: str, error_class: str | None = None) -> list[str]:
    return [mutant.sql for mutant in mutants(sql, COLUMNS) if error_class in (None, mutant.error_class)]


@pytest.mark.parametrize(
    ("gold", "error_class", "expected"),
    [
        ("SELECT name FROM pet WHERE age > 3", "filter", "SELECT name FROM pet WHERE age >= 3"),
        ("SELECT name FROM pet WHERE age > 3", "filter", "SELECT name FROM pet"),
        ("SELECT name FROM pet WHERE kind = 'Cat'", "filter", "SELECT name FROM pet WHERE kind = 'cat'"),
        ("SELECT name FROM pet WHERE age > 3 AND kind = 'cat'", "filter", "SELECT name FROM pet WHERE age > 3 OR kind = 'cat'"),
        ("SELECT name FROM pet WHERE age > 3 AND kind = 'cat'", "filter", "SELECT name FROM pet WHERE age > 3"),
        ("SELECT name FROM pet WHERE kind IS NULL", "filter", "SELECT name FROM pet WHERE NOT kind IS NULL"),
        ("SELECT name FROM pet WHERE age > 3", "schema linking", "SELECT kind FROM pet WHERE age > 3"),
        ("SELECT name FROM pet", "schema linking", "SELECT name FROM owner"),
        ("SELECT max(age) FROM pet", "aggregate", "SELECT MIN(age) FROM pet"),
        ("SELECT count(*) FROM pet", "aggregate", "SELECT COUNT(DISTINCT kind) FROM pet"),
        ("SELECT DISTINCT kind FROM pet", "aggregate", "SELECT kind FROM pet"),
        ("SELECT kind, count(*) FROM pet GROUP BY kind", "columns", "SELECT kind FROM pet GROUP BY kind"),
        ("SELECT name FROM pet ORDER BY age DESC", "columns", "SELECT name, age FROM pet ORDER BY age DESC"),
        ("SELECT name FROM pet ORDER BY age DESC", "order", "SELECT name FROM pet ORDER BY age ASC"),
        ("SELECT name FROM pet ORDER BY age LIMIT 1", "order", "SELECT name FROM pet ORDER BY age LIMIT 2"),
        (
            "SELECT o.name, count(*) FROM owner AS o JOIN pet AS p ON o.id = p.owner_id GROUP BY o.id",
            "join",
            "SELECT o.name, COUNT(*) FROM owner AS o LEFT JOIN pet AS p ON o.id = p.owner_id GROUP BY o.id",
        ),
        (
            "SELECT p.name FROM pet AS p JOIN owner AS o ON p.owner_id = o.id WHERE o.city = 'Rome'",
            "join",
            "SELECT p.name FROM pet AS p JOIN owner AS o ON p.id = o.id WHERE o.city = 'Rome'",
        ),
        (
            "SELECT kind FROM pet GROUP BY kind HAVING count(*) > 2",
            "filter",
            "SELECT kind FROM pet GROUP BY kind",
        ),
        (
            "SELECT name FROM pet WHERE age > 3 INTERSECT SELECT name FROM owner",
            "nesting",
            "SELECT name FROM pet WHERE age > 3 UNION SELECT name FROM owner",
        ),
        (
            "SELECT name FROM owner WHERE id NOT IN (SELECT owner_id FROM pet WHERE age > 3)",
            "nesting",
            "SELECT name FROM owner WHERE id IN (SELECT owner_id FROM pet WHERE age > 3)",
        ),
        (
            "SELECT name FROM owner WHERE id IN (SELECT owner_id FROM pet WHERE age > 3)",
            "filter",
            "SELECT name FROM owner WHERE id IN (SELECT owner_id FROM pet)",
        ),
        ("SELECT strftime('%Y', day) FROM visit", "other", "SELECT STRFTIME('%m', day) FROM visit"),
        (
            "SELECT name, rank() OVER (PARTITION BY kind ORDER BY age) FROM pet",
            "aggregate",
            "SELECT name, RANK() OVER (ORDER BY age) FROM pet",
        ),
    ],
)
def test_one_mistake_of_each_kind(gold: str, error_class: str, expected: str) -> None:
    assert expected in texts(gold, error_class)


def test_the_gold_is_not_among_its_mutants_and_none_comes_twice() -> None:
    gold = "SELECT T1.name FROM pet AS T1 JOIN owner AS T2 ON T1.owner_id = T2.id WHERE T2.city = 'Rome' ORDER BY T1.age LIMIT 3"
    prints = [fingerprint(sql) for sql in [gold, *texts(gold)]]
    assert len(set(prints)) == len(prints) == 16


@pytest.mark.parametrize(
    ("gold", "spelling"),
    [
        (
            "WITH g AS (SELECT kind, COUNT(*) AS n FROM pet GROUP BY kind) SELECT kind FROM g WHERE n > 2",
            "WITH g AS (SELECT kind, COUNT(*) AS n FROM pet GROUP BY kind) SELECT DISTINCT kind FROM g WHERE n > 2",
        ),
        ("SELECT (SELECT COUNT(*) FROM pet) - 1", "SELECT DISTINCT (SELECT COUNT(*) FROM pet) - 1"),
        ("SELECT name, COUNT(*) FROM pet GROUP BY id, name", "SELECT name, COUNT(*) FROM pet GROUP BY id"),
        ("SELECT AVG(CAST(age AS REAL)) FROM pet", "SELECT AVG(age) FROM pet"),
        ("SELECT kind FROM pet WHERE name = 'Tom'", "SELECT DISTINCT kind FROM pet WHERE name = 'Tom'"),
    ],
)
def test_what_is_only_another_spelling_is_no_mutant(gold: str, spelling: str) -> None:
    sqls = [mutant.sql for mutant in mutants(gold, COLUMNS)]
    assert sqls
    assert spelling not in sqls


def test_the_same_gold_has_the_same_mutants() -> None:
    gold = "SELECT kind, avg(age) FROM pet WHERE weight > 2.5 GROUP BY kind HAVING count(*) > 1 ORDER BY 2 DESC"
    assert mutants(gold, COLUMNS) == mutants(gold, COLUMNS)


def test_a_join_without_from_reads_no_other_table() -> None:
    """SQLite calls it a syntax error, the parser does not."""
    assert not [sql for sql in texts("SELECT pet.name JOIN pet ON 1 = 1") if "owner" in sql or "visit" in sql]


def test_what_cannot_be_parsed_has_none() -> None:
    assert mutants("SELEC name", COLUMNS) == []


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.exists(), reason="Spider's training set is not beside the checkout")
def test_spider_has_eight_to_fifteen_mutants_a_question() -> None:
    columns = {}
    for database in json.loads((SPIDER / "tables.json").read_text()):
        names: dict[str, list[str]] = {table: [] for table in database["table_names_original"]}
        for table, column in database["column_names_original"][1:]:
            names[database["table_names_original"][table]].append(column)
        columns[database["db_id"]] = names
    rows = json.loads((SPIDER / "train_spider.json").read_text())[::40]
    counts = [len(mutants(row["query"], columns[row["db_id"]])) for row in rows]
    assert 8 <= sum(counts) / len(counts) <= 15
    assert min(counts) >= 2


def test_a_last_table_that_is_joined_by_two_columns():
    """It has two edges to the others, but stands between none of them."""
    columns = {"block": ["id", "floor", "code"], "room": ["id", "floor", "code"]}
    sql = "SELECT count(*), b.floor FROM block AS b JOIN room AS r ON b.floor = r.floor AND b.code = r.code GROUP BY b.floor"
    assert len(mutants(sql, columns)) > 3
