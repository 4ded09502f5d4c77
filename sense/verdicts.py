"""What became of a prediction: the names of the verdicts and the fields of one.

Standard library only, because the worker processes that execute SQL import it too.
"""

from typing import Literal, NamedTuple

VerdictName = Literal["match", "mismatch", "error", "timeout", "too_large", "rejected", "gold_error"]
FailureName = Literal["error", "timeout", "too_large", "rejected"]  # a query without a result
Mismatch = Literal["columns", "rows", "order", "values"]
MismatchKind = Literal["", Mismatch]
ErrorClass = Literal[
    "schema linking", "join", "aggregate", "filter", "order", "columns", "nesting", "syntax", "other"
]  # what is wrong with a SQL; sense/sql/error_class.py says what each means
Limit = Literal["", "clock", "steps", "rows", "bytes", "value", "memory", "context"]


class VerdictFields(NamedTuple):
    """The verdict on a prediction, without the id of the prediction: what a worker sends back, and what rows add an id to.

    `detail` is for people; `vacuous` says that both results were empty; `kind` is how a mismatch differs; `limit` is the limit
    that stopped the query, or `context` if the question was longer than the model reads; `score` is what a scoring mode measures
    beyond right and wrong. Where several databases decide, `instance` is the file name of the further one on which a prediction
    is wrong that is right on the main one, and `left_out` the number of further ones on which the gold itself fails.
    """

    correct: bool
    verdict: VerdictName
    detail: str = ""
    vacuous: bool = False
    kind: MismatchKind = ""
    limit: Limit = ""
    score: float | None = None
    instance: str = ""
    left_out: int = 0
