"""Sections of the stages that judge: evaluate, publish, report."""

from typing import Annotated, Literal

from pydantic import Field

from sense.config.data import ExecutionConfig
from sense.config.section import Count, Section, Seed


class EvaluateConfig(Section):
    """Greedy EX of base, SFT and SENSE, with bootstrap intervals (`resamples`) and McNemar between neighbours."""

    seed: Seed = 0
    limit: Count | None = None
    max_new_tokens: Count = 256
    batch_size: Count = 32
    resamples: Annotated[int, Field(ge=100)] = 1000
    execution: ExecutionConfig = ExecutionConfig()


class PublishConfig(Section):
    """The registry: the registered model's name and the dev set whose EX decides about champion.

    Without `promote` the model is registered, and never becomes champion whatever its EX.
    """

    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "sense"
    gate: Literal["dev", "heldout"] = "dev"
    promote: bool = True


class ReportConfig(Section):
    """The HTML report: how many examples it shows, drawn with `seed`."""

    seed: Seed = 0
    examples: Count = 10
