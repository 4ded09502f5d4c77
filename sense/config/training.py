"""Sections of the stages that train: the student's and the weak model's SFT, and DPO with the other methods of its stage."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sense.config.data import ExecutionConfig
from sense.config.section import Count, Positive, Section, Seed, Share


class NanoConfig(Section):
    """A Llama of random weights and a byte-level BPE tokenizer, made by SENSE itself; for tests, and to pretrain a base."""

    vocabulary: Annotated[int, Field(ge=300)] = 1500
    """Tokens of the byte-level BPE tokenizer that is trained on the data."""
    hidden: Count = 128
    """Width of the hidden states; the MLP is three times as wide."""
    layers: Count = 4
    """Transformer layers."""
    heads: Count = 4
    """Attention heads, each of width hidden / heads, and of 32 at least."""
    context: Count = 1024
    """Longest sequence in tokens (max_position_embeddings)."""


class ModelConfig(Section):
    """The base model: either `name`, a pretrained one, or `nano`, random weights."""

    name: str | None = None
    """A hub name or a local folder in the layout of transformers; whole weights, not an adapter, and quantized only in GGUF. Or
    `sense-nano`, the small base that `make nano-base` pretrains.
    """
    gguf_file: str | None = None
    """A GGUF file in that folder or under that hub name, whose weights are dequantized; transformers' argument of this name."""
    revision: str | None = None
    """Revision of the hub name (branch, tag or commit); pin a commit so that the base cannot change."""
    nano: NanoConfig | None = None
    """Make a small Llama of random weights instead of loading one."""

    @model_validator(mode="after")
    def _one(self) -> "ModelConfig":
        if (self.name is None) == (self.nano is None):
            raise ValueError("give exactly one of name (a pretrained model) and nano (random weights)")
        if self.gguf_file is not None and self.name is None:
            raise ValueError("gguf_file is a file of the model that name names; give name too")
        return self


Target = Literal["sql", "linked"]


class PromptConfig(Section):
    """How a question is put to a model. Stored with the model, so that sampling and serving use the same prompt."""

    schema_style: Literal["compact", "ddl"] = "compact"
    """How the schema is written: compact (one line a table) or ddl (CREATE TABLE statements)."""
    sample_values: Annotated[int, Field(ge=0)] = 0
    """Values shown for each column; 0 shows none."""
    target: Target = "sql"
    """What the model writes: sql, or linked (first a comment that names the tables and columns, then the SQL)."""


class LoraConfig(Section):
    """A LoRA adapter instead of full fine-tuning, in PEFT's terms."""

    r: Count = 16
    """Rank of the adapter matrices."""
    alpha: Count = 32
    """Scale of the adapter: its output is multiplied by alpha / r."""
    dropout: Share = 0.05
    """Dropout on the input of the adapter, as a probability."""
    target_modules: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"
    """Modules that get an adapter: all linear ones but the output layer, or a list of names or of their last parts."""
    quantize: Literal["4bit"] | None = None
    """4bit is QLoRA: the base is held in 4 bits (NF4, by bitsandbytes) while its adapter is trained, in SFT and in the second
    step; it needs a CUDA GPU. What is sampled, evaluated, merged and served is the adapter on the whole base.
    """


class TrainConfig(Section):
    """The optimization, in TRL's terms. The global batch is batch_size x accumulation x processes."""

    epochs: Positive = 1.0
    """Passes over the data; unused where `max_steps` is given."""
    max_steps: Count | None = None
    """Optimizer steps; null trains for `epochs`."""
    batch_size: Count = 16
    """Rows a process, which has a GPU of its own or some processors, takes at the same time."""
    accumulation: Count = 1
    """Batches whose gradients are added up before an optimizer step."""
    processes: Count = 1
    """Processes on this machine that train together, started by accelerate: one for each GPU or, without one, each with its part
    of the processors. If there are fewer GPUs, each adds up the gradients of more batches. In the pipeline the task's GPUs
    decide, and accelerate or torchrun by hand as well.
    """
    learning_rate: Positive = 2e-5
    """Peak learning rate of AdamW."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of the steps in which the learning rate rises from 0 to its peak."""
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    """How the learning rate changes after the warm-up (transformers' lr_scheduler_type)."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of AdamW."""
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Decay of AdamW's mean of squared gradients; 0.95 suits a training from random weights."""
    max_grad_norm: Positive = 1.0
    """Gradients are clipped to this norm."""
    max_length: Count = 2048
    """Tokens a row may have; longer ones are dropped and counted. At most what the model reads."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Autocast: bf16, fp32 for none, or auto (bf16 where the GPU or, without one, the processor multiplies it in hardware: many
    processors emulate it, ten times slower); weights under training are float32.
    """
    freeze_embeddings: bool | Literal["unused"] = False
    """Embeddings of tokens, in the output layer too, that are not trained: `unused` those of tokens that the rows lack, true all
    of them. AdamW moves those of unused tokens as far as the others, all the same way: a small model then forgets how to copy
    names that it was not trained on. Not `unused` with `fsdp`.
    """
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third slower."""
    fsdp: bool = False
    """Divide weights, gradients and the optimizer's state between the processes (PyTorch's FSDP2, through accelerate), so that a
    model whose training needs more memory than a GPU has can be trained on several. Not for a LoRA adapter. Without effect in a
    single process, and without GPUs.
    """
    save_steps: Count = 500
    """Optimizer steps between two checkpoints, from which a killed training resumes; a multiple of `log_steps`."""
    log_steps: Count = 10
    """Optimizer steps between two points of the training curve."""

    @model_validator(mode="after")
    def _save_on_a_logged_step(self) -> "TrainConfig":
        # a resumed run averages its logged loss from the checkpoint on, so both must fall on the same steps
        if self.save_steps % self.log_steps:
            raise ValueError(f"save_steps ({self.save_steps}) must be a multiple of log_steps ({self.log_steps})")
        return self

    @model_validator(mode="after")
    def _whole_rows_of_embeddings(self) -> "TrainConfig":
        if self.fsdp and self.freeze_embeddings == "unused":
            raise ValueError("fsdp divides the weights, and freeze_embeddings: unused needs them whole; set it to true or false")
        return self


class RenameConfig(Section):
    """Copies of each example with tables, columns and values renamed to random words: the model learns to copy names."""

    copies: Annotated[int, Field(ge=0)] = 0
    """Renamed copies added for each example."""
    keep_original: bool = True
    """Train on the example under its own names too."""
    invented: Share = 0.0
    """Share of the new words that are invented; the others are nouns from a short list. Only with `questions_per_sequence`
    above 1.
    """
    invented_of: Literal["syllables", "tokens"] = "syllables"
    """What invented words are made of: syllables, or tokens of the base's tokenizer, so that each of them is copied as often as
    any other. Tokens need a base in `model.name`.
    """

    @model_validator(mode="after")
    def _some(self) -> "RenameConfig":
        if self.copies == 0 and not self.keep_original:
            raise ValueError("copies: 0 with keep_original: false leaves no data")
        return self


class SftConfig(Section):
    """Supervised fine-tuning of one model: the student (section `sft`) or the weak model (section `weak`)."""

    seed: Seed = 0
    """Seed of the initial weights, of the order of the rows and of the renaming."""
    model: ModelConfig
    """The base to start from."""
    prompt: PromptConfig = PromptConfig()
    """How questions are put to the model; stored with it."""
    data: Literal["strong", "strong+seed", "seed"] = "strong+seed"
    """Datasets to train on: the strong data, the human-written seed set, or both."""
    rename: RenameConfig = RenameConfig()
    """Copies of the examples under random names."""
    lora: LoraConfig | None = None
    """Train a LoRA adapter; null trains all weights."""
    loss_on: Literal["completion", "question", "sequence"] = "completion"
    """Tokens that bear loss: those of the completion (the prompt is labelled -100), of question and completion (the schema is
    labelled -100), or of the whole sequence.
    """
    packing: bool = False
    """Join short rows into sequences of `max_length` tokens, so that little is padded."""
    questions_per_sequence: Count = 1
    """Questions on one schema that a sequence holds at most: the schema is read once for all, and each sees it and itself alone.
    The gradient is that of as many rows. A batch has `batch_size` sequences, of at most `max_length` tokens. Where there are
    several, tables and columns stand in a new order every time, and copies have the same new names in a whole sequence.
    """
    train: TrainConfig = TrainConfig()
    """The optimization."""

    @model_validator(mode="after")
    def _sequences(self) -> "SftConfig":
        if self.questions_per_sequence == 1:
            if self.rename.invented:
                raise ValueError("rename.invented needs questions_per_sequence above 1")
        elif self.packing or self.loss_on == "sequence":
            raise ValueError("with questions_per_sequence above 1, packing must be false and loss_on completion or question")
        return self

    @model_validator(mode="after")
    def _tokens_to_invent_of(self) -> "SftConfig":
        if self.rename.invented_of == "tokens" and self.model.nano is not None:
            raise ValueError(
                "rename.invented_of: tokens needs a base in model.name: a nano model's tokenizer is trained on the copies"
            )
        return self

    @model_validator(mode="after")
    def _divided_weights(self) -> "SftConfig":
        if self.train.fsdp and self.lora is not None:
            raise ValueError(
                "train.fsdp divides weights that are trained, and an adapter's are few; set it to false or lora to null"
            )
        return self

    @model_validator(mode="after")
    def _quantized_base(self) -> "SftConfig":
        if self.lora is not None and self.lora.quantize and (self.model.nano is not None or self.model.gguf_file is not None):
            raise ValueError("lora.quantize needs a base in model.name whose weights are whole, neither nano nor gguf_file")
        return self


class RftConfig(Section):
    """RFT, rejection sampling fine-tuning: SFT on the right samples. It learns most where they are the student's own
    (`sample.model: sft`).
    """

    plans: Count = 4
    """Right samples of a question that are trained on at most, all of them different queries; the first sampled."""
    gold: bool = True
    """Train on the gold of a question without a right sample; false leaves the question out."""
    questions: Literal["all", "missed"] = "all"
    """Questions that are trained on: all that were sampled, or those with a wrong sample at least (missed)."""
    data: Literal["samples", "samples+strong", "samples+strong+seed"] = "samples"
    """Train on the right answers alone, or beside them once more on the strong examples, or on these and the human-written seed
    set, so that what the SFT has taught is not forgotten. Name what the SFT was on (`sft.data`).
    """
    loss_on: Literal["completion", "question"] = "completion"
    """Tokens that bear loss, as in the section `sft`: those of the answer, or of question and answer."""
    questions_per_sequence: Count = 1
    """Answers on one schema that share a sequence, as in the section `sft`."""


class GrpoConfig(Section):
    """GRPO: the model answers the questions of the pairs, and an answer's reward is what its execution is worth: 1 if it is
    right, 0.1 if it runs and reads a table of the schema, else 0. `dpo.train` counts answers: a step has batch_size x
    accumulation x processes of them, which is a multiple of `num_generations`.
    """

    num_generations: Annotated[int, Field(ge=2)] = 8
    """Answers to a question that are compared with one another; if all earn the same, they are left out of the loss."""
    temperature: Positive = 1.0
    """Sampling temperature."""
    max_completion_length: Count = 256
    """Tokens an answer may have; with its prompt they fit into `dpo.train.max_length`."""
    beta: Annotated[float, Field(ge=0)] = 0.01
    """Weight of the KL divergence from the model that the training starts from; 0 leaves it out, and `kl` out of the curve."""
    loss: Literal["grpo", "dr_grpo", "dapo", "bnpo"] = "dapo"
    """TRL's loss_type: how the tokens of the answers are averaged."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """Whose standard deviation an answer's advantage is divided by: of the answers to its question, of the batch, or none."""
    mask_truncated: bool = False
    """Leave answers that reached `max_completion_length` out of the loss."""
    execution: ExecutionConfig = ExecutionConfig()
    """Limits on executing answers and golds."""


class DpoConfig(Section):
    """The second step, on the SFT model: DPO (paper, section 3.3), or another method. If that model is an adapter, the adapter is
    trained on.
    """

    method: Literal["dpo", "rft", "grpo"] = "dpo"
    """dpo: preference learning on the pairs; rft: SFT on the right samples; grpo: reinforcement learning with the verdict as the
    reward.
    """
    seed: Seed = 0
    """Seed of the order of the rows, and of what grpo samples."""
    beta: Positive = 0.1
    """Strength of the pull towards the reference model; smaller values let the policy move further."""
    loss: Literal["sigmoid", "ipo", "apo_zero", "robust", "hinge"] = "sigmoid"
    """TRL's loss_type."""
    label_smoothing: Literal["auto"] | Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """Probability that a label is wrong, for the losses sigmoid, which above 0 is cDPO, and robust. auto: the share of wrong SQL
    that passes for right on the databases of the unseen questions, as synthesize measured it with mutants (`false_right` in their
    manifest.json).
    """
    sft_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of an SFT loss on the chosen answers, added to the preference loss; 0 leaves it out."""
    max_chosen_drop: Positive = 1.0
    """Nats by which the mean log-probability of a chosen answer may fall below the SFT model's; beyond it there is a warning, and
    `chosen_dropped` in the metrics is true.
    """
    average_with_sft: Share = 0.0
    """Share of the SFT model in the result, which is the average of the weights before and after this step (WiSE-FT): it keeps
    more of what SFT has taught. 0 leaves the SFT model out. Not with a LoRA adapter.
    """
    rft: RftConfig = RftConfig()
    """Settings of the method rft, to which those of DPO do not apply."""
    grpo: GrpoConfig = GrpoConfig()
    """Settings of the method grpo, to which those of DPO do not apply."""
    train: TrainConfig = TrainConfig(learning_rate=1e-6)
    """The optimization."""

    @model_validator(mode="after")
    def _rows_have_the_tokens(self) -> "DpoConfig":
        if self.method == "grpo" and self.train.freeze_embeddings == "unused":
            raise ValueError("grpo trains on answers that no row has; set train.freeze_embeddings to true or false")
        return self
