"""Rejection sampling: the right answers that RFT trains on, which are samples as far as there are any."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from sense.config import RftConfig
from sense.records import Example, Sample
from sense.stages.pairs import group_candidates


class RightAnswer(NamedTuple):
    """A question with SQL that is right, and where that comes from."""

    example: Example
    sql: str
    source: Literal["sample", "gold"]


class Selection(NamedTuple):
    """The answers to train on, in the order of the questions; the questions and the samples left out, by reason."""

    answers: list[RightAnswer]
    questions: Counter[str]
    samples: Counter[str]


def select(config: RftConfig, examples: Sequence[Example], by_question: Mapping[str, Sequence[Sample]]) -> Selection:
    """The right samples of each question, `plans` different queries of it at most, or its gold.

    Samples are right, or left out, as preference pairs take them. `by_question` has the samples by the id of their question;
    a question that was not sampled is not there.
    """
    selection = Selection([], Counter(), Counter())
    for example in examples:
        samples = by_question.get(example.id, ())
        if not samples:
            continue
        candidates = group_candidates(example, samples)
        selection.samples.update(candidates.dropped)
        selection.samples["wrong"] += len(candidates.wrong)
        selection.samples["more than rft.plans"] += len(candidates.right[config.plans :])
        if candidates.right:
            selection.answers.extend(
                RightAnswer(example, candidate.sql, "sample") for candidate in candidates.right[: config.plans]
            )
        elif all(sample.verdict == "gold_error" for sample in samples):
            selection.questions["gold_error"] += 1
        elif not config.gold:
            selection.questions["no right sample"] += 1
        else:
            selection.answers.append(RightAnswer(example, example.sql, "gold"))
    return selection


def sequences(answers: Sequence[RightAnswer], size: int, seed: int) -> list[list[RightAnswer]]:
    """The answers in groups of `size` at most that have their database in common, drawn by the seed."""
    rng = random.Random(f"{seed}-rft")
    of_database: dict[str, list[RightAnswer]] = {}
    for answer in answers:
        of_database.setdefault(answer.example.db_id, []).append(answer)
    groups = []
    for own in of_database.values():
        shuffled = rng.sample(own, len(own))
        groups += [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
    return groups
