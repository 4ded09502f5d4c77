"""The strategy near-miss: of each question one wrong SQL that runs, all kinds of mistakes alike.

The model's own mistakes come first. A question whose wrong samples do not run, or which has none, gets a mutant of its gold that
was executed on all of the question's databases and is wrong there. Only where there is no mutant either, a sample that does not
run is taken.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from sense import records
from sense.config import PreferConfig
from sense.evaluation.score import ScoringItem, score
from sense.schema import introspect
from sense.sql import modes
from sense.sql.error_class import error_class
from sense.sql.execute import Executor
from sense.sql.mutants import mutants
from sense.sql.tree import fingerprint
from sense.stages.pairs import TOO_LONG, Couple, PairCandidate, QuestionCandidates
from sense.verdicts import VerdictName


def add_mutants(
    config: PreferConfig, dataset: Path, questions: Sequence[QuestionCandidates]
) -> tuple[list[QuestionCandidates], Counter[VerdictName]]:
    """The questions, with wrong mutants of the gold added where no wrong sample runs; and the verdicts on those mutants.

    InputError if a database cannot be read.
    """

    @cache
    def tables(db_id: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        schema = introspect(records.database_path(dataset, db_id))
        columns = {table.name: [column.name for column in table.columns] for table in schema.tables}
        keys = {table.name: [column.name for column in table.columns if column.primary_key] for table in schema.tables}
        return columns, {table: names if len(names) == 1 else [] for table, names in keys.items() if names}

    items = []
    for number, candidates in enumerate(questions):
        needed = candidates.right and TOO_LONG not in candidates.dropped
        if needed and not any(couple.wrong.runs for couple in candidates.couples()):
            gold = candidates.example.sql
            database = records.database_path(dataset, candidates.example.db_id)
            items += [
                ScoringItem(str(number), database, mutant.sql, gold)
                for mutant in mutants(gold, *tables(candidates.example.db_id))
            ]
    added: defaultdict[int, list[PairCandidate]] = defaultdict(list)
    verdicts: Counter[VerdictName] = Counter()
    with Executor(config.execution) as executor:
        for item, verdict in zip(items, score(executor, items, "mutants", modes.STRICT_TS), strict=True):
            verdicts[verdict.verdict] += 1
            if verdict.verdict == "mismatch":
                added[int(item.id)].append(
                    PairCandidate(item.predicted, fingerprint(item.predicted), "mismatch", verdict.detail, "mutant")
                )
    return [replace(candidates, wrong=candidates.wrong + added[number]) for number, candidates in enumerate(questions)], verdicts


def choose_near_misses(config: PreferConfig, questions: Sequence[QuestionCandidates]) -> list[list[Couple]]:
    """The couple of each question, in a list, which is empty if it has none.

    Of each question the class of errors is taken that the couples so far have least often; questions with fewer classes come
    first, as the others can make up for them. Within a class the wrong sample nearest to a right one is taken, and a mutant is
    drawn, as all are near.
    """
    pools = [_by_class(candidates) for candidates in questions]
    counts: Counter[str] = Counter()
    chosen: list[list[Couple]] = [[] for _ in questions]
    for number in sorted(range(len(questions)), key=lambda number: len(pools[number])):  # the order of questions among equals
        pool = pools[number]
        if pool:
            name = min(pool, key=lambda name: (counts[name], name))
            counts[name] += 1
            chosen[number] = [_pick(config, questions[number], pool[name])]
    return chosen


def _by_class(candidates: QuestionCandidates) -> Mapping[str, list[Couple]]:
    """The best couples of a question, by the class of the wrong one's error: with samples that run, else mutants, else others."""
    couples = candidates.couples()
    tiers: Iterable[list[Couple]] = (
        [couple for couple in couples if couple.wrong.runs and couple.wrong.source == "sample"],
        [couple for couple in couples if couple.wrong.source == "mutant"],
        couples,
    )
    best = next(filter(None, tiers), [])
    classes = {
        wrong: error_class(candidates.example.sql, wrong.sql, wrong.error, wrong.detail)
        for wrong in dict.fromkeys(couple.wrong for couple in best)
    }
    by_class: defaultdict[str, list[Couple]] = defaultdict(list)
    for couple in best:
        by_class[classes[couple.wrong]].append(couple)
    return by_class


def _pick(config: PreferConfig, candidates: QuestionCandidates, couples: Sequence[Couple]) -> Couple:
    if couples[0].wrong.source == "mutant":
        return random.Random(f"{config.seed}-mutant-{candidates.example.id}").choice(couples)
    return min(couples, key=lambda couple: couple.distance)  # the first of equals
