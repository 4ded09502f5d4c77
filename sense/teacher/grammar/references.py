"""The keys of rows: primary keys, and foreign keys that all refer to a parent row, some parents often and some never."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from sense.teacher import CellValue
from sense.teacher.grammar.database import GrammarTable, Link

ROOT_SHARE = 0.25
"""The share of rows without a parent where a table refers to itself."""


@dataclass(frozen=True)
class KeyStyle:
    """The primary keys of one database: numbers from `first` on, at most `step` apart, as texts with a letter if `text`."""

    first: int
    step: int
    text: bool

    def keys(self, table: GrammarTable, count: int, rng: Random) -> list[CellValue]:
        """`count` different keys of a table, in ascending order."""
        if self.step == 1:
            numbers = list(range(self.first, self.first + count))
        else:
            numbers = list(accumulate((rng.randint(1, self.step) for _ in range(count - 1)), initial=self.first))
        if not self.text:
            return list(numbers)
        width = len(str(numbers[-1]))
        return [f"{table.singular[0].upper()}{number:0{width}d}" for number in numbers]


def draw_key_style(rng: Random) -> KeyStyle:
    """A style of primary keys."""
    return KeyStyle(rng.choice((1, 1, 101, 1001)), rng.choices((1, 4), (80, 20))[0], rng.random() < 0.08)


def key_values(
    table: GrammarTable, links: Sequence[Link], parents: Mapping[str, GrammarTable], count: int, style: KeyStyle, rng: Random
) -> dict[str, list[CellValue]]:
    """The values of all key columns of a table, in at most `count` rows; `parents` are the filled tables that it refers to."""
    values: dict[str, list[CellValue]] = {}
    if table.key:
        values[table.key.name] = style.keys(table, count, rng)
    upward = [link for link in links if link.parent != link.child]
    options = {link.column: parents[link.parent].column(link.key).values for link in upward}
    composite = [link for link in upward if not table.key and link.column in table.key_columns]
    if len(composite) == 2:
        first, second = (link.column for link in composite)
        pairs = _different_pairs(options[first], options[second], count, rng)
        values[first], values[second] = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        count = len(pairs)
    elif composite:
        column, number = table.key_columns
        order = {key: position for position, key in enumerate(options[column])}
        values[column] = sorted(skewed(options[column], count, rng), key=order.__getitem__)
        values[number] = _numbers_within(values[column])
    for link in upward:
        if link.column not in values:
            keys = skewed(options[link.column], count, rng)
            for other in upward:
                if other.parent == link.parent and other.column in values:
                    keys = _other_keys(keys, values[other.column], options[link.column], rng)
            values[link.column] = keys
    for link in links:
        if link.parent == link.child and table.key:
            values[link.column] = _forest(values[table.key.name], rng)
    return values


def skewed(keys: Sequence[CellValue], count: int, rng: Random) -> list[CellValue]:
    """`count` of the keys, some often and some never."""
    used = rng.sample(keys, max(1, round(len(keys) * rng.uniform(0.65, 0.9))))
    return list(rng.choices(used, cum_weights=_cumulative(len(used), rng.choice((0.4, 0.7, 0.7, 1.1))), k=count))


def weights(count: int, exponent: float = 0.7) -> list[float]:
    """Falling weights, so that groups differ in size."""
    return [1 / (index + 1) ** exponent for index in range(count)]


def _cumulative(count: int, exponent: float) -> list[float]:
    return list(accumulate(weights(count, exponent)))


def _different_pairs(
    first: Sequence[CellValue], second: Sequence[CellValue], count: int, rng: Random
) -> list[tuple[CellValue, CellValue]]:
    """At most `count` different pairs, in the order of the first keys."""
    pairs = dict.fromkeys(zip(skewed(first, count, rng), skewed(second, count, rng), strict=True))
    for _ in range(4):
        missing = min(count, len(first) * len(second) * 2 // 3) - len(pairs)
        if missing <= 0:
            break
        pairs |= dict.fromkeys(zip(rng.choices(first, k=missing), rng.choices(second, k=missing), strict=True))
    order = {key: position for position, key in enumerate(first)}
    return sorted(pairs, key=lambda pair: order[pair[0]])


def _other_keys(
    keys: Sequence[CellValue], others: Sequence[CellValue], options: Sequence[CellValue], rng: Random
) -> list[CellValue]:
    """The keys; where one is the same as that of `others`, another of `options` if there are two."""
    return [
        key if key != other or len(options) < 2 else rng.choice([option for option in options if option != other])
        for key, other in zip(keys, others, strict=True)
    ]


def _numbers_within(keys: Sequence[CellValue]) -> list[CellValue]:
    """1, 2, ... for the rows of each key."""
    counts: dict[CellValue, int] = {}
    numbers: list[CellValue] = []
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
        numbers.append(counts[key])
    return numbers


def _forest(keys: Sequence[CellValue], rng: Random) -> list[CellValue]:
    """For each of the keys its parent, or None; following parents ends at a row without one."""
    order = rng.sample(keys, len(keys))
    roots = max(1, round(len(order) * ROOT_SHARE))
    parents: dict[CellValue, CellValue] = {}
    for position, key in enumerate(order[roots:], start=roots):
        # Few rows have children: only the first ones in the random order, so that the trees are flat.
        parents[key] = order[rng.randrange(min(position, max(2, len(order) // 2)))]
    return [parents.get(key) for key in keys]
