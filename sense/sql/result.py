"""What becomes of a statement that is executed. Standard library only: worker processes import this."""

from typing import NamedTuple

from sense.verdicts import FailureName, Limit

Value = str | int | float | bytes | None


class Result(NamedTuple):
    """What a SELECT returned."""

    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]


class Failure(NamedTuple):
    """Why there is no result: `detail` is for people, `limit` the limit that was reached, if one was."""

    verdict: FailureName
    detail: str
    limit: Limit = ""


Outcome = Result | Failure
