"""Draws the schema of one invented database: the tables and columns of a domain that appear, and their identifiers.

Two databases of one domain differ in their tables, their optional columns, the nouns (`pet` or `animal`) and the naming
style (`home_city`, `HomeCity`, `Home_City`, ...). Tables and columns keep the words of their identifiers for the questions.
"""

from dataclasses import dataclass
from random import Random
from typing import Literal

from sense.teacher.grammar.domains import GROUPS, NUMBERS, ColumnSpec, Domain, TableSpec
from sense.teacher.grammar.english import plural
from sense.teacher.grammar.pieces import GrammarColumn, GrammarSchema, GrammarTable, Link

OPTIONAL_COLUMN_SHARE = 0.8
"""The probability that an optional column appears in a database."""


@dataclass(frozen=True)
class NamingStyle:
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


def draw_schema(domain: Domain, max_tables: int, rng: Random) -> GrammarSchema:
    """A schema of 2 to `max_tables` connected tables of `domain`."""
    style = NamingStyle(
        case=rng.choices(("snake", "camel", "pascal", "title"), (55, 10, 17, 18))[0],
        plural=rng.random() < 0.4,
        long_keys=rng.random() < 0.5,
        long_labels=rng.random() < 0.25,
        short=rng.random() < 0.2,
        keys_last=rng.random() < 0.6,
    )
    chosen = _connected_tables(domain, max_tables, rng)
    nouns = {name: _nouns(name, domain.tables[name], style, rng) for name in chosen}
    tables: dict[str, GrammarTable] = {}
    links: list[Link] = []
    for name in chosen:
        spec = domain.tables[name]
        parents = [parent for parent in spec.refers if parent in chosen]
        referred = any(name in domain.tables[other].refers for other in chosen)
        parent_nouns = [nouns[parent][0][0] for parent in parents]
        tables[name] = _table(nouns[name], spec, parent_nouns=parent_nouns, referred=referred, style=style, rng=rng)
        for parent in parents:
            noun = nouns[parent][0][0]
            key = style.identifier(_key_words(noun, style))
            links.append(
                Link(
                    tables[name].name,
                    style.identifier(f"{noun} id"),
                    tables[parent].name,
                    key,
                    spec.refers[parent].verb,
                    spec.refers[parent].by,
                )
            )
    return GrammarSchema(tuple(tables.values()), tuple(links))


def _connected_tables(domain: Domain, max_tables: int, rng: Random) -> list[str]:
    """The names of a random connected set of tables, parents before children."""
    neighbours: dict[str, list[str]] = {
        name: [other for other in domain.tables if other in table.refers or name in domain.tables[other].refers]
        for name, table in domain.tables.items()
    }
    # More tables make better questions on joins, so larger sizes are more likely.
    size = max(rng.randint(2, min(max_tables, len(neighbours))), rng.randint(2, min(max_tables, len(neighbours))))
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


def _nouns(name: str, spec: TableSpec, style: NamingStyle, rng: Random) -> list[tuple[str, str]]:
    """(singular, plural) of a table's words; the first pair is the one its identifier is made of."""
    pairs = [(name, spec.plural or plural(name))]
    pairs += [
        (word, spec.plural_also[index] if index < len(spec.plural_also) else plural(word)) for index, word in enumerate(spec.also)
    ]
    first = min(pairs, key=lambda pair: len(pair[0])) if style.short else rng.choice([*pairs, pairs[0]])
    return [first, *(pair for pair in pairs if pair != first)]


def _table(
    nouns: list[tuple[str, str]], spec: TableSpec, *, parent_nouns: list[str], referred: bool, style: NamingStyle, rng: Random
) -> GrammarTable:
    (singular, plural_noun), *synonyms = nouns
    keyed = referred or spec.label is not None or rng.random() < 0.7
    key_words = _key_words(singular, style)
    key = GrammarColumn(style.identifier(key_words), key_words, ("id",) if style.long_keys else (), None) if keyed else None
    keys = [GrammarColumn(style.identifier(f"{parent} id"), f"{parent} id", (), None) for parent in parent_nouns]
    data_columns = {words: _column(words, column, style, rng) for words, column in _appearing_columns(spec, rng).items()}
    if spec.label in data_columns and style.long_labels and data_columns[spec.label].words == "name":
        words = f"{singular} name"
        if words not in [column.words for column in data_columns.values()]:
            data_columns[spec.label] = GrammarColumn(style.identifier(words), words, ("name",), spec.columns[spec.label])
    other_columns = [*data_columns.values(), *keys] if style.keys_last else [*keys, *data_columns.values()]
    return GrammarTable(
        name=style.identifier(plural_noun if style.plural else singular),
        singular=singular,
        plural=plural_noun,
        synonyms=tuple(synonyms),
        columns=(*([key] if key else []), *other_columns),
        key=key,
        label=data_columns.get(spec.label) if spec.label else None,
    )


def _key_words(noun: str, style: NamingStyle) -> str:
    return f"{noun} id" if style.long_keys else "id"


def _appearing_columns(spec: TableSpec, rng: Random) -> dict[str, ColumnSpec]:
    """The columns that appear: the label, at least one to group by, at least one number, and most of the others."""
    needed = {spec.label}
    for kinds in (GROUPS, NUMBERS):
        fitting = [words for words, column in spec.columns.items() if column.kind in kinds]
        needed.add(rng.choice(fitting) if fitting else None)
    return {words: column for words, column in spec.columns.items() if words in needed or rng.random() < OPTIONAL_COLUMN_SHARE}


def _column(words: str, spec: ColumnSpec, style: NamingStyle, rng: Random) -> GrammarColumn:
    options = [words, *spec.also]
    chosen = min(options, key=len) if style.short else rng.choice([*options, words])
    return GrammarColumn(style.identifier(chosen), chosen, tuple(other for other in options if other != chosen), spec)
