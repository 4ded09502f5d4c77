"""Preference pairs: a right sample chosen over a wrong one of the same question, by the strategy of the section."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import console, records
from sense.config import PreferConfig
from sense.errors import UserError
from sense.stages import near_misses
from sense.stages.pairs import (
    UNEXECUTED,
    NoPair,
    choose_couples,
    choose_right,
    group_candidates,
    has_headroom,
    limit_gold,
    make_pairs,
    missing_side,
    samples_by_question,
)
from sense.verdicts import VerdictName

Config = PreferConfig

WITHOUT_EFFECT = {"execution": {"workers": True}}


@dataclass(frozen=True)
class Inputs:
    """The weak model's executed samples and the dataset whose questions they answer."""

    samples: Path
    unseen: Path


@dataclass(frozen=True)
class Outputs:
    """The pairs, one a line, in the order of the questions."""

    pairs: Path
    metrics: Path


def run(config: PreferConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Writes the pairs; InputError if the samples do not fit the dataset, UserError if not one pair can be made."""
    examples = records.read_dataset(inputs.unseen)
    by_question = samples_by_question(inputs.samples, examples)
    sampled = [example for example in examples if example.id in by_question]
    grouped = [group_candidates(example, by_question[example.id], config.drop_errors) for example in sampled]
    dropped = sum((candidates.dropped for candidates in grouped), Counter[str]())
    questions = [choose_right(config, candidates, by_question[candidates.example.id]) for candidates in grouped]
    mutant_verdicts: Counter[VerdictName] = Counter()
    if config.strategy == "near-miss":
        questions, mutant_verdicts = near_misses.add_mutants(config, inputs.unseen, questions)
        unlimited = near_misses.choose_near_misses(config, questions)
    else:
        unlimited = [choose_couples(config, candidates) for candidates in console.track(questions, "pairs", len(questions))]
    couples = limit_gold(config, unlimited)
    pairs = [
        pair
        for candidates, chosen in zip(questions, couples, strict=True)
        for pair in make_pairs(config, candidates.example, chosen)
    ]
    no_pair = Counter(
        missing_side(config, candidates, by_question[candidates.example.id], bool(before))
        for candidates, before, chosen in zip(grouped, unlimited, couples, strict=True)
        if not chosen
    )
    if not pairs:
        raise UserError(_no_pairs_message(config, inputs.samples, len(sampled), no_pair, dropped))
    records.write_jsonl(outputs.pairs, pairs)
    return {
        "questions": len(sampled),
        "headroom": sum(map(has_headroom, by_question.values())),
        "pairs": len(pairs),
        "strategy": config.strategy,
        "chosen": config.chosen,
        "chosen_sources": dict(sorted(Counter(row.chosen_source for row in pairs).items())),
        "rejected_errors": records.verdict_counts(row.error for row in pairs),
        "rejected_runs": sum(row.error not in UNEXECUTED for row in pairs) / len(pairs),
        "rejected_classes": dict(sorted(Counter(row.error_class for row in pairs).items())),
        "rejected_sources": dict(sorted(Counter(row.source for row in pairs).items())),
        "mutants": records.verdict_counts(mutant_verdicts.elements()),
        "no_pair": dict(sorted(no_pair.items())),
        "dropped": dict(sorted(dropped.items())),
    }


def _no_pairs_message(config: PreferConfig, file: Path, questions: int, no_pair: Counter[NoPair], dropped: Counter[str]) -> str:
    """Why there is no pair, and what to change."""
    names = {
        "all_right": "right samples alone",
        "all_wrong": "wrong samples alone",
        "same_query": "right and wrong alike",
        "no_headroom": "no wrong sample",
        "gold_above_share": "the gold alone, of which prefer.gold_share allows no more",
    }
    counts = [f"{count} with {names.get(reason, 'no usable sample')}" for reason, count in no_pair.most_common()]
    left_out = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common()) or "none"
    ways = ["sample more questions (synthesize.count, sample.limit)", "raise sample.k or sample.temperature"]
    if config.chosen == "sample":
        ways.append("set prefer.chosen: gold, which needs no right sample")
    if no_pair["no_headroom"]:
        ways.append("set prefer.headroom: false")
    if no_pair["gold_above_share"]:
        ways.append("raise prefer.gold_share")
    if dropped["did not run"]:
        ways.append("set prefer.drop_errors: false")
    return (
        f"{file}: no preference pair from {questions} questions: {', '.join(counts) or 'there is no sample'} "
        f"(samples left out: {left_out}); {', or '.join(ways)}"
    )
