"""The vote among candidates by their results, and its explanation in plain sentences, all of them from facts."""

import hashlib
import marshal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sense.config import ExecutionConfig
from sense.sql.compare import compare
from sense.sql.result import Failure, Outcome, Result, Value

_DIGITS = 9  # significant digits of a floating-point number in a key; compare() decides where keys differ
_MAX_COMPARED_CELLS = 100_000  # by compare() in one vote, which takes some tenths of a second


@dataclass(frozen=True)
class Vote:
    """`votes` holds, for each candidate, how many have its result, itself among them; 0 if it has none.

    `agreeing` are the candidates of the largest group, or of the one with the earliest candidate if several are as large; empty
    if no candidate ran. `tied` says that another group is as large.
    """

    votes: tuple[int, ...]
    agreeing: tuple[int, ...]
    tied: bool

    @property
    def winner(self) -> int | None:
        """The earliest of the agreeing candidates; None if no candidate ran."""
        return self.agreeing[0] if self.agreeing else None


def vote(outcomes: Sequence[Outcome]) -> Vote:
    """Counts the candidates with equal results. An empty result is a result; rows count in any order, columns too."""
    groups: list[list[int]] = []
    heads: list[Result] = []  # the first result of each group
    group_of: dict[object, int] = {}  # by the identity of a result, and by its key
    cells_left = _MAX_COMPARED_CELLS
    for number, outcome in enumerate(outcomes):
        if not isinstance(outcome, Result):
            continue
        group = group_of.get(id(outcome))
        if group is None:
            key = _key(outcome)
            group = group_of.get(key)
            if group is None:
                group, cells_left = _equal_group(outcome, heads, cells_left)
            if group is None:
                group = len(groups)
                groups.append([])
                heads.append(outcome)
            group_of[id(outcome)] = group_of[key] = group
        groups[group].append(number)
    votes = {number: len(group) for group in groups for number in group}
    largest: list[int] = max(groups, key=len, default=[])
    return Vote(
        votes=tuple(votes.get(number, 0) for number in range(len(outcomes))),
        agreeing=tuple(largest),
        tied=sum(len(group) == len(largest) for group in groups) > 1,
    )


def _key(result: Result) -> object:
    """The same for results that differ only in the order of rows or columns and in the last digits of numbers.

    Columns are ordered by the values they hold. If two columns hold the same values, or a digit is rounded to either side, keys
    of equal results can differ. Rows are sorted as bytes and not counted in a dict: rows of numbers that all have one hash, which
    a hostile result could hold, would take quadratic time.
    """
    columns = [_rounded(column) for column in zip(*result.rows, strict=True)]
    columns.sort(key=lambda column: hash(frozenset(Counter(column).items())))
    rows = sorted(marshal.dumps(row, 2) for row in zip(*columns, strict=True))  # version 2: the same bytes for the same values
    return len(result.columns), len(rows), hashlib.blake2b(b"".join(rows)).digest()


def _rounded(column: tuple[Value, ...]) -> tuple[Value, ...]:
    if not any(isinstance(value, float) for value in column):
        return column
    return tuple(_round(value) if isinstance(value, (int, float)) else value for value in column)


def _round(value: int | float) -> int | float:
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded  # 1.0 equals 1


def _equal_group(result: Result, heads: Sequence[Result], cells_left: int) -> tuple[int | None, int]:
    """The group whose first result equals `result` by compare(), and how many cells may still be compared."""
    cells = max(1, len(result.rows) * len(result.columns))
    for group, head in enumerate(heads):
        same_shape = len(head.rows) == len(result.rows) and len(head.columns) == len(result.columns)
        if same_shape and cells <= cells_left:
            cells_left -= cells
            if compare(result, head, ordered=False) is None:
                return group, cells_left
    return None, cells_left


_MAX_FAILURES = 3  # different failures that an explanation names


def explanation(
    database: str, dialect: str, limits: ExecutionConfig, sqls: Sequence[str], outcomes: Sequence[Outcome], votes: Vote
) -> str:
    """Sentences for a person: how many candidates, why some were refused or failed, how they ran, how many agree."""
    ran = [outcome for outcome in outcomes if isinstance(outcome, Result)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Failure) and outcome.verdict == "rejected"]
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failure) and outcome.verdict != "rejected"]
    sentences = [f"The model wrote {_count(len(sqls))}{_distinct_note(sqls)}."]
    if refused:
        sentences.append(f"Refused, as only a single SELECT that reads is executed: {_failure_list(refused)}.")
    if failed:
        sentences.append(f"Failed when executed: {_failure_list(failed)}.")
    if ran:
        translated = "" if dialect == "sqlite" else f", translated for {dialect}"
        sentences.append(
            f"{_count(len(ran)).capitalize()} ran read-only on {database}{translated}, within {limits.timeout_s:g} s, "
            f"{limits.max_rows:,} rows and {limits.max_bytes:,} bytes."
        )
    if votes.winner is None:
        return " ".join([*sentences, "None ran, so there is no answer."])
    if len(ran) > 1:
        sentences.append(f"{votes.votes[votes.winner]} of {len(ran)} gave this result{_tie_note(votes)}.")
    winner = outcomes[votes.winner]
    if isinstance(winner, Result) and not winner.rows:
        sentences.append("The result has no rows: nothing in the database fits what the SQL asks for.")
    return " ".join(sentences)


def reason(outcomes: Sequence[Outcome]) -> str:
    """Why no candidate has a result: the most common failure."""
    (detail, count), *_ = Counter(outcome.detail for outcome in outcomes if isinstance(outcome, Failure)).most_common(1)
    several = f" ({_count(count)} of {len(outcomes)})" if len(outcomes) > 1 else ""
    return f"no SQL ran: {detail}{several}"


def _count(count: int) -> str:
    return "one candidate" if count == 1 else f"{count} candidates"


def _distinct_note(sqls: Sequence[str]) -> str:
    different = len(set(sqls))
    return "" if different == len(sqls) else f", {different} of them different" if different > 1 else ", all the same"


def _failure_list(failures: Sequence[Failure]) -> str:
    details = Counter(failure.detail for failure in failures)
    texts = [detail if count == 1 else f"{detail} ({count} candidates)" for detail, count in details.most_common(_MAX_FAILURES)]
    more = len(details) - _MAX_FAILURES
    return "; ".join([*texts, *([f"and {more} other reason{'s' if more > 1 else ''}"] if more > 0 else [])])


def _tie_note(votes: Vote) -> str:
    return ", and as many gave another; the earliest candidate decides" if votes.tied else ""
