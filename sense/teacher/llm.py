"""A strong LLM as the teacher (paper section 3.1): one prompt asks for a new database with one question and its SQL.

This is the form for `llm.questions: 1`; sense.teacher.units has the one for several.

An answer from which no draft can be read is a RejectedDraft with its reason, as is an exchange that failed; only a failing
endpoint is an error.
"""

import random
from collections.abc import Callable, Sequence

from sense.config import LlmConfig
from sense.prompts import render_prompt
from sense.records import Example, Hardness
from sense.teacher import Draft, RejectedDraft
from sense.teacher.answer_cache import AnswerCache
from sense.teacher.answer_fields import UnusableError
from sense.teacher.answers import parse_draft
from sense.teacher.batch_client import make_client
from sense.teacher.ledger import Ledger, Tokens
from sense.teacher.openai import FailedExchange
from sense.teacher.pacing import Clock
from sense.teacher.responses import ChatCompletion

OVERREPRESENTED = ("education", "healthcare", "travel", "entertainment")
"""The paper's list of domains to avoid."""


class LlmTeacher:
    """Drafts from an OpenAI-compatible endpoint, each on a database of its own; thread-safe."""

    def __init__(
        self,
        config: LlmConfig,
        seed: int,
        demonstrations: Sequence[tuple[Example, str]],
        api_key: str,
        clock: Clock | None = None,
        say: Callable[[str], None] = lambda _: None,
        answers: AnswerCache | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """`demonstrations` are human-written examples, each with its schema as text; the rest is the client's."""
        self._config, self._seed, self._demonstrations = config, seed, demonstrations
        self.client = self._client = make_client(config, api_key, clock, say, answers, ledger)
        self._repairs: dict[int, tuple[tuple[str, str]]] = {}  # the turns after the first answer, by the draft's number

    def draft(self, index: int, level: Hardness, avoid: Sequence[str]) -> Draft | RejectedDraft:
        """Asks for draft number `index` at `level`, away from the domains in `avoid`; EndpointError if the endpoint fails."""
        return self._read(self._chat(index, level, avoid), index, level)

    def repair(self, index: int, level: Hardness, avoid: Sequence[str], fault: RejectedDraft) -> Draft | RejectedDraft:
        """Asks once more for draft number `index`, whose first answer has this fault; EndpointError if the endpoint fails."""
        first = self._chat(index, level, avoid)  # kept, and so not asked for again
        if isinstance(first, FailedExchange):
            return self._read(first, index, level)
        problem = render_prompt("repair", reason=fault.reason, detail=fault.detail, level=level)
        self._repairs[index] = ((first.text, problem),)
        return self._read(self._chat(index, level, avoid, self._repairs[index]), index, level)

    def _chat(
        self, index: int, level: Hardness, avoid: Sequence[str], turns: Sequence[tuple[str, str]] = ()
    ) -> ChatCompletion | FailedExchange:
        system, user = self.messages(index, level, avoid)
        return self._client.chat(system, user, seed=self._chat_seed(index), turns=turns)

    def _read(self, completion: ChatCompletion | FailedExchange, index: int, level: Hardness) -> Draft | RejectedDraft:
        if isinstance(completion, FailedExchange):
            return RejectedDraft(completion.reason, completion.detail, level, failed_requests=completion.requests)
        try:
            return parse_draft(completion.text, index, level)
        except UnusableError as error:
            if completion.truncated:
                return RejectedDraft("cut off", f"stopped after {self._config.max_tokens} tokens; raise llm.max_tokens", level)
            return RejectedDraft(error.reason, error.detail, level)

    def tokens(self, index: int, level: Hardness, avoid: Sequence[str]) -> Tokens | None:
        """What the answer to this request took, with its repair; None if there is none, or it does not say."""
        system, user = self.messages(index, level, avoid)
        turns = [(), self._repairs[index]] if index in self._repairs else [()]
        answers = [self._client.tokens(system, user, seed=self._chat_seed(index), turns=turn) for turn in turns]
        counted = [answer for answer in answers if answer is not None]
        if len(counted) < len(answers):
            return None
        return Tokens(*(sum(getattr(each, name) for each in counted) for name in ("prompt", "cached", "completion")))

    def forget(self, index: int, level: Hardness, avoid: Sequence[str]) -> None:
        """Drops the answers to this request and to its repair, which turned out to be of no use."""
        system, user = self.messages(index, level, avoid)
        for turns in ((), self._repairs.get(index, ())):
            self._client.forget(system, user, seed=self._chat_seed(index), turns=turns)

    def fetch(self) -> bool:
        """Has what was asked in vain so far answered, where requests go in batches; False if there is nothing to fetch."""
        return self._client.fetch()

    def close(self) -> None:
        """Lets no further request start."""
        self._client.close()

    def messages(self, index: int, level: Hardness, avoid: Sequence[str]) -> tuple[str, str]:
        """What is asked for draft number `index`: the system's message and the user's."""
        return render_prompt("strong_system"), self._prompt(index, level, avoid)

    def _chat_seed(self, index: int) -> int:
        return random.Random(f"{self._seed}-chat-{index}").getrandbits(31)

    def _prompt(self, index: int, level: Hardness, avoid: Sequence[str]) -> str:
        """The paper's prompt: demonstrations drawn at random, then the request for one more data point."""
        demonstrations = draw_demonstrations(self._demonstrations, self._config.demonstrations, f"{self._seed}-demo-{index}")
        domains = list(dict.fromkeys([*OVERREPRESENTED, *avoid]))
        return render_prompt("strong", level=level, avoid=domains, demonstrations=demonstrations)


def draw_demonstrations(examples: Sequence[tuple[Example, str]], count: int, seed: str) -> list[dict[str, str]]:
    """`count` of the examples, each with its schema as text, drawn with `seed`, as prompts show them."""
    drawn = random.Random(seed).sample(examples, min(count, len(examples)))
    return [
        {
            "domain": example.domain or example.db_id.replace("_", " "),
            "schema": schema,
            "question": example.question,
            "sql": example.sql,
        }
        for example, schema in drawn
    ]
