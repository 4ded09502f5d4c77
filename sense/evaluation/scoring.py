"""The command `sense score`: predictions of any model, judged by the gold under one or several scoring modes.

Nothing here knows of models or stages: a file of examples, a file of predictions, a folder of databases, and verdicts out.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sense import records
from sense.config import ExecutionConfig
from sense.errors import InputError
from sense.evaluation import scoreboard
from sense.evaluation.score import Item, score
from sense.evaluation.scoreboard import Levels
from sense.ingest.source import safe_db_id
from sense.records import Hardness, Record, Verdict
from sense.sql.complexity import complexity
from sense.sql.execute import Executor
from sense.sql.hardness import hardness

_STEPS_PER_SECOND = 10_000_000  # an idle machine does 13 to 80 million: there, the steps decide and not the clock
_MAX_ROWS, _MAX_BYTES = 1_000_000, 100_000_000


class Gold(Record):
    """An example as far as scoring needs it: any of SENSE's, or of another tool's with these fields."""

    id: str
    db_id: str
    sql: str
    hardness: Hardness | None = None


class Prediction(Record):
    """A prediction for the example of the same id, or for the one that `example_id` names: samples have several of one."""

    id: str
    sql: str
    example_id: str = ""


Row = TypeVar("Row", Gold, Prediction)


@dataclass(frozen=True)
class Files:
    """What is read, and where the verdicts go: a line for every prediction and mode, in the order of the predictions."""

    databases: Path
    examples: Path
    predictions: Path
    output: Path


def limits(timeout_s: float, workers: int) -> ExecutionConfig:
    """The limits on one query: wide enough for whatever benchmark, and a budget of steps that goes with the time."""
    steps = max(1, int(timeout_s * _STEPS_PER_SECOND))
    return ExecutionConfig(timeout_s=timeout_s, max_rows=_MAX_ROWS, max_bytes=_MAX_BYTES, max_steps=steps, workers=workers)


def run(files: Files, modes: Sequence[str], execution: ExecutionConfig) -> dict[str, Any]:
    """Writes the verdicts and returns them counted (`scoreboard.count`); InputError, nothing written, if the files do not fit."""
    if files.output.is_dir() or files.output.resolve() in (files.examples.resolve(), files.predictions.resolve()):
        raise InputError(f"--output {files.output}: is a folder or an input file; give the verdicts a file of their own")
    golds = {gold.id: gold for gold in _rows(files.examples, Gold)}
    predictions = _rows(files.predictions, Prediction)
    _join(files, golds, predictions)
    places = _databases(files, golds.values())
    asked = [golds[prediction.example_id or prediction.id] for prediction in predictions]
    items = [(p.id, places[gold.db_id], p.sql, gold.sql) for p, gold in zip(predictions, asked, strict=True)]
    verdicts, seconds = _score(items, modes, execution)
    lines = [verdicts[mode][place] for place in range(len(items)) for mode in modes]
    records.write_jsonl(files.output, lines)
    levels = _levels(golds.values())
    found = scoreboard.count([levels[gold.id] for gold in asked], verdicts, seconds)
    return {"output": str(files.output), "examples": len(golds), "predictions": len(predictions), **found}


def _rows(path: Path, kind: type[Row]) -> list[Row]:
    """The rows of a file that must be there and not empty, their ids all different."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a file of one JSON object a line")
    rows = list(records.read_jsonl(path, kind))
    if not rows:
        raise InputError(f"{path}: is empty; give it one JSON object a line")
    key, n = Counter(row.id for row in rows).most_common(1)[0]
    if n > 1:
        fix = (
            "make ids unique"
            if kind is Gold
            else 'give several predictions of one example ids of their own, and its as "example_id"'
        )
        raise InputError(f"{path}: the id {key!r} occurs {n} times; {fix}")
    return rows


def _join(files: Files, golds: dict[str, Gold], predictions: Sequence[Prediction]) -> None:
    """InputError unless every prediction has its example, and every example a prediction at least."""
    answered = {prediction.example_id or prediction.id: None for prediction in predictions}
    unknown = [key for key in answered if key not in golds]
    if unknown:
        raise InputError(
            f"{files.predictions}: {len(unknown)} of {len(answered)} ids are not in {files.examples}, the first of them "
            f"{unknown[0]!r}; a prediction joins by its id, or its example_id if it has one: give it that of an example"
        )
    missing = [key for key in golds if key not in answered]
    if missing:
        raise InputError(
            f"{files.predictions}: {len(missing)} of {len(golds)} examples of {files.examples} have no prediction, the first "
            f'of them {missing[0]!r}; add a line for each ("sql": "" if the model gave none), or score fewer examples'
        )


def _databases(files: Files, golds: Iterable[Gold]) -> dict[str, Path]:
    """DIR/<db_id>/<db_id>.sqlite of every db_id; InputError names what was looked for, and a folder in DIR that has it."""
    first: dict[str, str] = {}
    for gold in golds:
        first.setdefault(gold.db_id, f"{files.examples}, id {gold.id!r}")
    paths = {}
    for db_id, where in first.items():
        inside = Path(safe_db_id(db_id, where)) / f"{db_id}.sqlite"
        paths[db_id] = files.databases / inside
        if not paths[db_id].is_file():
            better = sorted(folder for folder in files.databases.glob("*") if (folder / inside).is_file())
            fix = f"give --databases {better[0]}" if better else "--databases must be the folder of <db_id>/<db_id>.sqlite"
            raise InputError(f"{paths[db_id]}: no such database, but {where} asks a question of it; {fix}")
    return paths


def _score(
    items: Sequence[Item], modes: Sequence[str], execution: ExecutionConfig
) -> tuple[dict[str, list[Verdict]], dict[str, float]]:
    """The verdicts under each mode, in the order of `items`, and the seconds each mode took."""
    verdicts, seconds = {}, {}
    with Executor(execution) as executor:
        for mode in modes:
            begun = time.monotonic()
            verdicts[mode] = score(executor, items, mode, mode=mode)
            seconds[mode] = time.monotonic() - begun
    return verdicts, seconds


def _levels(golds: Iterable[Gold]) -> dict[str, Levels]:
    """How hard each example is, by its id; what it says of its hardness itself stands."""
    measured = {sql: Levels(hardness(sql), complexity(sql).band) for sql in {gold.sql for gold in golds}}
    return {gold.id: measured[gold.sql]._replace(hardness=gold.hardness or measured[gold.sql].hardness) for gold in golds}
