"""What goes over the wire: the requests and responses of the gateway's API, version 1."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sense.schema import Schema

Cell = str | int | float | bool | None
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Message(BaseModel):
    """Frozen; an unknown field in a request is an error, not a silent no."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Ask(Message):
    """A question on a database. `k` candidates are written, executed and voted on; `rows`: send the result back as well."""

    question: Annotated[str, Field(min_length=1)]
    database: Name
    evidence: str = ""
    k: Annotated[int, Field(ge=1)] = 1
    rows: bool = True


class Candidate(Message):
    """One SQL the model wrote, and what became of it.

    `votes`: how many candidates gave the same result as this one; `agrees`: it is the answer's.
    """

    sql: str
    outcome: Literal["ran", "error", "timeout", "too_large", "rejected"]
    detail: str = ""
    row_count: int | None = None
    votes: int = 0
    agrees: bool = False
    chosen: bool = False


class Model(Message):
    """The version that wrote all candidates of the answer."""

    name: str
    version: str
    digest: str = ""


class Latency(Message):
    """Milliseconds: waiting for a free place, writing, executing, all together."""

    queue: float
    model: float
    execution: float
    total: float


class Answer(Message):
    """The SQL with most votes, or None and the reason why the gateway abstains.

    `explanation` says what was checked; `columns` and `rows` are there if asked for, `truncated` if there are more rows.
    Values that JSON has no form for come as text: bytes as hex with the prefix 0x, numbers beyond 2^53 and NaN in digits.
    """

    id: str
    sql: str | None
    abstained: bool
    reason: str = ""
    explanation: str
    database: str
    dialect: str
    candidates: list[Candidate]
    columns: list[str] | None = None
    rows: list[list[Cell]] | None = None
    row_count: int | None = None
    truncated: bool = False
    model: Model
    latency_ms: Latency


class Feedback(Message):
    """What a person says of an answer; it repeats the answer, so that any replica can keep it. `corrected` is their SQL."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    question: Annotated[str, Field(min_length=1)]
    database: Name
    sql: str
    correct: bool
    corrected: str = ""
    evidence: str = ""
    model: Model | None = None


class Kept(Message):
    """What became of feedback: `labelled` if it is an example with a gold now, else it waits for one; `verdict` by execution."""

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


class DatabaseName(Message):
    """A database that may be asked."""

    name: str
    dialect: str
    tables: int


class Databases(Message):
    """All of them, by name."""

    databases: list[DatabaseName]


class DatabaseMessage(Message):
    """One, with its schema."""

    name: str
    dialect: str
    tables: list[TableMessage]
    foreign_keys: list[ForeignKeyMessage]


class Problem(Message):
    """Every error the gateway answers with. `fix` says what the caller can do; `id` is the request's, for the operator."""

    error: str
    message: str
    fix: str
    id: str
    details: list[dict[str, Any]] = []
