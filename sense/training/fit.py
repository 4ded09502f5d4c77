"""The two recipes, on TRL: supervised fine-tuning and DPO. Killed at any moment, they resume from their last whole checkpoint."""

import csv
import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import trl.trainer.dpo_trainer as trl_dpo
import trl.trainer.utils as trl_utils
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerState
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from sense import config
from sense.training import load, progress
from sense.training.progress import OnLog, Progress, last_whole

# TRL 1.16 leaves the positions without loss out of its language model head on GPUs alone. Under a small model that head is most
# of the work, and most positions are the prompt's, which bear none: the same here makes training on a CPU twice as fast.
trl_utils._use_triton = lambda device: device.type in ("cpu", "cuda")
# its bar over the reference's log-probabilities knows no other way to keep out of logs
_drawn = trl_dpo.tqdm
trl_dpo.tqdm = lambda **options: _drawn(**{**options, "disable": not sys.stderr.isatty()})

# of several processes on a CPU, transformers resumes each on a device "cpu:0", which torch knows, but not in files
torch.serialization.register_package(5, lambda _: None, lambda storage, place: storage if place == "cpu:0" else None)


def tokenized(words: PreTrainedTokenizerBase, rows: Sequence[dict[str, str]], loss_on: str) -> list[dict[str, list[int]]]:
    """input_ids and labels of rows of prompt and completion, an end mark behind each; with `completion` the prompt bears no loss.

    Done here in one batch: TRL would do the same row by row, which for a small model takes as long as a third of its training.
    """
    if not rows:
        return []
    wholes = words([row["prompt"] + row["completion"] for row in rows])["input_ids"]
    prompts = words([row["prompt"] for row in rows])["input_ids"]
    found = []
    for whole, prompt in zip(wholes, prompts, strict=True):
        ids = [*whole, words.eos_token_id]
        hidden = min(len(prompt), len(whole)) if loss_on == "completion" else 0
        found.append({"input_ids": ids, "labels": [-100] * hidden + ids[hidden:]})
    return found


def sft(
    model: Any,
    words: PreTrainedTokenizerBase,
    rows: Sequence[dict[str, list[int]]],
    settings: config.SftConfig,
    *,
    checkpoints: Path,
    on_log: OnLog,
) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tunes on tokenized rows; returns the model and its training curve, one dict a logged step."""
    options = SFTConfig(
        **_arguments(settings.train, settings.seed, checkpoints),
        max_length=settings.train.max_length,
        packing=settings.packing,
        dataset_kwargs={"skip_prepare_dataset": not settings.packing},
        train_sampling_strategy="random" if settings.packing or _passes(settings.train, len(rows)) > 1 else "group_by_length",
    )
    trainer = SFTTrainer(
        model=model,
        args=options,
        train_dataset=_dataset(rows),
        processing_class=words,
        peft_config=_lora(settings.lora),
        callbacks=[Progress("sft", on_log)],
    )
    return _train(trainer, checkpoints)


def dpo(
    model: Any,
    words: PreTrainedTokenizerBase,
    rows: Sequence[dict[str, str]],
    settings: config.DpoConfig,
    *,
    checkpoints: Path,
    on_log: OnLog,
) -> tuple[Any, list[dict[str, float]]]:
    """Preference-tunes on rows of prompt, chosen and rejected; the model it starts from is the reference."""
    kinds, weights = [settings.loss], [1.0]
    if settings.sft_weight > 0:
        kinds, weights = [*kinds, "sft"], [1.0, settings.sft_weight]  # type: ignore[list-item]
    options = DPOConfig(
        **_arguments(settings.train, settings.seed, checkpoints),
        max_length=settings.train.max_length,
        beta=settings.beta,
        loss_type=kinds,
        loss_weights=weights,
        label_smoothing=settings.label_smoothing,
        # the reference never changes: one pass over it instead of one an epoch, and no second copy in memory
        precompute_ref_log_probs=True,
        precompute_ref_batch_size=settings.train.batch_size,
    )
    trainer = DPOTrainer(
        model=model,
        args=options,
        train_dataset=_common(_dataset(rows), checkpoints.with_name("reference")),
        processing_class=words,
        callbacks=[Progress("dpo", on_log)],
    )
    return _train(trainer, checkpoints)


def curve_csv(curve: Sequence[dict[str, float]]) -> str:
    """The training curve as CSV: `step` first, then every quantity the trainer logged, sorted by name."""
    names = ["step", *sorted({name for row in curve for name in row} - {"step"})]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    return text.getvalue()


def _arguments(train: config.TrainConfig, seed: int, checkpoints: Path) -> dict[str, Any]:
    """What SFT and DPO share, in transformers' names."""
    gpu = torch.cuda.is_available()
    bf16 = train.precision == "bf16" or (train.precision == "auto" and gpu and torch.cuda.is_bf16_supported())
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
        "max_grad_norm": train.max_grad_norm,
        "gradient_checkpointing": train.gradient_checkpointing,
        "bf16": bf16,
        "use_cpu": not gpu,
        "seed": seed,
        "data_seed": seed,
        "save_steps": train.save_steps,
        "logging_steps": train.log_steps,
        "logging_first_step": True,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": gpu,
    }


def _passes(train: config.TrainConfig, rows: int) -> float:
    """How often the training sees every row. In a second pass transformers' groups of like length are drawn from wherever the
    random numbers stand: a resumed training would draw others, and several processes each their own.
    """
    if train.max_steps is None:
        return train.epochs
    return train.max_steps * train.batch_size * train.accumulation * int(config.environment("WORLD_SIZE", "1")) / rows


def _lora(lora: config.LoraConfig | None) -> LoraConfig | None:
    if lora is None:
        return None
    return LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=lora.target_modules, task_type="CAUSAL_LM"
    )


def _dataset(rows: Sequence[Any]) -> Any:
    disable_progress_bars()
    return Dataset.from_list(list(rows))


def _common(dataset: Any, folder: Path) -> Any:
    """With several processes, the same data from a file in `folder`, which they must share (as they do the checkpoints).

    TRL's first process writes the reference's log-probabilities beside the data, for the others to read; beside data in memory
    is a temporary folder, another one for each process.
    """
    if int(config.environment("WORLD_SIZE", "1")) == 1:
        return dataset
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"pairs-{config.environment('RANK')}.arrow"
    return dataset.map(lambda row: row, cache_file_name=str(file), load_from_cache_file=False)


def _train(trainer: Any, checkpoints: Path) -> tuple[Any, list[dict[str, float]]]:
    trainer.remove_callback(PrinterCallback)
    last = last_whole(checkpoints)
    if last is not None:
        state = TrainerState.load_from_json(str(last / "trainer_state.json"))
        if state.global_step >= state.max_steps:  # done: what was killed came after it. Resumed as it is, it takes another step
            trainer.args.max_steps, trainer.args.num_train_epochs = -1, 0
    with warnings.catch_warnings(), load.writing(checkpoints):
        warnings.simplefilter("ignore")  # the trainers' advice to their own callers, which nobody here can act on
        trainer.train(resume_from_checkpoint=last and str(last))
    return trainer.accelerator.unwrap_model(trainer.model), [
        progress.curve(row) for row in trainer.state.log_history if "loss" in row
    ]
