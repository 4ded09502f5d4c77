"""What becomes of a statement that is executed. Standard library only: worker processes import this."""

from typing import NamedTuple

from sense.verdicts import FailureName, Limit

Value = str | int | float | bytes | None
ResultRow = tuple[Value, ...]


class Result(NamedTuple):
    """What a SELECT returned: the names of its columns, and its rows."""

    columns: tuple[str, ...]
    rows: list[ResultRow]


class Failure(NamedTuple):
    """Why there is no result: `detail` is for people, `limit` is the limit that was reached, if one was."""

    verdict: FailureName
    detail: str
    limit: Limit = ""


Outcome = Result | Failure
