"""Feedback becomes data of the pipeline's, whole or not at all."""

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from sense import cli, records
from sense.config import DatabasesConfig
from sense.errors import StorageError, UserError
from sense.records import Example, Sample
from sense.serving.backend import BackendError
from sense.serving.databases import Catalog, UnknownDatabaseError
from sense.serving.feedback import ConflictError, FeedbackStore, Unlabelled
from sense.serving.messages import FeedbackRequest, ModelMessage
from tests.serving.shops import LIMITS, database

RIGHT = "SELECT name FROM customer WHERE city = 'Ghent'"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
WRONG = "SELECT city FROM customer WHERE city = 'Ghent'"


@pytest.fixture
def catalog(tmp_path):
    database(tmp_path / "data" / "shop.sqlite")
    catalog = Catalog(DatabasesConfig(folders=[str(tmp_path / "data")]), LIMITS)
    yield catalog
    catalog.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "feedback"


@pytest.fixture
def store(folder, catalog):
    return FeedbackStore(folder, catalog)


def feedback(name, **fields):
    base = {"id": name, "question": "Who lives in Ghent?", "database": "shop", "sql": RIGHT, "correct": True}
    return FeedbackRequest(**(base | fields))


def corrected(name, **fields):
    return feedback(name, **({"sql": WRONG, "correct": False, "corrected": RIGHT} | fields))


def read_folder(folder):
    """The rows of the three files; examples and samples must fit together as the pipeline wants them."""
    examples = records.read_dataset(folder) if (folder / "examples.jsonl").exists() else []
    samples = records.read_rows(folder / "samples.jsonl", Sample) if (folder / "samples.jsonl").exists() else []
    assert list(dict.fromkeys(sample.example_id for sample in samples)) == [example.id for example in examples]
    waiting = folder / "unlabelled.jsonl"
    return examples, samples, records.read_rows(waiting, Unlabelled) if waiting.exists() else []


def test_a_test_suite_beside_the_database_decides_too(tmp_path, folder):
    main = database(tmp_path / "served" / "shop" / "shop.sqlite")
    rows = "INSERT INTO customer VALUES (1, 'Di', 'Ghent'), (4, 'Ed', 'Bonn')"
    database(main.with_name("suite_01.sqlite"), f"CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT, city TEXT); {rows}")
    catalog = Catalog(DatabasesConfig(folders=[str(tmp_path / "served")]), LIMITS)
    try:
        FeedbackStore(folder, catalog).keep(corrected("f1", sql="SELECT name FROM customer WHERE id <> 2"))
    finally:
        catalog.close()
    _, (sample, gold), _ = read_folder(folder)
    assert (sample.correct, sample.ex, sample.instance, gold.correct) == (False, True, "suite_01.sqlite", True)


def test_right_sql_becomes_a_gold_and_a_sample_that_matches(store, folder):
    model = ModelMessage(name="sense", version="3", digest="d")
    kept = store.keep(feedback("f1", sql=f" {RIGHT} ; ", evidence="in Belgium", model=model))
    assert kept.model_dump() == {"id": "f1", "labelled": True, "verdict": "match", "detail": ""}
    (example,), (sample,), waiting = read_folder(folder)
    assert example == Example(
        id="f1",
        db_id="shop",
        question="Who lives in Ghent?",
        sql=RIGHT,
        source="feedback",
        hardness="easy",
        evidence="in Belgium",
    )
    assert (sample.id, sample.sql, sample.correct, sample.verdict) == ("f1#0", RIGHT, True, "match")
    assert sample.model_extra == {"model": model.model_dump()}
    assert waiting == []


def test_a_correction_becomes_the_gold_that_the_wrong_sql_is_judged_by(store, folder):
    assert store.keep(corrected("f1")).model_dump() == {
        "id": "f1", "labelled": True, "verdict": "mismatch", "detail": "values",
    }  # fmt: skip
    assert store.keep(corrected("f2", sql="SELECT nosuch FROM customer")).verdict == "error"
    assert store.keep(corrected("f3", sql="DROP TABLE customer")).verdict == "rejected"
    assert store.keep(corrected("f4", sql="")).verdict == "rejected"
    same = store.keep(corrected("f5", sql=RIGHT.replace("=", "LIKE")))
    assert (same.verdict, same.detail) == ("match", "on this database the correction gives the same result")
    examples, samples, _ = read_folder(folder)
    assert {example.sql for example in examples} == {RIGHT}
    assert {(sample.sql, sample.verdict) for sample in samples if sample.id.endswith("#1")} == {(RIGHT, "match")}
    assert [(sample.verdict, sample.correct) for sample in samples if sample.id.endswith("#0")] == [
        ("mismatch", False), ("error", False), ("rejected", False), ("rejected", False), ("match", True),
    ]  # fmt: skip


def test_wrong_without_a_correction_waits_for_one(store, folder):
    kept = store.keep(feedback("f1", sql=WRONG, correct=False))
    assert (kept.labelled, kept.verdict) == (False, "")
    assert "waits for a correction" in kept.detail
    assert read_folder(folder)[2] == [
        Unlabelled(
            id="f1", database="shop", dialect="sqlite", question="Who lives in Ghent?", evidence="", sql=WRONG, correct=False,
            corrected="", model=None,
        )
    ]  # fmt: skip
    assert not (folder / "databases").exists()


def test_feedback_on_a_remote_database_is_kept_whole(store, folder, catalog, monkeypatch):
    monkeypatch.setattr(catalog.get("shop"), "file", None)  # as a database on a server
    kept = store.keep(corrected("f1"))
    assert not kept.labelled
    assert "cannot be copied" in kept.detail
    (row,) = read_folder(folder)[2]
    assert (row.sql, row.corrected, row.correct) == (WRONG, RIGHT, False)


def test_the_same_again_adds_nothing_and_something_else_is_a_conflict(store, folder, catalog):
    first = store.keep(corrected("f1"))
    waiting = store.keep(feedback("f2", correct=False))
    before = {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}
    for again in (store, FeedbackStore(folder, catalog)):
        assert again.keep(corrected("f1")) == first
        assert again.keep(corrected("f1", corrected=f"{RIGHT};")) == first
        assert again.keep(feedback("f2", correct=False)) == waiting
        for other in (feedback("f1"), corrected("f1", question="?"), corrected("f1", model=ModelMessage(name="m", version="1"))):
            with pytest.raises(ConflictError, match="'f1' is kept already"):
                again.keep(other)
    assert {path.name: path.read_bytes() for path in folder.glob("*.jsonl")} == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"correct": False, "corrected": "DROP TABLE customer"}, "corrected does not run on 'shop': rejected: not a SELECT"),
        ({"correct": False, "corrected": "SELECT 1; DELETE FROM sale"}, "several statements"),
        ({"correct": False, "corrected": "SELECT nosuch FROM customer"}, "error: no such column: nosuch"),
        ({"correct": False, "corrected": f"{ENDLESS} SELECT i FROM n"}, "too_large"),
        ({"correct": False, "corrected": "VALUES (1)"}, "not a SELECT"),
        ({"correct": False, "corrected": "EXPLAIN SELECT 1"}, "not a SELECT"),
        ({"correct": False, "corrected": "SELECT random() FROM customer"}, "another result each time"),
        ({"correct": False, "corrected": "ATTACH 'x' AS y"}, "not a SELECT"),
        ({"sql": "DELETE FROM sale"}, "sql does not run"),
        ({"sql": " ; "}, "sql is empty"),
        ({"sql": "SELECT random() FROM customer"}, "another result each time"),
        ({"corrected": WRONG}, "correct is true and corrected holds other SQL"),
    ],
)  # fmt: skip
def test_a_gold_must_be_a_select_that_runs(store, folder, catalog, fields, message):
    before = catalog.get("shop").file.read_bytes()
    with pytest.raises(UserError) as caught:
        store.keep(feedback("f1", **fields))
    assert message in str(caught.value)
    assert str(folder) not in str(caught.value)
    assert not isinstance(caught.value, StorageError)
    assert read_folder(folder) == ([], [], [])
    assert [path for name in ("databases", ".incoming") for path in (folder / name).glob("**/*")] == []
    assert catalog.get("shop").file.read_bytes() == before


def test_an_unknown_database_and_a_missing_one(store, catalog):
    with pytest.raises(UnknownDatabaseError):
        store.keep(feedback("f1", database="../shop"))
    catalog.get("shop").file.unlink()
    with pytest.raises(BackendError, match="can't be copied now"):
        store.keep(feedback("f1"))


def test_texts_that_utf8_cannot_hold_are_kept_as_question_marks(store, folder):
    store.keep(feedback("f1", evidence="half \ud800", sql=f"{RIGHT} AND name <> '\ud800'"))
    assert read_folder(folder)[0][0].evidence == "half ?"


def test_a_database_is_copied_once_for_each_content(store, folder, catalog):
    source = catalog.get("shop").file
    store.keep(feedback("f1"))
    store.keep(feedback("f2"))
    FeedbackStore(folder, catalog).keep(feedback("f3"))
    first = source.read_bytes()
    database(source, "INSERT INTO customer VALUES (4, 'Dora', 'Ghent')")
    store.keep(feedback("f4"))
    source.write_bytes(first)
    store.keep(feedback("f5"))
    examples = read_folder(folder)[0]
    other = examples[3].db_id
    assert [example.db_id for example in examples] == ["shop", "shop", "shop", other, "shop"]
    copies = sorted(path.relative_to(folder / "databases").as_posix() for path in folder.glob("databases/*/*"))
    assert copies == sorted([f"{other}/{other}.sqlite", "shop/shop.sqlite"])
    assert other == f"shop-{records.digest(records.database_path(folder, other))[:8]}"
    for name, count in (("shop", 3), (other, 4)):
        with closing(sqlite3.connect(records.database_path(folder, name))) as connection:
            assert connection.execute("SELECT count(*) FROM customer").fetchone() == (count,)
    assert list((folder / ".incoming").iterdir()) == []


def test_a_database_that_is_being_written_to_is_copied_as_it_was_committed(store, folder, catalog):
    with closing(sqlite3.connect(catalog.get("shop").file, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("INSERT INTO customer VALUES (4, 'Dora', 'Ghent')")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM customer")
        store.keep(feedback("f1"))
        writer.execute("ROLLBACK")
    copy = records.database_path(folder, "shop")
    assert [path.name for path in copy.parent.iterdir()] == ["shop.sqlite"]
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM customer").fetchone() == (4,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_large_database_is_not_copied(store, folder, catalog):
    os.truncate(catalog.get("shop").file, (1 << 30) + 1)  # sparse: no such room is taken
    assert store.keep(feedback("f1")).labelled is False
    assert not (folder / "databases").exists()


def test_threads_that_keep_the_same_and_different_feedback(folder, catalog):
    threads, results = 8, []

    def work(number):
        own = FeedbackStore(folder, catalog)
        for each in (f"own-{number}", "shared", "waiting"):
            results.append(own.keep(feedback(each, correct=each != "waiting")))

    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert len(results) == 3 * threads
    examples, _, waiting = read_folder(folder)
    assert sorted(example.id for example in examples) == sorted([*(f"own-{number}" for number in range(threads)), "shared"])
    assert [row.id for row in waiting] == ["waiting"]
    assert [path.name for path in (folder / "databases").iterdir()] == ["shop"]


def test_a_kill_at_any_byte_of_a_write_is_mended_by_the_next_store(store, folder, catalog, tmp_path):
    names = ("journal.jsonl", "examples.jsonl", "samples.jsonl")
    store.keep(corrected("f1"))
    sizes = {name: (folder / name).stat().st_size for name in names}
    second = store.keep(corrected("f2"))
    whole = {name: (folder / name).read_bytes() for name in names}
    states = []  # how much of each file is there, in the order in which they are written
    for position, name in enumerate(names):
        for cut in {sizes[name], sizes[name] + 1, (sizes[name] + len(whole[name])) // 2, len(whole[name]) - 1, len(whole[name])}:
            done = {earlier: len(whole[earlier]) for earlier in names[:position]}
            states.append({**sizes, **done, name: cut})
    for number, state in enumerate(states):
        torn = tmp_path / f"torn-{number}"
        shutil.copytree(folder, torn)
        for name, size in state.items():
            os.truncate(torn / name, size)
        kept = state["journal.jsonl"] == len(whole["journal.jsonl"])
        after = FeedbackStore(torn, catalog)
        assert after.keep(feedback("f3", correct=False)).id == "f3"
        assert [example.id for example in read_folder(torn)[0]] == ["f1", "f2"] if kept else ["f1"]
        assert after.keep(corrected("f2")) == second
        assert [example.id for example in read_folder(torn)[0]] == ["f1", "f2"]
        assert {name: (torn / name).read_bytes() for name in names[1:]} == {name: whole[name] for name in names[1:]}


def test_a_running_process_mends_what_another_left(store, folder, catalog):
    store.keep(corrected("f1"))
    FeedbackStore(folder, catalog).keep(corrected("f2"))
    whole = (folder / "samples.jsonl").read_bytes()
    os.truncate(folder / "samples.jsonl", len(whole) - 10)
    store.keep(feedback("f3", correct=False))
    assert (folder / "samples.jsonl").read_bytes() == whole


def test_a_file_that_somebody_took_away_or_edited_stays_so(store, folder, catalog):
    store.keep(corrected("f1"))
    store.keep(corrected("f2"))
    (folder / "examples.jsonl").unlink()
    (folder / "samples.jsonl").write_text("{}\n")
    again = FeedbackStore(folder, catalog)
    again.keep(feedback("f3", correct=False))
    assert not (folder / "examples.jsonl").exists()
    assert (folder / "samples.jsonl").read_text() == "{}\n"


def test_a_folder_that_is_moved_away_is_begun_anew(store, folder, tmp_path):
    store.keep(feedback("f1"))
    folder.rename(tmp_path / "old")
    store.keep(feedback("f1"))
    assert [example.id for example in read_folder(folder)[0]] == ["f1"]


def test_a_broken_journal_is_named(store, folder):
    store.keep(feedback("f1"))
    (folder / "journal.jsonl").write_text("rubbish\n")
    with pytest.raises(StorageError, match=r"journal.jsonl, byte 0: not the journal's"):
        store.keep(feedback("f2"))


_CHILD = """
import resource, signal, sys
from pathlib import Path
from sense.config import DatabasesConfig
from sense.serving.databases import Catalog
from sense.serving.feedback import FeedbackStore
from sense.serving.messages import FeedbackRequest
from tests.serving.shops import LIMITS
import sense.serving.feedback

folder, data, name, size = sys.argv[1:]
catalog = Catalog(DatabasesConfig(folders=[data]), LIMITS)
store = FeedbackStore(Path(folder), catalog)
if int(size):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
for number in range(200):
    kept = store.keep(FeedbackRequest(id=f"{name}-{number}", question="Who?", database="shop",
        sql="SELECT city FROM customer", correct=False, corrected="SELECT name FROM customer"))
    print(kept.id, flush=True)
"""


def child(folder, tmp_path, name, size=0):
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(folder), str(tmp_path / "data"), name, str(size)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_processes_that_are_killed_lose_nothing_that_was_kept(folder, catalog, tmp_path):
    running = [child(folder, tmp_path, f"p{number}") for number in range(3)]
    kept_ids = []
    for turn, process in enumerate(running):
        for _ in range(4 + 3 * turn):
            kept_ids.append(process.stdout.readline().strip())
        process.send_signal(signal.SIGKILL)
        kept_ids += process.stdout.read().split()
        process.wait()
        process.stderr.close()
        process.stdout.close()
    FeedbackStore(folder, catalog).keep(feedback("last", correct=False))
    examples, _, _ = read_folder(folder)
    journal = [json.loads(line)["id"] for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert {name for name in kept_ids if name} <= {example.id for example in examples}
    assert [example.id for example in examples] == [name for name in journal if name != "last"]


def test_a_full_disk_is_an_error_and_leaves_nothing_half(folder, catalog, tmp_path):
    store = FeedbackStore(folder, catalog)
    store.keep(corrected("f1"))
    for size in (20_000, 20_300, 20_700):  # the journal reaches it first, the others are shorter
        process = child(folder, tmp_path, f"full{size}", size)
        out, errors = process.communicate()
        assert "StorageError" in errors, errors
        assert "feedback cannot be kept (File too large)" in errors
        examples, _, _ = read_folder(folder)
        assert [example.id for example in examples if example.id.startswith(f"full{size}-")] == out.split()
        journal = (folder / "journal.jsonl").read_text()
        assert journal.endswith("\n")
        assert [json.loads(line)["id"] for line in journal.splitlines()] == [example.id for example in examples]
    assert store.keep(feedback("after")).labelled


def test_a_disk_that_fills_up_between_two_files_leaves_neither(store, folder):
    store.keep(corrected("f1"))
    before = {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    padding = b"\n" * 60_000  # blank lines: a longer file than the others, so that the limit strikes it alone
    (folder / "samples.jsonl").write_bytes(before["samples.jsonl"] + padding)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_100 + len(before["samples.jsonl"]), hard))
    try:
        with pytest.raises(StorageError, match="File too large"):
            store.keep(corrected("f2"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert {path.name: path.read_bytes().rstrip(b"\n") + b"\n" for path in folder.glob("*.jsonl")} == before
    assert store.keep(corrected("f2")).labelled


def test_prefer_makes_a_pair_of_the_correction_and_the_wrong_sql(store, folder, tmp_path, monkeypatch):
    store.keep(feedback("right"))
    store.keep(corrected("wrong"))
    store.keep(feedback("waits", correct=False))
    shutil.copy("params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["profile", "--set", "prefer.strategy=near-miss"]) == 0
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    arguments = ["prefer", "--samples", str(folder / "samples.jsonl"), "--unseen", str(folder)]
    assert cli.main([*arguments, "--pairs", "pairs.jsonl", "--metrics", "metrics.json"]) == 0
    pairs = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    (corrected_pair,) = [pair for pair in pairs if pair["source"] == "sample"]
    columns = ("example_id", "chosen", "rejected", "error")
    assert tuple(corrected_pair[column] for column in columns) == ("wrong", RIGHT, WRONG, "mismatch")
    assert [(pair["example_id"], pair["error"]) for pair in pairs if pair["source"] == "mutant"] == [("right", "mismatch")]


def test_a_pipe_in_place_of_the_database_is_not_waited_for(store, catalog):
    file = catalog.get("shop").file
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(BackendError, match="can't be copied now: it is locked, missing or broken"):
        store.keep(feedback("1"))


def test_a_gold_that_reads_the_clock_is_refused(store, folder):
    with pytest.raises(UserError, match=r"sql gives another result each time \(it reads the clock or draws random numbers\)"):
        store.keep(feedback("1", sql="SELECT name FROM customer WHERE date('now') > '2020-01-01'"))
    assert not (folder / "examples.jsonl").exists()
