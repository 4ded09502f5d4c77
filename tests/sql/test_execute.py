import os
import select
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from sense.config import ExecutionConfig
from sense.sql.database_file import DatabaseFile
from sense.sql.execute import Executor
from sense.sql.process import WorkerEnd, WorkerProcess
from sense.sql.result import Failure, Result
from sense.sql.sandbox import Limits, Sandbox, fetch_all

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_a_result_holds_columns_and_rows(executor, pets):
    outcome = executor.run(pets, "SELECT name AS Who, weight, x'00ff' FROM pet WHERE kind = 'cat' ORDER BY id")
    assert outcome == Result(("Who", "weight", "x'00ff'"), [("Tom", 4.0, b"\x00\xff"), ("Kit", 3.5, b"\x00\xff")])


def test_null_and_large_integers_arrive_as_they_are(executor, pets):
    assert executor.run(pets, "SELECT NULL, 9223372036854775807, -0.5").rows == [(None, 9223372036854775807, -0.5)]


def test_outcomes_come_in_the_order_of_the_statements(executor, pets):
    statements = [(pets, f"SELECT {number}" if number % 3 else "SELEC") for number in range(600)]
    for number, outcome in enumerate(executor.map(statements)):
        if number % 3:
            assert outcome.rows == [(number,)]
        else:
            assert outcome == Failure("rejected", "not a SELECT: it begins with SELEC")


def test_statements_handed_over_together_have_an_outcome_each(executor, pets):
    statements = ["SELECT 1", "DROP TABLE pet", ENDLESS, "SELECT nme FROM pet", "SELECT 2"]
    outcomes = executor.run_all(pets, statements)
    assert [outcome.rows if isinstance(outcome, Result) else outcome.verdict for outcome in outcomes] == [
        [(1,)],
        "rejected",
        "timeout",
        "error",
        [(2,)],
    ]
    assert executor.run_all(pets, []) == []
    assert executor.run_all(pets, ["DROP TABLE pet"]) == [Failure("rejected", "not a SELECT: it begins with DROP")]


def test_map_takes_statements_as_it_goes(executor, pets):
    def statements():
        number = 0
        while True:
            number += 1
            yield pets, f"SELECT {number}"

    outcomes = executor.map(statements())
    assert [next(outcomes).rows[0][0] for _ in range(5)] == [1, 2, 3, 4, 5]
    outcomes.close()
    assert executor.run(pets, "SELECT 6").rows == [(6,)]


def test_sqlite_says_what_is_wrong_with_a_query(executor, pets):
    assert executor.run(pets, "SELECT nme FROM pet") == Failure("error", "no such column: nme")
    assert executor.run(pets, "SELECT name FROM pet WERE id = 1") == Failure("error", 'near "id": syntax error')
    assert executor.run(pets, "SELECT ?").verdict == "error"
    assert executor.run(pets, "SELECT '\ud800'").verdict == "error"


def test_limits_on_the_result(executor, pets):
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT i FROM n"
    assert len(executor.run(pets, many.format(100)).rows) == 100
    assert executor.run(pets, many.format(101)) == Failure("too_large", "more than 100 rows", "rows")
    assert len(executor.run(pets, "SELECT hex(zeroblob(5000))").rows[0][0]) == 10_000
    assert executor.run(pets, "SELECT hex(zeroblob(5001))") == Failure("too_large", "more than 10,000 bytes", "bytes")
    assert executor.run(pets, ENDLESS) == Failure("timeout", "more than 1,000,000 steps", "steps")


def test_the_step_budget_is_per_statement_and_gives_the_same_verdict_each_time(pets):
    """The budget lies between two queries: whatever ran before on the connection, each keeps its own verdict."""
    steps = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT count(*) FROM n"
    with Executor(ExecutionConfig(max_steps=100_000, workers=1)) as executor:
        for _ in range(20):
            assert executor.run(pets, steps.format(4_000)).rows == [(4_000,)]
            assert executor.run(pets, steps.format(40_000)) == Failure("timeout", "more than 100,000 steps", "steps")


def test_a_database_that_is_missing_or_none_is_named(executor, pets, tmp_path):
    missing, text, folder = tmp_path / "missing.sqlite", tmp_path / "text.sqlite", tmp_path / "folder.sqlite"
    text.write_text("this is no database, whatever its name says; " * 20)
    folder.mkdir()
    for path in (missing, text, folder):
        outcome = executor.run(path, "SELECT 1")
        assert outcome.verdict == "error"
        assert outcome.detail.startswith(f"{path.name}: not a readable SQLite database")  # of the path, which differs, no more
    assert not missing.exists()
    assert executor.run(pets, "SELECT 1").rows == [(1,)]


def test_a_replaced_database_is_opened_anew(executor, tmp_path):
    path = tmp_path / "a.sqlite"
    for value in (1, 2):
        fresh = tmp_path / f"{value}.sqlite"
        with closing(sqlite3.connect(fresh)) as connection:
            connection.executescript(f"CREATE TABLE t(a); INSERT INTO t VALUES ({value})")
        fresh.replace(path)
        assert executor.run(path, "SELECT a FROM t").rows == [(value,)]


def test_text_that_is_no_utf8_is_read_with_replacements(executor, tmp_path):
    path = tmp_path / "latin.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t(a); INSERT INTO t VALUES (CAST(x'43e9' AS TEXT))")
    assert executor.run(path, "SELECT a FROM t").rows == [("C\ufffd",)]


def test_virtual_tables_and_wal_files_are_read_without_a_trace(executor, tmp_path):
    path = tmp_path / "special.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "PRAGMA journal_mode = WAL; CREATE VIRTUAL TABLE d USING fts5(a); INSERT INTO d VALUES ('hello world'), ('bye');"
            "CREATE VIRTUAL TABLE r USING rtree(id, low, high); INSERT INTO r VALUES (1, 0, 5)"
        )
    assert executor.run(path, "SELECT a FROM d WHERE d MATCH 'hello'").rows == [("hello world",)]
    assert executor.run(path, "SELECT id FROM r WHERE low < 3").rows == [(1,)]
    assert executor.run(path, "SELECT value FROM json_each('[7]')").rows == [(7,)]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["special.sqlite"]


def test_what_a_writer_commits_to_a_wal_file_is_seen_at_once(executor, tmp_path):
    path = tmp_path / "live.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1)")
    count = [(path, f"SELECT count(*), {number} FROM t") for number in range(4)]
    assert [outcome.rows[0][0] for outcome in executor.map(count)] == [1] * 4
    with closing(sqlite3.connect(path)) as writer:
        writer.executescript("INSERT INTO t VALUES (2)")
        assert [outcome.rows[0][0] for outcome in executor.map(count)] == [2] * 4
    assert [outcome.rows[0][0] for outcome in executor.map(count)] == [2] * 4


def test_more_databases_than_connections_are_kept(executor, tmp_path):
    paths = [tmp_path / f"{number}.sqlite" for number in range(20)]
    for number, path in enumerate(paths):
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(f"PRAGMA synchronous = OFF; CREATE TABLE t(a); INSERT INTO t VALUES ({number})")
    for _ in range(2):
        outcomes = executor.map((path, "SELECT a FROM t") for path in paths)
        assert [outcome.rows for outcome in outcomes] == [[(number,)] for number in range(20)]


LIMITS = Limits(timeout_s=30, max_rows=10, max_bytes=1000, max_steps=10**12, max_sql=1000)


def endless(pets, limits=None):
    """A worker that has answered one statement and is at the next, which never ends."""
    worker = WorkerProcess(limits or LIMITS)
    worker.send(("select", tuple(DatabaseFile.from_path(pets)), ("SELECT 1", ENDLESS)))
    while worker.current() != (1, False):
        os.sched_yield()
    return worker


def test_a_worker_that_dies_says_at_which_statement(pets):
    worker = endless(pets)
    os.kill(worker._process.pid, signal.SIGSEGV)
    assert worker.receive(ready=True) == WorkerEnd(
        1, Failure("error", "the query brought its process down (exit code -11)"), died=True
    )


def test_a_worker_that_does_not_answer_is_killed(pets):
    worker = endless(pets, LIMITS._replace(timeout_s=0.3))
    while not (end := worker.receive(ready=False)):  # it has its time first
        os.sched_yield()
    late = Failure("timeout", "more than 0.3 s, at work that SQLite cannot interrupt", "clock")
    assert end == WorkerEnd(1, late, died=False)
    assert worker._process.returncode == -signal.SIGKILL


def test_a_worker_that_died_idle_is_replaced(pets):
    with Executor(ExecutionConfig(workers=1)) as executor:
        assert executor.run(pets, "SELECT 1").rows == [(1,)]
        process = executor._pool._idle[0]._process
        process.kill()
        process.wait()
        assert executor.run(pets, "SELECT 2").rows == [(2,)]


def test_no_worker_outlives_its_executor(pets):
    with Executor(ExecutionConfig(workers=2)) as executor:
        list(executor.map([(pets, "SELECT 1")] * 4))
        workers = list(executor._pool._idle)
        assert len(workers) == 2
    assert [worker._process.returncode for worker in workers] == [0, 0]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux to wait for a process that is no child")
def test_workers_end_when_their_parent_is_killed(pets):
    program = (
        "import sys, pathlib; from sense.sql.execute import Executor; from sense.config import ExecutionConfig\n"
        "executor = Executor(ExecutionConfig()); executor.run(pathlib.Path(sys.argv[1]), 'SELECT 1')\n"
        "print(executor._pool._idle[0]._process.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(pets)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        watched = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        assert select.select([watched], [], [], 30)[0]  # readable once the process has ended
    finally:
        os.close(watched)


def test_a_replaced_file_is_not_kept_open(tmp_path):
    """Its room on the disk would be free only when nobody has it open."""
    path = tmp_path / "t.sqlite"
    sandbox = Sandbox(Limits(timeout_s=30, max_rows=10, max_bytes=1000, max_steps=10**6, max_sql=1000))
    for number in range(3):
        with closing(sqlite3.connect(tmp_path / "new")) as connection:
            connection.executescript(f"CREATE TABLE t(a); INSERT INTO t VALUES ({number})")
        (tmp_path / "new").replace(path)
        assert sandbox.run(DatabaseFile.from_path(path), "SELECT a FROM t", fetch_all, "strict") == (("a",), [(number,)])
        assert len(sandbox._connections) == 1


RANDOM_LIMITS = Limits(timeout_s=30, max_rows=10, max_bytes=1000, max_steps=10**6, max_sql=1000)


def test_random_numbers_are_the_same_each_time_a_statement_runs(tmp_path):
    path = tmp_path / "t.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE VIEW draw AS SELECT random() AS number")
    file, sql = DatabaseFile.from_path(path), "SELECT random(), random(), hex(randomblob(8)), (SELECT number FROM draw)"
    sandbox = Sandbox(RANDOM_LIMITS)
    outcomes = [sandbox.run(file, each, fetch_all, "strict") for each in (sql, "SELECT random()", sql)]
    outcomes.append(Sandbox(RANDOM_LIMITS).run(file, sql, fetch_all, "strict"))
    [(first, second, blob, third)] = outcomes[0][1]
    assert outcomes[0] == outcomes[2] == outcomes[3]
    assert outcomes[1][1] == [(first,)]
    assert len({first, second, third}) == 3
    assert len(blob) == 16
    signs = sandbox.run(
        file, "SELECT DISTINCT random() > 0, typeof(random()) FROM json_each('[1,1,1,1,1,1,1]')", fetch_all, "strict"
    )
    assert sorted(signs[1]) == [(0, "integer"), (1, "integer")]


def test_a_random_blob_has_the_length_that_sqlite_gives_it_and_no_more_than_a_value_may(pets):
    file, sandbox = DatabaseFile.from_path(pets), Sandbox(RANDOM_LIMITS)
    sizes = ["0", "-5", "NULL", "3", "2.9", "'3x'", "'x'", "x'33'"]
    sql = "SELECT " + ", ".join(f"length(randomblob({size}))" for size in sizes)
    with closing(sqlite3.connect(":memory:")) as plain:
        assert sandbox.run(file, sql, fetch_all, "strict")[1] == plain.execute(sql).fetchall()
    for size in ("4001", "1000000000000", "9e999", "'99999999999999999999'"):
        outcome = sandbox.run(file, f"SELECT length(randomblob({size}))", fetch_all, "strict")
        assert outcome == Failure("too_large", "a value of more than 4,000 bytes", "value")


def test_calls_of_random_count_as_steps_as_before(pets):
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(random() & 1) FROM n"
    outcome = Sandbox(RANDOM_LIMITS).run(DatabaseFile.from_path(pets), numbers, fetch_all, "strict")
    assert outcome == Failure("timeout", "more than 1,000,000 steps", "steps")
