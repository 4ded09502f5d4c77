"""The model behind the gateway. A request takes one `ServedModel` and uses it to its end, so that no answer mixes versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sense.config import PromptConfig
from sense.errors import SenseError


class BackendError(SenseError):
    """The model cannot be used now; the gateway answers 503. `reason` is for callers: it holds no address and no secret."""

    def __init__(self, reason: str, retry_after_s: float = 1.0) -> None:
        super().__init__(reason)
        self.reason, self.retry_after_s = reason, retry_after_s


class VersionGoneError(BackendError):
    """The version that a request took is no longer served: the request starts over with the current one."""


@dataclass(frozen=True)
class ServedVersion:
    """A version of a registered model. `digest` is the SHA-256 of its folder, '' if unknown."""

    name: str
    version: str
    digest: str


class VersionAwayError(BackendError):
    """The server of `version`, which has answered before, cannot be asked now."""

    def __init__(self, version: ServedVersion, reason: str) -> None:
        super().__init__(reason)
        self.version = version


class ServedModel(Protocol):
    """One version of the model, as a request uses it."""

    @property
    def version(self) -> ServedVersion:
        """The version."""
        ...

    @property
    def prompt(self) -> PromptConfig:
        """How its prompts are written."""
        ...

    async def complete(self, prompt: str, *, n: int, temperature: float) -> Sequence[str]:
        """`n` completions of `prompt`; temperature 0 is greedy (n is 1). VersionGoneError or BackendError if there are none."""
        ...


class ModelSource(Protocol):
    """Where a request gets its model from."""

    async def current(self) -> ServedModel:
        """The model to use now; BackendError if none is ready."""
        ...


class Backend(ModelSource, Protocol):
    """A source of served models: this process, a vLLM server, or two of them."""

    async def start(self) -> None:
        """Begins to get ready, in the background where that takes time."""
        ...

    async def close(self) -> None:
        """Ends background work and closes connections."""
        ...
