"""Draws the schema of one invented database: the tables and columns of a domain that appear, their identifiers and keys.

Two databases of one domain differ in their tables, their optional columns, the nouns (`pet` or `animal`), the naming style
(`home_city`, `HomeCity`, `Home_City`, ...), the kinds of primary keys and the tables that fit any domain (notes, tags, staff).
Tables and columns keep the words of their identifiers for the questions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from sense.teacher.grammar.domains import ENTITY, GROUPS, NUMBERS, ColumnSpec, Domain, Reference, TableSpec, general
from sense.teacher.grammar.english import plural
from sense.teacher.grammar.naming import NamingStyle, draw_naming
from sense.teacher.grammar.pieces import GrammarColumn, GrammarSchema, GrammarTable, Link

OPTIONAL_COLUMN_SHARE = 0.8
"""The probability that an optional column appears in a database."""
MEAN_TABLES = 5
"""The mean number of tables where the configuration allows many."""
GENERAL_TABLE_SHARE = 0.25
"""The probability that one of the tables is a general one although the domain has enough tables of its own."""
SELF_REFERENCE_SHARE = 0.8
"""The probability that a table refers to itself where its domain says how."""
PAIR_KEY_SHARE = {True: 0.5, False: 0.15}
"""The probability that the primary key of a table with two parents is the pair of its foreign keys: if it joins them, if not."""
NUMBERED_SHARE = 0.1
"""The probability that the primary key of a table with one parent is the foreign key and a number within that parent."""
EXTRA_SHARES = {"distractors": 0.11, "reserved": 0.02}
"""The share of databases whose tables have distractors, or a column whose name is a reserved word."""
KEYLESS_SHARE = 0.2
"""The probability that a table that no other refers to has no primary key at all."""

_NUMBER_WORDS = ("line number", "sequence number", "entry number")
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


@dataclass(frozen=True)
class Extras:
    """Whether the tables of a database have columns that are not from its domain: distractors, and reserved words."""

    distractors: bool
    reserved: bool


def draw_schema(domain: Domain, max_tables: int, rng: Random) -> GrammarSchema:
    """A schema of 2 to `max_tables` connected tables: those of `domain`, and perhaps some that fit any domain."""
    style = draw_naming(rng)
    extras = Extras(*(rng.random() < share for share in EXTRA_SHARES.values()))
    plans = _plans(domain, _size(max_tables, rng), style, rng)
    referred = {parent for plan in plans.values() for parent in plan.refers}
    taken: set[str] = set()
    builders: dict[str, _TableBuilder] = {}
    for name, plan in plans.items():
        parents = {parent: builders[parent] for parent in plan.refers}
        builders[name] = _TableBuilder(plan, parents, name in referred, taken, style, extras, rng)
    return GrammarSchema(
        tuple(builder.table() for builder in builders.values()),
        tuple(link for builder in builders.values() for link in builder.links),
    )


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


def _plans(domain: Domain, size: int, style: NamingStyle, rng: Random) -> dict[str, TablePlan]:
    """The tables that appear, parents before children: those of the domain first, then general ones."""
    own = min(size, len(domain.tables))
    if own > 2 and rng.random() < GENERAL_TABLE_SHARE:
        own -= 1
    plans: dict[str, TablePlan] = {}
    for name in _connected_tables(domain, own, rng):
        spec = domain.tables[name]
        plans[name] = TablePlan(spec, _nouns(name, spec, style, rng), {p: r for p, r in spec.refers.items() if p in plans})
    domain_nouns = {noun for name, spec in domain.tables.items() for noun in (name, *spec.also)}
    # A table that is referred to, or says what it is called, is more likely to have notes and tags than a junction.
    entities = [name for name, plan in plans.items() if plan.spec.label] or list(plans)
    unused = {name: spec for name, spec in general().tables.items() if not domain_nouns & {name, *spec.also}}
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
            plans[name] = _general_plan(name, unused.pop(name), plans, entities, style, rng)
    return plans


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


class _TableBuilder:
    """Draws the columns and keys of one table; its parents have theirs already."""

    def __init__(
        self,
        plan: TablePlan,
        parents: Mapping[str, "_TableBuilder"],
        referred: bool,
        taken: set[str],
        style: NamingStyle,
        extras: Extras,
        rng: Random,
    ) -> None:
        self._plan, self._parents, self._style, self._rng = plan, parents, style, rng
        self._taken: set[str] = set()
        singular, many = plan.nouns[0]
        self.name = style.new_identifier(many if style.plural else singular, taken)
        self.links: list[Link] = []
        spec = plan.spec
        self._refers_to_itself = spec.refers_self is not None and rng.random() < SELF_REFERENCE_SHARE
        key_kind = self._key_kind(referred)
        self.key = self._key() if key_kind == "single" else None
        foreign_keys = self._foreign_keys()
        self.key_columns: tuple[str, ...] = (self.key.name,) if self.key else ()
        lead: list[GrammarColumn] = [self.key] if self.key else []
        if key_kind in ("pair", "numbered"):
            lead, foreign_keys = foreign_keys, []
            if key_kind == "numbered":
                lead.append(self._new_column(rng.choice(_NUMBER_WORDS), (), None))
            self.key_columns = tuple(column.name for column in lead)
        data_columns = self._data_columns()
        self._label = data_columns.get(spec.label or "")
        foreign_keys += self._self_reference()
        distractors = self._distractors() if extras.distractors and rng.random() < 0.7 else []
        if extras.reserved and rng.random() < 0.5:
            data_columns |= self._reserved_column()
        rest = [*data_columns.values(), *foreign_keys] if style.keys_last else [*foreign_keys, *data_columns.values()]
        self._columns = (*lead, *rest, *distractors)

    def table(self) -> GrammarTable:
        """The table."""
        (singular, many), *synonyms = self._plan.nouns
        across = self._plan.spec.across
        return GrammarTable(
            name=self.name,
            singular=singular,
            plural=many,
            synonyms=tuple(synonyms),
            columns=self._columns,
            key=self.key,
            label=self._label,
            key_columns=self.key_columns,
            across={self._parents[parent].name: verb for parent, verb in across.items()} if self._joins_two() else {},
        )

    def _joins_two(self) -> bool:
        """True if it says how its two parents belong together, and both are there."""
        return bool(self._plan.spec.across) and set(self._plan.spec.across) == set(self._parents)

    def _key_kind(self, referred: bool) -> str:
        """Which columns are the primary key: "single", "pair" (two foreign keys), "numbered" (one and a number), "none"."""
        if referred or self._plan.spec.label is not None or self._refers_to_itself:
            return "single"
        number, foreign_keys = self._rng.random(), sum(len(refers.roles) or 1 for refers in self._plan.refers.values())
        if len(self._parents) == foreign_keys == 2 and number < PAIR_KEY_SHARE[self._joins_two()]:
            return "pair"
        if foreign_keys == 1 and number < NUMBERED_SHARE:
            return "numbered"
        return "none" if self._rng.random() < KEYLESS_SHARE else "single"

    def _new_column(self, words: str, synonyms: tuple[str, ...], spec: ColumnSpec | None) -> GrammarColumn:
        return GrammarColumn(self._style.new_identifier(words, self._taken), words, synonyms, spec)

    def _key(self) -> GrammarColumn:
        words = self._style.key_words(self._plan.noun)
        if words in self._plan.spec.columns:
            words = f"{self._plan.noun} id"
        return self._new_column(words, (self._style.key_word,) if words != self._style.key_word else (), None)

    def _foreign_keys(self) -> list[GrammarColumn]:
        """The columns that refer to the parents; their links are noted."""
        columns = []
        for name, parent in self._parents.items():
            reference = self._plan.refers[name]
            for role, part in reference.roles.items() or [("", reference)]:
                columns.append(self._reference_column(role or parent._plan.noun))
                key = parent.key_columns[0]
                self.links.append(Link(self.name, columns[-1].name, parent.name, key, part.verb, part.by, role))
        return columns

    def _self_reference(self) -> list[GrammarColumn]:
        reference = self._plan.spec.refers_self
        if reference is None or not self._refers_to_itself or self.key is None:
            return []
        column = self._reference_column(reference.role)
        self.links.append(Link(self.name, column.name, self.name, self.key.name, reference.verb, reference.by, reference.role))
        return [column]

    def _reference_column(self, noun: str) -> GrammarColumn:
        words = self._style.reference_words(noun)
        return self._new_column(f"{noun} id" if words in self._every_word() else words, (), None)

    def _every_word(self) -> set[str]:
        """The words of all columns that the domain has for this table, whether they appear or not."""
        return {words for column, spec in self._plan.spec.columns.items() for words in (column, *spec.also)}

    def _data_columns(self) -> dict[str, GrammarColumn]:
        """The columns that are no keys, by their words in the domain's file."""
        spec, style, rng = self._plan.spec, self._style, self._rng
        columns: dict[str, GrammarColumn] = {}
        for words, column in _appearing_columns(spec, rng).items():
            options = [words, *column.also]
            chosen = min(options, key=len) if style.short else rng.choice([*options, words])
            synonyms = tuple(other for other in options if other != chosen)
            if words == spec.label and style.long_labels and chosen == "name":
                longer = f"{self._plan.noun} name"
                if longer not in spec.columns and longer not in synonyms:
                    chosen, synonyms = longer, ("name",)
            columns[words] = self._new_column(chosen, synonyms, column)
        return columns

    def _distractors(self) -> list[GrammarColumn]:
        """One to three columns that nobody asks about; some are an old form of another column."""
        spec, rng = self._plan.spec, self._rng
        options = {words: column for words, column in general().distractors.items() if words not in self._every_word()}
        old = rng.choice(list(spec.columns))
        options[f"old {old}"] = spec.columns[old]
        chosen = rng.sample(list(options), rng.randint(1, 3))
        return [replace(self._new_column(words, (), options[words]), distractor=True) for words in chosen]

    def _reserved_column(self) -> dict[str, GrammarColumn]:
        options = {words: column for words, column in general().reserved.items() if words not in self._every_word()}
        words = self._rng.choice(list(options))
        return {
            words: GrammarColumn(self._style.new_identifier(words, self._taken, abbreviated=False), words, (), options[words])
        }


def _appearing_columns(spec: TableSpec, rng: Random) -> dict[str, ColumnSpec]:
    """The columns that appear: the label, at least one to group by, at least one number, and most of the others."""
    needed = {spec.label}
    for kinds in (GROUPS, NUMBERS):
        fitting = [words for words, column in spec.columns.items() if column.kind in kinds]
        needed.add(rng.choice(fitting) if fitting else None)
    return {words: column for words, column in spec.columns.items() if words in needed or rng.random() < OPTIONAL_COLUMN_SHARE}
