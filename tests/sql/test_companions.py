"""A database is read with every committed row whatever lies beside it, and nothing in its folder changes."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sense.config import ExecutionConfig
from sense.errors import InputError, StorageError
from sense.evaluation.score import ScoringItem, score
from sense.schema import introspect
from sense.sql import modes, snapshot
from sense.sql.database_file import DatabaseFile
from sense.sql.execute import Executor
from sense.sql.result import Failure, Result
from sense.sql.snapshot import Snapshots, copy_database
from tests.sql.companions import CHANGE, CHECKPOINT, LARGE, MORE, NAMES, STATES, TABLE, WAL, crash, expected_names, files

NOBODY = 65534


@pytest.fixture(params=STATES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "shop" / "shop.sqlite"
    STATES[request.param](path)
    return path


def test_statements_see_what_sqlite_sees_and_leave_no_trace(executor: Executor, database: Path, tmp_path: Path):
    before = files(database.parent)
    try:
        outcomes = [executor.run(database, NAMES), executor.run(database, NAMES)]
        tables = [table.name for table in introspect(database).tables]
    except InputError:
        outcomes, tables = [], []
    assert files(database.parent) == before
    try:
        rows = expected_names(database, tmp_path / "scratch")
    except sqlite3.Error:
        assert all(isinstance(outcome, Failure) for outcome in outcomes)
        assert tables == []
    else:
        assert outcomes == [Result(("name",), rows)] * 2
        assert tables == ["item"]


@pytest.mark.parametrize("mode", modes.MODES)
def test_every_mode_scores_a_database_with_a_wal(executor: Executor, tmp_path: Path, mode: str):
    items = []
    for name in ("a -wal", "an empty -wal", "a -wal and a -shm", "a hot journal"):
        database = tmp_path / name / "shop.sqlite"
        STATES[name](database)
        items.append(ScoringItem(name, database, "SELECT name FROM item WHERE id = 3", "SELECT 'hat'"))
    assert [verdict.verdict for verdict in score(executor, items, "wal", mode)] == ["match"] * len(items)


def test_a_copy_holds_all_rows_in_one_file_and_the_same_bytes_each_time(database: Path, tmp_path: Path):
    before, copies = files(database.parent), []
    for number in range(2):
        (tmp_path / f"{number}").mkdir()
        copies.append(tmp_path / f"{number}" / "copy.sqlite")
        try:
            copy_database(DatabaseFile.from_path(database), copies[-1])
        except sqlite3.DatabaseError:
            with pytest.raises(sqlite3.Error):
                expected_names(database, tmp_path / "scratch")
            return
    assert files(database.parent) == before
    assert [file.name for file in copies[0].parent.iterdir()] == ["copy.sqlite"]
    assert copies[0].read_bytes() == copies[1].read_bytes()
    try:
        rows = expected_names(database, tmp_path / "scratch")
    except sqlite3.Error:
        return
    with closing(sqlite3.connect(f"{copies[0].as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        assert connection.execute(NAMES).fetchall() == rows


def test_a_database_that_is_complete_by_itself_is_copied_byte_for_byte(tmp_path: Path):
    for name in ("WAL mode and nothing else", "an empty -wal", "no WAL mode and nothing else", "an empty journal"):
        database = tmp_path / name / "shop.sqlite"
        STATES[name](database)
        copy_database(DatabaseFile.from_path(database), tmp_path / "copy.sqlite")
        assert (tmp_path / "copy.sqlite").read_bytes() == database.read_bytes()


def test_a_wal_beside_the_target_of_a_link_counts(executor: Executor, tmp_path: Path):
    STATES["a -wal"](tmp_path / "store" / "shop.sqlite")
    before = files(tmp_path / "store")
    link = tmp_path / "linked.sqlite"
    link.symlink_to(tmp_path / "store" / "shop.sqlite")
    assert executor.run(link, NAMES).rows == [("pen",), ("cup",), ("hat",)]
    assert [table.name for table in introspect(link).tables] == ["item"]
    assert files(tmp_path / "store") == before


def test_messages_name_the_database_and_not_its_copy(executor: Executor, tmp_path: Path):
    database = tmp_path / "shop" / "shop.sqlite"
    STATES["a -wal"](database)
    with database.open("r+b") as stream:
        stream.write(b"SQLite format 4\0")
    with pytest.raises(InputError, match=r"shop/shop\.sqlite: not a readable SQLite database \(file is not a database\)"):
        executor.run(database, NAMES)


def test_no_room_for_a_copy_is_said(executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    database = tmp_path / "shop" / "shop.sqlite"
    STATES["a -wal"](database)

    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot.shutil, "copyfile", full)
    with pytest.raises(StorageError, match=r"no room for a copy of .*shop\.sqlite"):
        executor.run(database, NAMES)
    monkeypatch.undo()
    assert executor.run(database, NAMES).rows[0] == ("pen",)


def test_private_copies_go_when_they_are_not_needed_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    database = tmp_path / "shop" / "shop.sqlite"
    STATES["a -wal"](database)
    with Executor(ExecutionConfig(workers=1)) as executor:
        assert executor.run(database, NAMES).rows == [("pen",), ("cup",), ("hat",)]
        assert executor.run(database, NAMES).rows == [("pen",), ("cup",), ("hat",)]
        assert len(list(private.iterdir())) == 1
        with closing(sqlite3.connect(database)) as writer:
            writer.executescript("INSERT INTO item VALUES (4, 'bag', '')")
        assert executor.run(database, NAMES).rows == [("pen",), ("cup",), ("hat",), ("bag",)]
        assert list(private.iterdir()) == []


def test_a_copy_is_made_again_while_somebody_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    database = tmp_path / "shop" / "shop.sqlite"
    STATES["a -wal"](database)
    copyfile = shutil.copyfile
    changes = iter(["INSERT INTO item VALUES (4, 'bag', '')", "INSERT INTO item VALUES (5, 'tie', '')"])

    def copy_and_write(source: str, target: Path) -> None:
        copyfile(source, target)
        change = next(changes, None)
        if change is not None:
            with closing(sqlite3.connect(database)) as writer:
                writer.executescript(f"PRAGMA locking_mode = EXCLUSIVE; {change}")

    monkeypatch.setattr(snapshot.shutil, "copyfile", copy_and_write)
    copy_database(DatabaseFile.from_path(database), tmp_path / "copy.sqlite")
    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as connection:
        assert connection.execute(NAMES).fetchall() == [("pen",), ("cup",), ("hat",), ("bag",), ("tie",)]


def test_a_file_that_never_rests_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    database = tmp_path / "shop" / "shop.sqlite"
    STATES["a -wal"](database)
    copyfile = shutil.copyfile

    def copy_and_touch(source: str, target: Path) -> None:
        copyfile(source, target)
        os.utime(database, ns=(1, database.stat().st_mtime_ns + 1))

    monkeypatch.setattr(snapshot.shutil, "copyfile", copy_and_touch)
    monkeypatch.setattr(snapshot, "_ATTEMPTS", 3)
    with pytest.raises(InputError, match=r"shop\.sqlite: somebody writes to it all the time"):
        copy_database(DatabaseFile.from_path(database), tmp_path / "copy.sqlite")


# --- beside a writer


WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    for statement in line.split(";"):
        connection.execute(statement)
    print(flush=True)
"""


class Writer:
    """A process that has the database open and executes what it is told to."""

    def __init__(self, database: Path) -> None:
        command = [sys.executable, "-c", WRITER, str(database)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def execute(self, sql: str) -> None:
        self._process.stdin.write(sql.replace("\n", " ") + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def live(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop" / "shop.sqlite"


@pytest.fixture
def writer(live: Path) -> Iterator[Writer]:
    process = Writer(live)
    yield process
    process.close()


@pytest.mark.parametrize("mode", ["WAL", "DELETE", "PERSIST", "TRUNCATE"])
def test_what_a_writer_commits_is_seen_at_once_and_nothing_else(executor: Executor, live: Path, writer: Writer, mode: str):
    writer.execute(f"PRAGMA journal_mode = {mode}; {TABLE} PRAGMA wal_autocheckpoint = 0;")
    assert executor.run(live, NAMES).rows == [("pen",)]
    writer.execute(MORE)
    before = files(live.parent)
    assert executor.run(live, NAMES).rows == [("pen",), ("cup",), ("hat",)]
    assert files(live.parent) == before
    writer.execute("BEGIN; INSERT INTO item VALUES (4, 'bag', '');")
    before = files(live.parent)
    assert executor.run(live, NAMES).rows == [("pen",), ("cup",), ("hat",)]
    assert len(introspect(live).tables) == 1
    assert files(live.parent) == before
    writer.execute("COMMIT")
    assert executor.run(live, NAMES).rows == [("pen",), ("cup",), ("hat",), ("bag",)]
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE); DELETE FROM item WHERE id < 4")
    assert executor.run(live, NAMES).rows == [("bag",)]
    writer.close()
    assert executor.run(live, NAMES).rows == [("bag",)]
    assert not {file.name for file in live.parent.iterdir()} & {"shop.sqlite-wal", "shop.sqlite-shm"}


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_writer_that_is_killed_leaves_what_it_has_committed(executor: Executor, live: Path, writer: Writer, mode: str):
    writer.execute(f"PRAGMA journal_mode = {mode}; {TABLE} {MORE} {LARGE} PRAGMA cache_size = 1;")
    count = executor.run(live, "SELECT count(*), sum(name = 'unfinished') FROM item").rows
    assert count == [(83, 0)]
    writer.execute(f"BEGIN; {CHANGE}")
    writer.kill()
    before = files(live.parent)
    assert executor.run(live, "SELECT count(*), sum(name = 'unfinished') FROM item").rows == count
    assert files(live.parent) == before


def test_a_writer_that_lets_nobody_else_in_is_read_from_a_copy(executor: Executor, live: Path, writer: Writer):
    writer.execute(f"{WAL} {TABLE} {CHECKPOINT}")
    writer.execute(f"PRAGMA locking_mode = EXCLUSIVE; {MORE}")
    if not Path(f"{live}-shm").exists():
        assert executor.run(live, NAMES).rows == [("pen",), ("cup",), ("hat",)]


# --- where nothing may be written


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """A folder outside of pytest's own, in which a test may become another user than root, who may do anything."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    if os.getuid() == 0:
        os.seteuid(0)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", STATES)
def test_a_read_only_folder_of_read_only_files_is_read(ordinary_user: Path, tmp_path: Path, name: str):
    database = ordinary_user / "shop" / "shop.sqlite"
    STATES[name](database)
    for path in database.parent.iterdir():
        path.chmod(0o444)
    database.parent.chmod(0o555)
    before = files(database.parent)
    try:
        rows = expected_names(database, tmp_path / "scratch")
    except sqlite3.Error:
        return
    if os.getuid() == 0:
        os.seteuid(NOBODY)
    file = DatabaseFile.from_path(database)
    copy = Snapshots().copy(file)  # a worker of root would be root again
    opened = copy.file if copy is not None else file
    with closing(sqlite3.connect(opened.read_only_uri(opened.stamp()), uri=True)) as connection:
        assert connection.execute(NAMES).fetchall() == rows
    assert introspect(database).tables[0].name == "item"
    assert files(database.parent) == before


# --- any history


STEPS = [
    MORE.replace("INSERT", "INSERT OR REPLACE"),
    LARGE.replace("INSERT", "INSERT OR REPLACE"),
    "DELETE FROM item WHERE id = 2;",
    "UPDATE item SET name = name || '+';",
    "CREATE INDEX IF NOT EXISTS item_name ON item(name);",
    CHECKPOINT,
    "VACUUM;",
]


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, str, tuple[str, ...], int]:
    """A script, an unfinished statement or '', the files left beside the database, and the bytes lost at the last one's end."""
    mode = draw(st.sampled_from(["WAL", "DELETE", "PERSIST"]))
    page = draw(st.sampled_from([512, 4096]))
    steps = draw(st.lists(st.sampled_from(STEPS), max_size=6))
    tail = draw(st.sampled_from(["", CHANGE]))
    if mode == "WAL":
        beside = draw(st.sampled_from([("-wal",), ("-shm", "-wal")]))
    else:
        beside = ("-journal",) if mode == "PERSIST" or tail else ()
    lost = draw(st.integers(0, 1500)) if beside else 0
    return f"PRAGMA page_size = {page}; PRAGMA journal_mode = {mode}; {TABLE} {''.join(steps)}", tail, beside, lost


@settings(max_examples=60, deadline=None)
@given(histories())
def test_after_any_history_the_rows_are_those_of_sqlite(executor: Executor, history: tuple[str, str, tuple[str, ...], int]):
    script, tail, beside, lost = history
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "shop" / "shop.sqlite"
        crash(script, database, beside, tail)
        if beside and lost:
            last = Path(f"{database}{beside[-1]}")
            last.write_bytes(last.read_bytes()[:-lost])
        before = files(database.parent)
        outcome = executor.run(database, NAMES)
        copy_database(DatabaseFile.from_path(database), Path(folder) / "copy.sqlite")
        assert files(database.parent) == before
        try:
            rows = expected_names(database, Path(folder) / "scratch")
        except sqlite3.Error:
            assert isinstance(outcome, Failure)
            return
        assert outcome == Result(("name",), rows)
        with closing(sqlite3.connect(Path(folder) / "copy.sqlite")) as connection:
            assert connection.execute(NAMES).fetchall() == rows
