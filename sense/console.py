"""Progress bars, the summary table at the end of a stage, and single lines for a person. All of it goes to stderr."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

T = TypeVar("T")
_MAX_COUNTS = 10  # a group of more counts than this is summarized by its three largest
# Of a model on a set, EX under these is shown beside its own; the many other numbers are in the metrics file and in the report.
_OTHER_ACCURACIES = ("modes", "vote", "original")
_LINE_EVERY_S = 30.0  # seconds between two lines of a bar where there is no terminal to draw it on
_err = Console(stderr=True)
_quiet = False


def quiet(on: bool) -> None:
    """Turns bars and tables off (for `--json`); errors still show."""
    global _quiet  # the one process-wide switch: what a terminal shows is process-wide too
    _quiet = on


def is_quiet() -> bool:
    """Whether bars and tables are off."""
    return _quiet


def say(text: str) -> None:
    """One line for a person."""
    if not _quiet:
        _err.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def bar(label: str, total: int | None) -> Iterator["ProgressBar"]:
    """A progress bar up to `total` (None: unknown); when stderr is no terminal, a line every 30 seconds takes its place."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    disabled = _quiet or not sys.stderr.isatty()
    with Progress(*columns, console=_err, disable=disabled, transient=True) as progress:
        yield ProgressBar(progress, progress.add_task(label, total=total))


class ProgressBar:
    """A running progress bar."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self._progress, self._task = progress, task
        self._next_line = time.monotonic() + _LINE_EVERY_S

    def advance(self, by: int = 1, note: str | None = None) -> None:
        """Moves the bar on; `note` replaces its label."""
        if note is None:
            self._progress.update(self._task, advance=by)
        else:
            self._progress.update(self._task, advance=by, description=note)
        if self._progress.disable and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_EVERY_S
            task = self._progress.tasks[0]
            of_total = "" if task.total is None else f" of {task.total:.0f}"
            say(f"{task.description}: {task.completed:.0f}{of_total}")


def track(rows: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yields `rows` under a progress bar."""
    with bar(label, total) as running:
        for row in rows:
            yield row
            running.advance()


def summary(stage: str, metrics: Mapping[str, Any], outputs: Mapping[str, Path], seconds: float) -> None:
    """The table at the end of a stage: its metrics, flattened, and the paths of its outputs."""
    if _quiet:
        return
    table = Table(title=f"sense {stage}  ({seconds:.1f} s)", title_justify="left", show_header=False)
    for key, value in _table_rows("", metrics):
        table.add_row(key, value)
    for name, path in outputs.items():
        table.add_row(f"-> {name}", str(path), style="dim")
    _err.print(table)


def _table_rows(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """(key, text) for each metric below `value`; keys are joined with dots."""
    if isinstance(value, Mapping) and len(value) > _MAX_COUNTS and all(isinstance(inner, int) for inner in value.values()):
        largest = sorted(value.items(), key=lambda item: -item[1])[:3]
        yield prefix, f"{len(value)}, most often " + ", ".join(f"{key} ({count})" for key, count in largest)
    elif isinstance(value, Mapping) and len(value) > _MAX_COUNTS and all(map(_is_asked_and_kept, value.values())):
        asked = {key: inner for key, inner in value.items() if inner["asked"]}
        least = sorted(asked.items(), key=lambda item: item[1]["kept"] / item[1]["asked"])[:3]
        counts = ", ".join(f"{key} ({inner['kept']} of {inner['asked']})" for key, inner in least)
        yield prefix, f"{len(asked)} asked for, fewest kept: {counts}"
    elif _is_asked_and_kept(value):
        yield prefix, f"{value['kept']} kept, {value['asked']} asked for"
    elif isinstance(value, Mapping) and set(value) == {"n", "ex"}:
        yield prefix, f"{value['ex']:.1%} of {value['n']}"
    elif isinstance(value, Mapping) and {"n", "ex", "ex_low", "ex_high"} <= set(value):
        yield prefix, f"{value['ex']:.1%} of {value['n']} ({value['ex_low']:.1%} to {value['ex_high']:.1%})"
        for key in _OTHER_ACCURACIES:
            yield from _table_rows(f"{prefix}.{key}", value.get(key, {}))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _table_rows(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, float):
        yield prefix, f"{value:.4g}"
    else:
        yield prefix, str(value)


def _is_asked_and_kept(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"asked", "kept"}
