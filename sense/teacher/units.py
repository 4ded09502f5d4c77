"""Several questions a request: an LLM writes questions with SQL on one database, each as wished for.

The database is paid for once. What is wrong with single questions is told in one message, with what SQLite or the checks say of
each, and those are written again; then the unit is checked again as a whole. What is wrong with the database is told instead
where no question can be kept because of it.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sense.config import LlmConfig
from sense.prompts import render_prompt
from sense.records import HARDNESS, Hardness
from sense.sql.hardness import hardness
from sense.suite import SuiteCounts
from sense.teacher import Draft, RejectedDraft
from sense.teacher.answer_fields import UnusableError
from sense.teacher.answers import WrittenDatabase
from sense.teacher.checks import CheckedUnit
from sense.teacher.drafts import REPAIRABLE
from sense.teacher.exchanges import ChatRequest, Exchanges
from sense.teacher.ledger import Tokens
from sense.teacher.openai import NO_ANSWER, FailedExchange
from sense.teacher.quotas import Wish
from sense.teacher.responses import ChatCompletion
from sense.teacher.unit_answers import QUESTIONS_FORMAT, Item, read_items
from sense.teacher.unit_sources import UnitSource, on_database_prompt

NO_QUESTION = "no question"
"""The reason of a question that is missing in an answer."""
_OF_DATABASE = ("database cannot be built", "broken foreign key")
_REPAIRABLE = (*REPAIRABLE, NO_QUESTION)


class WishedUnit(NamedTuple):
    """What has become of the questions that were wished for, one draft for each, and the domain of the database, '' without.

    `tokens` are those of its answers, None where one does not say.
    """

    unit: CheckedUnit
    domain: str
    tokens: tuple[Tokens | None, ...] = ()


class _Written(NamedTuple):
    """An answer as drafts, one for each wish; without a database all are rejected."""

    database: WrittenDatabase | None
    drafts: list[Draft | RejectedDraft]


class UnitWriter:
    """Has units written by an LLM; they depend on its configuration, its seed, the wishes and `check` alone.

    It is thread-safe. `source` has the databases, `check` has the drafts of a unit checked.
    """

    def __init__(
        self,
        config: LlmConfig,
        seed: int,
        source: UnitSource,
        exchanges: Exchanges,
        check: Callable[[tuple[Draft | RejectedDraft, ...]], CheckedUnit],
    ) -> None:
        self._config, self._seed, self._source = config, seed, source
        self._exchanges, self._check = exchanges, check
        self._requests: dict[int, list[ChatRequest]] = {}  # those of each unit

    def write(self, number: int, wishes: Sequence[Wish], avoid: Sequence[str]) -> WishedUnit:
        """Unit `number`, as wished for, away from the domains in `avoid`. Raises what the client raises."""
        request = self._source.request(number, wishes, avoid)
        self._requests[number] = [request]
        first = self._exchanges.submit(request).result()
        if isinstance(first, FailedExchange):
            return WishedUnit(_failed(wishes, first), "")
        tokens: tuple[Tokens | None, ...] = (first.tokens,)
        written = self._read(number, wishes, first)
        unit = self._check(tuple(written.drafts))
        faults = _faults(unit)
        if self._config.repair and faults:
            again = self._repair(number, request, first, wishes, written, faults)
            self._requests[number].append(again)
            second = self._exchanges.submit(again).result()
            repaired = [position in faults for position in range(len(wishes))]
            if not isinstance(second, FailedExchange):
                tokens = (first.tokens, second.tokens)
                written = self._mend(number, wishes, written, faults, second)
                unit = self._check(tuple(written.drafts))
            elif second.reason == NO_ANSWER:
                absent = _failed(wishes, second).drafts
                unit = unit._replace(drafts=[absent[n] if n in faults else draft for n, draft in enumerate(unit.drafts)])
            unit = unit._replace(repaired=repaired)
        return WishedUnit(unit, written.database.domain if written.database else "", tokens)

    def forget(self, start: int) -> None:
        """Forgets, after the end, all answers from unit `start` on and what failed: a rerun asks for them again."""
        numbers = [number for number in self._requests if number >= start]
        self._exchanges.forget([request for number in numbers for request in self._requests[number]])

    def _read(self, number: int, wishes: Sequence[Wish], answer: ChatCompletion) -> _Written:
        try:
            database, items = self._source.read(number, wishes, answer.text)
        except UnusableError as error:
            reason, detail = error.reason, error.detail
            if answer.truncated:
                reason, detail = "cut off", f"stopped after {self._config.max_tokens} tokens; raise llm.max_tokens"
            return _Written(None, [RejectedDraft(reason, detail, wish.level) for wish in wishes])
        drafts = self._drafts(number, database, dict(enumerate(wishes)), items, answer.truncated)
        return _Written(database, match_levels([drafts[position] for position in range(len(wishes))]))

    def _repair(
        self,
        number: int,
        request: ChatRequest,
        first: ChatCompletion,
        wishes: Sequence[Wish],
        written: _Written,
        faults: Mapping[int, RejectedDraft],
    ) -> ChatRequest:
        """The request for what has a fault: for the whole unit a further turn, for questions one that shows the database alone.

        That takes far fewer tokens than the whole of the first prompt and answer.
        """
        if written.database is None or _is_whole(written, faults):
            fault = next(iter(faults.values()))
            problem = render_prompt("unit_repair", reason=fault.reason, detail=fault.detail)
            return request._replace(turns=((first.text, problem),))
        lines = [
            {
                "number": position + 1,
                "reason": fault.reason,
                "detail": fault.detail,
                "question": getattr(written.drafts[position], "question", ""),
            }
            for position, fault in faults.items()
        ]
        database = written.database
        asked = [(position + 1, wishes[position]._replace(level=fault.level)) for position, fault in faults.items()]
        user = on_database_prompt(database.ddl, self._source.shown_rows(number, database), asked, faults=lines)
        seed = random.Random(f"{self._seed}-unit-{number}-repair").getrandbits(31)
        return ChatRequest(render_prompt("strong_system"), user, seed, response_format=QUESTIONS_FORMAT)

    def _mend(
        self,
        number: int,
        wishes: Sequence[Wish],
        written: _Written,
        faults: Mapping[int, RejectedDraft],
        answer: ChatCompletion,
    ) -> _Written:
        """The drafts with those that were written again."""
        if _is_whole(written, faults) or written.database is None:
            return self._read(number, wishes, answer)
        try:
            items = read_items(answer.text)
        except UnusableError as error:
            items = {position + 1: error for position in faults}
        levels = {position: wishes[position]._replace(level=fault.level) for position, fault in faults.items()}
        again = self._drafts(number, written.database, levels, items, answer.truncated)
        mended = dict(zip(again, match_levels(list(again.values())), strict=True))
        return written._replace(drafts=[mended.get(position, draft) for position, draft in enumerate(written.drafts)])

    def _drafts(
        self,
        number: int,
        database: WrittenDatabase,
        wishes: Mapping[int, Wish],
        items: Mapping[int, Item | UnusableError],
        truncated: bool,
    ) -> dict[int, Draft | RejectedDraft]:
        """The draft at each position that is wished for, whose number in the answer is one more."""

        def draft(position: int, wish: Wish) -> Draft | RejectedDraft:
            item = items.get(position + 1)
            if item is None:
                return RejectedDraft(
                    "cut off" if truncated else NO_QUESTION, f"the answer has no number {position + 1}", wish.level
                )
            if isinstance(item, UnusableError):
                return RejectedDraft(item.reason, item.detail, wish.level)
            return Draft(
                db_id=self._source.db_id(number, database, item.sql),
                domain=database.domain,
                ddl=database.ddl,
                rows=database.rows,
                question=item.question,
                sql=item.sql,
                level=wish.level,
                evidence=item.evidence,
                style=wish.style,
            )

        return {position: draft(position, wish) for position, wish in wishes.items()}


def match_levels(drafts: Sequence[Draft | RejectedDraft]) -> list[Draft | RejectedDraft]:
    """The drafts, of which those that are not at their level change levels with one another, so that as many as can be are."""
    measured = {number: hardness(draft.sql) for number, draft in enumerate(drafts) if isinstance(draft, Draft)}
    others = [number for number, level in measured.items() if level != drafts[number].level]
    free = Counter(drafts[number].level for number in others)
    levels: dict[int, Hardness] = {}
    for number in others:
        if free[measured[number]] > 0:
            free[measured[number]] -= 1
            levels[number] = measured[number]
    left: list[Hardness] = [level for level in HARDNESS for _ in range(free[level])]
    for number in others:
        if number not in levels:
            levels[number] = left.pop(0)
    return [replace(draft, level=levels.get(number, draft.level)) for number, draft in enumerate(drafts)]


def _failed(wishes: Sequence[Wish], exchange: FailedExchange) -> CheckedUnit:
    """A failed exchange as a rejected draft for each wish."""
    return CheckedUnit(
        [RejectedDraft(exchange.reason, exchange.detail, wish.level, failed_requests=exchange.requests) for wish in wishes],
        SuiteCounts(),
        0,
    )


def _faults(unit: CheckedUnit) -> dict[int, RejectedDraft]:
    """The faults by their positions that a message can tell the model to mend."""
    return {
        position: draft
        for position, draft in enumerate(unit.drafts)
        if isinstance(draft, RejectedDraft) and draft.reason in _REPAIRABLE
    }


def _is_whole(written: _Written, faults: Mapping[int, RejectedDraft]) -> bool:
    """Whether it is the database that is wrong, and not a question."""
    return written.database is None or any(fault.reason in _OF_DATABASE for fault in faults.values())
