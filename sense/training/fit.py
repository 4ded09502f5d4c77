"""SFT and DPO on TRL, and what all trainings share: killed at any moment, they resume from a complete checkpoint."""

import csv
import functools
import io
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import trl.trainer.dpo_trainer as trl_dpo
import trl.trainer.utils as trl_utils
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback, TrainerState
from transformers.pytorch_utils import Conv1D
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from sense import checkpoint_store, config, console, records
from sense.cost import usage
from sense.errors import UserError
from sense.training import devices, frozen_embeddings, isolation, model_folder, sharding, shared_schema

# Called with the step and the values of each logged point of the training curve.
OnLog = Callable[[int, dict[str, float]], None]
# Parts of the names of logged values that are no part of the curve: times and counts, which differ from run to run.
_NOT_IN_CURVE = ("runtime", "per_second", "step_time", "total_flos", "epoch", "num_tokens", "train_loss")
# The empty file that marks a checkpoint as complete.
_COMPLETE = "whole"

# TRL 1.16 skips the positions with label -100 in the language model head on GPUs alone. Under a small model that head is most of
# the work, and most positions are the prompt's: skipping them on a CPU too makes training twice as fast.
trl_utils._use_triton = lambda device: device.type in ("cpu", "cuda")
# That head is computed for a part of the vocabulary at a time. TRL's parts of 32,768 tokens suit GPUs; the caches of a CPU do not
# hold what is computed of them. With 4,096, the loss of a vocabulary of 49,152 and its gradient are 1.8 times as fast.
if not torch.cuda.is_available():
    trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE = min(trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE, 4096)
# TRL's progress bar over the reference's log-probabilities has no switch of its own; it is not to appear in log files.
_trl_tqdm = trl_dpo.tqdm
trl_dpo.tqdm = lambda **options: _trl_tqdm(**{**options, "disable": not sys.stderr.isatty()})

# With several processes on a CPU, transformers loads each one's checkpoint onto a device "cpu:0", which torch.load does not know.
torch.serialization.register_package(5, lambda _: None, lambda storage, location: storage if location == "cpu:0" else None)


class _TokenizedDPOTrainer(DPOTrainer):  # type: ignore[misc]
    """TRL's trainer on rows of `tokenization.dpo_rows`.

    TRL 1.16 takes texts alone. It tokenizes prompt and answer as one text, and leaves out of the prompt what they do not share.
    Its curve has the log-probabilities of the answers, averaged over whatever rows the batch had. Here it also has by how much
    those of the chosen answers differ from the start (`logps/chosen_change`, which compares each row with itself), and how many
    tokens the answers have (`lengths/...`).
    """

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
        loss = super()._compute_loss(model, inputs, return_outputs)
        values = self._metrics["train" if self.model.training else "eval"]
        values["logps/chosen_change"].append(values["rewards/chosen"][-1] / self.beta)
        for answer, lengths in zip(("chosen", "rejected"), inputs["completion_mask"].sum(dim=1).chunk(2), strict=True):
            values[f"lengths/{answer}"].append(self.accelerator.gather(lengths).float().mean().item())
        return loss


def sft(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[dict[str, list[int]]],
    settings: config.SftConfig,
    *,
    checkpoints: Path,
    on_log: OnLog,
    label: str = "sft",
) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tunes on tokenized rows; returns the model and its training curve, one dict for each logged step.

    With `questions_per_sequence` above 1 the rows are those of `shared_schema.sequences`. A model that is an adapter already is
    trained on. `label` names the progress bar.
    """
    isolation.check(model, settings)
    packing, passes = settings.packing, _passes(settings.train, len(rows))
    arguments = training_arguments(settings.train, settings.seed, checkpoints)
    strategy = "random" if packing or passes > 1 else "group_by_length"
    collator = None
    if settings.questions_per_sequence > 1:
        rows, strategy = _ordered(rows, settings, passes), "sequential"
        arguments |= {"num_train_epochs": 1, "remove_unused_columns": False}
        collator = functools.partial(_count_and_collate, padding=tokenizer.pad_token_id)
    trainer = SFTTrainer(
        model=model,
        args=sharding.complete(
            SFTConfig(
                **arguments,
                max_length=settings.train.max_length,
                packing=packing,
                dataset_kwargs={"skip_prepare_dataset": not packing},
                train_sampling_strategy=strategy,
            )
        ),
        train_dataset=to_dataset(rows),
        data_collator=collator,
        processing_class=tokenizer,
        peft_config=_lora(settings.lora, model),
        callbacks=[TrainingProgress(label, on_log, counts_tokens=collator is None)],
    )
    return run_trainer(trainer, checkpoints, settings.train, _tokens(rows, "input_ids"))


def _ordered(sequences: Sequence[dict[str, list[int]]], settings: config.SftConfig, passes: float) -> list[dict[str, list[int]]]:
    """The sequences of all passes in the order in which they are trained on."""
    lengths = [len(sequence["input_ids"]) for sequence in sequences]
    step = settings.train.batch_size * config.processes()  # so that no process waits for another's longer sequences
    order = shared_schema.order(lengths, step, math.ceil(passes), settings.seed)
    return [sequences[number] for number in order[: math.ceil(passes * len(sequences))]]


def _count_and_collate(members: Sequence[dict[str, list[int]]], padding: int) -> dict[str, torch.Tensor]:
    """`shared_schema.collate`, with the tokens counted: TRL takes the sum of its mask of token pairs for their number."""
    usage.count("trained", sum(len(sequence["input_ids"]) for sequence in members))
    return shared_schema.collate(members, padding)


def dpo(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[dict[str, list[int]]],
    settings: config.DpoConfig,
    *,
    checkpoints: Path,
    on_log: OnLog,
) -> tuple[Any, list[dict[str, float]]]:
    """Preference-tunes on tokenized rows of prompt, chosen and rejected; the model it starts from is the reference.

    Returns the model and its training curve, one dict for each logged step.
    """
    losses, weights, smoothing = _preference_losses(settings)
    if settings.sft_weight > 0:
        losses, weights = [*losses, "sft"], [*weights, settings.sft_weight]
    trainer = _TokenizedDPOTrainer(
        model=model,
        args=sharding.complete(
            DPOConfig(
                **training_arguments(settings.train, settings.seed, checkpoints),
                max_length=settings.train.max_length,
                beta=settings.beta,
                loss_type=losses,
                loss_weights=weights,
                label_smoothing=smoothing,
                # the reference never changes: one pass over it instead of one an epoch, and no second copy while it trains
                precompute_ref_log_probs=True,
                precompute_ref_batch_size=settings.train.batch_size,
            )
        ),
        train_dataset=_shared_dataset(to_dataset(rows), checkpoints.with_name("reference")),
        processing_class=tokenizer,
        callbacks=[TrainingProgress("dpo", on_log)],
    )
    return run_trainer(trainer, checkpoints, settings.train, _tokens(rows, "prompt_ids", "chosen_ids", "rejected_ids"))


def _preference_losses(settings: config.DpoConfig) -> tuple[list[str], list[float], float]:
    """TRL's names of the losses whose weighted sum is the preference loss, their weights, and TRL's label_smoothing.

    TRL 1.16 leaves label_smoothing out of its sigmoid loss, where cDPO is (1 - e) l(z) + e l(-z) with l(z) = -log sigmoid(z). Its
    robust loss with a smoothing of 1/4 is (3 l(z) - l(-z)) / 2, so that cDPO is (1 + 2 e) l(z) - 2 e times that.
    """
    smoothing = settings.label_smoothing
    if smoothing == "auto":
        raise ValueError("auto stands for a rate that the caller has measured")
    if settings.loss == "sigmoid" and smoothing > 0:
        return ["sigmoid", "robust"], [1 + 2 * smoothing, -2 * smoothing], 0.25
    return [settings.loss], [1.0], smoothing


def curve_csv(curve: Sequence[dict[str, float]]) -> str:
    """The training curve as CSV: `step` first, then every value the trainer logged, sorted by name."""
    names = ["step", *sorted({name for row in curve for name in row} - {"step"})]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    return text.getvalue()


def training_arguments(train: config.TrainConfig, seed: int, checkpoints: Path) -> dict[str, Any]:
    """The arguments that all trainings share, in transformers' names."""
    gpu = torch.cuda.is_available()
    bf16 = train.precision == "bf16" or (train.precision == "auto" and devices.multiplies_bfloat16())
    return {
        "output_dir": str(checkpoints),
        "num_train_epochs": train.epochs,
        "max_steps": train.max_steps or -1,
        "per_device_train_batch_size": train.batch_size,
        "gradient_accumulation_steps": train.accumulation,
        "learning_rate": train.learning_rate,
        "warmup_steps": train.warmup_ratio,
        "lr_scheduler_type": train.schedule,
        "weight_decay": train.weight_decay,
        "adam_beta2": train.adam_beta2,
        "max_grad_norm": train.max_grad_norm,
        "bf16": bf16,
        "use_cpu": not gpu,
        "seed": seed,
        "data_seed": seed,
        "save_steps": train.save_steps,
        "logging_steps": train.log_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # a training that diverges must not look like one that does not
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": gpu,
        "ddp_find_unused_parameters": False,  # all weights take part in every step; to look for others costs time
        **sharding.arguments(train),
    }


def _passes(train: config.TrainConfig, rows: int) -> float:
    """How often the training sees every row.

    It decides about grouping by length: transformers draws the groups of a second pass from the state of the random generator, so
    that a resumed training would draw others, and several processes each their own.
    """
    if train.max_steps is None:
        return train.epochs
    return train.max_steps * train.batch_size * train.accumulation * config.processes() / rows


def _lora(lora: config.LoraConfig | None, model: Any) -> LoraConfig | None:
    if lora is None:
        return None
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # as GPT-2 stores its weights
        task_type="CAUSAL_LM",
    )


def _tokens(rows: Sequence[dict[str, list[int]]], *columns: str) -> Iterator[int]:
    """All token ids in these columns of the rows, read when they are asked for: few trainings do."""
    return (token for row in rows for column in columns for token in row[column])


def to_dataset(rows: Sequence[Any]) -> Any:
    """The rows as the trainers want them."""
    disable_progress_bars()
    return Dataset.from_list(list(rows))


def _shared_dataset(dataset: Any, folder: Path) -> Any:
    """With several processes, the same dataset backed by a file in `folder`, which they must share (as they do the checkpoints).

    TRL's first process writes the reference's log-probabilities into the dataset's cache folder, where the others read them; the
    cache folder of a dataset in memory is temporary, and another one for each process.
    """
    if config.processes() == 1:
        return dataset
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"pairs-{config.environment('RANK')}.arrow"
    return dataset.map(lambda row: row, cache_file_name=str(file), load_from_cache_file=False)


def run_trainer(
    trainer: Any, checkpoints: Path, train: config.TrainConfig, used_tokens: Iterable[int] = ()
) -> tuple[Any, list[dict[str, float]]]:
    """Runs a trainer from its last complete checkpoint to its end; returns the model and its training curve.

    With FSDP the first process alone has whole weights in the end. `used_tokens` are those that the rows have; only
    `train.freeze_embeddings` = unused asks for them.
    """
    trainer.remove_callback(PrinterCallback)
    devices.keep_freed_memory()
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:  # TRL 1.16 makes an adapter on a quantized base bfloat16, in which small steps are lost
            parameter.data = parameter.data.to(model_folder.TRAINING_DTYPE)
    sharding.check(trainer, train)
    frozen_embeddings.freeze(trainer, train, used_tokens)
    checkpoint = last_complete_checkpoint(checkpoints)
    if checkpoint is not None:
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if state.global_step >= state.max_steps:  # killed after its last step: resumed, it would take one more
            trainer.args.max_steps, trainer.args.num_train_epochs = -1, 0
    devices.use_gpus(0 if trainer.args.use_cpu else max(1, trainer.args.n_gpu))
    with warnings.catch_warnings(), model_folder.full_disk_is_a_storage_error(checkpoints):
        warnings.simplefilter("ignore")  # the trainers' advice to their callers, which a user of SENSE cannot act on
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    curve = [_curve_point(row) for row in trainer.state.log_history if "loss" in row]
    return sharding.whole_model(trainer), curve


def last_complete_checkpoint(checkpoints: Path) -> Path | None:
    """The newest checkpoint that was written to its end; incomplete ones (killed while saving) are deleted."""
    complete = None
    for checkpoint in _checkpoints_by_step(checkpoints):
        if (checkpoint / _COMPLETE).exists():
            complete = checkpoint
        else:
            records.remove(checkpoint)
    return complete


def _checkpoints_by_step(checkpoints: Path) -> list[Path]:
    return sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def _curve_point(row: dict[str, float]) -> dict[str, float]:
    """The values of a logged row that belong to the training curve; GRPO logs None where a step has no value."""
    return {key: value for key, value in row.items() if value is not None and not any(part in key for part in _NOT_IN_CURVE)}


class TrainingProgress(TrainerCallback):  # type: ignore[misc]
    """Draws the progress bar, passes logged values on, and marks a checkpoint as complete once all its files are there.

    Unless `counts_tokens` is off, it counts the tokens that the trainer logs, of all processes together.
    """

    def __init__(self, label: str, on_log: OnLog, counts_tokens: bool = True) -> None:
        self._label, self._on_log, self._counts_tokens = label, on_log, counts_tokens
        self._tokens = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Starts the bar at the step the training resumes from."""
        self._tokens = state.num_input_tokens_seen  # GRPO's goes on where a killed try stopped, the others' begins at 0
        self._context = console.bar(self._label, state.max_steps)
        self._bar = self._context.__enter__()
        self._bar.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Advances the bar; the last step is a point of the curve, wherever it falls between two others."""
        self._bar.advance()
        control.should_log = control.should_log or state.global_step >= state.max_steps

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
        """Passes the values of a curve point on, and counts tokens, which the last log of a training has too.

        UserError if loss or gradient are not finite: the weights are lost.
        """
        for name in ("loss", "grad_norm"):
            if logs and logs.get(name) is not None and not math.isfinite(logs[name]):
                raise UserError(
                    f"{self._label}: {name} is {logs[name]} at step {state.global_step}: the training diverges; lower "
                    f"train.learning_rate (now {args.learning_rate:g}) or train.max_grad_norm (now {args.max_grad_norm:g})"
                )
        if self._counts_tokens and logs and "num_tokens" in logs and state.is_world_process_zero:
            usage.count("trained", int(logs["num_tokens"]) - self._tokens)
            self._tokens = int(logs["num_tokens"])
        if logs and "loss" in logs and state.is_world_process_zero:
            self._bar.advance(0, f"{self._label}  loss {logs['loss']:.3f}")
            self._on_log(state.global_step, _curve_point(logs))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Marks the new checkpoint as complete, and only then deletes the older ones (transformers would do it before).

        Complete it is when every process has written its random state into it.
        """
        args.distributed_state.wait_for_everyone()
        if state.is_world_process_zero:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            # DPO's frozen reference adapter is created from the SFT adapter at every start; if transformers finds it in a
            # checkpoint, it resumes the reference alone and not the adapter under training
            records.remove(checkpoint / "ref")
            (checkpoint / _COMPLETE).touch()
            checkpoint_store.wait()
            for older in _checkpoints_by_step(checkpoint.parent)[:-1]:
                records.remove(older)
            checkpoint_store.save()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Ends the bar."""
        self._context.__exit__(None, None, None)
