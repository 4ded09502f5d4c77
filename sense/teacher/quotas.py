"""What an LLM is asked for by what is missing: the hardness, a feature of SQL and the style of each question of a unit.

The shares aimed at are those of the section: `levels`, of each level the features of `llm.quotas`, and `llm.styles`. Of the first
m units it is counted what was asked for and what was kept, as measured on the SQL; of the units after them, what was asked for
and will come as often as it did before. A unit asks for what is missing then, the more the less often it came.

Unit number n knows the first m(n) units, about half of those before it, in whole rounds. So half of them may be on their way, and
neither the order in which answers come nor their number at a time changes what is asked for.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

from sense.config import LlmConfig, QuestionStyle, SqlFeature, SynthesizeConfig
from sense.records import HARDNESS, Example, Hardness
from sense.sql.features import features
from sense.sql.tree import shared_tree
from sense.teacher.drafts import normalize_domain, over_represented_domains

ROUND = 8
"""Units whose examples are counted together."""
_AHEAD = 4  # units among which what is missing is shared out, so that none is all of one kind
_ANYWAY = 0.25  # of the questions: at the levels as they are aimed at, so that a model which never reaches one writes others
_LEAST_YIELD = 0.1  # what hardly ever comes is asked for ten times as often, and no more

T = TypeVar("T")
Kind = Literal["level", "feature", "style"]


class Wish(NamedTuple):
    """What one question is to be; without a feature any will do."""

    level: Hardness
    feature: SqlFeature | None
    style: QuestionStyle


def known_units(number: int) -> int:
    """The number m of first units whose examples unit `number` knows.

    >>> [known_units(number) for number in (0, 15, 16, 31, 32, 100)]
    [0, 0, 8, 8, 16, 48]
    """
    return number // 2 // ROUND * ROUND


@dataclass
class _Counts:
    """What was asked for in some first units, and what of it was kept; `domains` are those of all databases."""

    kept: float = 0
    asked_of: Counter[tuple[str, ...]] = field(default_factory=Counter)
    kept_of: defaultdict[tuple[str, ...], float] = field(default_factory=lambda: defaultdict(float))
    domains: Counter[str] = field(default_factory=Counter)

    def copy(self) -> "_Counts":
        return _Counts(self.kept, self.asked_of.copy(), self.kept_of.copy(), self.domains.copy())

    def expect(self, wishes: Sequence[Wish]) -> None:
        """Counts wishes that are on their way as kept, as often as such were kept so far."""
        chances = {name: self.chance(*name) for wish in wishes for name in _wish_names(wish)}
        for wish in wishes:
            self.kept += chances[wish.level,]
            for name in _wish_names(wish):
                self.kept_of[name] += chances[name]

    def chance(self, *name: str) -> float:
        """How often what was asked for came, as far as one knows."""
        return min(1.0, max(_LEAST_YIELD, (self.kept_of[name] + 1) / (self.asked_of[name] + 1)))


class Quotas:
    """The wishes of each unit, `size` of them; they depend on the section and on the examples of earlier units."""

    def __init__(self, config: SynthesizeConfig, llm: LlmConfig) -> None:
        self._seed, self.size, self._quotas = config.seed, llm.questions, llm.quotas
        self._levels = _shares({level: config.levels.get(level, 0.0) for level in HARDNESS})
        self._styles = _shares(llm.styles)
        self._counts = _Counts()
        self._snapshots = {0: self._counts.copy()}
        self._added = 0
        self._wishes: list[list[Wish]] = []

    def add(self, wishes: Sequence[Wish], examples: Sequence[Example], domain: str) -> None:
        """Counts the next unit: what was asked for, the examples that were kept of it, and the domain of its database, if any."""
        counts = self._counts
        for wish in wishes:
            counts.asked_of.update(_wish_names(wish))
        for example in examples:
            for name in _names(example.hardness, sql_features(example.sql), example_style(example)):
                counts.kept_of[name] += 1
        counts.kept += len(examples)
        if domain:
            counts.domains[normalize_domain(domain)] += 1
        self._added += 1
        if self._added % ROUND == 0:
            self._snapshots[self._added] = counts.copy()

    def is_ready(self, number: int) -> bool:
        """Whether the units are counted that unit `number` knows."""
        return known_units(number) in self._snapshots

    def avoid(self, number: int) -> list[str]:
        """The domains that unit `number` is to avoid."""
        return over_represented_domains(self._snapshots[known_units(number)].domains)

    def wishes(self, number: int) -> list[Wish]:
        """What unit `number`, which is ready, asks for: from easy to extra, in styles of random order."""
        while len(self._wishes) <= number:
            self._wishes.append(self._next_wishes(len(self._wishes)))
        return self._wishes[number]

    def _next_wishes(self, number: int) -> list[Wish]:
        counts = self._snapshots[known_units(number)].copy()
        counts.expect([wish for wishes in self._wishes[known_units(number) :] for wish in wishes])
        rng = random.Random(f"{self._seed}-wishes-{number}")
        horizon = counts.kept + _AHEAD * self.size
        missing = {level: max(0.0, share * horizon - counts.kept_of[level,]) for level, share in self._levels.items()}
        lacking = _shares({level: amount / counts.chance(level) for level, amount in missing.items()})
        weights = {level: (1 - _ANYWAY) * lacking[level] + _ANYWAY * share for level, share in self._levels.items()}
        levels = [level for level in HARDNESS if self._levels[level] > 0]
        drawn = _spread(weights, self.size, rng)
        style_weights = {
            style: max(0.0, share * horizon - counts.kept_of["style", style]) / counts.chance("style", style)
            for style, share in self._styles.items()
        }
        styles = _spread(style_weights, self.size, rng)
        rng.shuffle(styles)
        wishes: list[Wish] = []
        for level in levels:
            of_level = self._features(level, drawn.count(level), horizon, missing[level], counts, rng)
            wishes += [Wish(level, feature, styles[len(wishes) + place]) for place, feature in enumerate(of_level)]
        return wishes

    def _features(
        self, level: Hardness, number: int, horizon: float, missing: float, counts: _Counts, rng: random.Random
    ) -> list[SqlFeature | None]:
        """The features that the questions of a level ask for; as many ask for none as there are questions to spare."""
        in_all = self._levels[level] * horizon
        to_come = max(missing, 1e-9) / counts.chance(level)
        weights: dict[SqlFeature | None, float] = {}
        for feature, share in self._quotas.get(level, {}).items():
            amount = max(0.0, share * in_all - counts.kept_of[level, feature])
            weights[feature] = amount / counts.chance(level, feature) / to_come
        weights[None] = max(0.0, 1 - sum(weights.values()))
        return _spread(weights, number, rng)


def sql_features(sql: str) -> list[SqlFeature]:
    """The features of a query, sorted; none of one that cannot be parsed."""
    tree = shared_tree(sql)
    return [] if tree is None else sorted(features(tree))


def example_style(example: Example) -> str:
    """The style in which the question of an example was asked for; '' if in none."""
    return str(getattr(example, "style", ""))


def count_wishes(wishes: Sequence[Wish]) -> Counter[tuple[Kind, str]]:
    """How often each level, feature and style is asked for."""
    counts: Counter[tuple[Kind, str]] = Counter()
    for wish in wishes:
        counts["level", wish.level] += 1
        counts["style", wish.style] += 1
        if wish.feature is not None:
            counts["feature", wish.feature] += 1
    return counts


def asked_and_kept(asked: Mapping[tuple[Kind, str], int], examples: Sequence[Example]) -> dict[str, dict[str, dict[str, int]]]:
    """How often each level, feature and style was asked for, and how many of the examples have it.

    A query has more features than the one that was asked for, so that of these more may be kept than asked for.
    """
    kept: Counter[tuple[Kind, str]] = Counter()
    for example in examples:
        kept["level", example.hardness] += 1
        kept["style", example_style(example)] += 1
        kept.update(("feature", feature) for feature in sql_features(example.sql))
    kinds: tuple[Kind, ...] = ("level", "feature", "style")
    names = {kind: sorted({name for of, name in [*asked, *kept] if of == kind and name}) for kind in kinds}
    names["level"] = [*HARDNESS]
    return {
        kind: {name: {"asked": asked.get((kind, name), 0), "kept": kept[kind, name]} for name in names[kind]} for kind in kinds
    }


def _wish_names(wish: Wish) -> list[tuple[str, ...]]:
    return _names(wish.level, [wish.feature] if wish.feature else [], wish.style)


def _names(level: Hardness, of_sql: Sequence[SqlFeature], style: str) -> list[tuple[str, ...]]:
    """What an example or a wish counts for."""
    return [(level,), ("style", style), *((level, feature) for feature in of_sql)]


def _shares(weights: Mapping[T, float]) -> dict[T, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _spread(weights: Mapping[T, float], number: int, rng: random.Random) -> list[T]:
    """`number` names, each as often as its weight says up to one more or less, in the order of the weights."""
    total, names = sum(weights.values()), list(weights)
    if number == 0 or total <= 0:
        return [names[-1]] * number
    start, passed, place = rng.random(), 0.0, 0
    drawn: list[T] = []
    for name in names:
        passed += weights[name] / total * number
        while place < number and place + start < passed:
            drawn.append(name)
            place += 1
    return [*drawn, *([names[-1]] * (number - len(drawn)))]
