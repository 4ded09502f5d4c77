"""The data types of an invented database: its tables, columns and foreign keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sense.teacher import CellValue, TableRows
from sense.teacher.grammar.domains import ColumnSpec


@dataclass(frozen=True)
class GrammarColumn:
    """A column: its identifier, the words in it, synonyms of them, and (once the table is filled) its value in every row.

    `spec` is None for the columns of the primary key and for foreign keys. The identifier may need quotes. `number_as_text` says
    that numbers are stored as texts, `date_format` (strftime) how dates are stored if not as ISO dates, `meanings` what the codes
    stand for that are stored instead of values ("A" -> "active", 1 -> "gold"). Nothing is asked about a `distractor`.
    """

    name: str
    words: str
    synonyms: tuple[str, ...]
    spec: ColumnSpec | None
    values: tuple[CellValue, ...] = ()
    number_as_text: bool = False
    date_format: str = ""
    meanings: Mapping[CellValue, str] = field(default_factory=dict, hash=False)
    distractor: bool = False

    @property
    def kind(self) -> str:
        """What its values mean, as in the domain's file; "key" for primary and foreign keys."""
        return self.spec.kind if self.spec else "key"

    @cached_property
    def non_null(self) -> list[CellValue]:
        """Its values without NULL, in row order."""
        return [value for value in self.values if value is not None]

    @cached_property
    def distinct(self) -> list[CellValue]:
        """Its different values without NULL, in the order they first occur."""
        return list(dict.fromkeys(self.non_null))

    @cached_property
    def has_no_null(self) -> bool:
        """True if no row has NULL here."""
        return len(self.non_null) == len(self.values)


@dataclass(frozen=True)
class GrammarTable:
    """A table: its identifier, its noun in singular and plural, and its columns in order.

    `synonyms` are other nouns for it, in singular and plural. `key` is the primary key and `label` the column that names a row;
    both are among the columns, or None. `key_columns` are the columns of the primary key, several where it is composite (then
    `key` is None). `across` maps, in a table that joins two others, each of these to the verb that leads from it to the other.
    """

    name: str
    singular: str
    plural: str
    synonyms: tuple[tuple[str, str], ...]
    columns: tuple[GrammarColumn, ...]
    key: GrammarColumn | None
    label: GrammarColumn | None
    key_columns: tuple[str, ...] = ()
    across: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def data_columns(self) -> list[GrammarColumn]:
        """All columns except the keys and the distractors."""
        return [column for column in self.columns if column.spec is not None and not column.distractor]

    def column(self, name: str) -> GrammarColumn:
        """The column with this identifier."""
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True)
class Link:
    """A foreign key: `child.column` refers to `parent.key`.

    `verb` leads from the parent to the child ("customers that *placed* an order"), `by` from the child to the parent ("orders
    *placed by* a customer"). Where a table refers to itself, or to one parent several times, `role` is what the parent is to the
    row: "manager", "home team"; a reference to itself may be NULL.
    """

    child: str
    column: str
    parent: str
    key: str
    verb: str
    by: str = "of"
    role: str = ""


@dataclass(frozen=True)
class GrammarSchema:
    """A schema without rows; parents stand before their children."""

    tables: tuple[GrammarTable, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True)
class GrammarDatabase:
    """An invented database with its rows; `image` is the content of its SQLite file."""

    db_id: str
    domain: str
    tables: dict[str, GrammarTable]
    links: tuple[Link, ...]
    ddl: tuple[str, ...]
    rows: TableRows
    image: bytes = field(repr=False)
