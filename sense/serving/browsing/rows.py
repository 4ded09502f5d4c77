"""What the data routes answer with."""

from typing import Generic, Literal, TypeVar

from pydantic import Field

from sense.records import Hardness
from sense.serving.messages import Cell, ForeignKey, Message, Table
from sense.verdicts import Limit, MismatchKind, VerdictName

T = TypeVar("T")


class BadLine(Message):
    """A line of a file that is no row, and why; the page shows it, the other rows are there."""

    file: str
    line: int
    message: str


class Listing(Message, Generic[T]):
    """A page of rows. `total` rows match; fewer than `rows` searched: the search goes on when it is asked for again.

    `counts`: rows of the whole file by verdict (strong data: by hardness). `missing` says what writes the file if there is none.
    `bad` are the first lines of `bad_count` that could not be read.
    """

    items: list[T]
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
    """A SQL of the weak model. `question`, `database` and `gold` are '' if the unseen examples lack its question."""

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


class PieceMessage(Message):
    """A part of a SQL text; `same` if the other SQL has it too. All pieces joined are the text."""

    text: str
    same: bool


class Side(Message):
    """One SQL of a pair and what became of it just now.

    `rows` are as many as are sent back, those that the other result lacks before others, in the result's order; `only` are
    the numbers of these among `rows`, `only_count` how many there are in all (None: the results cannot be compared row by row).
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


class Opened(Message):
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
    chosen: Side
    rejected: Side
    tables: list[Table]
    foreign_keys: list[ForeignKey]
