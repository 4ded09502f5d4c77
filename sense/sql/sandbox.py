"""A connection to a SQLite file on which hostile SQL can do no more than read, within limits. Standard library only."""

import os
import sqlite3
from contextlib import suppress
from typing import NamedTuple

MIB = 1 << 20
_LONGEST = 1_000_000_000  # bytes; SQLite knows no longer text or blob
_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE)
_FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "zipfile"})


class Limits(NamedTuple):
    """What one statement may use; `max_sql` is its own length in characters, a value counts as `min_value` bytes at least."""

    timeout_s: float
    max_rows: int
    max_bytes: int
    max_steps: int
    max_sql: int
    min_value: int = 0

    @property
    def max_value(self) -> int:
        """The bytes of the longest text or blob; SQLite counts the statement itself as one, at 4 bytes a character."""
        return min(max(self.max_bytes, 4 * self.max_sql), _LONGEST)

    @property
    def max_memory(self) -> int:
        """The bytes SQLite may allocate, temporary tables and sorting included."""
        return 256 * MIB + 4 * self.max_value


def connect(path: str, uri: str, limits: Limits) -> sqlite3.Connection:
    """Opens the database at `path` (`uri` is the same as file:///...); sqlite3.Error or OSError if it is none."""
    immutable = "&immutable=1" if idle_wal(path) else ""
    connection = sqlite3.connect(f"{uri}?mode=ro{immutable}", uri=True, isolation_level=None, cached_statements=0)
    try:
        for pragma in ("query_only=ON", "trusted_schema=OFF", "temp_store=MEMORY", "mmap_size=0"):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.execute(f"PRAGMA hard_heap_limit={limits.max_memory}").close()
        _load(connection)
    except sqlite3.Error:
        connection.close()
        raise
    connection.text_factory = _decode
    for category, limit in (
        (sqlite3.SQLITE_LIMIT_LENGTH, limits.max_value),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 4 * limits.max_sql),
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 1000),
        (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 500),
        (sqlite3.SQLITE_LIMIT_VDBE_OP, 1_000_000),
        (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 100),
        (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
    ):
        connection.setlimit(category, limit)
    connection.set_authorizer(_authorize)
    return connection


def idle_wal(path: str) -> bool:
    """True for a database in WAL mode that nobody writes to: only as immutable can it be read without writing beside it."""
    with open(path, "rb") as stream:  # noqa: PTH123  (pathlib would double the start-up time)
        return stream.read(20)[18:20] == b"\2\2" and not os.path.exists(f"{path}-wal")  # noqa: PTH110


def _load(connection: sqlite3.Connection) -> None:
    """Reads the schema, or finds that there is none; opens virtual tables, whose set-up the authorizer would refuse."""
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage = 0").fetchall()
    tables = ['"' + name.replace('"', '""') + '"' for (name,) in rows]
    for table in [*tables, "json_each('[]')", "json_tree('[]')"]:
        with suppress(sqlite3.Error):  # a virtual table that this SQLite does not know: queries of it fail, others do not
            connection.execute(f"SELECT 1 FROM {table} LIMIT 0").close()  # noqa: S608  (quoted)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _source: str | None) -> int:
    if action in _ALLOWED:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first == "data_version":  # full-text tables ask it of themselves
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
