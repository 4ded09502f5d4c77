"""Language models as text in, text out: the protocol that sampling and evaluation use, and clients for endpoints."""

from collections.abc import Sequence
from typing import Protocol


class Generator(Protocol):
    """Anything that completes prompts: a model in this process or behind an endpoint."""

    def generate(
        self, prompts: Sequence[str], *, n: int, temperature: float, top_p: float, max_tokens: int, seed: int
    ) -> list[list[str]]:
        """`n` completions (text after the prompt) for each prompt, in the prompts' order.

        Temperature 0 is greedy. The same arguments give the same completions on the same machine.
        """
        ...
