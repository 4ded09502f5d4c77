"""The data sets of a pipeline's data folder, page by page: strong data, weak samples and preference pairs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import Field

from sense.errors import UserError
from sense.records import Example, Hardness, Pair, Sample
from sense.serving.browsing.jsonl_tables import BadLine, JsonlFile, JsonlTables, PageRequest, R
from sense.serving.messages import Message
from sense.verdicts import MismatchKind, VerdictName

RowMessage = TypeVar("RowMessage", bound=Message)


class UnknownPairError(UserError):
    """There is no pair of that id: 404."""


class Listing(Message, Generic[RowMessage]):
    """A page of rows. `total` rows match; fewer than `rows` searched: the search goes on when it is asked for again.

    `counts`: rows of the whole file by verdict (strong data: by hardness). `missing` says what writes the file if there is none.
    `bad` are the first lines of `bad_count` that could not be read.
    """

    items: list[RowMessage]
    offset: int
    total: int
    searched: int
    rows: int
    counts: dict[str, int]
    file: str
    missing: str = ""
    bad: list[BadLine] = Field(default_factory=list)
    bad_count: int = 0


class StrongRow(Message):
    """An example of the strong data."""

    id: str
    database: str
    question: str
    evidence: str
    sql: str
    hardness: Hardness
    domain: str
    source: str


class SampleRow(Message):
    """A sampled SQL. `question`, `database` and `gold` are '' if the unseen examples lack its question."""

    id: str
    example_id: str
    database: str
    question: str
    gold: str
    sql: str
    correct: bool
    verdict: VerdictName
    kind: MismatchKind
    detail: str
    vacuous: bool


class PairRow(Message):
    """A preference pair; `verdict` is the rejected SQL's."""

    id: str
    example_id: str
    database: str
    question: str
    chosen: str
    rejected: str
    verdict: VerdictName


_UNSEEN = JsonlFile(
    path="unseen/examples.jsonl",
    table="unseen",
    record=Example,
    key=lambda row: row.id,
    tag=lambda row: row.hardness,
    texts=lambda row: (row.id, row.question, row.db_id, row.sql),
)
_STRONG = replace(_UNSEEN, path="strong/examples.jsonl", table="strong")
_SAMPLES = JsonlFile(
    path="weak/samples.jsonl",
    table="samples",
    record=Sample,
    key=lambda row: row.example_id,
    tag=lambda row: row.verdict,
    texts=lambda row: (row.sql,),
    example_id=lambda row: row.example_id,
)
_PAIRS = JsonlFile(
    path="pairs/pairs.jsonl",
    table="pairs",
    record=Pair,
    key=lambda row: row.id,
    tag=lambda row: row.error,
    texts=lambda row: (row.chosen, row.rejected),
    example_id=lambda row: row.example_id,
)


class Datasets:
    """The data sets in the folder `data`, whose files may come and change. Everything here blocks: call it in threads.

    Every method raises UnavailableError if a file cannot be read now, or if others' requests take longer than `patience_s`.
    """

    def __init__(self, data: Path, patience_s: float) -> None:
        self._tables = JsonlTables(data, _UNSEEN, patience_s)

    def close(self) -> None:
        """Deletes the temporary database."""
        self._tables.close()

    def strong(self, request: PageRequest) -> Listing[StrongRow]:
        """Strong data by hardness."""
        return self._listing(_STRONG, "synthesize", request, _strong_row)

    def samples(self, request: PageRequest) -> Listing[SampleRow]:
        """The samples by verdict."""
        return self._listing(_SAMPLES, "sample", request, _sample_row)

    def pairs(self, request: PageRequest) -> Listing[PairRow]:
        """Pairs by the verdict on the rejected SQL."""
        return self._listing(_PAIRS, "prefer", request, _pair_row)

    def pair(self, pair_id: str) -> tuple[Pair, Example | None, Sample | None]:
        """A pair, its example and the sample that its rejected SQL was, as far as they are there; UnknownPairError."""
        pairs = self._tables.find(_PAIRS, pair_id)
        if not pairs:
            raise UnknownPairError(f"{self._tables.name(_PAIRS)}: no pair {pair_id!r}; GET /v1/data/pairs lists them")
        pair, example = pairs[0]
        samples = (sample for sample, _ in self._tables.find(_SAMPLES, pair.example_id))
        return pair, example, next((one for one in samples if one.sql == pair.rejected and one.verdict == pair.error), None)

    def _listing(
        self, file: JsonlFile[R], stage: str, request: PageRequest, message: Callable[[R, Example | None], RowMessage]
    ) -> Listing[RowMessage]:
        """A page of a file; an empty one that says which stage writes the file, if it is not there."""
        page, name = self._tables.page(file, request), self._tables.name(file)
        return Listing(
            items=[message(row, example) for row, example in page.rows],
            offset=request.offset if page.state.stamp is not None else 0,
            total=page.total,
            searched=page.searched,
            rows=page.candidates,
            counts=page.state.counts,
            file=name,
            missing=f"{name} is not there yet; the stage {stage} writes it" if page.state.stamp is None else "",
            bad=page.state.bad,
            bad_count=page.state.bad_count,
        )


def _strong_row(row: Example, _: Example | None) -> StrongRow:
    return StrongRow(
        id=row.id,
        database=row.db_id,
        question=row.question,
        evidence=row.evidence,
        sql=row.sql,
        hardness=row.hardness,
        domain=row.domain,
        source=row.source,
    )


def _sample_row(row: Sample, example: Example | None) -> SampleRow:
    return SampleRow(
        id=row.id,
        example_id=row.example_id,
        database=example.db_id if example else "",
        question=example.question if example else "",
        gold=example.sql if example else "",
        sql=row.sql,
        correct=row.correct,
        verdict=row.verdict,
        kind=row.kind,
        detail=row.detail,
        vacuous=row.vacuous,
    )


def _pair_row(row: Pair, example: Example | None) -> PairRow:
    return PairRow(
        id=row.id,
        example_id=row.example_id,
        database=example.db_id if example else "",
        question=example.question if example else "",
        chosen=row.chosen,
        rejected=row.rejected,
        verdict=row.error,
    )
