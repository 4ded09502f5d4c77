"""Statements that attack: each gets a verdict, none changes a file, and the row after it is executed as if nothing had been."""

import os
import resource
import sqlite3
import sys
from contextlib import closing

import pytest

from sense.evaluation.score import ScoringItem, score
from sense.records import digest, dump
from sense.sql import modes
from sense.sql.database_file import DatabaseFile
from sense.sql.execute import Executor
from sense.sql.parse import MAX_LENGTH
from sense.sql.result import Failure, Result
from tests.sql import hostile
from tests.sql.hostile import LIMITS, PLAIN, TEXT, fill_placeholders

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors through /proc")
LONG_DETAIL = 1000  # characters; what people read is a line


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    return hostile.build(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def attacks(attacked):
    return hostile.statements(attacked.parent)


@pytest.fixture(scope="module")
def hasty_executor():
    with Executor(LIMITS) as executor:
        yield executor


@pytest.fixture(scope="module")
def patient_executor():
    with Executor(LIMITS.model_copy(update={"timeout_s": 30.0})) as executor:
        yield executor


@pytest.fixture(params=["may take long", "takes no time"])
def executor_and_attacks(request, hasty_executor, patient_executor, attacks):
    """Attacks, and who executes them: those that no clock need stop are given time, so that a busy machine changes nothing."""
    hasty = request.param == "may take long"
    selected = [attack for attack in attacks if ("timeout" in attack.select | attack.official) == hasty]
    return hasty_executor if hasty else patient_executor, selected


@pytest.fixture(autouse=True)
def database_unchanged(attacked):
    before = digest(attacked)
    yield
    assert digest(attacked) == before
    assert [file.name for file in attacked.parent.iterdir()] == [attacked.name]


def plain(number):
    """The plain statement, written differently for each number, so that each is executed; it asks all virtual tables."""
    matches = "(SELECT count(*) FROM {0} WHERE {0} MATCH 'w1')"
    return (
        f"{PLAIN} AND {number} = {number} AND {matches.format('note')} = {matches.format('old')} AND EXISTS (SELECT 1 FROM box)"
    )


def right_verdicts(attack, mode):
    """The verdicts that are right for an attack judged by the plain gold.

    Its result is never the gold's. What gives more than the gold may be stopped before it is known to be too large.
    """
    outcomes = attack.select if mode in (modes.STRICT, modes.STRICT_TS, "strict@1") else attack.official
    differs = {"mismatch"} if outcomes & {"result", "too_large"} else set()
    return outcomes - {"result"} | differs


def test_there_is_no_lack_of_attacks(attacks):
    assert len({attack.sql for attack in attacks}) == len({(attack.family, attack.name) for attack in attacks}) > 250


def test_each_hostile_statement_has_an_outcome_and_the_next_one_its_result(executor_and_attacks, attacked):
    executor, attacks = executor_and_attacks
    statements = [(attacked, sql) for number, attack in enumerate(attacks) for sql in (attack.sql, plain(number))]
    outcomes = list(executor.map(statements))
    for attack, outcome in zip(attacks, outcomes[0::2], strict=True):
        outcome_name = outcome.verdict if isinstance(outcome, Failure) else "result"
        assert outcome_name in attack.select, (attack.family, attack.name, str(outcome)[:300])
    assert outcomes[1::2] == [Result(("name",), [("Rex",)])] * len(attacks)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [mode for mode in modes.MODES if mode != "bird-rves@1"])  # which is bird-ex@1, 100 times over
def test_each_hostile_prediction_has_a_verdict_and_the_next_one_matches(executor_and_attacks, attacked, mode):
    executor, attacks = executor_and_attacks
    items = []
    for number, attack in enumerate(attacks):
        items += [
            ScoringItem(attack.name, attacked, attack.sql, PLAIN),
            ScoringItem(f"after {attack.name}", attacked, plain(number), PLAIN),
        ]
    verdicts = score(executor, items, "hostile", mode)
    assert [verdict.id for verdict in verdicts] == [item.id for item in items]
    for attack, verdict in zip(attacks, verdicts[0::2], strict=True):
        assert verdict.verdict in right_verdicts(attack, mode), (attack.family, str(verdict)[:300])
        assert dump(verdict).encode()  # a lone surrogate could not be written
    assert [str(verdict) for verdict in verdicts[1::2] if verdict.verdict != "match"] == []
    assert [verdict.id for verdict in verdicts if len(verdict.detail) > LONG_DETAIL] == []


@pytest.mark.slow
def test_each_hostile_gold_has_a_verdict_and_the_next_one_matches(executor_and_attacks, attacked):
    executor, attacks = executor_and_attacks
    items = []
    for number, attack in enumerate(attacks):
        items += [
            ScoringItem(attack.name, attacked, PLAIN, attack.sql),
            ScoringItem(f"after {attack.name}", attacked, PLAIN, plain(number)),
        ]
    verdicts = score(executor, items, "hostile")
    for attack, verdict in zip(attacks, verdicts[0::2], strict=True):
        # as a gold, any statement is executed, and longer ones than a prediction may be
        outcomes = attack.select | attack.official | ({"result"} if len(attack.sql) > MAX_LENGTH else set())
        right = {"mismatch" if outcome == "result" else "gold_error" for outcome in outcomes}
        assert verdict.verdict in right, (attack.family, str(verdict)[:300])
    assert [str(verdict) for verdict in verdicts[1::2] if verdict.verdict != "match"] == []
    assert [verdict.id for verdict in verdicts if len(verdict.detail) > LONG_DETAIL] == []


@pytest.mark.parametrize("name", ["vacuum", "vacuum into"])
def test_a_vacuum_refused_half_way_leaves_the_virtual_tables_open(attacked, attacks, name):
    (attack,) = (attack for attack in attacks if attack.name == name)
    items = [ScoringItem("attack", attacked, attack.sql, PLAIN), ScoringItem("after", attacked, plain(0), PLAIN)]
    with Executor(LIMITS.model_copy(update={"workers": 1})) as executor:
        verdicts = score(executor, items, "hostile", "bird-ex@1")
    assert [verdict.verdict for verdict in verdicts] == ["rejected", "match"]


def test_a_statement_that_sqlite_cannot_interrupt_is_named_as_such(hasty_executor, attacked, attacks):
    (attack,) = (attack for attack in attacks if attack.name == "instr, one long C call")
    outcome = hasty_executor.run(attacked, attack.sql)
    assert outcome == Failure("timeout", "more than 0.25 s, at work that SQLite cannot interrupt", "clock")


def test_messages_and_names_are_bounded_like_results(hasty_executor, attacked, attacks):
    outcomes = {attack.name: hasty_executor.run(attacked, attack.sql) for attack in attacks if "huge" in attack.name}
    failures = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Failure)}
    assert {"a huge error message", "a huge identifier"} <= set(failures)
    assert [name for name, failure in failures.items() if len(failure.detail) > LONG_DETAIL] == []
    results = {name: outcome for name, outcome in outcomes.items() if name not in failures}
    assert [name for name, result in results.items() if sum(map(len, result.columns)) > LIMITS.max_bytes] == []


@pytest.mark.parametrize("mode", modes.MODES)
def test_a_text_that_is_too_long_is_not_even_sent(attacked, mode):
    batch = modes.make_batch(mode, (DatabaseFile.from_path(attacked),), PLAIN, ["SELECT 1 --" + "x" * 10 * MAX_LENGTH, PLAIN])
    assert [reason == "" for _, reason in batch.predictions] == [False, True]
    assert max(len(sql) for sql, _ in batch.predictions) <= MAX_LENGTH


def test_golds_of_huge_texts_do_not_add_up(attacked):
    """Each is as large as it may be; all of them together are more than a worker's memory."""
    huge = [fill_placeholders(TEXT, attacked.parent, 480_000 + number) for number in range(1000)]
    items = [ScoringItem(str(number), attacked, f"SELECT {text} AS t", f"SELECT {text}") for number, text in enumerate(huge)]
    with Executor(LIMITS.model_copy(update={"workers": 1})) as executor:
        assert {verdict.verdict for verdict in score(executor, items, "huge golds")} == {"match"}


def test_a_damaged_database_is_named_even_if_the_damage_is_no_utf8(hasty_executor, tmp_path):
    path = tmp_path / "damaged.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t(a); PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = CAST('CREATE TABLE t(a) ' || x'ff' AS TEXT)")
        connection.commit()
    outcome = hasty_executor.run(path, "SELECT 1")
    assert outcome.verdict == "error"
    assert outcome.detail.startswith(f"{path.name}: not a readable SQLite database")


def test_batches_handed_over_together_are_judged_as_one_by_one(attacked):
    """A prediction and a gold end their worker, in the middle of one long call: the others keep their verdicts."""
    text, half = (fill_placeholders(each, attacked.parent, 450_000) for each in (TEXT, "hex(zeroblob({size} / 2))"))
    lethal = f"SELECT instr({text}, {half} || '1')"
    wanted = {
        "SELECT 1": ["SELECT 1", "DROP TABLE secret", lethal, "SELECT 2", "SELEC"],
        lethal: ["SELECT 1", "SELECT 2"],
        "SELECT nothing": ["SELECT 1"],
        "SELECT 2": ["SELECT 1", "SELECT 2"],
    }
    files = (DatabaseFile.from_path(attacked),)
    batches = [modes.make_batch(modes.STRICT, files, gold, predictions) for gold, predictions in wanted.items()]
    with Executor(LIMITS.model_copy(update={"timeout_s": 0.05})) as executor:
        together = executor.judge_all(batches)
        one_by_one = dict(executor.judge(batches, [1.0] * len(batches)))
        assert executor.judge_all([]) == []
    assert together == [one_by_one[number] for number in range(len(batches))]
    assert [[verdict.verdict for verdict in verdicts] for verdicts in together] == [
        ["match", "rejected", "timeout", "mismatch", "rejected"],
        ["gold_error", "gold_error"],
        ["gold_error"],
        ["mismatch", "match"],
    ]


@LINUX
def test_workers_that_are_killed_leave_no_descriptors_open(attacked):
    """Many statements that end their workers, each with a gold of its own, under a limit that two workers stay far below."""
    text, half = (fill_placeholders(each, attacked.parent, 450_000) for each in (TEXT, "hex(zeroblob({size} / 2))"))
    items = [
        ScoringItem(str(number), attacked, f"SELECT instr({text}, {half} || '1')", f"SELECT {number}") for number in range(40)
    ]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir("/proc/self/fd")}
    free = [number for number in range(len(used) + 24) if number not in used][:24]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1] + 1, hard))
    try:
        with Executor(LIMITS.model_copy(update={"timeout_s": 0.05})) as executor:
            verdicts = score(executor, items, "killed")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [verdict.verdict for verdict in verdicts] == ["timeout"] * len(items)
