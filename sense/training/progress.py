"""What a training leaves on its way: checkpoints that count only when whole, a curve, a progress bar."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from sense import console, records

OnLog = Callable[[int, dict[str, float]], None]
_NOT_CURVES = ("runtime", "per_second", "total_flos", "epoch", "num_tokens", "train_loss")
_WHOLE = "whole"


def last_whole(checkpoints: Path) -> Path | None:
    """The newest checkpoint that was written to its end; a torn one (killed while saving) is deleted."""
    found = _by_step(checkpoints)
    for torn in [path for path in found if not (path / _WHOLE).exists()]:
        records.remove(torn)
    whole = [path for path in found if (path / _WHOLE).exists()]
    return whole[-1] if whole else None


def _by_step(checkpoints: Path) -> list[Path]:
    return sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def curve(row: dict[str, float]) -> dict[str, float]:
    """What of a logged row belongs to the training curve: not its times and counts, which differ from run to run."""
    return {key: value for key, value in row.items() if not any(part in key for part in _NOT_CURVES)}


class Progress(TrainerCallback):  # type: ignore[misc]
    """Draws the bar, hands logged values on, and marks a checkpoint whole once all its files are there."""

    def __init__(self, label: str, on_log: OnLog) -> None:
        self._label, self._on_log = label, on_log

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Starts the bar where the training stands."""
        self._context = console.bar(self._label, state.max_steps)
        self._bar = self._context.__enter__()
        self._bar.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Moves the bar on."""
        self._bar.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
        """Hands the curve's values on."""
        if logs and "loss" in logs and state.is_world_process_zero:
            self._bar.advance(0, f"{self._label}  loss {logs['loss']:.3f}")
            self._on_log(state.global_step, curve(logs))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Marks the checkpoint just written as whole; only then are those before it deleted (transformers does it too early)."""
        if state.is_world_process_zero:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            # DPO's frozen reference adapter is made anew from the SFT adapter at every start; where transformers finds it in a
            # checkpoint, it resumes that one alone and forgets the adapter being trained
            records.remove(checkpoint / "ref")
            (checkpoint / _WHOLE).touch()
            for before in _by_step(checkpoint.parent)[:-1]:
                records.remove(before)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Ends the bar."""
        self._context.__exit__(None, None, None)
