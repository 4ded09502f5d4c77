"""The command `sense score`: predictions of any model, judged by the gold under one or several scoring modes.

Nothing here knows of models or stages: a file of examples, a file of predictions, a folder of databases, and verdicts out.
"""

import argparse
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sense import console, records
from sense.config import ExecutionConfig
from sense.errors import InputError
from sense.evaluation import scoreboard
from sense.evaluation.score import ScoringItem, score
from sense.evaluation.scoreboard import QueryLevels
from sense.ingest.source import check_db_id
from sense.records import Hardness, Record, Verdict
from sense.sql.execute import Executor
from sense.sql.hardness import complexity, hardness
from sense.sql.modes import MODES, STRICT

_STEPS_PER_SECOND = 10_000_000  # an idle machine does 13 to 80 million: there, the steps decide and not the clock
_MAX_ROWS, _MAX_BYTES = 1_000_000, 100_000_000


class ScoringExample(Record):
    """The fields of an example that scoring needs: a line of any examples.jsonl of SENSE's, or of another tool's with them."""

    id: str
    db_id: str
    sql: str
    hardness: Hardness | None = None


class ScoringPrediction(Record):
    """A prediction for the example of the same id, or for the one that `example_id` names: samples have several of one."""

    id: str
    sql: str
    example_id: str = ""


InputRow = TypeVar("InputRow", ScoringExample, ScoringPrediction)


@dataclass(frozen=True)
class ScoringFiles:
    """What is read, and where the verdicts go: a line for every prediction and mode, in the order of the predictions."""

    databases: Path
    examples: Path
    predictions: Path
    output: Path


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the flags."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for name, help_text in (
        ("databases", "folder of <db_id>/<db_id>.sqlite"),
        ("examples", 'the gold, JSONL: {"id", "db_id", "sql"} a line'),
        ("predictions", 'JSONL: {"id", "sql"} a line, and "example_id" where an example has several'),
        ("output", "verdicts, JSONL: a line for every prediction and mode"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="PATH", help=help_text)
    help_mode = f"one of those below, may be repeated; default: {STRICT}"
    parser.add_argument("--mode", action="append", choices=MODES, metavar="MODE", help=help_mode)
    parser.add_argument("--timeout", type=_above_zero(float), default=30.0, metavar="SECONDS", help="of one query, default: 30")
    cores = os.cpu_count() or 1
    parser.add_argument("--workers", type=_above_zero(int), default=cores, metavar="N", help="default: one for each CPU")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON on stdout, nothing else")
    parser.epilog = (
        f"modes: {', '.join(MODES)}\n\nexample:\n"
        "  sense score \\\n    --databases data/dev/databases \\\n    --examples data/dev/examples.jsonl \\\n"
        "    --predictions data/predictions/dev.sense.predictions.jsonl \\\n"
        "    --mode strict@2 --mode bird-ex@1 --output data/verdicts.jsonl"
    )


def _above_zero(number: type[int] | type[float]) -> Callable[[str], float]:
    """A reader of a flag's number, finite and above 0."""

    def read(text: str) -> float:
        value = number(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"{text}: must be a number above 0")
        return value

    read.__name__ = number.__name__  # argparse names the type where `number` itself refuses the text
    return read


def main(options: argparse.Namespace) -> int:
    """Scores the predictions and prints the scoreboard; returns the exit code."""
    console.quiet(options.json)
    files = ScoringFiles(options.databases, options.examples, options.predictions, options.output)
    modes = list(dict.fromkeys(options.mode or [STRICT]))
    scores = score_files(files, modes, execution_limits(options.timeout, options.workers))
    if options.json:
        print(json.dumps(scores))
    else:
        scoreboard.show(scores)
    return 0


def execution_limits(timeout_s: float, workers: int) -> ExecutionConfig:
    """The limits on one query: wide enough for any benchmark, and a budget of steps that grows with the time in seconds."""
    steps = max(1, int(timeout_s * _STEPS_PER_SECOND))
    return ExecutionConfig(timeout_s=timeout_s, max_rows=_MAX_ROWS, max_bytes=_MAX_BYTES, max_steps=steps, workers=workers)


def score_files(files: ScoringFiles, modes: Sequence[str], execution: ExecutionConfig) -> dict[str, Any]:
    """Writes the verdicts and returns them counted (`scoreboard.count`); InputError, nothing written, if the files do not fit."""
    if files.output.is_dir() or files.output.resolve() in (files.examples.resolve(), files.predictions.resolve()):
        raise InputError(f"--output {files.output}: is a folder or an input file; give the verdicts a file of their own")
    examples = {example.id: example for example in _read_rows(files.examples, ScoringExample)}
    predictions = _read_rows(files.predictions, ScoringPrediction)
    _check_ids(files, examples, predictions)
    databases = _databases(files, examples.values())
    answered = [examples[prediction.example_id or prediction.id] for prediction in predictions]
    items = [
        ScoringItem(prediction.id, databases[example.db_id], prediction.sql, example.sql)
        for prediction, example in zip(predictions, answered, strict=True)
    ]
    verdicts, seconds = _score(items, modes, execution)
    records.write_jsonl(files.output, [verdicts[mode][index] for index in range(len(items)) for mode in modes])
    levels = _levels(examples.values())
    counts = scoreboard.count([levels[example.id] for example in answered], verdicts, seconds)
    return {"output": str(files.output), "examples": len(examples), "predictions": len(predictions), **counts}


def _read_rows(path: Path, kind: type[InputRow]) -> list[InputRow]:
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
            if kind is ScoringExample
            else 'give several predictions of one example ids of their own, and its as "example_id"'
        )
        raise InputError(f"{path}: the id {key!r} occurs {n} times; {fix}")
    return rows


def _check_ids(files: ScoringFiles, examples: dict[str, ScoringExample], predictions: Sequence[ScoringPrediction]) -> None:
    """InputError unless every prediction has its example, and every example a prediction at least."""
    answered = {prediction.example_id or prediction.id: None for prediction in predictions}
    unknown = [key for key in answered if key not in examples]
    if unknown:
        raise InputError(
            f"{files.predictions}: {len(unknown)} of {len(answered)} ids are not in {files.examples}, the first of them "
            f"{unknown[0]!r}; a prediction joins by its id, or its example_id if it has one: give it that of an example"
        )
    missing = [key for key in examples if key not in answered]
    if missing:
        raise InputError(
            f"{files.predictions}: {len(missing)} of {len(examples)} examples of {files.examples} have no prediction, the first "
            f'of them {missing[0]!r}; add a line for each ("sql": "" if the model gave none), or score fewer examples'
        )


def _databases(files: ScoringFiles, examples: Iterable[ScoringExample]) -> dict[str, Path]:
    """DIR/<db_id>/<db_id>.sqlite of every db_id; InputError names what was looked for, and a folder in DIR that has it."""
    origins: dict[str, str] = {}  # the first example of each db_id
    for example in examples:
        origins.setdefault(example.db_id, f"{files.examples}, id {example.id!r}")
    paths = {}
    for db_id, origin in origins.items():
        inside = Path(check_db_id(db_id, origin)) / f"{db_id}.sqlite"
        paths[db_id] = files.databases / inside
        if not paths[db_id].is_file():
            better = sorted(folder for folder in files.databases.glob("*") if (folder / inside).is_file())
            fix = f"give --databases {better[0]}" if better else "--databases must be the folder of <db_id>/<db_id>.sqlite"
            raise InputError(f"{paths[db_id]}: no such database, but {origin} asks a question of it; {fix}")
    return paths


def _score(
    items: Sequence[ScoringItem], modes: Sequence[str], execution: ExecutionConfig
) -> tuple[dict[str, list[Verdict]], dict[str, float]]:
    """The verdicts under each mode, in the order of `items`, and the seconds each mode took."""
    verdicts, seconds = {}, {}
    with Executor(execution) as executor:
        for mode in modes:
            started = time.monotonic()
            verdicts[mode] = score(executor, items, mode, mode=mode)
            seconds[mode] = time.monotonic() - started
    return verdicts, seconds


def _levels(examples: Iterable[ScoringExample]) -> dict[str, QueryLevels]:
    """How hard each example is, by its id; a hardness that the example's own line gives stands."""
    levels = {sql: QueryLevels(hardness(sql), complexity(sql).band) for sql in {example.sql for example in examples}}
    return {
        example.id: levels[example.sql]._replace(hardness=example.hardness or levels[example.sql].hardness)
        for example in examples
    }
