"""Bodies of requests and responses of the gateway's API, version 1."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sense.schema import Schema

Cell = str | int | float | bool | None
DatabaseName = Annotated[str, Field(min_length=1, max_length=200)]


class Message(BaseModel):
    """Base of all bodies: frozen, strict, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class AskRequest(Message):
    """A question on a database. `k` candidates are written, executed and voted on; `rows` asks for the result's rows too."""

    question: Annotated[str, Field(min_length=1)]
    database: DatabaseName
    evidence: str = ""
    k: Annotated[int, Field(ge=1)] = 1
    rows: bool = True


class CandidateMessage(Message):
    """One SQL that the model wrote, and the outcome of its execution.

    `votes` is the number of candidates with the same result, itself among them; `agrees` says that it is the answer's result.
    """

    sql: str
    outcome: Literal["ran", "error", "timeout", "too_large", "rejected"]
    detail: str = ""
    row_count: int | None = None
    votes: int = 0
    agrees: bool = False
    chosen: bool = False


class ModelMessage(Message):
    """The version that wrote all candidates of the answer."""

    name: str
    version: str
    digest: str = ""


class LatencyMessage(Message):
    """Milliseconds: waiting for a slot, writing, executing, all together."""

    queue: float
    model: float
    execution: float
    total: float


class AnswerResponse(Message):
    """The SQL with most votes, or None and the reason why the gateway abstains.

    `explanation` says what was checked. `columns` and `rows` are there if they were asked for; `truncated` says that there are
    more rows. Values without a JSON form are text: bytes as hex with the prefix 0x, numbers beyond 2^53 and NaN as digits.
    """

    id: str
    sql: str | None
    abstained: bool
    reason: str = ""
    explanation: str
    database: str
    dialect: str
    candidates: list[CandidateMessage]
    columns: list[str] | None = None
    rows: list[list[Cell]] | None = None
    row_count: int | None = None
    truncated: bool = False
    model: ModelMessage
    latency_ms: LatencyMessage


class FeedbackRequest(Message):
    """A person's judgement of an answer. It repeats the answer, so that any replica can store it; `corrected` is their SQL."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    question: Annotated[str, Field(min_length=1)]
    database: DatabaseName
    sql: str
    correct: bool
    corrected: str = ""
    evidence: str = ""
    model: ModelMessage | None = None


class FeedbackResponse(Message):
    """How feedback was stored: `labelled` if it is an example with a gold now, else it waits for one; `verdict` by execution."""

    id: str
    labelled: bool
    verdict: str
    detail: str = ""


class ColumnMessage(Message):
    """A column of a table."""

    name: str
    type: str
    primary_key: bool = False


class TableMessage(Message):
    """A table of a database."""

    name: str
    columns: list[ColumnMessage]


class ForeignKeyMessage(Message):
    """`table`.`column` refers to `other_table`.`other_column`."""

    table: str
    column: str
    other_table: str
    other_column: str


def table_messages(schema: Schema) -> list[TableMessage]:
    """The tables of a schema, without sample values."""
    return [
        TableMessage(
            name=table.name,
            columns=[
                ColumnMessage(name=column.name, type=column.type, primary_key=column.primary_key) for column in table.columns
            ],
        )
        for table in schema.tables
    ]


def foreign_key_messages(schema: Schema) -> list[ForeignKeyMessage]:
    """The foreign keys of a schema."""
    return [ForeignKeyMessage(**vars(key)) for key in schema.foreign_keys]


class DatabaseSummaryMessage(Message):
    """A database that may be asked."""

    name: str
    dialect: str
    tables: int


class DatabasesResponse(Message):
    """All databases that may be asked, by name."""

    databases: list[DatabaseSummaryMessage]


class DatabaseMessage(Message):
    """A database with its schema."""

    name: str
    dialect: str
    tables: list[TableMessage]
    foreign_keys: list[ForeignKeyMessage]


class Problem(Message):
    """The body of every error. `fix` says what the caller can do; the operator finds `id`, the request id, in the log."""

    error: str
    message: str
    fix: str
    id: str
    details: list[dict[str, Any]] = []
