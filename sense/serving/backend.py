"""What writes the candidates. A request takes one `Served` and uses it to its end, so that no answer mixes two versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sense.config import PromptConfig
from sense.errors import SenseError


class BackendError(SenseError):
    """The model server cannot be used just now: the gateway answers 503. `reason` is safe to show: no address, no secret."""

    def __init__(self, reason: str, retry_after_s: float = 1.0) -> None:
        super().__init__(reason)
        self.reason, self.retry_after_s = reason, retry_after_s


class GoneError(BackendError):
    """The version that the request took is no longer served: the request starts over with the one that is."""


@dataclass(frozen=True)
class Version:
    """A registered model's version. `digest` is the SHA-256 of its folder, '' where nobody recorded it."""

    name: str
    version: str
    digest: str


class Served(Protocol):
    """One version of the model, as a request uses it."""

    @property
    def version(self) -> Version:
        """Which one."""
        ...

    @property
    def prompt(self) -> PromptConfig:
        """How its prompts are written."""
        ...

    async def complete(self, prompt: str, *, n: int, temperature: float) -> Sequence[str]:
        """`n` completions of `prompt`; temperature 0 is greedy (n is 1). GoneError, or BackendError where it cannot."""
        ...


class Backend(Protocol):
    """Where versions come from."""

    async def start(self) -> None:
        """Makes ready in the background; returns at once where it can."""
        ...

    async def current(self) -> Served:
        """The version to use now; BackendError if none is ready."""
        ...

    async def close(self) -> None:
        """Ends what runs in the background."""
        ...
