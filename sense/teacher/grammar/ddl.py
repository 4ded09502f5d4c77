"""The CREATE TABLE statements of an invented database, in one of the many ways in which people write them.

Only constraints that the rows meet are declared: a column is NOT NULL if it has no NULL, and UNIQUE if its values differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from sense.teacher import CellValue
from sense.teacher.grammar.database import GrammarColumn, GrammarTable, Link
from sense.teacher.grammar.domains import GROUPS, NAMES, NUMBERS
from sense.teacher.grammar.naming import needs_quotes

_INTEGERS = {"INTEGER": 60, "INT": 25, "BIGINT": 8, "SMALLINT": 7}
_REALS = {"REAL": 65, "FLOAT": 15, "DOUBLE": 10, "DECIMAL(10,2)": 10}
_PRICES = {"REAL": 55, "DECIMAL(10,2)": 25, "NUMERIC(12,2)": 10, "FLOAT": 10}
_TEXTS = {"TEXT": 60, "VARCHAR({})": 30, "CHAR({})": 3, "NVARCHAR({})": 7}
_DATES = {"TEXT": 50, "DATE": 40, "DATETIME": 10}
_FLAGS = {"TEXT": 60, "VARCHAR(5)": 20, "BOOLEAN": 20}
_BITS = {"INTEGER": 55, "BOOLEAN": 35, "TINYINT": 10}
_LENGTHS = (20, 40, 60, 80, 100, 255)


@dataclass(frozen=True)
class Declarations:
    """How the tables of one database are declared; the shares are probabilities that a column has a constraint it meets."""

    integer: str
    real: str
    price: str
    text: str
    date: str
    flag: str
    bit: str
    foreign_keys: Literal["table", "column", "none"]
    key_as_constraint: bool
    cascades: bool
    quotes_all: bool
    not_null_share: float
    unique_share: float
    check_share: float
    default_share: float

    def type_name(self, column: GrammarColumn) -> str:
        """The declared type of a filled column."""
        value = next((value for value in column.values if value is not None), None)
        texts = isinstance(value, str) if value is not None else column.kind in NAMES | GROUPS
        match column.kind:
            case "date" if texts and not column.date_format:
                return self.date
            case "flag" if not column.meanings:
                return self.flag if texts else self.bit
            case "price" | "measure" | "rating" if not texts:
                return self.price if column.kind == "price" else self.real
            case _:
                return self.text if texts or column.number_as_text else self.integer

    def whole_numbers(self, kind: str) -> bool:
        """True if SQLite stores a whole number in such a column as an integer, as it does where the affinity is NUMERIC."""
        return {"price": self.price, "measure": self.real, "rating": self.real}.get(kind, "").startswith(("DEC", "NUM"))


def draw_declarations(rng: Random) -> Declarations:
    """A style of declarations."""

    def choose(weights: dict[str, int]) -> str:
        return rng.choices(list(weights), list(weights.values()))[0]

    styles: tuple[Literal["table", "column", "none"], ...] = ("table", "column", "none")
    return Declarations(
        integer=choose(_INTEGERS),
        real=choose(_REALS),
        price=choose(_PRICES),
        text=choose(_TEXTS).format(rng.choice(_LENGTHS)),
        date=choose(_DATES),
        flag=choose(_FLAGS),
        bit=choose(_BITS),
        foreign_keys=rng.choices(styles, (60, 33, 7))[0],
        key_as_constraint=rng.random() < 0.25,
        cascades=rng.random() < 0.07,
        quotes_all=rng.random() < 0.05,
        not_null_share=rng.choice((0, 0, 0, 0, 0.3, 0.6, 0.9)),
        unique_share=rng.choice((0, 0, 0, 0.3, 0.6)),
        check_share=rng.choice((0, 0, 0, 0, 0, 0, 0, 0.3)),
        default_share=rng.choice((0, 0, 0, 0, 0, 0, 0, 0.3)),
    )


def create_table(table: GrammarTable, links: Sequence[Link], style: Declarations, rng: Random) -> str:
    """The CREATE TABLE statement of a filled table; `links` are its foreign keys."""

    def name(identifier: str) -> str:
        return f'"{identifier}"' if style.quotes_all or needs_quotes(identifier) else identifier

    def reference(link: Link) -> str:
        cascade = " ON DELETE CASCADE" if style.cascades and not link.role else ""
        return f"REFERENCES {name(link.parent)}({name(link.key)}){cascade}"

    by_column = {link.column: link for link in links}
    lines = []
    for column in table.columns:
        parts = [name(column.name), style.type_name(column)]
        if column is table.key:
            parts += [] if style.key_as_constraint else ["PRIMARY KEY"]
        else:
            parts += _constraints(column, name(column.name), column.name in table.key_columns, style, rng)
        if column.name in by_column and style.foreign_keys == "column":
            parts.append(reference(by_column[column.name]))
        lines.append(" ".join(parts))
    if len(table.key_columns) > 1 or (table.key and style.key_as_constraint):
        lines.append(f"PRIMARY KEY ({', '.join(map(name, table.key_columns))})")
    if style.foreign_keys == "table":
        lines += [f"FOREIGN KEY ({name(link.column)}) {reference(link)}" for link in links]
    return f"CREATE TABLE {name(table.name)} (\n  " + ",\n  ".join(lines) + "\n)"


def _constraints(column: GrammarColumn, name: str, key: bool, style: Declarations, rng: Random) -> list[str]:
    """Constraints that the values of a column meet."""
    constraints = []
    if rng.random() < style.not_null_share and column.has_no_null:
        constraints.append("NOT NULL")
    if column.spec is None or key:
        return constraints
    if column.kind in NAMES and rng.random() < style.unique_share and len(column.distinct) == len(column.values):
        constraints.append("UNIQUE")
    if column.kind in ("category", "flag") and rng.random() < style.default_share and column.distinct:
        constraints.append(f"DEFAULT {_literal(column.distinct[0])}")
    if rng.random() < style.check_share:
        if column.kind in NUMBERS and not column.number_as_text and (column.spec.low or 0) >= 0:
            constraints.append(f"CHECK ({name} >= 0)")
        elif column.kind == "flag" and column.distinct:
            constraints.append(f"CHECK ({name} IN ({', '.join(map(_literal, column.distinct))}))")
    return constraints


def _literal(value: CellValue) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
