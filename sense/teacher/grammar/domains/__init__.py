"""The domains of which the grammar teacher invents databases: one YAML file each, read when it is first needed.

A file maps the words for each table to its columns, and the words for a column to its kind: what its values mean, and so which
questions on it make sense. `also` lists synonyms; which of them becomes the identifier differs from database to database. To
add a domain, add a file.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from sense import config
from sense.config import Section
from sense.errors import InputError

FOLDER = Path(__file__).parent

ColumnKind = Literal[
    "person",
    "title",
    "code",
    "city",
    "country",
    "category",
    "flag",
    "phone",
    "email",
    "integer",
    "measure",
    "price",
    "rating",
    "year",
    "date",
]
NUMBERS = frozenset(["integer", "measure", "price", "rating"])
"""Kinds whose values are quantities, which may be averaged."""
GROUPS = frozenset(["city", "country", "category"])
"""Kinds whose values repeat, which may be grouped by."""
NAMES = frozenset(["person", "title", "code"])
"""Kinds that can name a row, as a table's label."""
TIMES = frozenset(["year", "date"])
"""Kinds whose values are points in time."""

_ARGUMENTS = {
    "title": ("parts",),
    "code": ("form",),
    "category": ("of",),
    **dict.fromkeys(["integer", "measure", "price", "rating", "year", "date"], ("low", "high")),
}
LowercaseWords = Annotated[str, Field(pattern=r"^[a-z]+( [a-z]+)*$")]
Wording = Annotated[str, Field(pattern=r"^[^\s{}]+( [^\s{}]+)*$")]
"""Words of a question, with single spaces between them and no slots."""
Template = Annotated[str, Field(pattern=r"^\S+( \S+)*$")]
"""Words of a question with slots in braces."""

_WORDING_KINDS: dict[str, frozenset[str]] = {
    **dict.fromkeys(["unit", "countable", "how"], NUMBERS),
    **dict.fromkeys(["more", "less", "most", "least"], NUMBERS | TIMES),
    "when": TIMES,
    "noun_phrases": GROUPS,
    **dict.fromkeys(["yes", "no"], frozenset(["flag"])),
}
_SLOT = re.compile(r"\{.*?\}|[{}]")


class ColumnSpec(Section):
    """A column's kind and what its values are drawn from, and how people speak of it.

    For a date, `low` and `high` are years. `form` is a pattern of # (a digit) and L (a letter). `sum: false` says that a total of
    the values makes no sense. `also` are synonyms, which may become the identifier; all other ways to speak of the column
    appear in questions alone. In `noun_phrases`, `yes` and `no`, {table} is the noun of the table, in singular or plural, with
    what else describes it, and {value} a value.
    """

    kind: ColumnKind
    also: tuple[LowercaseWords, ...] = ()
    of: tuple[str, ...] = ()
    parts: tuple[tuple[str, ...], ...] = ()
    form: str = ""
    low: float | None = None
    high: float | None = None
    step: Annotated[int, Field(ge=1)] = 1
    digits: Annotated[int, Field(ge=0, le=4)] = 1
    sum: bool = True
    phrases: tuple[Wording, ...] = ()
    """Other noun phrases for the column that are never an identifier, fit for "of": "height above sea level of the apiary"."""
    unit: Wording | Literal[""] = ""
    """The unit of a quantity, in plural: "metres", "euros", "hours"; written after a number in a question."""
    countable: Wording | Literal[""] = ""
    """What the column counts, in plural, whatever its identifier is: frames ("more than 10 frames", "longer than 3 pages")."""
    more: tuple[Wording, ...] = ()
    """Comparatives for a higher value, without "than": older, heavier, more expensive."""
    less: tuple[Wording, ...] = ()
    """Comparatives for a lower value: younger, lighter, cheaper."""
    most: tuple[Wording, ...] = ()
    """Superlatives for the highest value, before the table's noun: oldest, heaviest, most expensive."""
    least: tuple[Wording, ...] = ()
    """Superlatives for the lowest value: youngest, lightest, cheapest."""
    how: Annotated[str, Field(pattern=r"^(how [a-z]+( [a-z]+)*)?$")] = ""
    """The question for the value, up to the verb: "how old", "how heavy"; asked as "How old is ...?"."""
    when: Wording | Literal[""] = ""
    """For a year or a date: the participle of what happened then: built, founded, born ("built after 2010", "born in 1990")."""
    noun_phrases: tuple[Template, ...] = ()
    """For a category, city or country: "{value} {table}", "{table} in the {value}"; {demonym} is a country's adjective."""
    yes: tuple[Template, ...] = ()
    """For a flag that holds: "certified {table}", "{table} that are in stock"; {table} is plural."""
    no: tuple[Template, ...] = ()
    """For a flag that does not hold: "{table} that are not certified"."""

    def wordings(self) -> frozenset[str]:
        """All ways to speak of the column without its identifier and without a value."""
        single = filter(None, (self.countable, self.how, self.when))
        return frozenset([*self.phrases, *self.more, *self.less, *self.most, *self.least, *single])

    @model_validator(mode="after")
    def _arguments(self) -> "ColumnSpec":
        missing = [name for name in _ARGUMENTS.get(self.kind, ()) if getattr(self, name) in ((), "", None)]
        if missing:
            raise ValueError(f"kind {self.kind} needs {' and '.join(missing)}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self

    @model_validator(mode="after")
    def _wordings_fit_the_kind(self) -> "ColumnSpec":
        unfit = [name for name, kinds in _WORDING_KINDS.items() if getattr(self, name) and self.kind not in kinds]
        if unfit:
            raise ValueError(f"kind {self.kind} cannot have {', '.join(unfit)}")
        if self.unit and self.countable:
            raise ValueError(f"what is counted ({self.countable}) has no unit ({self.unit})")
        if bool(self.yes) != bool(self.no):
            raise ValueError("a flag needs both yes and no, or neither")
        return self

    @model_validator(mode="after")
    def _slots_fit(self) -> "ColumnSpec":
        value_slots = [["{value}"], ["{demonym}"]] if self.kind == "country" else [["{value}"]]
        for template in self.noun_phrases:
            if sorted(_SLOT.findall(template)) not in [sorted(["{table}", *slot]) for slot in value_slots]:
                names = " or ".join(slot for slots in value_slots for slot in slots)
                raise ValueError(f"noun phrase {template!r} must have the slots {{table}} and {names}, once each")
        for template in (*self.yes, *self.no):
            if _SLOT.findall(template) != ["{table}"]:
                raise ValueError(f"{template!r} must have the slot {{table}}, once, and no other")
        return self


class Reference(Section):
    """How people speak of a foreign key.

    `verb` leads from the parent to the child, in the plural: "customers that *placed* an order", "apiaries that *contain* a
    hive". `by` leads from the child to the parent: "orders *placed by* a customer", "hives *in* an apiary". A child with several
    foreign keys to the parent has one for each of `roles`, which say what the parent is to it, each with its own verb:
    {home team: {verb: host, by: hosted by}, guest team: {verb: visit, by: visited by}}.
    """

    verb: Wording
    by: Wording = "of"
    roles: dict[LowercaseWords, "Reference"] = Field(default_factory=dict)


class SelfReference(Section):
    """A foreign key to the table itself: the parent is the row's `role`, as in {role: manager, verb: manage, by: managed by}."""

    role: LowercaseWords
    verb: Wording
    by: Wording


class TableSpec(Section):
    """A table: its columns, the one that names a row (`label`), and the tables it refers to.

    `refers` maps a parent table to the words for the foreign key; a text alone is its verb. Where a table joins two others,
    `across` maps each of its two parents to the verb that leads from it straight to the other: {student: take, course: employ}.
    """

    plural: str | None = None
    also: tuple[LowercaseWords, ...] = ()
    plural_also: tuple[str, ...] = ()
    label: str | None = None
    columns: dict[LowercaseWords, ColumnSpec]
    refers: dict[str, Reference] = Field(default_factory=dict)
    refers_self: SelfReference | None = None
    across: dict[str, Wording] = Field(default_factory=dict)

    @field_validator("refers", mode="before")
    @classmethod
    def _verbs(cls, value: Any) -> Any:
        """A text stands for a reference with this verb."""
        if not isinstance(value, dict):
            return value
        return {parent: {"verb": reference} if isinstance(reference, str) else reference for parent, reference in value.items()}

    @model_validator(mode="after")
    def _across_fits(self) -> "TableSpec":
        if self.across and (len(self.refers) != 2 or set(self.across) != set(self.refers)):
            raise ValueError("across must have exactly the two tables that refers has")
        return self

    @model_validator(mode="after")
    def _label_fits(self) -> "TableSpec":
        if self.label is not None and (self.label not in self.columns or self.columns[self.label].kind not in NAMES):
            raise ValueError(f"label {self.label!r} must be one of the columns, and of kind {', '.join(sorted(NAMES))}")
        return self

    @model_validator(mode="after")
    def _columns_differ(self) -> "TableSpec":
        """No words mean two columns: "the oldest" must not leave open whether the year of birth or of hiring counts."""
        words = [word for name, column in self.columns.items() for word in (name, *column.also)]
        wordings = [wording for name, column in self.columns.items() for wording in {name, *column.also, *column.wordings()}]
        repeated = _repeated(words) or _repeated(wordings)
        if repeated:
            raise ValueError(f"used for two columns: {', '.join(repeated)}")
        return self

    @model_validator(mode="after")
    def _units_stand_alone(self) -> "TableSpec":
        for name, column in self.columns.items():
            with_unit = [words for words in (name, *column.also) if column.unit and column.unit in words.split()]
            if with_unit:
                raise ValueError(f"{', '.join(with_unit)}: the unit {column.unit!r} must not be in the words of the column too")
        return self


def _repeated(words: Iterable[str]) -> list[str]:
    return sorted(word for word, count in Counter(words).items() if count > 1)


class Domain(Section):
    """A domain: its tables by the words for them; `name` is that of the file."""

    name: str
    tables: Annotated[dict[LowercaseWords, TableSpec], Field(min_length=3)]

    @model_validator(mode="after")
    def _references_fit(self) -> "Domain":
        for name, table in self.tables.items():
            for other in table.refers:
                if other not in self.tables or other == name:
                    raise ValueError(f"{name} refers to {other!r}, which is not another table of this domain")
                if name in self.tables[other].refers:
                    raise ValueError(f"{name} and {other} refer to each other; one of them must not")
        return self

    @model_validator(mode="after")
    def _nouns_fit(self) -> "Domain":
        repeated = _repeated(noun for name, table in self.tables.items() for noun in (name, *table.also))
        if repeated:
            raise ValueError(f"used for two tables: {', '.join(repeated)}")
        for name, table in self.tables.items():
            for column, spec in table.columns.items():
                for phrase in spec.phrases:
                    if re.search(rf"\b{name}\b", phrase):
                        raise ValueError(
                            f"{name}: phrase {phrase!r} of {column} must not have the noun of its table, which follows it"
                        )
        return self


class SharedLists(Section):
    """The lists of words that all domains use."""

    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    cities: tuple[str, ...]
    countries: tuple[str, ...]
    demonyms: dict[str, str]
    """The adjective of a country: France -> French."""
    accented_first_names: tuple[str, ...]
    accented_last_names: tuple[str, ...]
    accented_cities: tuple[str, ...]
    apostrophe_last_names: tuple[str, ...]
    abbreviations: dict[str, str]
    """How words are shortened in abbreviated identifiers: customer -> cust."""

    @model_validator(mode="after")
    def _demonyms_fit(self) -> "SharedLists":
        unknown = sorted(set(self.demonyms) - set(self.countries))
        if unknown:
            raise ValueError(f"demonyms of what is no country in the list: {', '.join(unknown)}")
        return self


@cache
def names() -> tuple[str, ...]:
    """All domains, in alphabetical order."""
    return tuple(sorted(file.stem for file in FOLDER.glob("[a-z]*.yaml")))


@cache
def load(name: str) -> Domain:
    """The domain `name`; raises ConfigError listing everything wrong with its file."""
    if name not in names():
        raise InputError(f"{name}: no such domain; there are: {', '.join(names())}")
    domain: Domain = config.validate(Domain, {"name": name.replace("_", " "), "tables": _read(f"{name}.yaml")}, f"{name}.yaml")
    return domain


@cache
def shared_lists() -> SharedLists:
    """The lists of words that all domains use, from _shared.yaml."""
    lists: SharedLists = config.validate(SharedLists, _read("_shared.yaml"), "_shared.yaml")
    return lists


class General(Section):
    """What fits databases of any domain: tables, in whose references `ENTITY` stands for a table of the domain, and columns."""

    tables: dict[LowercaseWords, TableSpec]
    for_people_and_places: frozenset[str]
    """The tables that fit only people and what has a city, a phone or an email address."""
    distractors: dict[LowercaseWords, ColumnSpec]
    """Columns that nobody asks about."""
    reserved: dict[LowercaseWords, ColumnSpec]
    """Columns whose names are reserved words of SQL."""


ENTITY = "entity"


@cache
def general() -> General:
    """What fits databases of any domain, from _general.yaml; each table stands behind those that it refers to."""
    pieces: General = config.validate(General, _read("_general.yaml"), "_general.yaml")
    return pieces


def _read(file: str) -> Any:
    return config.parse((FOLDER / file).read_text(encoding="utf-8"), file, own=True)
