"""What this process has used since it started: tokens, money and GPUs. Counting is thread-safe, and changes no result."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

TOKENS = ("trained", "generated", "teacher_prompt", "teacher_cached", "teacher_completion")
"""`trained`: read in training, padding left out; `generated`: written by a model under evaluation or sampling, EOS included;
the teacher's: what its endpoint says that it read and wrote; `teacher_cached` are those of the read ones that it had in its
cache."""

_lock = threading.Lock()
_tokens: Counter[str] = Counter()
_money: float | None = None
_gpus = 0
_peak_gpu_bytes: Callable[[], int] | None = None
_gaps = 0


@dataclass(frozen=True)
class Usage:
    """Counts since the process started. `money` is None where nobody named a price; `gaps` counts answers without a count."""

    tokens: Mapping[str, int] = field(default_factory=dict)
    money: float | None = None
    gaps: int = 0


def count(kind: str, tokens: int) -> None:
    """Counts tokens of one of the kinds of `TOKENS`."""
    with _lock:
        _tokens[kind] += tokens


def count_gap() -> None:
    """Counts an answer whose tokens nobody knows: the stage has cost more than was counted."""
    global _gaps  # counts are process-wide, as the processor's seconds are
    with _lock:
        _gaps += 1


def spend(amount: float) -> None:
    """Counts money, in the currency of the configured prices."""
    global _money  # as above
    with _lock:
        _money = (_money or 0.0) + amount


def use_gpus(number: int, peak_bytes: Callable[[], int] | None) -> None:
    """Says that the stage computes on `number` GPUs; `peak_bytes` returns the most memory that it held on them so far.

    Without `peak_bytes` (another process holds the memory) the peak is not recorded.
    """
    global _gpus, _peak_gpu_bytes  # as above
    with _lock:
        _gpus = max(_gpus, number)
        _peak_gpu_bytes = peak_bytes or _peak_gpu_bytes


def forget_gpus() -> None:
    """No GPU is in use, until somebody says so: at the start of a stage."""
    global _gpus, _peak_gpu_bytes  # as above
    with _lock:
        _gpus, _peak_gpu_bytes = 0, None


def gpus() -> tuple[int, int | None]:
    """How many GPUs the stage computes on, and the most bytes that it held on them; None where that is not known."""
    with _lock:
        return _gpus, None if _peak_gpu_bytes is None else _peak_gpu_bytes()


def so_far() -> Usage:
    """The counts since the process started."""
    with _lock:
        return Usage(dict(_tokens), _money, _gaps)
