"""A pair opened: both SQL executed, their texts and results compared."""

import threading
from collections.abc import Sequence
from pathlib import Path

from sense.config.serving import LimitsConfig
from sense.errors import InputError
from sense.records import Example, Pair, Sample, database_path
from sense.schema import Schema, introspect
from sense.serving import messages
from sense.serving.browsing import wording
from sense.serving.browsing.difference import only
from sense.serving.browsing.rows import Opened, PieceMessage, Side
from sense.serving.browsing.search import busy
from sense.serving.values import MIN_VALUE, cell
from sense.sql.difference import Piece, pieces
from sense.sql.execute import Executor
from sense.sql.result import Failure, Outcome, Result


class Runner:
    """Executes the SQL of data files: one pair at a time, in workers that start with the first."""

    def __init__(self, limits: LimitsConfig) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._executor: Executor | None = None

    def run(self, database: Path, sqls: Sequence[str]) -> list[Outcome]:
        """The outcomes, in order; busy() if others' take too long."""
        if not self._lock.acquire(timeout=self._limits.queue_s):
            raise busy()
        try:
            if self._executor is None:
                self._executor = Executor(self._limits.execution, MIN_VALUE)
            return list(self._executor.map((database, sql) for sql in sqls))
        finally:
            self._lock.release()

    def close(self) -> None:
        """Ends the workers."""
        with self._lock:
            if self._executor is not None:
                self._executor.__exit__()
                self._executor = None


def opened(dataset: Path, pair: Pair, example: Example | None, sample: Sample | None, runner: Runner, rows: int) -> Opened:
    """The pair with what becomes of its SQL on its database; at most `rows` of each result. Blocks while they run.

    A question that the dataset lacks, or a database that can't be read, is said in the outcomes.
    """
    schema, outcomes = _executed(dataset, pair, example, runner)
    chosen, rejected = outcomes
    lacking = only(chosen, rejected) if isinstance(chosen, Result) and isinstance(rejected, Result) else None
    mine, theirs = lacking if lacking is not None else (None, None)
    pieces_chosen, pieces_rejected = pieces(pair.chosen, pair.rejected)
    found = sample or Sample(id="", example_id=pair.example_id, sql=pair.rejected, correct=False, verdict=pair.error)
    counts = None if lacking is None else (len(lacking[0]), len(lacking[1]))
    tables = [table.name for table in schema.tables]
    why = wording.recorded(pair.error, found.limit, found.detail, tables)
    why += wording.results(chosen, rejected, pair.error, found.kind, counts)
    return Opened(
        id=pair.id,
        example_id=pair.example_id,
        database=example.db_id if example else "",
        question=example.question if example else "",
        evidence=example.evidence if example else "",
        gold=example.sql if example else "",
        strategy=pair.strategy,
        verdict=pair.error,
        kind=found.kind,
        limit=found.limit,
        detail=found.detail,
        why=why + wording.texts(pair.chosen, pair.rejected, tables),
        chosen=_side(pair.chosen, pieces_chosen, chosen, mine, rows),
        rejected=_side(pair.rejected, pieces_rejected, rejected, theirs, rows),
        tables=[_table(table.name, schema) for table in schema.tables],
        foreign_keys=[messages.ForeignKey(**vars(key)) for key in schema.foreign_keys],
    )


def _executed(dataset: Path, pair: Pair, example: Example | None, runner: Runner) -> tuple[Schema, list[Outcome]]:
    """The database's schema and both outcomes."""
    nothing = Schema((), ())
    if example is None:
        return nothing, [Failure("error", f"{dataset.name} has no example {pair.example_id}")] * 2
    lost = Failure("error", f"{dataset.name} has no readable database {example.db_id}")
    if Path(example.db_id).name != example.db_id:
        return nothing, [lost, lost]
    database = database_path(dataset, example.db_id)
    try:
        return introspect(database), runner.run(database, [pair.chosen, pair.rejected])
    except InputError:
        return nothing, [lost, lost]


def _side(sql: str, parts: list[Piece], outcome: Outcome, lacking: list[int] | None, limit: int) -> Side:
    marked = [PieceMessage(text=piece.text, same=piece.same) for piece in parts]
    if isinstance(outcome, Failure):
        return Side(sql=sql, pieces=marked, outcome=outcome.verdict, detail=outcome.detail)
    first = dict.fromkeys(lacking or [])  # rows that tell something go before others
    numbers = sorted([*first, *(number for number in range(len(outcome.rows)) if number not in first)][:limit])
    return Side(
        sql=sql,
        pieces=marked,
        outcome="ran",
        columns=list(outcome.columns),
        rows=[[cell(value) for value in outcome.rows[number]] for number in numbers],
        row_count=len(outcome.rows),
        truncated=len(numbers) < len(outcome.rows),
        only=[place for place, number in enumerate(numbers) if number in first],
        only_count=None if lacking is None else len(lacking),
    )


def _table(name: str, schema: Schema) -> messages.Table:
    columns = next(table.columns for table in schema.tables if table.name == name)
    return messages.Table(
        name=name, columns=[messages.Column(name=each.name, type=each.type, primary_key=each.primary_key) for each in columns]
    )
