"""A small shop as a SQLite file, and a model whose completions are written in advance."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sense.config import DatabasesConfig, ExecutionConfig, LimitsConfig, PromptConfig, ServeConfig
from sense.serving.backend import BackendError, ServedVersion

TABLES = """
CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE sale(id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer(id), price REAL, note BLOB);
INSERT INTO customer VALUES (1, 'Ann', 'Ghent'), (2, 'Bob', 'Turku'), (3, 'Cleo', 'Ghent');
INSERT INTO sale VALUES (1, 1, 9.5, x'00ff'), (2, 1, 20.0, NULL), (3, 2, 5.25, NULL);
"""
# a time limit that no busy machine reaches: endless statements are stopped by their steps
EXECUTION = ExecutionConfig(timeout_s=30.0, max_rows=200, max_bytes=100_000, max_steps=2_000_000, workers=1)
WIDE = "SELECT " + ", ".join(f"'x' AS c{number}" for number in range(100))  # with 150 rows, more than fits into 100,000 bytes
LIMITS = LimitsConfig(rows=50, concurrency=2, execution=EXECUTION)
SHORT_LIMITS = LIMITS.model_copy(update={"execution": EXECUTION.model_copy(update={"timeout_s": 1.5})})


def database(path: Path, script: str = TABLES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def serve_config(folder: Path, limits: LimitsConfig = LIMITS) -> ServeConfig:
    return ServeConfig(databases=DatabasesConfig(folders=[str(folder)]), limits=limits)


@dataclass
class ScriptedModel:
    """A version and its backend in one: completions are `texts` in order; `calls` are (prompt, n, temperature)."""

    texts: Sequence[str] = ()
    number: str = "1"
    prompt: PromptConfig = field(default_factory=PromptConfig)
    before: Callable[[], None] | None = None  # called at each completion: may raise
    waits: bool = False
    calls: list[tuple[str, int, float]] = field(default_factory=list)

    @property
    def version(self) -> ServedVersion:
        return ServedVersion("shop-model", self.number, "d" * 64)

    async def complete(self, prompt: str, *, n: int, temperature: float) -> Sequence[str]:
        self.calls.append((prompt, n, temperature))
        if self.before is not None:
            self.before()
        if self.waits:
            await asyncio.Event().wait()
        return self.texts[:1] if temperature == 0 else self.texts[1 : 1 + n]

    async def start(self) -> None:
        """Nothing to start."""

    async def current(self) -> "ScriptedModel":
        return self

    async def close(self) -> None:
        """Nothing to close."""


@dataclass
class Versions:
    """A backend whose versions come one after the other."""

    served: list[ScriptedModel]

    async def start(self) -> None:
        """Nothing to start."""

    async def current(self) -> ScriptedModel:
        if not self.served:
            raise BackendError("no version is ready")
        return self.served.pop(0)

    async def close(self) -> None:
        """Nothing to close."""
