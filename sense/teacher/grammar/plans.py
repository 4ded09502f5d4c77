"""Draws which tables an invented database has: a connected part of its domain, and tables that fit any domain."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from sense.teacher.grammar.domains import ENTITY, Domain, Reference, TableSpec, general
from sense.teacher.grammar.english.language import plural
from sense.teacher.grammar.naming import NamingStyle

MEAN_TABLES = 5
"""The mean number of tables where the configuration allows many."""
GENERAL_TABLE_SHARE = 0.35
"""The probability that one of the tables is a general one although the domain has enough of its own; then again for another."""

Nouns = list[tuple[str, str]]


@dataclass(frozen=True)
class TablePlan:
    """A table that is to appear, with its references to others that appear, and its nouns in singular and plural."""

    spec: TableSpec
    nouns: Nouns
    refers: Mapping[str, Reference]

    @property
    def noun(self) -> str:
        """The noun that its identifier is made of."""
        return self.nouns[0][0]


def draw_plans(domain: Domain, max_tables: int, style: NamingStyle, rng: Random) -> dict[str, TablePlan]:
    """The tables that appear, 2 to `max_tables`, parents before children: those of the domain first, then general ones."""
    size = _size(max_tables, rng)
    own = min(size, len(domain.tables))
    while own > 2 and rng.random() < GENERAL_TABLE_SHARE:
        own -= 1
    plans: dict[str, TablePlan] = {}
    for name in _connected_tables(domain, own, rng):
        spec = domain.tables[name]
        plans[name] = TablePlan(spec, _nouns(name, spec, style, rng), {p: r for p, r in spec.refers.items() if p in plans})
    domain_nouns = {noun for name, spec in domain.tables.items() for noun in (name, *spec.also)}
    entities = [name for name, plan in plans.items() if plan.spec.label] or list(plans)  # a junction has no notes
    with_address = [name for name in entities if _has_address(plans[name].spec)]
    unused = {name: spec for name, spec in general().tables.items() if not domain_nouns & {name, *spec.also}}
    if not with_address:
        unused = {name: spec for name, spec in unused.items() if name not in general().for_people_and_places}
    while len(plans) < size:
        additions = [
            [*(parent for parent in spec.refers if parent in unused), name]
            for name, spec in unused.items()
            if spec.refers and set(spec.refers) <= {ENTITY, *unused, *plans}
        ]
        additions = [names for names in additions if len(plans) + len(names) <= size]
        if not additions:
            break
        for name in rng.choice(additions):
            fitting = with_address if name in general().for_people_and_places else entities
            plans[name] = _general_plan(name, unused.pop(name), plans, fitting, style, rng)
    return plans


def _size(most: int, rng: Random) -> int:
    """The number of tables: 2 to `most`, about MEAN_TABLES in the mean where `most` is large."""
    if most <= MEAN_TABLES:  # more tables make better questions on joins, so larger sizes are more likely
        return max(rng.randint(2, most), rng.randint(2, most))
    if rng.random() < 0.05:
        return rng.randint(MEAN_TABLES, most)
    size = 2
    while size < most and rng.random() < (0.86 if size < 4 else 0.62):
        size += 1
    return size


def _has_address(spec: TableSpec) -> bool:
    """True if the rows of a table are people, or have a city, a phone or an email address."""
    kinds = {column.kind for column in spec.columns.values()}
    return bool(kinds & {"city", "phone", "email"}) or (spec.label is not None and spec.columns[spec.label].kind == "person")


def _general_plan(
    name: str, spec: TableSpec, plans: Mapping[str, TablePlan], entities: list[str], style: NamingStyle, rng: Random
) -> TablePlan:
    """A general table, which refers to one of `entities` and to the other general tables of its specification."""
    entity = rng.choice(entities)
    nouns = _nouns(name, spec, style, rng)
    if ENTITY in spec.refers and rng.random() < 0.5:
        nouns = [(f"{plans[entity].noun} {one}", f"{plans[entity].noun} {many}") for one, many in nouns]
    refers = {entity if parent == ENTITY else parent: reference for parent, reference in spec.refers.items()}
    if roles := refers[entity].roles if entity in refers else {}:
        of_entity = {f"{role} {plans[entity].noun}": reference for role, reference in roles.items()}
        refers[entity] = refers[entity].model_copy(update={"roles": of_entity})
    across = {entity if parent == ENTITY else parent: verb for parent, verb in spec.across.items()}
    return TablePlan(spec.model_copy(update={"across": across}), nouns, refers)


def _connected_tables(domain: Domain, size: int, rng: Random) -> list[str]:
    """The names of a random connected set of tables, parents before children."""
    neighbours: dict[str, list[str]] = {
        name: [other for other in domain.tables if other in table.refers or name in domain.tables[other].refers]
        for name, table in domain.tables.items()
    }
    chosen = [rng.choice([name for name in neighbours if neighbours[name]])]
    while len(chosen) < size:
        candidates = [name for name in neighbours if name not in chosen and any(other in chosen for other in neighbours[name])]
        if not candidates:
            break
        chosen.append(rng.choice(candidates))
    ordered: list[str] = []
    while len(ordered) < len(chosen):
        waiting = [name for name in neighbours if name in chosen and name not in ordered]
        ordered.append(next(name for name in waiting if not any(parent in waiting for parent in domain.tables[name].refers)))
    return ordered


def _nouns(name: str, spec: TableSpec, style: NamingStyle, rng: Random) -> Nouns:
    """(singular, plural) of a table's words; the first pair is the one its identifier is made of."""
    pairs = [(name, spec.plural or plural(name))]
    pairs += [
        (word, spec.plural_also[index] if index < len(spec.plural_also) else plural(word)) for index, word in enumerate(spec.also)
    ]
    first = min(pairs, key=lambda pair: len(pair[0])) if style.short else rng.choice([*pairs, pairs[0]])
    return [first, *(pair for pair in pairs if pair != first)]
