"""Draws the schema of one invented database: the columns of its tables, their identifiers and keys.

Two databases of one domain differ in their tables, their optional columns, the nouns (`pet` or `animal`), the naming style
(`home_city`, `HomeCity`, `Home_City`, ...), the kinds of primary keys and the tables that fit any domain (notes, tags, staff).
Tables and columns keep the words of their identifiers for the questions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from sense.teacher.grammar.database import GrammarColumn, GrammarSchema, GrammarTable, Link
from sense.teacher.grammar.domains import GROUPS, NUMBERS, ColumnSpec, Domain, TableSpec, general
from sense.teacher.grammar.naming import NamingStyle, draw_naming
from sense.teacher.grammar.plans import TablePlan, draw_plans

OPTIONAL_COLUMN_SHARE = 0.8
"""The probability that an optional column appears in a database."""
SELF_REFERENCE_SHARE = 0.8
"""The probability that a table refers to itself where its domain says how."""
PAIR_KEY_SHARE = {True: 0.5, False: 0.15}
"""The probability that the primary key of a table with two parents is the pair of its foreign keys: if it joins them, if not."""
NUMBERED_SHARE = 0.1
"""The probability that the primary key of a table with one parent is the foreign key and a number within that parent."""
DISTRACTOR_SHARE = 0.11
"""The share of databases whose tables have distractors."""
RESERVED_SHARE = 0.02
"""The share of databases that have columns whose names are reserved words; general tables have such names too."""
KEYLESS_SHARE = 0.2
"""The probability that a table that no other refers to has no primary key at all."""

_NUMBER_WORDS = ("line number", "sequence number", "entry number")


@dataclass(frozen=True)
class Extras:
    """Whether the tables of a database have columns that are not from its domain: distractors, and reserved words."""

    distractors: bool
    reserved: bool


def draw_schema(domain: Domain, max_tables: int, rng: Random, plain_names: float = 0.0) -> GrammarSchema:
    """A schema of 2 to `max_tables` connected tables: those of `domain`, and perhaps some that fit any domain.

    With the probability `plain_names` all names are small words joined by underscores.
    """
    style = draw_naming(rng)
    if plain_names and rng.random() < plain_names:
        style = replace(style, case="snake", abbreviated=False)
    extras = Extras(rng.random() < DISTRACTOR_SHARE, rng.random() < RESERVED_SHARE)
    plans = draw_plans(domain, max_tables, style, rng)
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
