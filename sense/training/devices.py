"""The GPUs that this process sees."""

import torch


def count() -> int:
    """How many; 0 without a driver, or with a PyTorch for CPUs alone."""
    return int(torch.cuda.device_count())
