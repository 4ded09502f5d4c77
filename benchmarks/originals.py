"""How the evaluators that papers report with decide, reimplemented: what `sense score` is held against, and timed against.

    spider_exec   test-suite-sql-eval (Zhong et al. 2020), `evaluation.py --etype exec` with its defaults
    bird_ex       BIRD's mini_dev, evaluation_ex.py
    bird_f1       BIRD's mini_dev, evaluation_f1.py (Soft F1), since it keeps the order of rows

They work as the originals work, with all that costs: a connection for each query (BIRD: each pair), an event loop for each
query of Spider's and a thread for each pair of BIRD's, the gold executed anew for each prediction, sqlparse on each text,
column orders tried one by one. What the event loop and the thread are for is left out: Spider's time limit cannot interrupt
a query, BIRD's makes verdicts depend on the machine. For untrusted SQL there is `max_steps`, which the originals lack: it
bounds SQLite's virtual machine, and the rows looked at for column orders.

They execute whatever they are given, and writes persist: use copies of databases.
"""

import asyncio
import itertools
import random
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlparse

Row = tuple[Any, ...]
_TIMEOUT_S = 60  # of Spider's wait, which ends no sooner than the query
_STRIDE = 1_000
_THIS_YEAR = re.compile(r"YEAR\s*\(\s*CURDATE\s*\(\s*\)\s*\)\s*", re.IGNORECASE)


class GoldError(Exception):
    """The gold does not run: Spider's evaluation ends with an assertion there, BIRD's calls every prediction wrong."""


class StepsExceededError(Exception):
    """`max_steps` were not enough; there is no verdict."""


# -- Spider


def spider_exec(database: Path, predicted: str, gold: str, max_steps: int | None = None) -> bool:
    """Whether `predicted` returns what `gold` does on every *.sqlite of the database's folder; GoldError, StepsExceededError."""
    predicted, gold = _join_operators(predicted.replace(" value ", " 1 ")), _join_operators(gold)
    gold = _drop_distinct(gold)
    try:
        predicted = _drop_distinct(predicted)
    except (IndexError, sqlparse.exceptions.SQLParseError):  # empty, or too deep: it ends the original's whole run
        return False
    ordered = "order by" in gold.lower()
    for file in [file for file in database.parent.iterdir() if ".sqlite" in file.name]:
        theirs = asyncio.run(_fetch_with_timeout(file, gold, max_steps))
        mine = asyncio.run(_fetch_with_timeout(file, predicted, max_steps))
        if isinstance(theirs, Exception):
            raise GoldError(f"{file}: {theirs}: {gold}")
        if isinstance(mine, Exception) or not _rows_equal(theirs, mine, ordered, max_steps):
            return False
    return True


def _join_operators(sql: str) -> str:
    for operator in ("> =", "< =", "! ="):
        sql = sql.replace(operator, operator.replace(" ", ""))
    return sql


def _drop_distinct(sql: str) -> str:
    """The first statement of `sql`, all its DISTINCT left out."""
    first = sqlparse.parse(sql)[0]
    return "".join(token.value for token in first.flatten() if token.value.lower() != "distinct")


async def _fetch_with_timeout(file: Path, sql: str, max_steps: int | None) -> list[Row] | Exception:
    return await asyncio.wait_for(_fetch(file, sql, max_steps), _TIMEOUT_S)


async def _fetch(file: Path, sql: str, max_steps: int | None) -> list[Row] | Exception:
    sql = _THIS_YEAR.sub("2020", sql)
    with closing(sqlite3.connect(file)) as connection:
        connection.text_factory = lambda data: data.decode(errors="ignore")
        try:
            return _rows(connection, sql, max_steps)
        except StepsExceededError:
            raise
        except Exception as error:  # as broad as the original's: NUL characters, surrogates, warnings
            return error


def _rows_equal(theirs: list[Row], mine: list[Row], ordered: bool, max_steps: int | None) -> bool:
    """Whether some order of my columns makes the rows the same: as a list if `ordered`, else as a bag."""
    if not theirs and not mine:
        return True
    if len(theirs) != len(mine) or len(theirs[0]) != len(mine[0]) or not _passes_quick_rejection(theirs, mine, ordered):
        return False
    left = max_steps
    for order in _column_orders(theirs, mine):
        distinct = len(set(order)) == len(order)
        if left is not None:
            left -= 1 + distinct * len(mine)
            if left < 0:
                raise StepsExceededError("column orders")
        if distinct:
            reordered = [tuple(row[index] for index in order) for row in mine]
            if theirs == reordered if ordered else set(theirs) == set(reordered) and Counter(theirs) == Counter(reordered):
                return True
    return False


def _passes_quick_rejection(theirs: list[Row], mine: list[Row], ordered: bool) -> bool:
    """A first look at rows whose cells are sorted by text and type: 1 and 1.0 are equal, but may sort differently."""
    one, other = ([tuple(sorted(row, key=lambda cell: str(cell) + str(type(cell)))) for row in rows] for rows in (theirs, mine))
    return one == other if ordered else set(one) == set(other)


def _column_orders(theirs: list[Row], mine: list[Row]) -> "itertools.product[tuple[int, ...]]":
    """Every choice of my column for each of theirs, repeated columns too; beyond three, 20 drawn rows rule choices out."""
    width = len(mine[0])
    choices = [set(range(width)) for _ in range(width)]
    if width > 3:
        gold_values = [set(column) for column in zip(*theirs, strict=True)]
        for row in (random.choice(mine) for _ in range(20)):
            for values, left in zip(gold_values, choices, strict=True):
                left -= {index for index in left if row[index] not in values}
    return itertools.product(*choices)


# -- BIRD


def bird_ex(database: Path, predicted: str, gold: str, max_steps: int | None = None) -> bool:
    """Whether both return the same set of rows; GoldError, StepsExceededError."""
    return bool(_run_in_thread(lambda: _judge(database, predicted, gold, max_steps, _same_set)))


def bird_f1(database: Path, predicted: str, gold: str, max_steps: int | None = None) -> float:
    """Soft F1, 0 to 1: distinct rows compared place by place, each by the cells it shares; GoldError, StepsExceededError."""
    return float(_run_in_thread(lambda: _judge(database, predicted, gold, max_steps, _soft_f1)))


def _run_in_thread(work: Callable[[], float]) -> float:
    """What `work` returns or raises in a thread of its own."""
    outcomes: list[float | Exception] = []

    def run() -> None:
        try:
            outcomes.append(work())
        except Exception as error:
            outcomes.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(outcomes[0], Exception):
        raise outcomes[0]
    return outcomes[0]


def _judge(database: Path, predicted: str, gold: str, max_steps: int | None, judge: Callable[..., float]) -> float:
    """The score that `judge` gives the rows of both; 0 if the prediction does not run."""
    with closing(sqlite3.connect(database)) as connection:
        try:
            mine = _rows(connection, predicted, max_steps)
        except StepsExceededError:
            raise
        except Exception:  # as broad as the original's
            return 0
        try:
            theirs = _rows(connection, gold, max_steps)
        except StepsExceededError:
            raise
        except Exception as error:
            raise GoldError(f"{database}: {error}: {gold}") from error
    return judge(mine, theirs)


def _same_set(mine: list[Row], theirs: list[Row]) -> bool:
    return set(mine) == set(theirs)


def _soft_f1(mine: list[Row], theirs: list[Row]) -> float:
    if not mine and not theirs:
        return 1.0
    hits = extra = missing = 0.0
    for my_row, their_row in itertools.zip_longest(dict.fromkeys(mine), dict.fromkeys(theirs)):
        if their_row is None:
            extra += 1
        elif my_row is None:
            missing += 1
        else:
            width = len(their_row)  # of theirs: a row that is wider counts for more than 1
            shared = sum(cell in their_row for cell in my_row)
            hits += shared / width
            extra += (len(my_row) - shared) / width
            missing += sum(cell not in my_row for cell in their_row) / width
    if not hits:
        return 0.0
    precision, recall = hits / (hits + extra), hits / (hits + missing)
    return 2 * precision * recall / (precision + recall)


def _rows(connection: sqlite3.Connection, sql: str, max_steps: int | None) -> list[Row]:
    stopped = False
    left = max_steps

    def progress() -> bool:
        nonlocal left, stopped
        left -= _STRIDE
        stopped = left < 0
        return stopped

    if left is not None:
        connection.set_progress_handler(progress, _STRIDE)
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.OperationalError:
        if stopped:
            raise StepsExceededError(sql) from None
        raise
