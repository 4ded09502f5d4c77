"""QLoRA: while a LoRA adapter is trained, bitsandbytes holds its frozen base in 4 bits, which wants a CUDA GPU."""

import importlib.util
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from sense import config
from sense.errors import InputError
from sense.training import devices


def check_available() -> None:
    """InputError unless this machine has a CUDA GPU and bitsandbytes."""
    key = "sft.lora.quantize: 4bit"
    if not torch.cuda.is_available():
        raise InputError(f"{key} needs a CUDA GPU, and PyTorch sees none here; train on one, or set sft.lora.quantize to null")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(f"{key} needs bitsandbytes, which is not installed: pip install -c constraints.txt bitsandbytes")


def loading_options() -> dict[str, Any]:
    """What `from_pretrained` takes to load a base in 4 bits, as the paper on QLoRA has it: NF4, double quantization.

    Each process of a training has the base on its own GPU.
    """
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=devices.compute_dtype(),
    )
    return {"quantization_config": quantization, "device_map": {"": int(config.environment("LOCAL_RANK", "0"))}}
