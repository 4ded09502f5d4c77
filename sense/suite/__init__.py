"""Test suites: further databases of one schema with other rows, on which a plausible wrong query differs from the gold.

    conditions.py   the conditions and joins of the queries that are asked, by table and column
    source.py       what is read of the database: tables, keys, a sample of its rows
    values.py       the values a column may get: its own, some changed, and those beside the queries' literals
    links.py        foreign keys and joins: which parent a row refers to
    instance.py     one further database
    golds.py        a suite written beside its database, filled again where golds are empty

A suite lies beside its database, as Spider's does: `<db_id>/<db_id>.sqlite`, `<db_id>/suite_01.sqlite`, ...
"""

from collections.abc import Sequence
from pathlib import Path

from sense.suite.golds import SuiteCounts, SuiteWriter, is_weak, suite_path, write_suite
from sense.suite.instance import SuiteBuilder

__all__ = ["SuiteBuilder", "SuiteCounts", "SuiteWriter", "build_suite", "is_weak", "suite_path", "write_suite"]


def build_suite(database: Path, queries: Sequence[str], count: int, seed: str) -> list[bytes]:
    """`count` SQLite images with the schema of `database` and other rows; the same arguments give the same bytes.

    Keys, NOT NULL, CHECK and foreign keys hold. The rows are drawn so that the results of `queries` differ from those of queries
    like them. Raises InputError where the database cannot be read, or its schema cannot be created again.
    """
    builder = SuiteBuilder(database, queries, seed)
    return [builder.build(number) for number in range(1, count + 1)]
