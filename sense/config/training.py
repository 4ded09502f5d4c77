"""Sections of the stages that train: the student's and the weak model's SFT, and DPO."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sense.config.section import Count, Positive, Section, Seed, Share


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


class DpoConfig(Section):
    """DPO on the SFT model, its adapter if it has one; label_smoothing > 0 makes it cDPO, sft_weight > 0 adds an SFT term on the
    chosen.
    """

    seed: Seed = 0
    beta: Positive = 0.1
    loss: Literal["sigmoid", "ipo", "apo_zero", "robust", "hinge"] = "sigmoid"
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    sft_weight: Annotated[float, Field(ge=0)] = 0.0
    train: TrainConfig = TrainConfig(learning_rate=1e-6)
