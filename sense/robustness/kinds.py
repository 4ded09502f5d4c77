"""The kinds of perturbation by name: what each does to a database, and to an example on it.

Both are pure functions: the same examples, schema and generator give the same plan, and with it the same example becomes the
same new one.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from sense.records import Example
from sense.robustness import names, questions, structure
from sense.robustness.plan import DatabasePlan, Drop
from sense.schema import Schema

Plan = Callable[[Sequence[Example], Schema, Random], DatabasePlan | Drop]
Rewrite = Callable[[Example, Schema, DatabasePlan, Random], Example | Drop]


class Kind(NamedTuple):
    """A kind of perturbation, with a line of help."""

    help: str
    plan: Plan
    rewrite: Rewrite


def _same_database(_examples: Sequence[Example], _schema: Schema, _rng: Random) -> DatabasePlan:
    return DatabasePlan()


def _same_example(example: Example, _schema: Schema, _plan: DatabasePlan, _rng: Random) -> Example:
    return example


def _new_names(example: Example, schema: Schema, plan: DatabasePlan, _rng: Random) -> Example | Drop:
    return names.rewrite(example, schema, plan)


KINDS: Mapping[str, Kind] = {
    "columns-synonym": Kind("columns under synonyms", names.plan_synonyms, _new_names),
    "columns-abbreviation": Kind("columns under abbreviations", names.plan_abbreviations, _new_names),
    "schema-shuffled": Kind("tables and columns in another order", structure.plan_shuffle, _same_example),
    "distractors": Kind("further tables and columns", structure.plan_distractors, _same_example),
    "no-keys": Kind("no primary and foreign keys declared", structure.plan_no_keys, _same_example),
    "question-keywords": Kind("other words for keywords", _same_database, questions.rewrite_keywords),
    "question-typos": Kind("typing errors", _same_database, questions.rewrite_with_typos),
    "question-lower-case": Kind("no capitals", _same_database, questions.rewrite_in_lower_case),
    "question-rephrased": Kind("other phrasings", _same_database, questions.rewrite_rephrased),
}
