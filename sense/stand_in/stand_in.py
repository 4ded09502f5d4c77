"""A stand-in for an LLM teacher: the grammar's drafts as answers of the chat protocol, with the faults of real endpoints.

It answers four kinds of requests: for a data point, for a database with several questions, for the questions of SQL queries, and
for the SQL of a question. That of a question it knows only if it has written the question itself.

What it answers depends on its own seed and on the request alone: the model, the messages, the sampling parameters, the random
seed. Faults of the transport (429, 500, slow) are drawn anew for each try of a request, as they pass in reality; those of the
content are the same each time. A repair, a request that has the model's first answer among its messages, is answered without a
fault of the content.
"""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from sense.config import GrammarConfig
from sense.errors import UserError
from sense.records import HARDNESS, Hardness, Log, Record, dump
from sense.sql.mutants import mutants
from sense.stand_in.planted_faults import KINDS, plant
from sense.stand_in.units import BROKEN_ITEM, StandInWish, UnitAuthor, is_repair, items_text, read_wishes, unit_text
from sense.stand_in.wordings import wording
from sense.teacher import CellValue, Draft
from sense.teacher.grammar.teacher import GrammarTeacher

MODEL = "grammar"
PATH = "/v1/chat/completions"
TRANSPORT = ("429", "500", "slow")
CONTENT = ("truncated", "refusal", "wrong-sql", *KINDS)
OF_QUESTIONS = ("truncated", "refusal", "wrong-question")
OF_ANSWERS = ("truncated", "refusal", "wrong-answer")
OF_UNITS = ("truncated", "refusal", "broken-key")
OF_ITEMS = ("wrong-sql", *(kind for kind in KINDS if kind != "broken-key"), BROKEN_ITEM)
EXPIRED = "batch-expired"
FAULTS = (*TRANSPORT, *CONTENT, "wrong-question", "wrong-answer", BROKEN_ITEM, EXPIRED)
"""`wrong-sql` is one of KINDS, drawn; `wrong-question` and `wrong-answer` meet requests for questions, and for the SQL of one,
`broken-item` one of several questions, whose SQL is missing, `batch-expired` a batch, which ends when half of its requests are
answered. Where several questions are asked for, faults of OF_ITEMS are drawn for each of them.
"""
CHARACTERS_PER_TOKEN = 4
_IDENTITY = ("model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed")
_LEVEL = re.compile(rf"\bat the ({'|'.join(HARDNESS)}) level\b")
_QUERY = re.compile(r'^\{"number": .*\}$', re.MULTILINE)
_FAULTY_NUMBER = re.compile(r"^- number (\d+):", re.MULTILINE)
_QUESTION = re.compile(r"^Question: (.*)$", re.MULTILINE)
_TRIES = 20  # databases that are invented for one answer, until its level fits


@dataclass(frozen=True)
class Behaviour:
    """How the stand-in answers: the rate of each fault, seconds, and how many requests a second it takes, None for any number."""

    seed: int = 0
    rates: Mapping[str, float] = field(default_factory=dict)
    latency_s: float = 0.0
    slow_s: float = 5.0
    retry_after_s: float = 1.0
    limit: float | None = None

    def __post_init__(self) -> None:
        """Raises UserError for a fault that is not known, or rates that are none."""
        for name, rate in self.rates.items():
            if name not in FAULTS or not 0 <= rate <= 1:
                raise UserError(f"--fault {name}={rate:g}: write FAULT=RATE, a rate from 0 to 1 and one of {', '.join(FAULTS)}")
        for names in (TRANSPORT, CONTENT, OF_QUESTIONS, OF_ANSWERS, OF_ITEMS, (EXPIRED,)):
            if sum(self.rates.get(name, 0.0) for name in names) > 1 + 1e-9:
                raise UserError(f"the rates of {', '.join(names)} add up to more than 1; lower some --fault")


@dataclass(frozen=True)
class StandInReply:
    """A response: its status, headers and JSON, after `delay_s` seconds."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


class WrittenQuestion(Record):
    """A line of the file of questions: one that the stand-in wrote, and its SQL."""

    question: str
    sql: str


class StandIn:
    """Answers requests and counts them; not thread-safe. `clock` returns seconds.

    `questions` is the JSONL file from which it knows, after a restart, the SQL of the questions that it has written; without one
    it knows those since its start.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        grammar: GrammarConfig,
        clock: Callable[[], float] = time.monotonic,
        questions: Path | None = None,
    ) -> None:
        self._behaviour, self._clock = behaviour, clock
        self._teacher = GrammarTeacher(grammar.model_copy(update={"per_database": 1}), behaviour.seed)
        self._units = UnitAuthor(grammar, behaviour.seed)
        self._tries: Counter[str] = Counter()
        self._answers: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._file = questions
        self._golds: dict[str, str] = {}  # the SQL of each question that was written here
        if questions is not None:
            with Log(questions, WrittenQuestion) as log:
                self._golds = {row.question: row.sql for row in log.rows}
        self._allowance, self._refilled = 1.0, clock()

    @property
    def seed(self) -> int:
        """What all is drawn with."""
        return self._behaviour.seed

    def reply(self, request: Any, limited: bool = True) -> StandInReply:
        """What a request to `/chat/completions` gets; the limit on the rate may be left out."""
        problem = _problem(request)
        if problem is not None:
            return problem
        digest = hashlib.sha256(json.dumps([request.get(name) for name in _IDENTITY], sort_keys=True).encode()).hexdigest()
        self._tries[digest] += 1
        behaviour = self._behaviour
        if limited and not self._has_allowance():
            self._faults["limit"] += 1
            wait = (1 - self._allowance) / (behaviour.limit or 1)
            return error_reply(429, "rate limit reached", "rate_limit_exceeded", headers={"Retry-After": f"{wait:.3f}"})
        delay = behaviour.latency_s
        fault = self.draw(TRANSPORT, Random(f"{behaviour.seed}-{digest}-{self._tries[digest]}"))
        if fault == "429":
            headers = {"Retry-After": f"{behaviour.retry_after_s:g}"}
            return error_reply(429, "rate limit reached (planted)", "rate_limit_exceeded", headers=headers, delay_s=delay)
        if fault == "500":
            return error_reply(500, "the server had an error (planted)", "server_error", delay_s=delay)
        if fault == "slow":
            delay += behaviour.slow_s
        self._answers[digest] += 1
        return StandInReply(200, self._completion(request, digest), delay_s=delay)

    def counts(self) -> dict[str, Any]:
        """Requests, different ones of them, those answered, and answered again though they had been before; faults by kind."""
        return {
            "requests": self._tries.total(),
            "different": len(self._tries),
            "answered": self._answers.total(),
            "answered_again": self._answers.total() - len(self._answers),
            "faults": dict(sorted(self._faults.items())),
        }

    def _has_allowance(self) -> bool:
        """Whether the limit admits a request now: a bucket that holds a second's requests, at least one."""
        if self._behaviour.limit is None:
            return True
        now, most = self._clock(), max(1.0, self._behaviour.limit)
        self._allowance = min(most, self._allowance + (now - self._refilled) * self._behaviour.limit)
        self._refilled = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def draw(self, names: Sequence[str], rng: Random) -> str:
        """One of the faults by their rates, which is counted; '' for none."""
        share = rng.random()
        for name in names:
            share -= self._behaviour.rates.get(name, 0.0)
            if share < 0:
                self._faults[name] += 1
                return name
        return ""

    def _completion(self, request: Mapping[str, Any], digest: str) -> dict[str, Any]:
        messages: list[dict[str, Any]] = request["messages"]
        first = [message for message in messages if message["role"] != "assistant"]
        turns = len(messages) - len(first)
        if turns:  # the same data point, as it should have been
            first = messages[: next(number for number, message in enumerate(messages) if message["role"] == "assistant")]
        point = hashlib.sha256(json.dumps([first, request.get("seed")], sort_keys=True).encode()).hexdigest()
        rng = Random(f"{self._behaviour.seed}-{point}")
        user = first[-1]["content"]
        queries = [json.loads(line) for line in _QUERY.findall(user)]
        question = _QUESTION.search(user) if "Write one SELECT statement" in user else None
        wishes = read_wishes(user)
        faults = OF_QUESTIONS if queries else OF_ANSWERS if question else OF_UNITS if wishes else CONTENT
        fault_rng = Random(f"{self._behaviour.seed}-{digest}-content")
        repair = turns > 0 or (bool(wishes) and is_repair(user))
        fault = "" if repair else self.draw(faults, fault_rng)
        if fault == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I can't help with that (planted)."}
            return _chat(request, message, "stop", digest)
        if queries:
            numbers: set[int] = set(map(int, _FAULTY_NUMBER.findall(messages[-1]["content"]))) if turns else set()
            text = self._questions([each for each in queries if not numbers or each["number"] in numbers], fault, rng)
        elif question:
            text = self._answer(question[1], fault, rng)
        elif wishes:
            text = self._unit(user, wishes, fault, (lambda: "") if repair else lambda: self._item_fault(fault_rng), rng)
        else:
            text = self._data_point(_level(messages), fault, rng)
        most = request.get("max_completion_tokens", request.get("max_tokens"))
        length = len(text) // 2 if fault == "truncated" else len(text) if most is None else most * CHARACTERS_PER_TOKEN
        message = {"role": "assistant", "content": text[:length]}
        return _chat(request, message, "length" if length < len(text) else "stop", digest)

    def _data_point(self, level: Hardness, fault: str, rng: Random) -> str:
        draft = self._draft(level, rng)
        if fault == "wrong-sql":
            fault = rng.choice(sorted(KINDS))
        if fault in KINDS:
            draft = plant(draft, fault, rng)
        self._remember(draft.question, draft.sql)
        return answer_text(draft)

    def _unit(self, prompt: str, wishes: Sequence[StandInWish], fault: str, item_fault: Callable[[], str], rng: Random) -> str:
        """A database with questions, or questions alone where the prompt has the database."""
        on_database = self._units.drafts_on(prompt, wishes, rng)
        drafts = self._units.drafts(wishes, rng) if on_database is None else on_database
        for draft in drafts.values():
            self._remember(draft.question, draft.sql)
        if on_database is not None:
            return items_text(drafts, item_fault, rng)
        return unit_text(drafts, fault if fault in KINDS else "", item_fault, rng)

    def _item_fault(self, rng: Random) -> str:
        """The fault of one of several questions, '' for none."""
        fault = self.draw(OF_ITEMS, rng)
        return rng.choice([kind for kind in OF_ITEMS if kind in KINDS]) if fault == "wrong-sql" else fault

    def _questions(self, queries: Sequence[Mapping[str, Any]], fault: str, rng: Random) -> str:
        """The questions of queries; with the fault wrong-question, one of them holds its SQL instead."""
        wrong = rng.choice(queries)["number"] if fault == "wrong-question" else None
        items = []
        for query in queries:
            question, evidence = wording(query["sql"], query["style"], rng)
            if query["number"] == wrong:
                question = f"Run this for me: {query['sql']}"
            self._remember(question, query["sql"])
            items.append({"number": query["number"], "question": question, "evidence": evidence})
        return json.dumps({"questions": items}, ensure_ascii=False)

    def _remember(self, question: str, sql: str) -> None:
        if self._golds.get(question) != sql:
            self._golds[question] = sql
            if self._file is not None:
                with self._file.open("a") as stream:
                    stream.write(dump(WrittenQuestion(question=question, sql=sql)) + "\n")

    def _answer(self, question: str, fault: str, rng: Random) -> str:
        """The SQL of a question that was written here, with the fault wrong-answer a mutant; of others SQL of no use."""
        sql = self._golds.get(question, "SELECT NULL")
        if fault == "wrong-answer":
            wrong = [mutant.sql for mutant in mutants(sql, {})]
            sql = rng.choice(wrong) if wrong else "SELECT NULL"
        return json.dumps({"sql": sql}, ensure_ascii=False)

    def _draft(self, level: Hardness, rng: Random) -> Draft:
        for _ in range(_TRIES):
            draft = self._teacher.draft(rng.randrange(10**6), level)
            if isinstance(draft, Draft) and not draft.evidence:  # an answer has no field for what one must know besides
                return draft
        raise UserError(
            f"none of {_TRIES} databases of the grammar fits a {level} question; raise grammar.rows or grammar.tables"
        )


def answer_text(draft: Draft) -> str:
    """A draft as the answer that the strong prompt asks for."""
    rows = [
        " ".join(["INSERT INTO", _quoted(table), "VALUES", ", ".join(map(_tuple, values))])
        for table, values in draft.rows
        if values
    ]
    fields = {"domain": draft.domain, "schema": [*draft.ddl], "rows": rows, "question": draft.question, "sql": draft.sql}
    return json.dumps(fields, ensure_ascii=False)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _tuple(row: Sequence[CellValue]) -> str:
    return "(" + ", ".join(_literal(value) for value in row) + ")"


def _literal(value: CellValue) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def _level(messages: Sequence[Mapping[str, Any]]) -> Hardness:
    """The level that the last message names which names one; easy without."""
    for message in reversed(messages):
        if message["role"] == "user" and (matches := _LEVEL.findall(message["content"])):
            level: Hardness = matches[-1]
            return level
    return "easy"


def _problem(request: Any) -> StandInReply | None:
    """Why a request cannot be answered; None if it can."""
    if not isinstance(request, dict):
        return error_reply(400, "the body is no JSON object", "invalid_request_error")
    if request.get("model") != MODEL:
        return error_reply(
            404, f"the model {request.get('model')!r} does not exist; this endpoint has {MODEL}", "model_not_found", "model"
        )
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)) or messages[-1]["role"] != "user":
        return error_reply(
            400, "messages must be a list of roles and texts, the last of which is a user's", "invalid", "messages"
        )
    for name, only in (("stream", False), ("n", 1)):
        if request.get(name, only) not in (only, None):
            return error_reply(400, f"{name} is not supported but as {json.dumps(only)}", "unsupported_parameter", name)
    for name in ("max_tokens", "max_completion_tokens"):
        if name in request and (type(request[name]) is not int or request[name] < 1):
            return error_reply(400, f"{name} must be a whole number of at least 1", "invalid", name)
    return None


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("role"), str) and isinstance(message.get("content"), str)


def error_reply(status: int, message: str, code: str, parameter: str | None = None, **reply: Any) -> StandInReply:
    """An error in OpenAI's form."""
    kind = "invalid_request_error" if status in (400, 404) else code
    return StandInReply(status, {"error": {"message": message, "type": kind, "param": parameter, "code": code}}, **reply)


def _chat(request: Mapping[str, Any], message: Mapping[str, Any], finish: str, digest: str) -> dict[str, Any]:
    prompt = sum(len(each["content"]) for each in request["messages"]) // CHARACTERS_PER_TOKEN
    completion = len(message["content"] or message.get("refusal", "")) // CHARACTERS_PER_TOKEN
    return {
        "id": f"chatcmpl-{digest[:24]}",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "message": dict(message), "finish_reason": finish}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }
