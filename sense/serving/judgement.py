"""What is said of candidates: each executed, the vote among their results, an answer or why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass

from sense.config import LimitsConfig
from sense.serving.backend import Version
from sense.serving.databases import Database
from sense.serving.explanation import explanation, reason
from sense.serving.messages import Answer, Ask, Candidate, Latency, Model
from sense.serving.values import json_value, replace_surrogates
from sense.serving.vote import Vote, vote
from sense.sql.parse import check_select, extract
from sense.sql.result import Failure, Outcome, Result


@dataclass(frozen=True)
class _Judged:
    """The candidates with what became of them; `native` is the winner as its database was given it."""

    sqls: Sequence[str]
    outcomes: Sequence[Outcome]
    votes: Vote
    native: str | None


def judged(ask: Ask, request_id: str, database: Database, limits: LimitsConfig, version: Version, texts: Sequence[str]) -> Answer:
    """The answer that `version` gave by its candidates `texts`, but for its latency, which is not over. Blocks."""
    found = _judge(database, texts)
    answer = _composed(ask, request_id, database, limits, version, found)
    won = found.outcomes[found.votes.winner] if found.votes.winner is not None else None
    if not ask.rows or not isinstance(won, Result):
        return answer
    rows = [[json_value(value) for value in row] for row in won.rows[: limits.rows]]
    return answer.model_copy(update={"rows": rows})  # unchecked: one call that checks them all holds up every other thread


def _judge(database: Database, texts: Sequence[str]) -> _Judged:
    """Takes the SQL out of what was written, executes what is a SELECT, the same text once, and counts the votes."""
    sqls = [extract(replace_surrogates(text)) for text in texts]
    found: dict[str, Outcome] = {}
    for sql in sqls:
        refused = check_select(sql) if sql else "what the model wrote holds no SELECT"
        if refused is not None:
            found[sql] = Failure("rejected", refused)
    runnable = [sql for sql in dict.fromkeys(sqls) if sql not in found]
    if runnable:
        found |= zip(runnable, database.run(runnable), strict=True)
    outcomes = [found[sql] for sql in sqls]
    votes = vote(outcomes)
    return _Judged(sqls, outcomes, votes, database.native(sqls[votes.winner]) if votes.winner is not None else None)


def _composed(ask: Ask, request_id: str, database: Database, limits: LimitsConfig, version: Version, judged: _Judged) -> Answer:
    """All but rows and latency."""
    winner = judged.votes.winner
    won = judged.outcomes[winner] if winner is not None else None
    result = won if isinstance(won, Result) else None
    shown = result if ask.rows else None
    return Answer(
        id=request_id,
        sql=judged.native,
        abstained=result is None,
        reason=reason(judged.outcomes) if result is None else "",
        explanation=explanation(database.name, database.dialect, limits.execution, judged.sqls, judged.outcomes, judged.votes),
        database=database.name,
        dialect=database.dialect,
        candidates=_candidates(judged),
        columns=list(shown.columns) if shown is not None else None,
        row_count=len(result.rows) if result is not None else None,
        truncated=shown is not None and len(shown.rows) > limits.rows,
        model=Model(name=version.name, version=version.version, digest=version.digest),
        latency_ms=Latency(queue=0, model=0, execution=0, total=0),
    )


def _candidates(judged: _Judged) -> list[Candidate]:
    rows = zip(judged.sqls, judged.outcomes, judged.votes.votes, strict=True)
    return [
        Candidate(
            sql=sql,
            outcome=outcome.verdict if isinstance(outcome, Failure) else "ran",
            detail=outcome.detail if isinstance(outcome, Failure) else "",
            row_count=len(outcome.rows) if isinstance(outcome, Result) else None,
            votes=votes,
            agrees=number in judged.votes.agreeing,
            chosen=number == judged.votes.winner,
        )
        for number, (sql, outcome, votes) in enumerate(rows)
    ]
