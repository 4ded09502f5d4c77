"""The domains of which the grammar teacher invents databases: one YAML file each, read when it is first needed.

A file maps the words for each table to its columns, and the words for a column to its kind: what its values mean, and so which
questions on it make sense. `also` lists synonyms; which of them becomes the identifier differs from database to database. To
add a domain, add a file.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

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

_ARGUMENTS = {
    "title": ("parts",),
    "code": ("form",),
    "category": ("of",),
    **dict.fromkeys(["integer", "measure", "price", "rating", "year", "date"], ("low", "high")),
}
LowercaseWords = Annotated[str, Field(pattern=r"^[a-z]+( [a-z]+)*$")]


class ColumnSpec(Section):
    """A column's kind and what its values are drawn from; for a date, `low` and `high` are years.

    `form` is a pattern of # (a digit) and L (a letter). `sum: false` says that a total of the values makes no sense.
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

    @model_validator(mode="after")
    def _arguments(self) -> "ColumnSpec":
        missing = [name for name in _ARGUMENTS.get(self.kind, ()) if getattr(self, name) in ((), "", None)]
        if missing:
            raise ValueError(f"kind {self.kind} needs {' and '.join(missing)}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self


class TableSpec(Section):
    """A table: its columns, the one that names a row (`label`), and the tables it refers to.

    `refers` maps a parent table to the verb that leads from it to this table, as in "customers that *placed* an order".
    """

    plural: str | None = None
    also: tuple[LowercaseWords, ...] = ()
    plural_also: tuple[str, ...] = ()
    label: str | None = None
    columns: dict[LowercaseWords, ColumnSpec]
    refers: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _label_fits(self) -> "TableSpec":
        if self.label is not None and (self.label not in self.columns or self.columns[self.label].kind not in NAMES):
            raise ValueError(f"label {self.label!r} must be one of the columns, and of kind {', '.join(sorted(NAMES))}")
        words = [word for name, column in self.columns.items() for word in (name, *column.also)]
        repeated = sorted({word for word in words if words.count(word) > 1})
        if repeated:
            raise ValueError(f"used for two columns: {', '.join(repeated)}")
        return self


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


class SharedLists(Section):
    """The lists of words that all domains use."""

    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    cities: tuple[str, ...]
    countries: tuple[str, ...]


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


def _read(file: str) -> Any:
    return config.parse((FOLDER / file).read_text(encoding="utf-8"), file)
