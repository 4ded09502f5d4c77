"""The stand-in for an LLM: its answers are good ones, the same for the same request; its faults come at their rates."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sense.config import GrammarConfig, LlmConfig
from sense.errors import UserError
from sense.prompts import render_prompt
from sense.records import HARDNESS
from sense.sql.hardness import hardness
from sense.stand_in.planted_faults import KINDS
from sense.stand_in.stand_in import Behaviour, StandIn, StandInReply
from sense.teacher import database_bytes
from sense.teacher.answers import parse_draft
from sense.teacher.question_values import missing_values
from sense.teacher.quotas import Wish
from sense.teacher.unit_answers import Item, read_items, read_unit
from sense.teacher.unit_sources import InventedDatabases, on_database_prompt
from tests.llm_runs import LlmRun, run_llm
from tests.stand_ins import answerer

GRAMMAR = GrammarConfig(tables=5, rows=15)


def stand_in(
    seed: int = 0,
    grammar: GrammarConfig = GRAMMAR,
    clock: Any = lambda: 0.0,
    questions: Path | None = None,
    **options: Any,
) -> StandIn:
    return StandIn(Behaviour(seed, **options), grammar, clock, questions)


def request(seed: int = 1, level: str = "easy", **more: Any) -> dict[str, Any]:
    user = render_prompt("strong", level=level, avoid=["travel"], demonstrations=[])
    messages = [{"role": "system", "content": render_prompt("strong_system")}, {"role": "user", "content": user}]
    return {"model": "grammar", "messages": messages, "temperature": 1.0, "max_tokens": 4096, "seed": seed} | more


def text(reply: StandInReply) -> str:
    assert reply.status == 200
    return str(reply.body["choices"][0]["message"]["content"])


@pytest.mark.parametrize("level", HARDNESS)
def test_an_answer_is_a_data_point_at_the_level_asked_for(level):
    teacher = stand_in()
    for seed in range(5):
        reply = teacher.reply(request(seed, level))
        assert hardness(parse_draft(text(reply), 0, level).sql) == level
        assert reply.body["choices"][0]["finish_reason"] == "stop"
        usage = reply.body["usage"]
        assert usage["completion_tokens"] == len(text(reply)) // 4
        assert usage["prompt_tokens"] == sum(len(message["content"]) for message in request(seed, level)["messages"]) // 4
        assert usage["total_tokens"] == usage["completion_tokens"] + usage["prompt_tokens"]


def test_the_same_request_gets_the_same_answer_whatever_came_before_and_others_get_others():
    first, second = stand_in(), stand_in()
    answers = [text(first.reply(request(seed))) for seed in range(6)]
    assert [text(second.reply(request(seed))) for seed in reversed(range(6))] == answers[::-1]
    assert len(set(answers)) == 6
    assert text(first.reply(request(0, response_format={"type": "json_object"}))) == answers[0]
    assert text(stand_in(seed=1).reply(request(0))) != answers[0]
    counts = first.counts()
    assert (counts["requests"], counts["different"], counts["answered"], counts["answered_again"]) == (7, 6, 7, 1)


@pytest.mark.parametrize(("fault", "status"), [("429", 429), ("500", 500)])
def test_a_fault_of_the_transport_comes_at_its_rate_and_passes(fault, status):
    teacher = stand_in(rates={fault: 0.3}, retry_after_s=0.25)
    replies = [teacher.reply(request(seed)) for seed in range(300)]
    failed = [reply for reply in replies if reply.status == status]
    assert 60 <= len(failed) <= 120  # 90 and 3.8 standard deviations of 7.9
    assert {reply.headers.get("Retry-After") for reply in failed} == {"0.25" if fault == "429" else None}
    tries = next(seed for seed, reply in enumerate(replies) if reply.status == status)
    again = [teacher.reply(request(tries)).status for _ in range(20)]
    assert Counter(again)[200] >= 7  # 14 and 3.4 standard deviations of 2
    other = stand_in(rates={fault: 0.3})
    assert [other.reply(request(seed)).status for seed in range(300)] == [reply.status for reply in replies]


def test_slow_answers_are_late_and_all_have_their_latency():
    teacher = stand_in(rates={"slow": 0.5}, latency_s=0.2, slow_s=3.0)
    delays = Counter(teacher.reply(request(seed)).delay_s for seed in range(100))
    assert set(delays) == {0.2, 3.2}
    assert 30 <= delays[3.2] <= 70


def test_refusals_and_answers_that_break_off():
    refusal = stand_in(rates={"refusal": 1}).reply(request()).body["choices"][0]
    assert (refusal["message"]["content"], refusal["finish_reason"]) == (None, "stop")
    assert "can't help" in refusal["message"]["refusal"]
    whole = text(stand_in().reply(request()))
    broken = stand_in(rates={"truncated": 1}).reply(request()).body["choices"][0]
    assert (broken["message"]["content"], broken["finish_reason"]) == (whole[: len(whole) // 2], "length")
    short = stand_in().reply(request(max_tokens=20)).body["choices"][0]
    assert (len(short["message"]["content"]), short["finish_reason"]) == (80, "length")


def test_a_limit_admits_so_many_requests_a_second():
    now = [0.0]
    teacher = stand_in(limit=2.0, clock=lambda: now[0])
    statuses = []
    for step in range(40):
        now[0] = step / 8
        reply = teacher.reply(request(step))
        statuses.append(reply.status)
        if reply.status == 429:
            assert 0 < float(reply.headers["Retry-After"]) <= 0.5
    assert statuses.count(200) == 10  # of 8 a second, for 5 seconds
    assert teacher.counts()["faults"] == {"limit": 30}


@pytest.mark.parametrize(
    ("body", "status", "code", "parameter"),
    [
        (None, 400, "invalid_request_error", None),
        ([1], 400, "invalid_request_error", None),
        (request() | {"model": "gpt"}, 404, "model_not_found", "model"),
        (request() | {"messages": []}, 400, "invalid", "messages"),
        (request() | {"messages": [{"role": "user", "content": [1]}]}, 400, "invalid", "messages"),
        (request() | {"stream": True}, 400, "unsupported_parameter", "stream"),
        (request() | {"n": 2}, 400, "unsupported_parameter", "n"),
        (request() | {"max_tokens": 0}, 400, "invalid", "max_tokens"),
    ],
)
def test_what_it_does_not_take_is_refused_as_openai_refuses_it(body, status, code, parameter):
    reply = stand_in().reply(body)
    assert (reply.status, reply.body["error"]["code"], reply.body["error"]["param"]) == (status, code, parameter)


@pytest.mark.parametrize(
    "rates", [{"418": 0.1}, {"429": 1.5}, {"429": -0.1}, {"429": 0.6, "500": 0.6}, {"refusal": 1, "tie-at-limit": 1}]
)
def test_rates_that_are_none_are_refused(rates):
    with pytest.raises(UserError, match="--fault"):
        Behaviour(rates=rates)


def run(work: Path, rates: dict[str, float], **llm: Any) -> LlmRun:
    section: dict[str, Any] = {"count": 8, "levels": dict.fromkeys(HARDNESS, 1), "max_attempts": 4}
    return run_llm(
        answerer(stand_in(rates=rates, retry_after_s=0)), work, {"model": "grammar", "concurrency": 2} | llm, **section
    )


REASONS = {
    "misspelt-column": {"misspelt column", "SQL fails"},
    "idle-condition": {"idle condition"},
    "tie-at-limit": {"tie at LIMIT"},
    "broken-key": {"broken foreign key", "misspelt column", "SQL fails"},  # the latter where a schema has no key
    "other-level": {"level not met", "idle condition"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_with_a_planted_fault_is_not_kept_and_is_repaired_where_it_may_be(kind, tmp_path: Path):
    dropped = run(tmp_path / "dropped", {kind: 0.5}, repair=False).metrics["funnel"]
    assert set(dropped["dropped"]) - {"wrong SQL gives its result"} <= REASONS[kind]
    assert dropped["dropped"]
    mended = run(tmp_path / "mended", {kind: 1.0}, repair=True).metrics["funnel"]
    assert mended["repairs"]["asked"] == mended["asked"]
    assert mended["kept"] == mended["repairs"]["kept"] == 8
    assert set(mended["dropped"]) <= {"wrong SQL gives its result", "duplicate SQL", "near-duplicate question"}


def test_through_faults_of_each_kind_a_run_finds_its_rows(tmp_path: Path):
    rates = dict.fromkeys(("429", "500", "refusal", "truncated", "wrong-sql"), 0.1)
    funnel = run(tmp_path, rates, retries=6, repair=True, timeout_s=20).metrics["funnel"]
    assert funnel["kept"] == 8


SQLS = ("SELECT name FROM pet WHERE age > 3", "SELECT COUNT(*) FROM pet WHERE city = 'Rome'")


def chat(prompt: str, seed: int = 1) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Write."}, {"role": "user", "content": prompt}]
    return {"model": "grammar", "messages": messages, "temperature": 1.0, "max_tokens": 4096, "seed": seed}


def questions_request(seed: int = 1) -> dict[str, Any]:
    queries = [json.dumps({"number": n, "style": "command", "sql": sql}) for n, sql in enumerate(SQLS, start=1)]
    styles = [("command", "one command")]
    return chat(render_prompt("questions", schema="CREATE TABLE pet", queries=queries, evidence=False, styles=styles), seed)


def sql_request(question: str, seed: int = 1) -> dict[str, Any]:
    return chat(render_prompt("agreement", schema="CREATE TABLE pet", question=question, evidence=""), seed)


def questions(teacher: StandIn) -> list[str]:
    return [item["question"] for item in json.loads(text(teacher.reply(questions_request())))["questions"]]


def test_it_writes_the_question_of_each_query_with_its_values():
    written = questions(stand_in())
    assert written == questions(stand_in())
    assert [missing_values(sql, question) for sql, question in zip(SQLS, written, strict=True)] == [[], []]
    wrong = questions(stand_in(rates={"wrong-question": 1}))
    assert sum(sql in question for sql, question in zip(SQLS, wrong, strict=True)) == 1


def test_it_knows_the_sql_of_its_own_questions_after_a_restart_too(tmp_path: Path):
    file = tmp_path / "questions.jsonl"
    first = stand_in(questions=file)
    written = questions(first)
    point = json.loads(text(first.reply(request())))
    for teacher in (first, stand_in(questions=file)):
        answers = [json.loads(text(teacher.reply(sql_request(question))))["sql"] for question in (*written, point["question"])]
        assert answers == [*SQLS, point["sql"]]
    unknown = json.loads(text(stand_in().reply(sql_request(written[0]))))["sql"]
    assert unknown == "SELECT NULL"
    wrong = stand_in(questions=file, rates={"wrong-answer": 1})
    mutants = {json.loads(text(wrong.reply(sql_request(written[0], seed))))["sql"] for seed in range(9)}
    assert SQLS[0] not in mutants
    assert len(mutants) > 1


def unit_request(seed: int = 1, **more: Any) -> dict[str, Any]:
    config = LlmConfig.model_validate({"model": "grammar", "questions": 6})
    wishes = [Wish("easy", "aggregate", "command"), Wish("medium", "join", "question"), Wish("hard", None, "polite")]
    asked = InventedDatabases(config, seed, []).request(0, wishes, ["travel"])
    messages = [{"role": "system", "content": asked.system}, {"role": "user", "content": asked.user}]
    return {"model": "grammar", "messages": messages, "temperature": 1.0, "max_tokens": 4096, "seed": asked.seed} | more


def items_of(answer: str) -> dict[int, Item]:
    return {number: item for number, item in read_unit(answer).items.items() if isinstance(item, Item)}


def test_a_unit_has_the_questions_that_the_prompt_wishes_for_on_one_database():
    teacher = stand_in()
    for seed in range(3):
        items = items_of(text(teacher.reply(unit_request(seed))))
        assert [hardness(item.sql) for item in items.values()] == ["easy", "medium", "hard"]
        assert "JOIN" in items[2].sql
    assert text(stand_in().reply(unit_request(2))) == text(teacher.reply(unit_request(2)))


def test_faults_meet_questions_of_a_unit_one_by_one():
    teacher = stand_in(rates={"broken-item": 0.5})
    counts = Counter(len(items_of(text(teacher.reply(unit_request(seed))))) for seed in range(12))
    assert set(counts) <= {0, 1, 2, 3}
    assert 9 <= sum(number * count for number, count in counts.items()) <= 27  # 18 of 36, and 3 standard deviations of 3
    cut = text(stand_in(rates={"truncated": 1.0}).reply(unit_request()))
    assert len(cut) < len(text(stand_in().reply(unit_request())))


def test_questions_on_the_database_of_a_prompt_run_on_it(tmp_path):
    teacher = stand_in()
    database = read_unit(text(teacher.reply(unit_request()))).database
    wishes = [(4, Wish("easy", None, "command")), (9, Wish("medium", None, "question"))]
    user = on_database_prompt(database.ddl, database.rows, wishes)
    items = read_items(text(teacher.reply(unit_request(messages=[{"role": "user", "content": user}]))))
    assert set(items) == {4, 9}
    file = tmp_path / "database.sqlite"
    file.write_bytes(database_bytes("database", database.ddl, database.rows))
    with closing(sqlite3.connect(file)) as connection:
        for item in items.values():
            assert isinstance(item, Item)
            assert connection.execute(item.sql).fetchall()
