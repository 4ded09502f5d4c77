"""Back-translation: whether an LLM that sees the question and the schema alone comes to the gold's result.

A question that its own author cannot answer is wrong, ambiguous or too hard. k further answers vote: those with the gold's
result on the database and all instances of its suite, and the groups of others that agree with one another. The gold must have a
vote, and no group more votes than it. So a hard question passes that one answer of many gets right, as long as no other reading
of it is more common. An answer that does not run has no vote.
"""

import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from sense.prompts import render_prompt
from sense.sql.extract import extract
from sense.teacher import Draft, RejectedDraft
from sense.teacher.checks import CheckedDraft, CheckedUnit
from sense.teacher.exchanges import ChatRequest, Exchanges, json_format
from sense.teacher.openai import NO_ANSWER, FailedExchange
from sense.teacher.responses import ChatCompletion
from sense.teacher.votes import AMBIGUOUS, HARD, Vote

STAGE = "agreement"
"""The name under which the ledger has the cost of these answers."""
FORMAT = json_format("answer", {"sql": {"type": "string"}})
"""Structured output: the form of an answer as a JSON schema."""
REASONS = {HARD: "agreement: hard", AMBIGUOUS: "agreement: ambiguous"}
"""Why answers do not agree with the gold -> the reason by which the funnel counts the draft."""


@dataclass(frozen=True, kw_only=True)
class Disagreement(RejectedDraft):
    """A draft of which the answers do not confirm the gold: their SQL, and their vote; `source` says who wrote it.

    Of the draft there are neither `ddl` nor `rows`.
    """

    draft: Draft
    answers: tuple[str, ...]
    vote: Vote
    source: str = ""

    def row(self) -> dict[str, Any]:
        """What is written down of it, for a person to look at."""
        answers = [
            {"sql": sql, "verdict": verdict, "group": group} for sql, verdict, group in zip(self.answers, *self.vote, strict=True)
        ]
        return {"reason": self.vote.reason, "answers": answers}


class Agreement:
    """Asks an LLM for answers to questions and lets them vote; thread-safe.

    `count_votes` executes the answers beside the SQL of a draft, `prompt_schema` gives the text of a database's schema.
    """

    def __init__(
        self,
        answers: int,
        seed: int,
        exchanges: Exchanges,
        count_votes: Callable[[Draft, Sequence[str]], Vote],
        prompt_schema: Callable[[str], str],
    ) -> None:
        self._answers, self._seed, self._exchanges = answers, seed, exchanges
        self._count_votes, self._prompt_schema = count_votes, prompt_schema

    def requests(self, draft: Draft, schema: str) -> list[ChatRequest]:
        """What is asked about a draft: the same question with k different random seeds."""
        system = render_prompt("agreement_system")
        user = render_prompt("agreement", schema=schema, question=draft.question, evidence=draft.evidence)
        name = f"{self._seed}-agreement-{draft.db_id}-{draft.question}"
        return [ChatRequest(system, user, random.Random(f"{name}-{number}").getrandbits(31)) for number in range(self._answers)]

    def ask(self, draft: Draft) -> list[Future[ChatCompletion | FailedExchange]]:
        """The answers to the question of a draft whose database is built, as futures."""
        return [self._exchanges.submit(request) for request in self.requests(draft, self._prompt_schema(draft.db_id))]

    def confirm(self, draft: Draft, answers: Sequence[Future[ChatCompletion | FailedExchange]]) -> RejectedDraft | None:
        """Why a draft is rejected by these answers; None if they confirm it.

        Where not one answer came, or an offline client lacks one, it is rejected for that.
        """
        outcomes = [answer.result() for answer in answers]
        failed = [outcome for outcome in outcomes if isinstance(outcome, FailedExchange)]
        absent = next((failure for failure in failed if failure.reason == NO_ANSWER), None)
        if absent is not None or len(failed) == len(outcomes):
            failure = absent or failed[0]
            requests = sum(each.requests for each in failed)
            return RejectedDraft(failure.reason, failure.detail, draft.level, failed_requests=requests)
        written = [answer_sql(outcome.text) for outcome in outcomes if isinstance(outcome, ChatCompletion)]
        votes = self._count_votes(draft, written)
        if votes.reason is None:
            return None
        detail = f"{votes.groups.count(0)} of {len(written)} answers have the result of {draft.sql}; first: {written[0]}"
        kept = replace(draft, ddl=(), rows=())
        return Disagreement(REASONS[votes.reason], detail[:600], draft.level, draft=kept, answers=tuple(written), vote=votes)

    def confirm_unit(self, unit: CheckedUnit) -> CheckedUnit:
        """The unit with those of its drafts rejected that the answers do not confirm.

        Nothing is asked about drafts that are rejected anyway.
        """
        asked = {
            position: self.ask(checked.draft)
            for position, checked in enumerate(unit.drafts)
            if isinstance(checked, CheckedDraft) and not checked.label.alive
        }
        drafts = [
            (self.confirm(checked.draft, asked[position]) or checked)
            if isinstance(checked, CheckedDraft) and position in asked
            else checked
            for position, checked in enumerate(unit.drafts)
        ]
        return unit._replace(drafts=drafts)

    def forget(self, disagreements: Sequence[Draft]) -> None:
        """Forgets, after the end, the answers about these drafts, and all that failed: a rerun asks for them again."""
        self._exchanges.forget(
            [request for draft in disagreements for request in self.requests(draft, self._prompt_schema(draft.db_id))]
        )


def answer_sql(text: str) -> str:
    """The SQL in an answer: that of the JSON object asked for, or of whatever form the model chose instead.

    >>> answer_sql('{"sql": "SELECT 1"}')
    'SELECT 1'
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return extract(text)
    sql = value.get("sql") if isinstance(value, dict) else None
    return extract(sql) if isinstance(sql, str) else extract(text)
