"""A vote explained in plain sentences, all of them from facts."""

from collections import Counter
from collections.abc import Sequence

from sense.config import ExecutionConfig
from sense.sql.result import Failure, Outcome, Result
from sense.sql.vote import Vote

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
