"""What a kind of perturbation does to a database, and why it may drop a row: data alone, nothing is carried out here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class AddedColumn(NamedTuple):
    """A further column: one of `values` in each row, or if there are none, a whole number from `low` to `high`.

    Which one follows from the number of the row and `salt`.
    """

    name: str
    type: str
    values: tuple[str, ...] = ()
    low: int = 0
    high: int = 0
    salt: int = 0


class AddedTable(NamedTuple):
    """A further table with so many rows; its first column is a number that counts them."""

    name: str
    columns: tuple[AddedColumn, ...]
    rows: int


@dataclass(frozen=True)
class DatabasePlan:
    """What becomes of the schema of a database; an empty plan leaves the database as it is.

    `renamed` maps columns, by their names in lower case and whatever their table, to new names. `tables` holds all tables in
    their new order and `columns` those of each table, by their names in lower case; where they are empty, nothing moves.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    added_columns: Mapping[str, tuple[AddedColumn, ...]] = field(default_factory=dict)
    added_tables: tuple[AddedTable, ...] = ()
    without_keys: bool = False

    @property
    def rebuilds(self) -> bool:
        """Whether tables have to be created anew; renaming alone alters them."""
        return bool(self.tables or self.columns or self.added_columns or self.added_tables or self.without_keys)


class Drop(NamedTuple):
    """A row, or all rows of a database, that a kind cannot perturb, with the reason."""

    reason: str
