"""Training with weights that are divided between the processes: PyTorch's FSDP2, through accelerate.

`train.fsdp` asks for it, or a configuration of `accelerate launch` does.
"""

from typing import Any, TypeVar

import torch
from torch.distributed.fsdp import MixedPrecisionPolicy
from transformers import AutoModelForCausalLM, TrainingArguments

from sense import config
from sense.errors import UserError

_Arguments = TypeVar("_Arguments", bound=TrainingArguments)

_RECOMPUTED = "_checkpoint_wrapped_module."  # in the names of weights in layers whose activations are computed again


def arguments(train: config.TrainConfig) -> dict[str, Any]:
    """The arguments of a training about the division, in transformers' names; `complete` adds what has no name there."""
    if not train.fsdp or config.processes() == 1 or not can_divide():
        return {"gradient_checkpointing": train.gradient_checkpointing}
    return {
        "gradient_checkpointing": False,
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            # each process writes its own part of a checkpoint: no process has room for the optimizer's state of them all
            "state_dict_type": "SHARDED_STATE_DICT",
            "activation_checkpointing": train.gradient_checkpointing,  # with transformers' own, weights are gathered once more
        },
        # else each process keeps the gradients of all weights until the last batch of a step
        "accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}},
    }


def can_divide() -> bool:
    """Whether accelerate divides weights on this machine: it does so between GPUs alone."""
    return bool(torch.cuda.is_available())


def complete(trl_arguments: _Arguments) -> _Arguments:
    """The arguments of a TRL trainer, for one GPU in each process, and so that with bf16 the weights alone are gathered in it.

    accelerate would round the sums of gradients and the results of the model to bfloat16 too, log-probabilities among them. A
    process that sees several GPUs would use them all by DataParallel, which is slow and with which TRL is not tested.
    """
    trl_arguments._n_gpu = min(1, trl_arguments.n_gpu)
    if trl_arguments.fsdp_plugin_args is not None and trl_arguments.bf16:
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        trl_arguments.fsdp_plugin_args["mixed_precision_policy"] = policy
    return trl_arguments


def check(trainer: Any, train: config.TrainConfig) -> None:
    """UserError if the trainer divides weights that have to be whole, or recomputes what dropout makes another time."""
    if not trainer.is_fsdp_enabled:
        return
    if hasattr(trainer.model, "peft_config"):
        raise UserError(
            "FSDP divides weights that are trained, and a LoRA adapter's are few; set train.fsdp to false, or train all weights "
            "(sft.lora: null)"
        )
    if train.freeze_embeddings == "unused":
        raise UserError("train.freeze_embeddings: unused needs whole weights in each process, and FSDP divides them; use true")
    dropout = any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in trainer.model.modules())
    if dropout and trainer.accelerator.state.fsdp_plugin.activation_checkpointing:
        raise UserError(
            "the model has dropout, which with FSDP is drawn anew where activations are computed again; set "
            "train.gradient_checkpointing to false"
        )


def whole_model(trainer: Any) -> Any:
    """The model of a trainer that has ended; with FSDP, in the first process, one whose weights are whole, in main memory.

    All processes have to call it together.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    if not trainer.is_fsdp_enabled:
        return model
    weights = trainer.accelerator.get_state_dict(trainer.model)
    if not config.is_main_process():
        return model
    with torch.device("meta"):  # all weights come from `weights`, so that none are drawn at random
        whole = AutoModelForCausalLM.from_config(model.config)
    whole.load_state_dict(weights, assign=True)
    whole.tie_weights()
    trained = {name.replace(_RECOMPUTED, "") for name, weight in model.named_parameters() if weight.requires_grad}
    for name, weight in whole.named_parameters():
        weight.requires_grad_(name in trained)
    return whole
