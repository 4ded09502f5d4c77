"""A preference pair as it is shown: both SQL executed, their texts and results compared, and why the rejected one is wrong."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from sense.config.serving import LimitsConfig
from sense.database_servers.values import MIN_VALUE
from sense.errors import InputError
from sense.records import Example, Pair, Sample, database_path
from sense.schema import Schema, introspect
from sense.serving.browsing import mistakes
from sense.serving.browsing.jsonl_tables import busy
from sense.serving.messages import Cell, ForeignKeyMessage, Message, TableMessage, foreign_key_messages, table_messages
from sense.serving.values import json_value
from sense.sql.difference import Piece, pieces
from sense.sql.execute import Executor
from sense.sql.result import Failure, Outcome, Result
from sense.verdicts import Limit, MismatchKind, VerdictName


class PieceMessage(Message):
    """A part of a SQL text; `same` if the other SQL has it too. All pieces joined are the text."""

    text: str
    same: bool


class ExecutedSql(Message):
    """One SQL of a pair and its outcome just now.

    `rows` are as many as are sent back, those that the other result lacks before others, in the result's order; `only` are
    the indices of these in `rows`, `only_count` how many there are in all (None: the results cannot be compared row by row).
    """

    sql: str
    pieces: list[PieceMessage]
    outcome: Literal["ran", "error", "timeout", "too_large", "rejected"]
    detail: str = ""
    columns: list[str] = Field(default_factory=list)
    rows: list[list[Cell]] = Field(default_factory=list)
    row_count: int = 0
    truncated: bool = False
    only: list[int] = Field(default_factory=list)
    only_count: int | None = None


class OpenedPair(Message):
    """A pair with both SQL executed. `verdict`, `kind`, `limit` and `detail` are as recorded; `why` says it in sentences.

    `gold` is the example's own SQL; `tables` and `foreign_keys` are the database's.
    """

    id: str
    example_id: str
    database: str
    question: str
    evidence: str
    gold: str
    strategy: str
    verdict: VerdictName
    kind: MismatchKind
    limit: Limit
    detail: str
    why: list[str]
    chosen: ExecutedSql
    rejected: ExecutedSql
    tables: list[TableMessage]
    foreign_keys: list[ForeignKeyMessage]


class PairExecutor:
    """Executes the SQL of pairs: one pair at a time, in workers that start with the first."""

    def __init__(self, limits: LimitsConfig) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._executor: Executor | None = None

    def run(self, database: Path, statements: Sequence[str]) -> list[Outcome]:
        """The outcomes, in order; UnavailableError if others' take too long."""
        if not self._lock.acquire(timeout=self._limits.queue_s):
            raise busy()
        try:
            if self._executor is None:
                self._executor = Executor(self._limits.execution, MIN_VALUE)
            return list(self._executor.map((database, sql) for sql in statements))
        finally:
            self._lock.release()

    def close(self) -> None:
        """Ends the workers."""
        with self._lock:
            if self._executor is not None:
                self._executor.close()
                self._executor = None


def open_pair(
    dataset: Path, pair: Pair, example: Example | None, sample: Sample | None, executor: PairExecutor, max_rows: int
) -> OpenedPair:
    """The pair with the outcomes of its SQL on its database; at most `max_rows` of each result. Blocks while they run.

    `dataset` is the folder with the example's database, `sample` the one that the rejected SQL was. An example that is not
    there, or a database that cannot be read, is told in the outcomes.
    """
    schema, (chosen, rejected) = _execute(dataset, pair, example, executor)
    unmatched = None
    if isinstance(chosen, Result) and isinstance(rejected, Result):
        unmatched = mistakes.unmatched_rows(chosen, rejected)
    only_chosen, only_rejected = unmatched if unmatched is not None else (None, None)
    pieces_chosen, pieces_rejected = pieces(pair.chosen, pair.rejected)
    verdict = sample or Sample(id="", example_id=pair.example_id, sql=pair.rejected, correct=False, verdict=pair.error)
    counts = None if unmatched is None else (len(unmatched[0]), len(unmatched[1]))
    tables = [table.name for table in schema.tables]
    return OpenedPair(
        id=pair.id,
        example_id=pair.example_id,
        database=example.db_id if example else "",
        question=example.question if example else "",
        evidence=example.evidence if example else "",
        gold=example.sql if example else "",
        strategy=pair.strategy,
        verdict=pair.error,
        kind=verdict.kind,
        limit=verdict.limit,
        detail=verdict.detail,
        why=[
            *mistakes.by_verdict(pair.error, verdict.limit, verdict.detail, tables),
            *mistakes.by_results(chosen, rejected, pair.error, verdict.kind, counts),
            *mistakes.by_texts(pair.chosen, pair.rejected, tables),
        ],
        chosen=_executed_sql(pair.chosen, pieces_chosen, chosen, only_chosen, max_rows),
        rejected=_executed_sql(pair.rejected, pieces_rejected, rejected, only_rejected, max_rows),
        tables=table_messages(schema),
        foreign_keys=foreign_key_messages(schema),
    )


def _execute(dataset: Path, pair: Pair, example: Example | None, executor: PairExecutor) -> tuple[Schema, list[Outcome]]:
    """The database's schema and both outcomes."""
    no_schema = Schema((), ())
    if example is None:
        return no_schema, [Failure("error", f"{dataset.name} has no example {pair.example_id}")] * 2
    unreadable = Failure("error", f"{dataset.name} has no readable database {example.db_id}")
    if Path(example.db_id).name != example.db_id:
        return no_schema, [unreadable, unreadable]
    database = database_path(dataset, example.db_id)
    try:
        return introspect(database), executor.run(database, [pair.chosen, pair.rejected])
    except InputError:
        return no_schema, [unreadable, unreadable]


def _executed_sql(
    sql: str, sql_pieces: Sequence[Piece], outcome: Outcome, unmatched: list[int] | None, max_rows: int
) -> ExecutedSql:
    marked = [PieceMessage(text=piece.text, same=piece.same) for piece in sql_pieces]
    if isinstance(outcome, Failure):
        return ExecutedSql(sql=sql, pieces=marked, outcome=outcome.verdict, detail=outcome.detail)
    first = dict.fromkeys(unmatched or [])  # rows that explain something go before others
    numbers = sorted([*first, *(number for number in range(len(outcome.rows)) if number not in first)][:max_rows])
    return ExecutedSql(
        sql=sql,
        pieces=marked,
        outcome="ran",
        columns=list(outcome.columns),
        rows=[[json_value(value) for value in outcome.rows[number]] for number in numbers],
        row_count=len(outcome.rows),
        truncated=len(numbers) < len(outcome.rows),
        only=[index for index, number in enumerate(numbers) if number in first],
        only_count=None if unmatched is None else len(unmatched),
    )
