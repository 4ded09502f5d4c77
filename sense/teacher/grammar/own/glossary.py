"""The glossary of a database: what people call its tables and columns, and what the columns are; drafted, and corrected by users.

A file in YAML, `glossary/<db_id>.yaml` in the dataset folder. What it leaves out is guessed from names and values.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import Field

from sense import config, records
from sense.config import Section
from sense.errors import InputError
from sense.teacher.grammar.domains import ColumnKind, Wording

NOT_ASKED = "none"
"""The kind of a column that nobody asks about."""
_HEADER = """# What people call the tables and columns of {name}, and what the columns are. Questions use these words.
# Correct what reads wrong; what is taken out is guessed again.
#   noun, plural, synonyms   a table in questions
#   label                    the column that names a row
#   phrase, synonyms         a column in questions
#   kind                     {kinds}
#   unit                     of a number: {{kind: measure, unit: kilograms}}
#   meanings                 of codes: {{kind: category, meanings: {{A: active, S: suspended}}}}
#   verb, by                 of a foreign key: verb: place (customers that place an order), by: placed by (orders placed by)
#   role                     of a foreign key: what the row that it leads to is (manager)
"""


class ColumnTerms(Section):
    """What is said of a column; what is empty is guessed."""

    phrase: Wording | Literal[""] = ""
    """What it is called: "unit price"."""
    synonyms: tuple[Wording, ...] = ()
    """Other words for it."""
    kind: ColumnKind | Literal["none", "key", ""] = ""
    """What its values mean; none: nobody asks about it."""
    unit: Wording | Literal[""] = ""
    """The unit of a number, in plural."""
    meanings: dict[str | int, str] = Field(default_factory=dict)
    """What codes stand for."""
    verb: Wording | Literal[""] = ""
    """Of a foreign key: what leads from the row that is referred to here, in the plural: "customers that *place* an order"."""
    by: Wording | Literal[""] = ""
    """Of a foreign key: what leads the other way: "orders *placed by* a customer"."""
    role: Wording | Literal[""] = ""
    """Of a foreign key: what the row that it leads to is to this one: "manager"."""


class TableTerms(Section):
    """What is said of a table; what is empty is guessed."""

    noun: Wording | Literal[""] = ""
    """One of its rows: "order item"."""
    plural: Wording | Literal[""] = ""
    """Several of them."""
    synonyms: tuple[Wording, ...] = ()
    """Other nouns for one row."""
    label: str | None = None
    """The column that names a row, whose values must all differ."""
    columns: dict[str, ColumnTerms] = Field(default_factory=dict)
    """By their names."""


class Glossary(Section):
    """The terms of all tables, by their names."""

    tables: Annotated[dict[str, TableTerms], Field(default_factory=dict)]


def read_glossary(path: Path, tables: Mapping[str, list[str]]) -> Glossary:
    """The glossary in `path`; an empty one if it is not there.

    `tables` are the names of tables with those of their columns: ConfigError lists what is malformed, InputError names that are
    none of these.
    """
    if not path.is_file():
        return Glossary(tables={})
    content = config.parse(records.read_text(path), str(path))
    glossary: Glossary = config.validate(Glossary, content if content is not None else {}, str(path))
    for name, terms in glossary.tables.items():
        if name not in tables:
            raise InputError(f"{path}: tables.{name}: there is no such table; there are: {', '.join(tables)}")
        unknown = sorted({*terms.columns, *([terms.label] if terms.label else [])} - set(tables[name]))
        if unknown:
            raise InputError(f"{path}: tables.{name}: no column {', '.join(unknown)}; there are: {', '.join(tables[name])}")
    return glossary


def glossary_path(dataset: Path, db_id: str) -> Path:
    """Where the glossary of a database of a dataset folder lies."""
    return dataset / "glossary" / f"{db_id}.yaml"


def glossary_text(name: str, glossary: Glossary) -> str:
    """A glossary as YAML, without what is empty, for a person to edit."""
    value = {"tables": {table: _filled(terms) for table, terms in glossary.tables.items()}}
    kinds = ", ".join([*get_args(ColumnKind), NOT_ASKED])
    header = _HEADER.format(name=name, kinds=kinds)
    return header + yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def _filled(terms: Section) -> dict[str, Any]:
    """The fields of a section that are not empty; those of inner sections too."""
    fields: dict[str, Any] = {}
    for name in type(terms).model_fields:
        value = getattr(terms, name)
        if value and isinstance(value, dict) and all(isinstance(inner, Section) for inner in value.values()):
            fields[name] = {key: _filled(inner) for key, inner in value.items()}
        elif value:
            fields[name] = list(value) if isinstance(value, tuple) else value
    return fields
