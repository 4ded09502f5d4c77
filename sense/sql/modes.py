"""The scoring modes by name, and what each does to the texts before they are executed.

    strict@2       ours: rows are a bag, sorted only if the gold's outermost query sorts, and rows that tie may come either way
    strict-ts@1    strict@2, on all databases of the folder
    strict@1       strict@2, where ties are those of golds that return all of their sort keys
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

from sense.sql.database_file import DatabaseFile, sqlite_files
from sense.sql.judge import Batch
from sense.sql.order import read_ordering
from sense.sql.parse import MAX_LENGTH, check_select, tidy, too_long
from sense.sql.tree import is_ordered, order_columns

STRICT, STRICT_TS, SPIDER = "strict@2", "strict-ts@1", "spider-exec@1"
MODES = (STRICT, STRICT_TS, "strict@1", SPIDER, "bird-ex@1", "bird-f1@1", "bird-rves@1")

SUITE_MODES = (STRICT_TS, SPIDER)
"""The modes in which all databases of the folder decide, so that they measure TS; EX is what is right on the main one."""

_YEAR = re.compile(r"YEAR\s*\(\s*CURDATE\s*\(\s*\)\s*\)\s*", re.IGNORECASE)
_SPLIT = re.compile(r"distinct|;|\bgo\b", re.IGNORECASE)  # what sqlparse would look at; without it, the text stays as it is


def databases(mode: str, database: Path) -> tuple[Path, ...]:
    """The databases that decide: `database`, or with it all others of its folder (a test suite).

    Spider's come in the order of their names, ours with the main one first. The original takes every file with ".sqlite" anywhere
    in its name; we want it at the end: not a journal, not a backup. Hidden files are left out. Where the folder has another name
    than the database, it may hold unrelated ones, and ours is the database alone.
    """
    if mode == STRICT_TS and database.stem == database.absolute().parent.name:
        return (database, *(file for file in sqlite_files(database.parent) if file.name != database.name))
    return (tuple(sqlite_files(database.parent)) if mode == SPIDER else ()) or (database,)


def make_batch(mode: str, files: tuple[DatabaseFile, ...], gold: str, predictions: Sequence[str], main: str = "") -> Batch:
    """The batch that judges `predictions` by `gold` on `files`, its texts cleaned as the mode does.

    `main` is the path of the main database among the files; "" if that is the first.
    """
    batch = _make_batch(mode, files, gold, predictions)
    return batch._replace(main=next((i for i, file in enumerate(files) if file.path == main), 0))


def _make_batch(mode: str, files: tuple[DatabaseFile, ...], gold: str, predictions: Sequence[str]) -> Batch:
    if mode == SPIDER:
        gold = _clean_spider(gold) or gold
        cleaned = tuple(_reject_or_send(*_prepare_spider(sql)) for sql in predictions)
        return Batch(mode, files, _fix_year(gold), "order by" in gold.lower(), None, None, cleaned)
    if mode in (STRICT, STRICT_TS):
        gold = tidy(gold)
        ordering = read_ordering(gold)
        return Batch(
            mode, files, gold, ordering is not None, None, ordering, tuple(map(_select_or_reason, map(tidy, predictions)))
        )
    if mode == "strict@1":
        ordered = is_ordered(gold)
        columns = order_columns(gold) if ordered else None
        return Batch(mode, files, gold, ordered, columns, None, tuple(map(_select_or_reason, predictions)))
    return Batch(mode, files, gold, False, None, None, tuple(_reject_or_send(sql, too_long(sql)) for sql in predictions))


def _select_or_reason(sql: str) -> tuple[str, str]:
    return _reject_or_send(sql, check_select(sql) or "")


def _reject_or_send(sql: str, reason: str) -> tuple[str, str]:
    """A prediction as a worker is sent it: the text of one that is rejected stays here, as it may be longer than its memory."""
    return ("", reason) if reason else (sql, "")


def _prepare_spider(sql: str) -> tuple[str, str]:
    """A prediction as the original executes it, and the reason to reject it or ""."""
    cleaned = _clean_spider(sql.replace(" value ", " 1 "))
    return _fix_year(cleaned), too_long(sql) or ("" if cleaned else "empty")


def _clean_spider(sql: str) -> str:
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


def _fix_year(sql: str) -> str:
    return _YEAR.sub("2020", sql)
