"""Preference pairs from executed samples: which right SQL is chosen over which wrong one (paper section 3.2)."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from sense.config import PreferConfig
from sense.records import Example, Pair, Sample
from sense.sql.difference import edit_distance
from sense.sql.tree import fingerprint
from sense.verdicts import VerdictName

NoPair = Literal["all_right", "all_wrong", "nothing_left", "same_query"]
UNEXECUTED = ("error", "timeout", "too_large", "rejected")


@dataclass(frozen=True)
class PairCandidate:
    """A SQL with its fingerprint, which is the same for two spellings of one query; `error` is its verdict."""

    sql: str
    fingerprint: str
    error: VerdictName = "match"


@dataclass(frozen=True)
class QuestionCandidates:
    """One question's distinct right and wrong SQL, in the order they were sampled, and the samples left out, by reason."""

    right: list[PairCandidate] = field(default_factory=list)
    wrong: list[PairCandidate] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def group_candidates(samples: Sequence[Sample], drop_errors: bool = False) -> QuestionCandidates:
    """The samples of one question, sorted into right and wrong.

    Left out are samples whose verdict proves little (vacuous, or the gold itself failed), those of a question too long for the
    model, empty ones, repetitions, and with `drop_errors` those that did not execute.
    """
    candidates = QuestionCandidates()
    for sample in samples:
        reason = _unfit(sample, drop_errors)
        candidate = PairCandidate(sample.sql, "" if reason else fingerprint(sample.sql), sample.verdict)
        side = candidates.right if sample.correct else candidates.wrong
        if not reason and candidate.fingerprint in {other.fingerprint for other in side}:
            reason = "duplicate"
        if reason:
            candidates.dropped[reason] += 1
        else:
            side.append(candidate)
    return candidates


def _unfit(sample: Sample, drop_errors: bool) -> str:
    """Why a sample is left out whatever the others are; empty if it is not."""
    if sample.verdict == "gold_error":
        return "gold_error"
    if sample.vacuous:
        return "vacuous"
    if sample.limit == "context":
        return "longer than the model reads"
    if not sample.sql.strip():
        return "empty"
    if drop_errors and sample.verdict in UNEXECUTED:
        return "did not run"
    return ""


def make_pairs(config: PreferConfig, example: Example, candidates: QuestionCandidates) -> list[Pair]:
    """The pairs of one question by `config.strategy`; with `chosen: gold` its gold is the one right SQL."""
    right = [PairCandidate(example.sql, fingerprint(example.sql))] if config.chosen == "gold" else candidates.right
    couples = [(good, bad) for good, bad in product(right, candidates.wrong) if good.fingerprint != bad.fingerprint]
    if couples and config.strategy == "grouped-any-limit1":
        couples = [random.Random(f"{config.seed}-pair-{example.id}").choice(couples)]
    elif couples and config.strategy == "hardest-negative":
        couples = [min(couples, key=lambda couple: edit_distance(couple[0].sql, couple[1].sql))]  # the first of equals
    return [
        Pair(
            id=f"{example.id}#pair{number}",
            example_id=example.id,
            chosen=good.sql,
            rejected=bad.sql,
            strategy=config.strategy,
            error=bad.error,
        )
        for number, (good, bad) in enumerate(couples)
    ]


def missing_side(candidates: QuestionCandidates) -> NoPair:
    """Why a question gave no pair, by what is left of its samples."""
    if not candidates.wrong:
        return "all_right" if candidates.right else "nothing_left"
    return "same_query" if candidates.right else "all_wrong"
