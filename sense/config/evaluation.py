"""Sections of the stages that judge: evaluate, publish, report."""

from typing import Annotated, Literal

from pydantic import Field

from sense.config.data import ExecutionConfig
from sense.config.section import Count, Section, Seed


class EvaluateConfig(Section):
    """Greedy execution accuracy (EX) of base, SFT and SENSE, with intervals and McNemar tests between neighbours."""

    seed: Seed = 0
    """Seed of the bootstrap and of the questions drawn by `limit`."""
    limit: Count | None = None
    """Questions of each set to evaluate on, drawn at random; null takes all."""
    max_new_tokens: Count = 256
    """Tokens a prediction may have."""
    batch_size: Count = 32
    """Questions generated for at the same time; it bounds memory."""
    resamples: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap resamples behind the 95% interval of EX."""
    execution: ExecutionConfig = ExecutionConfig()
    """Limits on executing predictions and golds."""


class PublishConfig(Section):
    """Registration in MLflow, and the gate that decides about champion."""

    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "sense"
    """Name of the registered model in MLflow."""
    gate: Literal["dev", "heldout"] = "dev"
    """The set whose EX decides whether the new version becomes champion."""
    promote: bool = True
    """Whether the gate may make the new version champion; false registers it as challenger whatever its EX."""


class ReportConfig(Section):
    """The HTML report."""

    seed: Seed = 0
    """Seed of the draw of examples."""
    examples: Count = 10
    """Examples shown in the report."""
