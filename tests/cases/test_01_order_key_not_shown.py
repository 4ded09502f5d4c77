"""Rows that tie in the sort key come in another order, and the answer was marked wrong.

Public reports: defog-ai/sql-eval #74, taoyds/spider #31, bird-bench/mini_dev #49. Right is: where the gold's ORDER BY leaves the
order of some rows open, any order of theirs is right, whether the sort key is a plain column of the result or anything else; and
where its LIMIT cuts through rows that tie, any of them are right.
"""

import json
import sqlite3
from contextlib import closing

import pytest

from sense import cli

SCRIPT = """
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price INTEGER, kind TEXT COLLATE NOCASE);
INSERT INTO item VALUES (1, 'pen', 2, 'Desk'), (2, 'cup', 2, 'desk'),
    (3, 'bag', 9, 'travel'), (4, 'map', 1, NULL), (5, 'key', 9, NULL);
"""
GOLDS = (
    "SELECT name FROM item ORDER BY price",
    "SELECT * FROM item ORDER BY price",
    "SELECT name, price FROM item ORDER BY (price)",
    "SELECT name, price FROM item ORDER BY price COLLATE NOCASE",
    "SELECT name, price FROM item ORDER BY price",
    "SELECT name, price FROM item ORDER BY 2",
    "SELECT name, price AS p FROM item ORDER BY p",
    "SELECT name, price AS p FROM item ORDER BY -p DESC",
    "SELECT name FROM item ORDER BY price * 2 + 1 ASC",
    "SELECT name FROM item ORDER BY CASE WHEN price > 5 THEN 'dear' ELSE 'cheap' END DESC, price",
    "SELECT name FROM item ORDER BY price -- cheap ones first",
)


def verdicts(tmp_path, capsys, pairs):
    """What `sense score` says of (prediction, gold) pairs on the shop."""
    database = tmp_path / "db" / "shop" / "shop.sqlite"
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCRIPT)
    for name, lines in (
        ("examples", [{"id": str(number), "db_id": "shop", "sql": gold} for number, (_, gold) in enumerate(pairs)]),
        ("predictions", [{"id": str(number), "sql": predicted} for number, (predicted, _) in enumerate(pairs)]),
    ):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    flags = [f"--{name}={tmp_path / name}" for name in ("examples", "predictions", "output")]
    assert cli.main(["score", f"--databases={tmp_path / 'db'}", *flags]) == 0
    capsys.readouterr()
    return [json.loads(line) for line in (tmp_path / "output").read_text().splitlines()]


def test_rows_of_the_same_price_may_come_either_way(tmp_path, capsys):
    predictions = [gold.replace(" -- cheap ones first", "") + ", id DESC" for gold in GOLDS]
    rows = verdicts(tmp_path, capsys, list(zip(predictions, GOLDS, strict=True)))
    assert [(row["verdict"], row["detail"], row["mode"]) for row in rows] == [("match", "", "strict@2")] * len(GOLDS)


def test_rows_of_different_prices_may_not(tmp_path, capsys):
    rows = verdicts(tmp_path, capsys, [(f"SELECT * FROM ({gold.partition(' -- ')[0]}) ORDER BY name", gold) for gold in GOLDS])
    assert [(row["verdict"], row["kind"]) for row in rows] == [("mismatch", "order")] * len(GOLDS)


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ("SELECT name FROM item ORDER BY price DESC LIMIT 1", ["key", "bag"], ["pen", "map"]),
        ("SELECT name FROM item ORDER BY price LIMIT 1 OFFSET 1", ["pen", "cup"], ["map", "key"]),
        ("SELECT name FROM item WHERE price > 2 ORDER BY price LIMIT 1", ["key", "bag"], ["cup"]),
        ("SELECT max(name) FROM item GROUP BY kind ORDER BY count(*) DESC LIMIT 1", ["pen", "map"], ["bag"]),
    ],
)
def test_any_of_the_rows_that_tie_at_the_limit_is_right(tmp_path, capsys, gold, right, wrong):
    rows = verdicts(tmp_path, capsys, [(f"SELECT '{name}'", gold) for name in right + wrong])
    assert [row["correct"] for row in rows] == [True] * len(right) + [False] * len(wrong)
    assert {row["kind"] for row in rows if not row["correct"]} == {"values"}
