"""The class of an error, by the trees of gold and prediction and by SQLite's message."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from sense.sql.error_class import error_class
from sense.sql.mutants import mutants

SPIDER = Path(__file__).parents[3] / "shared" / "spider"
GOLD = "SELECT T1.name FROM pet AS T1 JOIN owner AS T2 ON T1.owner_id = T2.id WHERE T2.city = 'Rome' ORDER BY T1.age DESC LIMIT 3"


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        (GOLD, GOLD.replace("owner AS", "visit AS"), "schema linking"),
        (GOLD, GOLD.replace("T1.name", "T1.kind"), "schema linking"),
        (GOLD, GOLD.replace("T1.name", "T2.name"), "schema linking"),
        (GOLD, GOLD.replace("T1.owner_id", "T1.id"), "join"),
        (GOLD, GOLD.replace("JOIN", "LEFT JOIN"), "join"),
        (GOLD, "SELECT name FROM pet ORDER BY age DESC LIMIT 3", "join"),
        (GOLD, GOLD.replace("T1.name", "T1.name, T1.age"), "columns"),
        (GOLD, GOLD.replace("T1.name", "count(T1.name)"), "aggregate"),
        (GOLD, GOLD.replace("SELECT", "SELECT DISTINCT"), "aggregate"),
        (GOLD, GOLD.replace("'Rome'", "'rome'"), "filter"),
        (GOLD, GOLD.replace("WHERE T2.city = 'Rome'", ""), "filter"),
        (GOLD, GOLD.replace("DESC", ""), "order"),
        (GOLD, GOLD.replace("3", "1"), "order"),
        (GOLD, f"SELECT name FROM ({GOLD})", "nesting"),
        (GOLD, GOLD.upper().replace("'ROME'", '"Rome"').replace("T1", "a").replace("T2", "b"), "other"),  # spelt otherwise
        ("SELECT name FROM pet", "SELECT name FROM pet INTERSECT SELECT name FROM owner", "nesting"),
        ("SELECT kind, count(*) FROM pet GROUP BY kind", "SELECT kind, count(*) FROM pet", "aggregate"),
        ("SELECT price - cost FROM item", "SELECT price + cost FROM item", "other"),
        ("SELECT name FROM pet", "I do not know", "syntax"),
        ("SELECT name FROM pet", "", "syntax"),
    ],
)
def test_by_the_trees(gold: str, predicted: str, expected: str) -> None:
    assert error_class(gold, predicted, "mismatch") == expected


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ("no such table: pets", "schema linking"),
        ("no such column: T1.nam", "schema linking"),
        ("ambiguous column name: id", "schema linking"),
        ("misuse of aggregate: COUNT()", "aggregate"),
        ('near "FORM": syntax error', "syntax"),
        ("no such function: YEAR", "syntax"),
        ("SELECTs to the left and right of UNION do not have the same number of result columns", "nesting"),
    ],
)
def test_by_the_message_of_what_did_not_run(detail: str, expected: str) -> None:
    assert error_class(GOLD, "SELECT name FROM pet", "error", detail) == expected


def test_any_text_has_a_class() -> None:
    pieces = "SELECT ( ) , ' \" FROM WHERE name = T1.name 1 GROUP BY UNION ; -- /* NOT IN \0 é CASE WHEN".split(" ")
    draws = random.Random(0)
    for _ in range(300):
        text = " ".join(draws.choices(pieces, k=draws.randrange(12)))
        assert error_class(GOLD, text, "mismatch") in ("syntax", "nesting", "join", "columns", "schema linking")


def test_a_deeply_nested_text_has_a_class() -> None:
    assert error_class(GOLD, "SELECT " + "(" * 5_000 + "1" + ")" * 5_000, "mismatch") == "syntax"


@pytest.mark.spider
@pytest.mark.skipif(not SPIDER.exists(), reason="Spider is not beside the checkout")
def test_mutants_have_the_class_that_their_trees_have() -> None:
    columns = {}
    for database in json.loads((SPIDER / "tables.json").read_text()):
        names: dict[str, list[str]] = {table: [] for table in database["table_names_original"]}
        for table, column in database["column_names_original"][1:]:
            names[database["table_names_original"][table]].append(column)
        columns[database["db_id"]] = names
    agree: Counter[bool] = Counter()
    for row in json.loads((SPIDER / "train_spider.json").read_text())[::60]:
        for mutant in mutants(row["query"], columns[row["db_id"]]):
            agree[error_class(row["query"], mutant.sql, "mismatch") == mutant.error_class] += 1
    assert agree[False] < 0.01 * agree.total()
