"""Training with weights that are divided between the processes: PyTorch's FSDP2, through accelerate.

`train.fsdp` asks for it, or a configuration of `accelerate launch` does.
"""

from typing import Any

import torch
from transformers import AutoModelForCausalLM

from sense import config
from sense.errors import UserError


def arguments(train: config.TrainConfig) -> dict[str, Any]:
    """The arguments of a training about the division, in transformers' names. One process divides nothing."""
    if not train.fsdp or config.processes() == 1:
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
    }


def check(trainer: Any, train: config.TrainConfig) -> None:
    """UserError if the trainer divides weights that have to be whole."""
    if not trainer.is_fsdp_enabled:
        return
    if hasattr(trainer.model, "peft_config"):
        raise UserError(
            "FSDP divides weights that are trained, and a LoRA adapter's are few; set train.fsdp to false, or train all weights "
            "(sft.lora: null)"
        )
    if train.freeze_embeddings == "unused":
        raise UserError("train.freeze_embeddings: unused needs whole weights in each process, and FSDP divides them; use true")


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
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    for name, weight in whole.named_parameters():
        weight.requires_grad_(name in trained)
    return whole
