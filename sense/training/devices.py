"""The devices that this process sees, their memory, and the precision they compute in. Imports PyTorch alone: a quick import."""

import ctypes
import sys

import torch

from sense.cost import usage

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_MIB = 1024**2


def device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype() -> torch.dtype:
    """bfloat16 where a GPU computes in it, else float32."""
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def multiplies_bfloat16() -> bool:
    """Whether the GPUs or, without one, the processors multiply bfloat16 in hardware.

    A processor without AVX512-BF16 or AMX emulates it, some ten times slower than float32.
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def keep_freed_memory() -> None:
    """Without a GPU, has glibc keep up to 512 MiB of freed memory, instead of handing it back and asking for it again.

    The system clears the pages each time: 8% of the time in which the nano base is trained, 12 to 20% of that in which it
    generates. Blocks of more than 32 MiB are handed back as before. Elsewhere nothing happens.
    """
    if sys.platform == "linux" and not torch.cuda.is_available():
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, 32 * _MIB)
            mallopt(_M_TRIM_THRESHOLD, 512 * _MIB)


def use_gpus(number: int) -> None:
    """Counts `number` GPUs as used by this process's PyTorch, for the cost of the stage; 0 where it computes on processors."""
    if number:
        for gpu in range(gpu_count() if torch.cuda.is_initialized() else 0):  # else nothing was held there so far
            torch.cuda.reset_peak_memory_stats(gpu)
        usage.use_gpus(number, _peak_bytes)


def _peak_bytes() -> int:
    """The most memory that tensors have had on each GPU, added up."""
    return sum(torch.cuda.max_memory_allocated(gpu) for gpu in range(gpu_count()))


def gpu_count() -> int:
    """The number of GPUs; 0 without a driver, or with a PyTorch built for CPUs alone."""
    return int(torch.cuda.device_count())
