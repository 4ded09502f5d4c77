"""Sections of the stages that judge: evaluate, publish, report."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from sense.config.data import ExecutionConfig
from sense.config.generator import GeneratorConfig
from sense.config.section import Count, Positive, Section, Seed

FurtherMode = Literal["strict@2", "strict-ts@1", "strict@1", "spider-exec@1", "bird-ex@1", "bird-f1@1"]
"""The scoring modes that give the same figures again; R-VES takes the time, and is measured by `sense score` alone."""

SETS = ("dev", "heldout")
"""The sets that every run is evaluated on."""

_SET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


class EvaluateConfig(Section):
    """Greedy execution accuracy (EX) of base, SFT and SENSE, with intervals and McNemar tests between neighbours."""

    seed: Seed = 0
    """Seed of the bootstrap and of the questions drawn by `limit`."""
    limit: Count | None = None
    """Questions of each set to evaluate on, drawn at random; null takes all."""
    sets: dict[str, str] = {}
    """Further sets to evaluate on, by name: dataset folders, as `sense ingest` and `synthesize` write them. They have to be named
    under `synthesize.decontaminate` too. DVC does not watch them: after a change in them, `dvc repro -f synthesize; dvc repro`.
    """
    modes: list[FurtherMode] = []
    """Scoring modes that the same predictions are scored under too. EX, the gate and McNemar's tests stay those of strict@2."""
    vote: Annotated[int, Field(ge=0, le=256)] = 0
    """Samples for each question that vote by their results on its database, in a column of their own; 0 samples nothing."""
    temperature: Positive = 1.0
    """Sampling temperature of the samples that vote."""
    max_new_tokens: Count = 256
    """Tokens a prediction may have."""
    batch_size: Count = 32
    """Answers generated at the same time with `generator.kind: transformers`; it bounds memory. Those that vote on a question are
    generated together, so that `vote` may need more. On processors each thread generates so many, where memory allows.
    """
    generator: GeneratorConfig = GeneratorConfig()
    """What runs the models: transformers, vLLM, or a server."""
    resamples: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap resamples behind the 95% interval of EX."""
    execution: ExecutionConfig = ExecutionConfig()
    """Limits on executing predictions and golds."""

    @field_validator("sets")
    @classmethod
    def _names_of_files(cls, sets: dict[str, str]) -> dict[str, str]:
        """The names stand in file names, before a dot, and on some systems `Dev` and `dev` are one file."""
        taken = {name: name for name in SETS}
        for name in sets:
            if not _SET_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a set: letters, digits, _ and -, at most 40 of them")
            if name.lower() in taken:
                raise ValueError(f"{name!r} is taken: {taken[name.lower()]!r} is a set already; give it another name")
            taken[name.lower()] = name
        return sets

    @field_validator("modes")
    @classmethod
    def _modes_once(cls, modes: list[FurtherMode]) -> list[FurtherMode]:
        if len(set(modes)) < len(modes):
            raise ValueError("a mode is named twice")
        return modes


class PublishConfig(Section):
    """Registration in MLflow, and the gate that decides about champion."""

    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "sense"
    """Name of the registered model in MLflow."""
    gate: str = "dev"
    """The set whose EX decides whether the new version becomes champion: dev, heldout or one of `evaluate.sets`."""
    promote: bool = True
    """Whether the gate may make the new version champion; false registers it as challenger whatever its EX."""


class ReportConfig(Section):
    """The HTML report."""

    seed: Seed = 0
    """Seed of the draw of examples."""
    examples: Count = 10
    """Examples shown in the report."""
