"""The devices that this process sees, and the precision they compute in. Imports PyTorch alone, and so is quick to import."""

import torch


def device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype() -> torch.dtype:
    """bfloat16 where a GPU computes in it, else float32."""
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def gpu_count() -> int:
    """The number of GPUs; 0 without a driver, or with a PyTorch built for CPUs alone."""
    return int(torch.cuda.device_count())
