"""The schema of one invented database: which tables and columns of a domain appear, and under which identifiers.

Two databases of one domain differ in their tables, their optional columns, the words for things (`pet` or `animal`)
and the naming style (`home_city`, `HomeCity`, `Home_City`, ...). Each part keeps the words of its identifier, for the questions.
"""

from dataclasses import dataclass
from random import Random
from typing import Literal

from sense.teacher.grammar.domains import GROUPS, NUMBERS, ColumnSpec, Domain, TableSpec
from sense.teacher.grammar.pieces import Column, Layout, Link, Table
from sense.teacher.grammar.words import plural

KEPT = 0.8
"""The chance of an optional column to appear in a database."""


@dataclass(frozen=True)
class Style:
    """How identifiers are written in one database."""

    case: Literal["snake", "camel", "pascal", "title"]
    plural: bool
    long_keys: bool
    long_labels: bool
    short: bool
    keys_last: bool

    def identifier(self, words: str) -> str:
        """The identifier made of `words`."""
        parts = words.split()
        if self.case == "snake":
            return "_".join(parts)
        capitals = [part.capitalize() for part in parts]
        if self.case == "title":
            return "_".join(capitals)
        return "".join(capitals if self.case == "pascal" else [parts[0], *capitals[1:]])


def sketch(domain: Domain, most: int, rng: Random) -> Layout:
    """A schema of 2 to `most` connected tables of `domain`."""
    style = Style(
        case=rng.choices(("snake", "camel", "pascal", "title"), (55, 10, 17, 18))[0],
        plural=rng.random() < 0.4,
        long_keys=rng.random() < 0.5,
        long_labels=rng.random() < 0.25,
        short=rng.random() < 0.2,
        keys_last=rng.random() < 0.6,
    )
    chosen = _connected(domain, most, rng)
    nouns = {name: _nouns(name, domain.tables[name], style, rng) for name in chosen}
    tables: dict[str, Table] = {}
    links: list[Link] = []
    for name in chosen:
        spec = domain.tables[name]
        parents = [parent for parent in spec.refers if parent in chosen]
        referred = any(name in domain.tables[other].refers for other in chosen)
        above = [nouns[parent][0][0] for parent in parents]
        tables[name] = _table(nouns[name], spec, parents=above, referred=referred, style=style, rng=rng)
        for parent in parents:
            noun = nouns[parent][0][0]
            key = style.identifier(_key_words(noun, style))
            links.append(Link(tables[name].name, style.identifier(f"{noun} id"), tables[parent].name, key, spec.refers[parent]))
    return Layout(tuple(tables.values()), tuple(links))


def _connected(domain: Domain, most: int, rng: Random) -> list[str]:
    """The names of a random connected set of tables, parents before children."""
    near: dict[str, list[str]] = {
        name: [other for other in domain.tables if other in table.refers or name in domain.tables[other].refers]
        for name, table in domain.tables.items()
    }
    # More tables make better questions on joins, so the larger sizes are the likelier ones.
    size = max(rng.randint(2, min(most, len(near))), rng.randint(2, min(most, len(near))))
    chosen = [rng.choice([name for name in near if near[name]])]
    while len(chosen) < size:
        border = [name for name in near if name not in chosen and any(other in chosen for other in near[name])]
        if not border:
            break
        chosen.append(rng.choice(border))
    ordered: list[str] = []
    while len(ordered) < len(chosen):
        waiting = [name for name in near if name in chosen and name not in ordered]
        ordered.append(next(name for name in waiting if not any(parent in waiting for parent in domain.tables[name].refers)))
    return ordered


def _nouns(name: str, spec: TableSpec, style: Style, rng: Random) -> list[tuple[str, str]]:
    """(singular, plural) of a table's words; the first pair is the one its identifier is made of."""
    pairs = [(name, spec.plural or plural(name))]
    pairs += [(word, spec.plural_also[at] if at < len(spec.plural_also) else plural(word)) for at, word in enumerate(spec.also)]
    first = min(pairs, key=lambda pair: len(pair[0])) if style.short else rng.choice([*pairs, pairs[0]])
    return [first, *(pair for pair in pairs if pair != first)]


def _table(
    nouns: list[tuple[str, str]], spec: TableSpec, *, parents: list[str], referred: bool, style: Style, rng: Random
) -> Table:
    (one, many), *others = nouns
    keyed = referred or spec.label is not None or rng.random() < 0.7
    key_words = _key_words(one, style)
    key = Column(style.identifier(key_words), key_words, ("id",) if style.long_keys else (), None) if keyed else None
    keys = [Column(style.identifier(f"{parent} id"), f"{parent} id", (), None) for parent in parents]
    plain = {words: _column(words, column, style, rng) for words, column in _kept(spec, rng).items()}
    if spec.label in plain and style.long_labels and plain[spec.label].words == "name":
        words = f"{one} name"
        if words not in [column.words for column in plain.values()]:
            plain[spec.label] = Column(style.identifier(words), words, ("name",), spec.columns[spec.label])
    middle = [*plain.values(), *keys] if style.keys_last else [*keys, *plain.values()]
    return Table(
        name=style.identifier(many if style.plural else one),
        one=one,
        many=many,
        others=tuple(others),
        columns=(*([key] if key else []), *middle),
        key=key,
        label=plain.get(spec.label) if spec.label else None,
    )


def _key_words(noun: str, style: Style) -> str:
    return f"{noun} id" if style.long_keys else "id"


def _kept(spec: TableSpec, rng: Random) -> dict[str, ColumnSpec]:
    """The columns that appear: the label, at least one to group by, at least one number, and most of the others."""
    needed = {spec.label}
    for kinds in (GROUPS, NUMBERS):
        fitting = [words for words, column in spec.columns.items() if column.kind in kinds]
        needed.add(rng.choice(fitting) if fitting else None)
    return {words: column for words, column in spec.columns.items() if words in needed or rng.random() < KEPT}


def _column(words: str, spec: ColumnSpec, style: Style, rng: Random) -> Column:
    every = [words, *spec.also]
    first = min(every, key=len) if style.short else rng.choice([*every, words])
    return Column(style.identifier(first), first, tuple(other for other in every if other != first), spec)
