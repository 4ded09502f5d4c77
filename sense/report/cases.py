"""The examples shown: first where the models disagree, then where all are wrong or all right."""

import random
from dataclasses import dataclass

from sense.report.material import MODELS, Answer, Material
from sense.report.results import NAMES, SET_NAMES

# Patterns of who is right, in the order of their interest; what matches none of the first four is told by _kind.
KINDS = {
    "gained": "SENSE right, SFT wrong",
    "lost": "SENSE wrong, SFT right",
    "taught": "SFT and SENSE right, base wrong",
    "forgotten": "base right, SFT and SENSE wrong",
    "none": "all wrong",
    "all": "all right",
}


@dataclass(frozen=True)
class Case:
    """A question with every model's answer; `answers` are (model, name, answer)."""

    kind: str
    title: str
    set_name: str
    id: str
    db_id: str
    hardness: str
    question: str
    evidence: str
    gold: str
    answers: list[tuple[str, str, Answer]]


def choose(material: Material, seed: int, n: int) -> list[Case]:
    """`n` cases: one of each kind in turn, as long as there are any, shuffled with `seed` and shown kind by kind."""
    kinds: dict[str, list[Case]] = {kind: [] for kind in KINDS}
    for name, questions in material.questions.items():
        for key, example in questions.items():
            if all(key in material.answers[name][model] for model in MODELS):
                answers = [(model, NAMES[model], material.answers[name][model][key]) for model in MODELS]
                kind = _kind([answer.verdict.correct for *_, answer in answers])
                about = (example.db_id, example.hardness, example.question, example.evidence, example.sql)
                kinds[kind].append(Case(kind, KINDS[kind], SET_NAMES[name], key, *about, answers))
    for kind, found in kinds.items():
        random.Random(f"{seed}-cases-{kind}").shuffle(found)
    turns = ((turn, kind) for turn in range(n) for kind in KINDS if turn < len(kinds[kind]))
    picked = [pick for pick, _ in zip(turns, range(n), strict=False)]
    return [kinds[kind][turn] for kind in KINDS for turn, chosen in picked if chosen == kind]


def _kind(right: list[bool]) -> str:
    """The kind of a case from who is right (base, sft, sense)."""
    base, sft, sense = right
    if sft != sense:
        return "gained" if sense else "lost"
    if base != sft:
        return "taught" if sft else "forgotten"
    return "all" if base else "none"
