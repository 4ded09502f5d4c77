"""The scoring modes by name, and what each does to the texts before they are executed.

    strict@1       ours: rows are a bag, sorted only if the gold's outermost query sorts, and ties may come either way
    spider-exec@1  test-suite-sql-eval with `--etype exec` and its defaults, on all databases of the folder
    bird-ex@1      BIRD's EX: the sets of rows are equal
    bird-f1@1      BIRD's soft F1
    bird-rves@1    BIRD's R-VES

The number behind the @ is the version: a mode's verdicts never change, another version gets another name. The three of
BIRD and that of Spider are what papers report, faults included. What a prediction may *do* is the same in all of
them: read. `judge.py` is the other half, how results are compared.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from sense.sql.judge import Task
from sense.sql.order import is_ordered, order_columns
from sense.sql.parse import check_select
from sense.sql.statement import Place
from sense.sql.tree import MAX_LENGTH

STRICT, SPIDER = "strict@1", "spider-exec@1"
MODES = (STRICT, SPIDER, "bird-ex@1", "bird-f1@1", "bird-rves@1")

_YEAR = re.compile(r"YEAR\s*\(\s*CURDATE\s*\(\s*\)\s*\)\s*", re.IGNORECASE)
_SPLIT = re.compile(r"distinct|;|\bgo\b", re.IGNORECASE)  # what sqlparse would look at; without it, the text stays as it is


def databases(mode: str, database: Path) -> tuple[Path, ...]:
    """The databases that decide: `database`, or with it all others of its folder (a test suite).

    The original takes every file with ".sqlite" anywhere in its name; we want it at the end: not a journal, not a backup.
    """
    if mode != SPIDER:
        return (database,)
    return tuple(sorted(database.parent.glob("*.sqlite"))) or (database,)


def task(mode: str, places: tuple[Place, ...], gold: str, predictions: Sequence[str]) -> Task:
    """The task of judging `predictions` by `gold`, texts cleaned as the mode does."""
    if mode == SPIDER:
        gold = _cleaned(gold) or gold
        return Task(
            mode, places, _executed(gold), "order by" in gold.lower(), None, tuple(_sent(*_spider(sql)) for sql in predictions)
        )
    if mode != STRICT:
        return Task(mode, places, gold, False, None, tuple(_sent(sql, _too_long(sql)) for sql in predictions))
    ordered = is_ordered(gold)
    keys = order_columns(gold) if ordered else None
    return Task(mode, places, gold, ordered, keys, tuple(_sent(sql, check_select(sql) or "") for sql in predictions))


def _sent(sql: str, reason: str) -> tuple[str, str]:
    """What a worker is sent: a text that is rejected may be longer than its memory."""
    return ("", reason) if reason else (sql, "")


def _spider(sql: str) -> tuple[str, str]:
    cleaned = _cleaned(sql.replace(" value ", " 1 "))
    return _executed(cleaned), _too_long(sql) or ("" if cleaned else "empty")


def _cleaned(sql: str) -> str:
    """The first statement, operators without spaces in them, without any DISTINCT; "" if there is no statement."""
    sql = sql.replace("> =", ">=").replace("< =", "<=").replace("! =", "!=")
    if len(sql) > MAX_LENGTH or not sql.strip():
        return sql.strip()
    if not _SPLIT.search(sql):
        return sql
    from sqlparse.engine import FilterStack

    first = next(FilterStack().run(sql), None)
    tokens = [] if first is None else [str(token.value) for token in first.flatten()]
    return "".join(token for token in tokens if token.lower() != "distinct")


def _executed(sql: str) -> str:
    return _YEAR.sub("2020", sql)


def _too_long(sql: str) -> str:
    return f"{len(sql):,} characters long; at most {MAX_LENGTH:,} are executed" if len(sql) > MAX_LENGTH else ""
