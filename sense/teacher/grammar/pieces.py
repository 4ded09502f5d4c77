"""What the grammar works with: an invented database, and the pieces that both a SQL and its question are made of."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from sense.teacher import CellValue, TableRows
from sense.teacher.grammar.domains import ColumnSpec

Function = Literal["AVG", "SUM", "MIN", "MAX"]
Comparison = Literal["=", "!=", ">", "<", ">=", "<="]
Operator = Literal["=", "!=", ">", "<", ">=", "<=", "between", "contains", "starts", "ends", "null", "known"]


@dataclass(frozen=True)
class Column:
    """A column: its identifier, the words in it, other words for the same, and (once filled) its value in every row.

    `spec` is None for the primary key and for foreign keys.
    """

    name: str
    words: str
    others: tuple[str, ...]
    spec: ColumnSpec | None
    values: tuple[CellValue, ...] = ()

    @property
    def kind(self) -> str:
        """The semantic kind; "key" for primary and foreign keys."""
        return self.spec.kind if self.spec else "key"

    @cached_property
    def known(self) -> list[CellValue]:
        """Its values without NULL, in row order."""
        return [value for value in self.values if value is not None]

    @cached_property
    def distinct(self) -> list[CellValue]:
        """Its different values without NULL, in the order they first occur."""
        return list(dict.fromkeys(self.known))

    @cached_property
    def whole(self) -> bool:
        """True if no row has NULL here."""
        return len(self.known) == len(self.values)


@dataclass(frozen=True)
class Table:
    """A table: its identifier, its nouns, and its columns in order; `key` and `label` are among them, or None."""

    name: str
    one: str
    many: str
    others: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    key: Column | None
    label: Column | None

    @property
    def plain(self) -> list[Column]:
        """The columns that say something of a row: all but the keys."""
        return [column for column in self.columns if column.spec is not None]

    def column(self, name: str) -> Column:
        """The column with this identifier."""
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True)
class Link:
    """A foreign key: `child.column` refers to `parent.key`; `verb` leads from the parent to the child."""

    child: str
    column: str
    parent: str
    key: str
    verb: str


@dataclass(frozen=True)
class Layout:
    """A schema without rows; parents stand before their children."""

    tables: tuple[Table, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True)
class Database:
    """An invented database, filled; `image` is its SQLite file."""

    db_id: str
    domain: str
    tables: dict[str, Table]
    links: tuple[Link, ...]
    ddl: tuple[str, ...]
    rows: TableRows
    image: bytes = field(repr=False)


@dataclass(frozen=True)
class Condition:
    """A condition on one column of a table; `values` holds two for "between" and none for "null" and "known"."""

    table: Table
    column: Column
    operator: Operator
    values: tuple[CellValue, ...]


@dataclass(frozen=True)
class Aggregate:
    """An aggregate of a column."""

    function: Function
    column: Column


@dataclass(frozen=True)
class Order:
    """An order by a column; `down` puts the highest first."""

    column: Column
    down: bool


@dataclass(frozen=True)
class Bound:
    """What a count or an average of a group is compared with."""

    operator: Comparison
    value: CellValue


@dataclass(frozen=True)
class Rank:
    """The highest (`down`) or the lowest of groups."""

    down: bool


@dataclass(frozen=True)
class Side:
    """Above (">") or below ("<") another value."""

    operator: Literal[">", "<"]


@dataclass(frozen=True)
class Hops:
    """Three tables in a row, and the two foreign keys between them."""

    tables: tuple[Table, Table, Table]
    links: tuple[Link, Link]
