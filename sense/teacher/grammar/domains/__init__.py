"""The domains that the grammar teacher invents databases of: one YAML file each, read when first needed.

A file maps each table's words to its columns, and a column's words to its kind: what its values mean, and so what may
be asked of it. `also` lists other words for the same thing; which of them becomes the identifier differs from database
to database. Adding a domain is adding a file.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sense import config
from sense.config import Section
from sense.errors import InputError

FOLDER = Path(__file__).parent

Kind = Literal[
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
"""Kinds whose values are quantities: they may be averaged."""
GROUPS = frozenset(["city", "country", "category"])
"""Kinds whose values repeat: they may be grouped by."""
NAMES = frozenset(["person", "title", "code"])
"""Kinds that can name a row, as a table's label."""

_ARGUMENTS = {
    "title": ("parts",),
    "code": ("form",),
    "category": ("of",),
    **dict.fromkeys(["integer", "measure", "price", "rating", "year", "date"], ("low", "high")),
}
Words = Annotated[str, Field(pattern=r"^[a-z]+( [a-z]+)*$")]


class ColumnSpec(Section):
    """A column's kind and what its values are drawn from; `low` and `high` are years for a date.

    `form` is a pattern of # (digit) and L (letter); `sum: false` says that a total of it would mean nothing.
    """

    kind: Kind
    also: tuple[Words, ...] = ()
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

    `refers` maps another table to the verb that leads from it here, as in "customers that *placed* an order".
    """

    plural: str | None = None
    also: tuple[Words, ...] = ()
    plural_also: tuple[str, ...] = ()
    label: str | None = None
    columns: dict[Words, ColumnSpec]
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
    """A domain: its tables by their words; `name` is the file's."""

    name: str
    tables: Annotated[dict[Words, TableSpec], Field(min_length=3)]

    @model_validator(mode="after")
    def _references_fit(self) -> "Domain":
        for name, table in self.tables.items():
            for other in table.refers:
                if other not in self.tables or other == name:
                    raise ValueError(f"{name} refers to {other!r}, which is not another table of this domain")
                if name in self.tables[other].refers:
                    raise ValueError(f"{name} and {other} refer to each other; one of them must not")
        return self


class Shared(Section):
    """Word lists for every domain."""

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
def shared() -> Shared:
    """The word lists that domains share."""
    lists: Shared = config.validate(Shared, _read("_shared.yaml"), "_shared.yaml")
    return lists


def _read(file: str) -> Any:
    return config.parse((FOLDER / file).read_text(encoding="utf-8"), file)
