"""Preference pairs from executed samples: which right SQL is chosen over which wrong one (paper section 3.2)."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

from sense import records
from sense.config import PreferConfig
from sense.errors import InputError
from sense.records import Example, Pair, Sample
from sense.sql.difference import edit_distance
from sense.sql.error_class import error_class
from sense.sql.tree import fingerprint
from sense.verdicts import VerdictName

NoPair = Literal["all_right", "all_wrong", "nothing_left", "same_query", "no_headroom", "gold_above_share"]
TOO_LONG = "longer than the model reads"
UNEXECUTED = ("error", "timeout", "too_large", "rejected")


@dataclass(frozen=True)
class PairCandidate:
    """A SQL with its fingerprint, which is the same for two spellings of one query.

    `error` is its verdict, with its `detail`; `source` is where it comes from.
    """

    sql: str
    fingerprint: str
    error: VerdictName = "match"
    detail: str = ""
    source: Literal["sample", "mutant", "gold"] = "sample"

    @property
    def runs(self) -> bool:
        """Whether it was executed to its end, or to where it was seen to differ."""
        return self.error not in UNEXECUTED


class Couple(NamedTuple):
    """A right SQL with a wrong one."""

    right: PairCandidate
    wrong: PairCandidate

    @property
    def distance(self) -> int:
        """How many words and signs differ."""
        return edit_distance(self.right.sql, self.wrong.sql)


@dataclass(frozen=True)
class QuestionCandidates:
    """One question's distinct right and wrong SQL, in the order they were sampled, and the samples left out, by reason."""

    example: Example
    right: list[PairCandidate] = field(default_factory=list)
    wrong: list[PairCandidate] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def couples(self) -> list[Couple]:
        """Every right SQL with every wrong one that is another query."""
        couples = (Couple(right, wrong) for right, wrong in product(self.right, self.wrong))
        return [couple for couple in couples if couple.right.fingerprint != couple.wrong.fingerprint]

    def with_gold(self) -> "QuestionCandidates":
        """The same, with the gold as the one right SQL."""
        return replace(self, right=[PairCandidate(self.example.sql, fingerprint(self.example.sql), source="gold")])


def samples_by_question(file: Path, examples: Sequence[Example]) -> dict[str, list[Sample]]:
    """The samples of each question; InputError if one is of a question that the dataset lacks."""
    ids = {example.id for example in examples}
    by_question: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in records.read_rows(file, Sample):
        if sample.example_id not in ids:
            raise InputError(
                f"{file}: sample {sample.id!r} is of question {sample.example_id!r}, which the unseen dataset does not have; "
                "give the dataset that was sampled, or run sample again"
            )
        by_question[sample.example_id].append(sample)
    return dict(by_question)


def group_candidates(example: Example, samples: Sequence[Sample], drop_errors: bool = False) -> QuestionCandidates:
    """The samples of one question, sorted into right and wrong.

    Left out are samples whose verdict proves little (vacuous, or the gold itself failed), those of a question too long for the
    model, empty ones, repetitions, and with `drop_errors` those that did not execute.
    """
    candidates = QuestionCandidates(example)
    for sample in samples:
        reason = _unfit(sample, drop_errors)
        candidate = PairCandidate(sample.sql, "" if reason else fingerprint(sample.sql), sample.verdict, sample.detail)
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
        return TOO_LONG
    if not sample.sql.strip():
        return "empty"
    if drop_errors and sample.verdict in UNEXECUTED:
        return "did not run"
    return ""


def choose_right(config: PreferConfig, candidates: QuestionCandidates, samples: Sequence[Sample]) -> QuestionCandidates:
    """The candidates with the right SQL that `chosen` and `headroom` of the section allow; `samples` are the question's."""
    if config.chosen == "gold" or (config.chosen == "sample-or-gold" and not candidates.right):
        return candidates.with_gold()
    return replace(candidates, right=[]) if config.headroom and not has_headroom(samples) else candidates


def has_headroom(samples: Sequence[Sample]) -> bool:
    """Whether some of a question's samples are right and some are not: the model can answer it, and does not always."""
    return any(sample.correct for sample in samples) and not all(sample.correct for sample in samples)


def limit_gold(config: PreferConfig, couples: Sequence[list[Couple]]) -> list[list[Couple]]:
    """The couples of each question, without those of some questions whose chosen SQL is the gold.

    As many of these stay as `gold_share` of the section allows, all of a question's or none; the seed draws which.
    """
    golds = [number for number, chosen in enumerate(couples) if chosen and chosen[0].right.source == "gold"]
    own = sum(map(len, couples)) - sum(len(couples[number]) for number in golds)
    dropped = set()
    allowed = 0
    for number in random.Random(f"{config.seed}-gold").sample(golds, len(golds)):
        more = allowed + len(couples[number])
        if more <= config.gold_share * (own + more) + 1e-9:  # 0.29 * 100 is a little less than 29
            allowed = more
        else:
            dropped.add(number)
    return [[] if number in dropped else chosen for number, chosen in enumerate(couples)]


def choose_couples(config: PreferConfig, candidates: QuestionCandidates) -> list[Couple]:
    """The couples of one question by a strategy that looks at no other question."""
    couples = candidates.couples()
    if couples and config.strategy == "grouped-any-limit1":
        return [random.Random(f"{config.seed}-pair-{candidates.example.id}").choice(couples)]
    if couples and config.strategy == "hardest-negative":
        return [min(couples, key=lambda couple: couple.distance)]  # the first of equals
    return couples


def make_pairs(config: PreferConfig, example: Example, couples: Sequence[Couple]) -> list[Pair]:
    """The pairs of one question from its couples."""
    return [
        Pair(
            id=f"{example.id}#pair{number}",
            example_id=example.id,
            chosen=right.sql,
            rejected=wrong.sql,
            strategy=config.strategy,
            error=wrong.error,
            error_class=error_class(example.sql, wrong.sql, wrong.error, wrong.detail),
            source="mutant" if wrong.source == "mutant" else "sample",
            chosen_source="gold" if right.source == "gold" else "sample",
        )
        for number, (right, wrong) in enumerate(couples)
    ]


def missing_side(config: PreferConfig, candidates: QuestionCandidates, samples: Sequence[Sample], had_couples: bool) -> NoPair:
    """Why a question gave no pair: by what was decided about it, or by what is left of its samples."""
    if had_couples:
        return "gold_above_share"
    if config.headroom and candidates.right and not has_headroom(samples):
        return "no_headroom"
    if not candidates.wrong:
        return "all_right" if candidates.right else "nothing_left"
    return "same_query" if candidates.right else "all_wrong"
