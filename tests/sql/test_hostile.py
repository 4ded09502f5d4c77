"""Statements that attack: each gets a verdict, none changes a file, and the row after it is still executed."""

import pytest

from sense.config import ExecutionConfig
from sense.records import digest
from sense.sql.execute import Executor, Failure, Result

N = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"

HOSTILE = {
    "endless recursion": (f"{N} SELECT count(*) FROM n", "timeout"),
    "endless rows": (f"{N} SELECT i FROM n", "too_large"),
    "endless recursion in a subquery": (f"SELECT name FROM pet WHERE id IN ({N} SELECT -i FROM n)", "timeout"),
    "cross join": ("SELECT count(*) FROM " + ", ".join(f"pet p{i}" for i in range(20)), "timeout"),
    "sort that fills memory": (f"{N} SELECT hex(zeroblob(450000)) || i FROM n ORDER BY 1", "too_large or timeout"),
    "aggregate that fills memory": (
        f"{N} SELECT length(group_concat(hex(zeroblob(1000)))) FROM (SELECT i FROM n LIMIT 5000)",
        "too_large",
    ),
    "huge rows": (f"{N} SELECT hex(zeroblob(400000)) FROM n", "too_large"),
    "printf": ("SELECT printf('%.*c', 999999999, 'x')", "too_large or timeout"),
    "zeroblob": ("SELECT zeroblob(999999999)", "too_large"),
    "randomblob": ("SELECT hex(randomblob(999999999))", "too_large"),
    "replace": ("SELECT replace(replace(hex(zeroblob(400000)), '0', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa')", "too_large"),
    "instr, one long C call": ("SELECT instr(hex(zeroblob(450000)), hex(zeroblob(200000)) || '1')", "timeout"),
    "like, one long C call": ("SELECT hex(zeroblob(450000)) LIKE '%" + "0%" * 400 + "1'", "result or timeout"),
    "like with a long pattern": ("SELECT 'a' LIKE '" + "%" * 2000 + "'", "error"),
    "glob backtracking": ("SELECT hex(zeroblob(450000)) GLOB '*" + "[0-9]*" * 100 + "a'", "result or timeout"),
    "deep expression": ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "error"),
    "deep function calls": ("SELECT " + "abs(" * 2000 + "1" + ")" * 2000, "error"),
    "many terms": ("SELECT " + "+".join("1" for _ in range(2000)), "error"),
    "many compound selects": ("SELECT 1" + " UNION ALL SELECT 1" * 600, "error"),
    "many columns": ("SELECT " + ",".join("1" for _ in range(2500)), "error"),
    "many arguments": ("SELECT max(" + ",".join("1" for _ in range(120)) + ")", "error"),
    "a megabyte": ("SELECT '" + "x" * 1_000_000 + "'", "rejected"),
    "attach": ("ATTACH DATABASE '{folder}/new.sqlite' AS other", "rejected"),
    "vacuum into": ("VACUUM INTO '{folder}/copy.sqlite'", "rejected"),
    "pragma": ("PRAGMA writable_schema = 1", "rejected"),
    "pragma as a table": ("SELECT * FROM pragma_journal_mode('delete')", "rejected"),
    "pragma as a table, harmless": ("SELECT * FROM pragma_table_info('pet')", "rejected"),
    "load_extension": ("SELECT load_extension('libc.so.6', 'system')", "rejected"),
    "tokenizer pointer": ("SELECT hex(fts3_tokenizer('simple'))", "rejected"),
    "drop": ("DROP TABLE pet", "rejected"),
    "insert": ("INSERT INTO pet(id) VALUES (99)", "rejected"),
    "delete behind with": ("WITH x AS (SELECT 1) DELETE FROM pet", "rejected"),
    "update returning": ("UPDATE pet SET name = 'x' RETURNING name", "rejected"),
    "second statement": ("SELECT 1; DROP TABLE pet", "rejected"),
    "hidden by a comment": ("/* SELECT */ DROP TABLE pet --", "rejected"),
    "comment that never ends": ("SELECT 1 /* ; DROP TABLE pet", "result"),
    "string that never ends": ("SELECT 'a ; DROP TABLE pet", "error"),
    "begin": ("BEGIN EXCLUSIVE", "rejected"),
    "NUL": ("SELECT 1\0; DROP TABLE pet", "rejected"),
    "half a character": ("SELECT '\ud800'", "error"),
    "binding": ("SELECT ?1, :a, @b", "error"),
    "empty": ("", "rejected"),
}


@pytest.fixture(scope="module")
def guarded():
    limits = ExecutionConfig(timeout_s=0.5, max_rows=1000, max_bytes=1_000_000, max_steps=2_000_000, workers=2)
    with Executor(limits) as executor:
        yield executor


def test_each_hostile_statement_has_a_verdict_and_the_next_row_has_its_result(guarded, pets):
    before = digest(pets)
    statements = [sql.replace("{folder}", str(pets.parent)) for sql, _ in HOSTILE.values()]
    jobs = [(pets, sql) for statement in statements for sql in (statement, "SELECT name FROM pet WHERE id = 1")]
    outcomes = list(guarded.map(jobs))
    for (name, (_, verdict)), outcome in zip(HOSTILE.items(), outcomes[0::2], strict=True):
        got = outcome.verdict if isinstance(outcome, Failure) else "result"
        assert got in verdict.split(" or "), (name, outcome)
    assert outcomes[1::2] == [Result(("name",), [("Rex",)])] * len(HOSTILE)
    assert digest(pets) == before
    assert [file.name for file in pets.parent.iterdir()] == [pets.name]


def test_a_statement_that_sqlite_cannot_interrupt_is_named_as_such(guarded, pets):
    outcome = guarded.run(pets, HOSTILE["instr, one long C call"][0])
    assert outcome == Failure("timeout", "more than 0.5 s, at work that SQLite cannot interrupt")
