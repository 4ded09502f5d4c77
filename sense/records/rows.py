"""The kinds of rows that flow between stages, as docs/formats.md describes them: fields may be added."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from sense.verdicts import ErrorClass, Limit, MismatchKind, VerdictName

Hardness = Literal["easy", "medium", "hard", "extra"]
HARDNESS: tuple[Hardness, ...] = ("easy", "medium", "hard", "extra")


class Record(BaseModel):
    """A frozen row; unknown fields are kept, so a newer writer does not break an older reader."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Example(Record):
    """A question on a database with its gold SQL; `source` says who wrote it (seeds, spider, grammar, llm)."""

    id: str
    db_id: str
    question: str
    sql: str
    source: str
    hardness: Hardness
    evidence: str = ""
    domain: str = ""


class Prediction(Record):
    """A model's SQL for the example of the same id; `rejected` says why the model was not asked, if it was not."""

    id: str
    sql: str
    rejected: str = Field(default="", exclude_if=lambda reason: not reason)


class JudgedRow(Record):
    """A row with a verdict: the fields of verdicts.VerdictFields, which says what they mean; a test holds the two together.

    A line of a file has the keys of `first_keys` first, in that order, then the others.
    """

    first_keys: ClassVar[tuple[str, ...]]

    id: str
    correct: bool
    verdict: VerdictName
    detail: str = ""
    vacuous: bool = False
    kind: MismatchKind = ""
    limit: Limit = ""
    instance: str = Field(default="", exclude_if=lambda name: not name)
    left_out: int = Field(default=0, exclude_if=lambda n: not n)

    @property
    def ex(self) -> bool:
        """Whether the prediction is right on the main database, which is what EX counts; `correct` counts all of a test suite."""
        return self.correct or self.instance != ""

    @model_serializer(mode="wrap")
    def _in_order(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        return {name: fields[name] for name in self.first_keys if name in fields} | fields


class Verdict(JudgedRow):
    """What happened when the prediction of the same id was executed against the gold, under the scoring mode `mode`."""

    first_keys = ("id", "correct", "verdict", "detail", "vacuous", "mode")

    mode: str = ""
    score: float | None = None


class Sample(JudgedRow):
    """One of k SQL sampled for a question, with its verdict under strict-ts@1; `id` is `<example_id>#<k>`."""

    first_keys = ("id", "example_id", "sql")

    example_id: str
    sql: str


class Pair(Record):
    """A preference pair on one question; `error` is the rejected answer's verdict, `error_class` what is wrong with it.

    `source` says whether the rejected answer is a model's sample, or a mutant of the gold; `chosen_source` whether the chosen one
    is a sample or the gold, empty if nobody recorded it.
    """

    id: str
    example_id: str
    chosen: str
    rejected: str
    strategy: str
    error: VerdictName
    error_class: ErrorClass | Literal[""] = ""
    source: Literal["sample", "mutant"] = "sample"
    chosen_source: Literal["sample", "gold", ""] = ""
