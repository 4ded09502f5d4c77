"""A strong LLM as the teacher (paper section 3.1): one prompt, one new database with one question and its SQL.

Whatever comes back is a draft or a Refusal with its reason; only a failing endpoint is an error.
"""

import random
import time
from collections.abc import Callable, Sequence

from sense.config import LlmConfig
from sense.prompts import render
from sense.records import Example, Hardness
from sense.teacher import Draft, Refusal
from sense.teacher.openai import ChatClient
from sense.teacher.response import UnusableError, read

OVERREPRESENTED = ("education", "healthcare", "travel", "entertainment")


class LlmTeacher:
    """Drafts from an OpenAI-compatible endpoint; thread-safe, and each draft has a database of its own."""

    def __init__(
        self,
        config: LlmConfig,
        seed: int,
        demonstrations: Sequence[tuple[Example, str]],
        api_key: str,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`demonstrations` are human-written examples with their schema as text; `pause` sleeps between tries (seconds)."""
        self._config, self._seed, self._demonstrations = config, seed, demonstrations
        self._client = ChatClient(config, api_key, pause)

    def draft(self, index: int, level: Hardness, avoid: Sequence[str]) -> Draft | Refusal:
        """The `index`-th draft at `level`, steered away from the domains in `avoid`; EndpointError if the endpoint fails."""
        seed = random.Random(f"{self._seed}-chat-{index}").getrandbits(31)
        answer = self._client.chat(render("strong_system"), self._prompt(index, level, avoid), seed=seed)
        try:
            return read(answer.text, index, level)
        except UnusableError as problem:
            if answer.cut:
                return Refusal("cut off", f"stopped after {self._config.max_tokens} tokens; raise llm.max_tokens", level)
            return Refusal(problem.reason, problem.detail, level)

    def _prompt(self, index: int, level: Hardness, avoid: Sequence[str]) -> str:
        """The paper's prompt: random demonstrations, then the request for one more data point."""
        count = min(self._config.demonstrations, len(self._demonstrations))
        drawn = random.Random(f"{self._seed}-demo-{index}").sample(self._demonstrations, count)
        shown = [
            {"domain": row.domain or row.db_id.replace("_", " "), "schema": text, "question": row.question, "sql": row.sql}
            for row, text in drawn
        ]
        return render("strong", level=level, avoid=list(dict.fromkeys([*OVERREPRESENTED, *avoid])), demonstrations=shown)
