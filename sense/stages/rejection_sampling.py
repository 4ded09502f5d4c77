"""Rejection sampling: the right answers that RFT trains on, which are samples as far as there are any."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sense.config import RftConfig
from sense.records import Example, Sample
from sense.stages.pairs import group_candidates


class Selection(NamedTuple):
    """The answers to train on, in the order of the questions; the questions and the samples left out, by reason.

    An answer is its question's example with other SQL; `source` is `sample` or `gold`.
    """

    answers: list[Example]
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
        if config.questions == "missed" and all(sample.correct for sample in samples):
            selection.questions["all samples right"] += 1
            continue
        candidates = group_candidates(example, samples)
        selection.samples.update(candidates.dropped)
        selection.samples["wrong"] += len(candidates.wrong)
        selection.samples["more than rft.plans"] += len(candidates.right[config.plans :])
        if candidates.right:
            selection.answers.extend(_answer(example, candidate.sql, "sample") for candidate in candidates.right[: config.plans])
        elif all(sample.verdict == "gold_error" for sample in samples):
            selection.questions["gold_error"] += 1
        elif not config.gold:
            selection.questions["no right sample"] += 1
        else:
            selection.answers.append(_answer(example, example.sql, "gold"))
    return selection


def _answer(example: Example, sql: str, source: str) -> Example:
    return example.model_copy(update={"sql": sql, "source": source})
