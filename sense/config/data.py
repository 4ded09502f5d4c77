"""Sections of the stages that make data: ingest, synthesize, sample, prefer; and the limits on executing SQL."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sense.config.section import Count, Positive, Seconds, Section, Seed, Share
from sense.records import Hardness


class DataConfig(Section):
    """Where human-written seeds come from: the built-in set, or a folder in Spider's or BIRD's layout."""

    seeds: str = "sense/seeds"


class ExecutionConfig(Section):
    """Limits on one execution of a SQL: seconds, rows, bytes of result and SQLite VM steps."""

    timeout_s: Seconds = 5.0
    max_rows: Annotated[int, Field(ge=1, le=10**9)] = 10_000
    max_bytes: Annotated[int, Field(ge=1, le=10**10)] = 10_000_000
    max_steps: Count = 50_000_000
    workers: Count = 2


class IngestConfig(Section):
    """Seeds in: `holdout` databases become dev where the source brings no dev split; `dev_limit` thins dev."""

    seed: Seed = 0
    holdout: Count = 15
    dev_limit: Count | None = None
    execution: ExecutionConfig = ExecutionConfig()


class GrammarConfig(Section):
    """The built-in teacher: `per_database` questions on each database it invents, `tables` at most in one."""

    per_database: Count = 20
    tables: Annotated[int, Field(ge=2)] = 4
    rows: Count = 30


class LlmConfig(Section):
    """A teacher behind an OpenAI-compatible endpoint (key: environment variable SENSE_API_KEY)."""

    model: str
    base_url: str = "https://api.openai.com/v1"
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    max_tokens: Count = 4096
    concurrency: Count = 8
    timeout_s: Positive = 120.0
    retries: Annotated[int, Field(ge=0)] = 5
    demonstrations: Annotated[int, Field(ge=0)] = 2


class SplitConfig(Section):
    """Shares of the strong databases kept from SFT: `unseen` for weak sampling, `heldout` for evaluation."""

    unseen: Share = 0.2
    heldout: Share = 0.1

    @model_validator(mode="after")
    def _leave_some(self) -> "SplitConfig":
        if self.unseen + self.heldout >= 1:
            raise ValueError("unseen + heldout must stay below 1, or no strong data is left for SFT")
        return self


class SynthesizeConfig(Section):
    """Strong data: `count` examples kept, `levels` weighs the hardness asked for; `llm` is used by that teacher only."""

    seed: Seed = 0
    teacher: Literal["grammar", "llm"] = "grammar"
    count: Count = 2000
    levels: dict[Hardness, Annotated[float, Field(ge=0)]] = {"easy": 0.4, "medium": 0.4, "hard": 0.15, "extra": 0.05}
    grammar: GrammarConfig = GrammarConfig()
    llm: LlmConfig | None = None
    split: SplitConfig = SplitConfig()
    max_attempts: Count = 4
    execution: ExecutionConfig = ExecutionConfig()

    @model_validator(mode="after")
    def _complete(self) -> "SynthesizeConfig":
        if self.teacher == "llm" and self.llm is None:
            raise ValueError("teacher: llm needs an llm section (model, base_url)")
        if sum(self.levels.values()) <= 0:
            raise ValueError("levels must give at least one hardness a weight above 0")
        return self


class ShardConfig(Section):
    """A part of the questions: `number` of `of`, counted from 0."""

    number: Annotated[int, Field(ge=0)]
    of: Count

    @model_validator(mode="after")
    def _within(self) -> "ShardConfig":
        if self.number >= self.of:
            raise ValueError(f"there are shards 0 to {self.of - 1}")
        return self


class SampleConfig(Section):
    """Weak data: k SQL per question from the weak model, each executed against the gold; with `shard`, a part of them."""

    seed: Seed = 0
    k: Count = 8
    temperature: Positive = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Count = 256
    batch_size: Count = 16
    limit: Count | None = None
    shard: ShardConfig | None = None
    execution: ExecutionConfig = ExecutionConfig()


class PreferConfig(Section):
    """Preference pairs: which right answer is chosen over which wrong one.

    `grouped-any-limit1` is the paper's: any right with any wrong sample, at most one pair per question.
    `hardest-negative` takes the wrong sample nearest to the right one by its text. `chosen` says whose answer is right: the
    model's own sample or the gold.
    """

    seed: Seed = 0
    strategy: Literal["grouped-any-limit1", "hardest-negative", "all"] = "grouped-any-limit1"
    chosen: Literal["sample", "gold"] = "sample"
    drop_errors: bool = False
