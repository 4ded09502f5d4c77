"""Every option of SENSE: one frozen section per stage, read from one params.yaml, and the environment.

`load` reports all errors of a file at once. No other module reads environment variables.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sense.errors import ConfigError
from sense.records import Hardness

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of params.yaml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    """Where human-written seeds come from: the built-in set, or a folder in Spider's or BIRD's layout."""

    seeds: str = "sense/seeds"


class ExecutionConfig(Section):
    """Limits on one execution of a SQL: seconds, rows, bytes of result and SQLite VM steps."""

    timeout_s: Positive = 5.0
    max_rows: Count = 10_000
    max_bytes: Count = 10_000_000
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


class NanoConfig(Section):
    """A Llama of random weights, made by SENSE itself with a byte-level BPE trained on the strong data."""

    vocabulary: Annotated[int, Field(ge=300)] = 1500
    hidden: Count = 128
    layers: Count = 4
    heads: Count = 4
    context: Count = 1024


class ModelConfig(Section):
    """The base: a hub name or local folder (with a pinned `revision`), or `nano` for random weights."""

    name: str | None = None
    revision: str | None = None
    nano: NanoConfig | None = None

    @model_validator(mode="after")
    def _one(self) -> "ModelConfig":
        if (self.name is None) == (self.nano is None):
            raise ValueError("give exactly one of name (a pretrained model) and nano (random weights)")
        return self


class PromptConfig(Section):
    """How a question is put to a model; stored with the model, so sampling and serving use the same."""

    schema_style: Literal["compact", "ddl"] = "compact"
    sample_values: Annotated[int, Field(ge=0)] = 0


class LoraConfig(Section):
    """A LoRA adapter instead of full fine-tuning (PEFT's names)."""

    r: Count = 16
    alpha: Count = 32
    dropout: Share = 0.05
    target_modules: Literal["all-linear"] | list[str] = "all-linear"


class TrainConfig(Section):
    """The optimisation, in TRL's terms; the global batch is batch_size x accumulation x devices."""

    epochs: Positive = 1.0
    max_steps: Count | None = None
    batch_size: Count = 16
    accumulation: Count = 1
    learning_rate: Positive = 2e-5
    warmup_ratio: Share = 0.03
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Positive = 1.0
    max_length: Count = 2048
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = False
    save_steps: Count = 500
    log_steps: Count = 10

    @model_validator(mode="after")
    def _save_on_a_logged_step(self) -> "TrainConfig":
        # a resumed run averages its logged loss from the checkpoint on, so both must fall on the same steps
        if self.save_steps % self.log_steps:
            raise ValueError(f"save_steps ({self.save_steps}) must be a multiple of log_steps ({self.log_steps})")
        return self


class RenameConfig(Section):
    """Copies of each example with tables, columns and values renamed to random words, so a model learns to copy."""

    copies: Annotated[int, Field(ge=0)] = 0
    keep_original: bool = True

    @model_validator(mode="after")
    def _some(self) -> "RenameConfig":
        if self.copies == 0 and not self.keep_original:
            raise ValueError("copies: 0 with keep_original: false leaves no data")
        return self


class SftConfig(Section):
    """Supervised fine-tuning of one model (the student, and likewise the weak model)."""

    seed: Seed = 0
    model: ModelConfig
    prompt: PromptConfig = PromptConfig()
    data: Literal["strong", "strong+seed", "seed"] = "strong+seed"
    rename: RenameConfig = RenameConfig()
    lora: LoraConfig | None = None
    loss_on: Literal["completion", "sequence"] = "completion"
    packing: bool = False
    train: TrainConfig = TrainConfig()


class SampleConfig(Section):
    """Weak data: k SQL per question from the weak model, each executed against the gold."""

    seed: Seed = 0
    k: Count = 8
    temperature: Positive = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Count = 256
    batch_size: Count = 16
    limit: Count | None = None
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


class DpoConfig(Section):
    """DPO on the SFT model; label_smoothing > 0 makes it cDPO, sft_weight > 0 adds an SFT term on the chosen."""

    seed: Seed = 0
    beta: Positive = 0.1
    loss: Literal["sigmoid", "ipo", "apo_zero", "robust", "hinge"] = "sigmoid"
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    sft_weight: Annotated[float, Field(ge=0)] = 0.0
    lora: LoraConfig | None = None
    train: TrainConfig = TrainConfig(learning_rate=1e-6)


class EvaluateConfig(Section):
    """Greedy EX of base, SFT and SENSE, with bootstrap intervals (`resamples`) and McNemar between neighbours."""

    seed: Seed = 0
    limit: Count | None = None
    max_new_tokens: Count = 256
    batch_size: Count = 32
    resamples: Annotated[int, Field(ge=100)] = 1000
    execution: ExecutionConfig = ExecutionConfig()


class PublishConfig(Section):
    """The registry: the registered model's name and the dev set whose EX decides about champion."""

    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "sense"
    gate: Literal["dev", "heldout"] = "dev"


class ReportConfig(Section):
    """The HTML report: how many examples it shows, drawn with `seed`."""

    seed: Seed = 0
    examples: Count = 10


class Params(Section):
    """The whole of params.yaml; `weak` is the weak model's SFT, the same stage as `sft`."""

    data: DataConfig = DataConfig()
    ingest: IngestConfig
    synthesize: SynthesizeConfig
    sft: SftConfig
    weak: SftConfig
    sample: SampleConfig
    prefer: PreferConfig
    dpo: DpoConfig
    evaluate: EvaluateConfig
    publish: PublishConfig
    report: ReportConfig = ReportConfig()


class _UniqueLoader(yaml.SafeLoader):
    """A safe loader that refuses repeated keys, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} occurs twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def parse(text: str, where: str) -> Any:
    """The YAML in `text`; ConfigError names `where`, line and column of a syntax error or repeated key."""
    try:
        return yaml.load(text, Loader=_UniqueLoader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def validate(kind: type[Section], value: Any, where: str) -> Any:
    """`value` as a `kind`; ConfigError lists every wrong key with its value and what is allowed."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        lines = [_explain(kind, problem) for problem in error.errors()]
        noun = "error" if len(lines) == 1 else "errors"
        raise ConfigError("\n".join([f"{where}: {len(lines)} {noun}", *(f"  {line}" for line in lines)])) from None


def _explain(kind: type[Section], problem: Any) -> str:
    """One line for one of pydantic's errors: key = value: what is wrong, and what would be right."""
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path) or "(whole file)"
    if problem["type"] == "missing":
        return f"{key}: missing; this key must be given"
    shown = json.dumps(problem["input"], default=str)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    if problem["type"] == "extra_forbidden":
        return f"{key} = {shown}: unknown key; allowed here: {', '.join(_siblings(kind, path[:-1]))}"
    return f"{key} = {shown}: {problem['msg'].removeprefix('Value error, ')}"


def _siblings(kind: type[Section], path: list[str]) -> list[str]:
    """The keys a section knows, found by walking the field annotations down `path`."""
    current: type[BaseModel] = kind
    for part in path:
        annotation = current.model_fields[part].annotation if part in current.model_fields else None
        options = [annotation, *getattr(annotation, "__args__", ())]
        current = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), current)
    return sorted(current.model_fields)


def load(path: Path) -> Params:
    """Reads params.yaml; ConfigError lists all its errors at once."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); profiles to start from lie in configs/") from None
    value = parse(text, str(path))
    params: Params = validate(Params, value if value is not None else {}, str(path))
    return params


def environment(name: str, default: str = "") -> str:
    """An environment variable; secrets come from here alone and are never logged."""
    return os.environ.get(name, default)


def tracking_uri() -> str:
    """MLflow's store: MLFLOW_TRACKING_URI, else mlflow.db in the working copy."""
    return environment("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")


def api_key() -> str:
    """The teacher endpoint's key: SENSE_API_KEY, else OPENAI_API_KEY, else empty (local servers need none)."""
    return environment("SENSE_API_KEY") or environment("OPENAI_API_KEY")


def is_main_process() -> bool:
    """False in all but the first of the processes that `accelerate launch` or torchrun starts."""
    return environment("RANK", "0") == "0"


def work_root() -> Path:
    """Where unfinished stages keep what a rerun resumes from: SENSE_WORK, else .sense/work."""
    return Path(environment("SENSE_WORK", ".sense/work"))
