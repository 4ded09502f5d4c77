"""SQL first: the grammar writes databases, rows and SQL, and an LLM the question that each query answers, several a request.

The SQL is worth asking for before anything is paid for. What can be wrong is the question, so that is what is checked: it names
the values of its SQL, it holds no SQL, and it reads as a person would ask it, by the rules that hold for the grammar's.
"""

import json
import random
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, NamedTuple

from sense.config import LlmConfig, QuestionStyle
from sense.prompts import render_prompt
from sense.sql.extract import without_thoughts
from sense.teacher import Draft, RejectedDraft
from sense.teacher.answer_fields import MAX_ANSWER_CHARS
from sense.teacher.exchanges import ChatRequest, Exchanges, closed_object, json_format
from sense.teacher.loose_json import iter_objects
from sense.teacher.openai import NO_ANSWER, FailedExchange
from sense.teacher.question_rules import problems
from sense.teacher.question_values import missing_values, sql_in_words
from sense.teacher.responses import ChatCompletion

STYLES: Mapping[QuestionStyle, str] = {
    "question": "one direct question, as in: Which ...? How many ...? What is ...?",
    "command": "one command, as in: Show ... List ... Find ...",
    "keywords": "a noun phrase as one types it into a search box, without verb and final mark",
    "polite": "a polite request, as in: Could you tell me ...? Please list ...",
    "two sentences": "two sentences, of which the first says what it is about",
    "formal": "the language of a written report or an official request",
    "colloquial": "as one says it to a colleague, short and casual",
    "with evidence": "a question with an expression that is not in the schema, which `evidence` defines in one sentence by "
    "columns and values; in all other styles `evidence` is an empty text",
}
"""Style -> what the prompt says of it."""
FORMAT = json_format(
    "questions",
    {
        "questions": {
            "type": "array",
            "items": closed_object(
                {"number": {"type": "integer"}, "question": {"type": "string"}, "evidence": {"type": "string"}}
            ),
        }
    },
)
"""Structured output: the form of an answer as a JSON schema."""
MAX_QUESTION_CHARS = 600
_MAX_OBJECTS = 200  # that are looked for in an answer
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_LETTERS = frozenset(["lower-case start", "final punctuation"])
_LONG = frozenset(["more words than a person writes"])
_ALLOWED: Mapping[QuestionStyle, frozenset[str]] = {
    "colloquial": _LETTERS,
    "keywords": _LETTERS,
    "two sentences": _LONG,
    "formal": _LONG,
    "with evidence": _LONG,
}
"""Style -> the classes of question_rules that are no problem in it."""


def grammar_seed(seed: int) -> int:
    """The seed of the grammar that writes databases and SQL: not the grammar's own, which may be a teacher of the same run."""
    return random.Random(f"{seed}-sql-first").getrandbits(31)


class Wording(NamedTuple):
    """A question as a model wrote it, and the evidence that belongs to it, empty without."""

    question: str
    evidence: str


class WrittenUnit(NamedTuple):
    """What has become of the drafts on a database, and of which of them the question was asked for once more."""

    drafts: list[Draft | RejectedDraft]
    repaired: list[bool]


class _Query(NamedTuple):
    """A draft of the grammar, its number in the request, from 1, and the style in which its question is to be."""

    number: int
    draft: Draft
    style: QuestionStyle


class QuestionWriter:
    """Has the questions of drafts written by an LLM; they depend on its configuration, its seed and the drafts alone.

    It is thread-safe. The answers of which no question could be kept are forgotten with `forget`.
    """

    def __init__(self, config: LlmConfig, seed: int, exchanges: Exchanges) -> None:
        self._config, self._seed, self._exchanges = config, seed, exchanges
        self._useless: set[ChatRequest] = set()  # requests that have not brought a question, or not yet

    def write(self, number: int, drafts: Sequence[Draft | RejectedDraft], schema: str) -> WrittenUnit:
        """The drafts on database `number`, whose schema is `schema` as a text, with questions of the model.

        What the grammar rejected stays so. A request that failed stands as one rejected draft for all its queries, as it counts
        as one failure; without an answer, offline, each of its drafts is rejected. Raises what the client raises.
        """
        chunks = self._chunks(number, drafts)
        requests = self.requests(number, drafts, schema)
        self._useless.update(requests)
        answers = [self._exchanges.submit(request) for request in requests]
        outcomes: list[tuple[Draft | RejectedDraft, bool]] = [
            (draft, False) for draft in drafts if isinstance(draft, RejectedDraft)
        ]
        for request, (_, queries), answer in zip(requests, chunks, answers, strict=True):
            outcomes += self._outcomes(request, queries, answer)
        return WrittenUnit([draft for draft, _ in outcomes], [repaired for _, repaired in outcomes])

    def requests(self, number: int, drafts: Sequence[Draft | RejectedDraft], schema: str) -> list[ChatRequest]:
        """What is asked for the questions of these drafts, without repairs."""
        return [self._request(number, start, queries, schema) for start, queries in self._chunks(number, drafts)]

    def forget(self) -> None:
        """Forgets, after the end, answers that brought no question or were not read, and what failed: a rerun asks again."""
        self._exchanges.forget(self._useless)

    def _chunks(self, number: int, drafts: Sequence[Draft | RejectedDraft]) -> list[tuple[int, list[_Query]]]:
        """The written drafts in parts of a request each: (the place of the first, the queries)."""
        written = [draft for draft in drafts if isinstance(draft, Draft)]
        size = self._config.queries_per_request
        return [
            (
                start,
                [
                    _Query(place + 1, draft, self._style(f"{number}-{start + place}"))
                    for place, draft in enumerate(written[start : start + size])
                ],
            )
            for start in range(0, len(written), size)
        ]

    def _style(self, name: str) -> QuestionStyle:
        styles, weights = zip(*self._config.styles.items(), strict=True)
        style: QuestionStyle = random.Random(f"{self._seed}-style-{name}").choices(styles, weights)[0]
        return style

    def _request(self, number: int, start: int, queries: Sequence[_Query], schema: str) -> ChatRequest:
        lines = [
            {"number": query.number, "style": query.style, "sql": query.draft.sql}
            | ({"evidence": query.draft.evidence} if query.draft.evidence else {})
            for query in queries
        ]
        user = render_prompt(
            "questions",
            schema=schema,
            queries=[json.dumps(line, ensure_ascii=False) for line in lines],
            evidence=any(query.draft.evidence for query in queries),
            styles=[(style, meaning) for style, meaning in STYLES.items() if style in {query.style for query in queries}],
        )
        seed = random.Random(f"{self._seed}-questions-{number}-{start}").getrandbits(31)
        return ChatRequest(render_prompt("questions_system"), user, seed)

    def _outcomes(
        self, request: ChatRequest, queries: Sequence[_Query], answer: Future[ChatCompletion | FailedExchange]
    ) -> list[tuple[Draft | RejectedDraft, bool]]:
        """What has become of each query, and whether its question was asked for once more."""
        first = answer.result()
        if isinstance(first, FailedExchange):
            return [(draft, False) for draft in _failed(queries, first)]
        drafts = _read(queries, first.text, first.truncated)
        faults = {query.number: draft for query, draft in zip(queries, drafts, strict=True) if isinstance(draft, RejectedDraft)}
        if len(faults) < len(queries):
            self._useless.discard(request)
        if not faults or not self._config.repair:
            return [(draft, False) for draft in drafts]
        lines = [{"number": number, "reason": fault.reason, "detail": fault.detail} for number, fault in faults.items()]
        problem = render_prompt("questions_repair", faults=lines)
        repair = request._replace(turns=((first.text, problem),))
        self._useless.add(repair)
        second = self._exchanges.submit(repair).result()
        faulty = [query for query in queries if query.number in faults]
        if isinstance(second, FailedExchange):
            again: dict[int, Draft | RejectedDraft] = dict(faults)
            if second.reason == NO_ANSWER:
                again.update(zip(faults, _failed(faulty, second), strict=True))
        else:
            again = {
                query.number: draft for query, draft in zip(faulty, _read(faulty, second.text, second.truncated), strict=True)
            }
            if any(isinstance(draft, Draft) for draft in again.values()):
                self._useless -= {request, repair}
        return [(again.get(query.number, draft), query.number in faults) for query, draft in zip(queries, drafts, strict=True)]


def _failed(queries: Sequence[_Query], exchange: FailedExchange) -> list[RejectedDraft]:
    """A failed exchange as one rejected draft, or one for each query if it was not made because the client is offline."""
    rejected = [
        RejectedDraft(exchange.reason, exchange.detail, query.draft.level, failed_requests=exchange.requests) for query in queries
    ]
    return rejected if exchange.reason == NO_ANSWER else rejected[:1]


def _read(queries: Sequence[_Query], text: str, truncated: bool) -> list[Draft | RejectedDraft]:
    """The drafts with the questions in an answer, or why each of them cannot be used."""
    wordings = read_questions(text)
    return [_with_question(query, wordings.get(query.number), truncated) for query in queries]


def _with_question(query: _Query, wording: Wording | None, truncated: bool) -> Draft | RejectedDraft:
    draft = query.draft
    if wording is None:
        reason = "cut off" if truncated else "no question"
        return RejectedDraft(reason, f"the answer has no question for number {query.number}: {draft.sql}", draft.level)
    evidence = " ".join(part for part in (draft.evidence, wording.evidence if query.style == "with evidence" else "") if part)
    fault = question_fault(wording.question, draft.sql, evidence, query.style)
    if fault is not None:
        return RejectedDraft(fault[0], f"{fault[1]}: {wording.question}"[:500], draft.level)
    return replace(draft, question=wording.question, evidence=evidence)


def question_fault(question: str, sql: str, evidence: str, style: QuestionStyle) -> tuple[str, str] | None:
    """Why a question that a model wrote for `sql` cannot be used: a reason to count by, and what to mend; None if it can.

    >>> question_fault("Which singers are older than thirty?", "SELECT name FROM singer WHERE age > 30", "", "question")
    >>> question_fault("Which singers are old?", "SELECT name FROM singer WHERE age > 30", "", "question")
    ('value not named', 'it names no 30')
    """
    if (
        not 0 < len(question) <= MAX_QUESTION_CHARS
        or len(evidence) > 2 * MAX_QUESTION_CHARS
        or _CONTROL.search(question + evidence)
    ):
        return "bad field", f"a question has 1 to {MAX_QUESTION_CHARS} characters, and no control characters"
    if (leak := sql_in_words(question)) or (leak := "SELECT" if re.search(r"\bSELECT\b", evidence) else None):
        return "SQL in the question", f"{leak} is SQL"
    if missing := missing_values(sql, f"{question} {evidence}"):
        return "value not named", f"it names no {', '.join(missing[:5])}"
    classes = [name for name in problems(question, sql, evidence) if name not in _ALLOWED.get(style, frozenset())]
    return ("question reads badly", ", ".join(classes)) if classes else None


def read_questions(text: str) -> dict[int, Wording]:
    """The questions in an answer by their numbers, in whatever form the model wrote its JSON; of two with one number neither.

    >>> read_questions('{"questions": [{"number": 1, "question": "Who sings?", "evidence": ""}]}')
    {1: Wording(question='Who sings?', evidence='')}
    """
    wordings: dict[int, Wording] = {}
    repeated: set[int] = set()
    for item in _items(text):
        number, question, evidence = item.get("number"), item.get("question"), item.get("evidence") or ""
        number = int(number) if isinstance(number, str) and re.fullmatch(r"\d{1,4}", number) else number
        if type(number) is not int or not isinstance(question, str) or not isinstance(evidence, str):
            continue
        wording = Wording(" ".join(question.split()), " ".join(evidence.split()))
        if wordings.setdefault(number, wording) != wording:
            repeated.add(number)
    return {number: wording for number, wording in wordings.items() if number not in repeated and wording.question}


def _items(text: str) -> list[dict[str, Any]]:
    """The objects with a question in an answer: in a list of one object, or one after another."""
    text = without_thoughts(text)[:MAX_ANSWER_CHARS]
    items: list[dict[str, Any]] = []
    for value in iter_objects(text, 0, _MAX_OBJECTS):
        inner = value.get("questions")
        items += [each for each in inner if isinstance(each, dict)] if isinstance(inner, list) else [value]
    return items
