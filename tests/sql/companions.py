"""Databases with files beside them: as a crash leaves them, as a backup copies them, as a writer has them open."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

NAMES = "SELECT name FROM item ORDER BY id"
State = Callable[[Path], None]


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Contents and modes of all files of a folder: nothing may change in it."""
    return {path.name: (path.read_bytes(), path.stat().st_mode) for path in sorted(folder.iterdir())}


def expected_names(database: Path, scratch: Path) -> list[tuple[str]]:
    """What SQLite itself reads, with all its rights, from a copy of the folder; sqlite3.Error if it reads nothing."""
    shutil.copytree(database.parent, scratch)
    with closing(sqlite3.connect(scratch / database.name)) as connection:
        return connection.execute(NAMES).fetchall()


def crash(script: str, target: Path, suffixes: tuple[str, ...], tail: str = "") -> None:
    """Writes what is on the disk after `script` and, in an unfinished transaction, `tail`: the database and what is beside it."""
    source = target.parent.with_name(f"{target.parent.name}-source") / target.name
    source.parent.mkdir(parents=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.executescript(script)
        if tail:
            connection.execute("PRAGMA cache_size = 1")
            connection.execute("BEGIN")
            connection.execute(tail)
        for suffix in ("", *suffixes):
            shutil.copyfile(f"{source}{suffix}", f"{target}{suffix}")
    shutil.rmtree(source.parent)


WAL = "PRAGMA journal_mode = WAL;"
TABLE = "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, note TEXT); INSERT INTO item VALUES (1, 'pen', '');"
MORE = "INSERT INTO item VALUES (2, 'cup', ''), (3, 'hat', '');"
CHECKPOINT = "PRAGMA wal_checkpoint(TRUNCATE);"
LARGE = """WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n LIMIT 80)
    INSERT INTO item SELECT i, 'item ' || i, hex(randomblob(400)) FROM n;"""
CHANGE = "UPDATE item SET name = 'unfinished', note = hex(randomblob(500))"


def _edited(state: State, change: Callable[[Path], object]) -> State:
    def write(database: Path) -> None:
        state(database)
        change(database)

    return write


def _beside(suffix: str, content: bytes) -> Callable[[Path], object]:
    return lambda database: Path(f"{database}{suffix}").write_bytes(content)


def _cut(suffix: str, by: int) -> Callable[[Path], object]:
    def cut(database: Path) -> None:
        path = Path(f"{database}{suffix}")
        path.write_bytes(path.read_bytes()[:-by])

    return cut


def _state(script: str, *suffixes: str, tail: str = "") -> State:
    return lambda database: crash(script, database, suffixes, tail)


_with_wal = _state(WAL + TABLE + CHECKPOINT + MORE, "-wal")
_with_index = _state(WAL + TABLE + CHECKPOINT + MORE, "-wal", "-shm")
_idle = _state(WAL + TABLE + MORE + CHECKPOINT)
_hot = _state(TABLE + MORE + LARGE, "-journal", tail=CHANGE)

STATES: dict[str, State] = {
    "a -wal": _with_wal,
    "a -wal and a -shm": _with_index,
    "a -wal and an empty -shm": _edited(_with_wal, _beside("-shm", b"")),
    "a -wal and a -shm of another": _edited(_with_wal, _beside("-shm", bytes(range(256)) * 128)),
    "an empty -wal": _edited(_idle, _beside("-wal", b"")),
    "an empty -wal and a -shm": _edited(_with_index, _beside("-wal", b"")),
    "an empty -wal beside a file in another mode": _edited(_state(TABLE + MORE), _beside("-wal", b"")),
    "a -shm alone": _edited(_idle, _beside("-shm", b"\0" * 32768)),
    "a -wal that is cut short": _edited(_with_wal, _cut("-wal", 100)),
    "a -wal of nothing": _edited(_idle, _beside("-wal", b"no log at all" * 1000)),
    "a -wal with an unfinished transaction": _state(WAL + TABLE + LARGE + CHECKPOINT + MORE, "-wal", tail=CHANGE),
    "the schema in the -wal": _state(WAL + TABLE + MORE, "-wal"),
    "the schema in the -wal, with a -shm": _state(WAL + TABLE + MORE, "-wal", "-shm"),
    "small pages in a -wal": _state("PRAGMA page_size = 512;" + WAL + TABLE + CHECKPOINT + MORE + LARGE, "-wal"),
    "UTF-16 in a -wal": _state("PRAGMA encoding = 'UTF-16le';" + WAL + TABLE + CHECKPOINT + MORE, "-wal"),
    "WAL mode and nothing else": _idle,
    "no WAL mode and nothing else": _state(TABLE + MORE),
    "a hot journal": _hot,
    "a hot journal that is cut short": _edited(_hot, _cut("-journal", 700)),
    "a journal that is kept": _state("PRAGMA journal_mode = PERSIST;" + TABLE + MORE, "-journal"),
    "an empty journal": _edited(_state(TABLE + MORE), _beside("-journal", b"")),
    "an empty file and a -wal": _edited(_with_wal, lambda database: database.write_bytes(b"")),
    "an empty file and a journal": _edited(_hot, lambda database: database.write_bytes(b"")),
    "a file of something else and a -wal": _edited(_with_wal, lambda database: database.write_bytes(b"no database" * 1000)),
}
