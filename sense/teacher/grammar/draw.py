"""Random choices on one database: tables, columns, foreign keys, values.

A choice for which the database has no candidate raises NoFit; the grammar then tries something else. The choices make sense: only
quantities are averaged, only columns whose values repeat are grouped by.
"""

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import Any, TypeVar

from sense.teacher import CellValue
from sense.teacher.grammar.database import GrammarColumn, GrammarDatabase, GrammarTable, Link
from sense.teacher.grammar.domains import GROUPS, NAMES, NUMBERS
from sense.teacher.grammar.meaning import AggregateFunction, Attribute

T = TypeVar("T")

TIMES = frozenset(["year", "date"])
ORDERED = NUMBERS | TIMES
LABEL_SHARE = 0.5
"""How often the column that is asked for is the one that names the row."""
KEY_SHARE = 0.06
"""How often it is the primary key."""
ROUND_SHARE = 0.5
"""How often a threshold is rounded to two digits, as people write them."""


class NoFit(Exception):  # noqa: N818  (no error: the grammar's way to say "try something else")
    """The database has no candidate for a choice."""


class Draw:
    """Choices on `database`, made by `rng`."""

    def __init__(self, database: GrammarDatabase, rng: Random) -> None:
        self.database, self.rng = database, rng

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`."""
        if not options:
            raise NoFit
        return self.rng.choice(options)

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """One of `options`, drawn by its weight."""
        if not options:
            raise NoFit
        return self.rng.choices([option for option, _ in options], [weight for _, weight in options])[0]

    def chance(self, share: float) -> bool:
        """True with probability `share`."""
        return self.rng.random() < share

    # --- tables and foreign keys

    def table(self, predicate: Callable[[GrammarTable], Any] = bool) -> GrammarTable:
        """A table with columns to ask about, for which `predicate` is true."""
        options = [table for table in self.database.tables.values() if table.data_columns and predicate(table)]
        return self.weighted([(table, 2.5 if table.label else 1.0) for table in options])

    def parents(self, table: GrammarTable) -> list[Link]:
        """The foreign keys of `table` to other tables."""
        return [link for link in self.database.links if link.child == table.name and link.parent != table.name]

    def children(self, table: GrammarTable) -> list[Link]:
        """The foreign keys of other tables to `table`."""
        return [link for link in self.database.links if link.parent == table.name and link.child != table.name]

    def own(self, table: GrammarTable) -> list[Link]:
        """The foreign keys of `table` to itself."""
        return [link for link in self.database.links if link.child == link.parent == table.name]

    def junctions(self, table: GrammarTable) -> list[tuple[GrammarTable, Link, Link]]:
        """The tables that join `table` with another one: (junction, foreign key to `table`, foreign key to the other)."""
        joined = []
        for here in self.children(table):
            junction = self.database.tables[here.child]
            links = self.parents(junction)
            if junction.across and len(links) == 2 and links[0].parent != links[1].parent:
                joined.append((junction, here, next(link for link in links if link is not here)))
        return joined

    def parent(self, link: Link) -> GrammarTable:
        """The table that `link` refers to."""
        return self.database.tables[link.parent]

    def child(self, link: Link) -> GrammarTable:
        """The table that holds `link`."""
        return self.database.tables[link.child]

    # --- columns

    def columns(self, table: GrammarTable, predicate: Callable[[GrammarColumn], Any]) -> list[GrammarColumn]:
        """The columns that a question can be about, for which `predicate` is true."""
        return [column for column in table.data_columns if not column.distractor and predicate(column)]

    def attribute(self, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> Attribute:
        """A column to ask for: most often the label, rarely the key."""
        if table.label and not _among(table.label, exclude) and self.chance(LABEL_SHARE):
            return Attribute(table, table.label)
        if table.key and not _among(table.key, exclude) and self.chance(KEY_SHARE):
            return Attribute(table, table.key)
        return Attribute(table, self.weighted(self._weighted_columns(table, exclude)))

    def attributes(self, table: GrammarTable, count: int, exclude: Collection[GrammarColumn] = ()) -> list[Attribute]:
        """`count` columns of a table to ask for, the label first where it is among them."""
        chosen = [self.attribute(table, exclude)]
        while len(chosen) < count:
            columns = self._weighted_columns(table, [*exclude, *(attribute.column for attribute in chosen)])
            chosen.append(Attribute(table, self.weighted(columns)))
        return sorted(chosen, key=lambda attribute: attribute.column is not table.label)

    def _weighted_columns(self, table: GrammarTable, exclude: Collection[GrammarColumn]) -> list[tuple[GrammarColumn, float]]:
        """The columns to ask for; a flag is a condition instead."""
        return [(column, 1.0) for column in self.columns(table, lambda c: c.kind != "flag" and not _among(c, exclude))]

    def label(self, table: GrammarTable) -> Attribute:
        """The column that names a row."""
        return Attribute(table, self.pick([table.label] if table.label else []))

    def number(self, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> Attribute:
        """A quantity with at least four different values."""
        return Attribute(
            table,
            self.pick(self.columns(table, lambda c: c.kind in NUMBERS and len(c.distinct) >= 4 and not _among(c, exclude))),
        )

    def sortable(self, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> Attribute:
        """A quantity, year or date without NULL and with at least four different values."""
        return Attribute(table, self.pick(self.columns(table, lambda c: _is_sortable(c) and not _among(c, exclude))))

    def group(self, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> Attribute:
        """A column without NULL whose values repeat."""
        return Attribute(table, self.pick(self.columns(table, lambda c: is_group(c) and not _among(c, exclude))))

    def date(self, table: GrammarTable) -> Attribute:
        """A date."""
        return Attribute(table, self.pick(self.columns(table, lambda c: c.kind == "date" and len(c.distinct) > 2)))

    def function(self, column: GrammarColumn) -> AggregateFunction:
        """An aggregate that makes sense for a column."""
        if column.kind not in NUMBERS:
            return self.rng.choice(("MIN", "MAX"))
        total = column.spec is not None and column.spec.sum and column.kind != "rating"
        functions: tuple[AggregateFunction, ...] = ("AVG", "AVG", "MIN", "MAX", "SUM", "SUM")
        return self.rng.choice(functions if total else functions[:4])

    # --- values

    def threshold(self, column: GrammarColumn) -> str | int | float:
        """A value that splits those of a column in two parts, each at least a sixth of them; a quantity may be rounded."""
        values = sorted(number_values(column), key=_sortable)
        if len(values) < 4:
            raise NoFit
        value: str | int | float = values[self.rng.randint(max(1, len(values) // 6), len(values) - 2 - len(values) // 6)]
        if column.kind in NUMBERS and self.chance(ROUND_SHARE):
            return _rounded(value)
        return value

    def bounds(self, column: GrammarColumn) -> tuple[CellValue, CellValue]:
        """Two values of a column, so that some rows lie between them and some do not."""
        values = sorted(number_values(column), key=_sortable)
        if len(values) < 5:
            raise NoFit
        low = self.rng.randrange(0, len(values) // 2)
        high = self.rng.randrange(low + 1, len(values) - 1 if low == 0 else len(values))
        if column.kind in NUMBERS and self.chance(ROUND_SHARE):
            rounded = _rounded(values[low]), _rounded(values[high])
            return rounded if rounded[0] < rounded[1] else (values[low], values[high])
        return values[low], values[high]


def is_group(column: GrammarColumn) -> bool:
    """Whether the values of a column repeat, none of them missing, so that its rows can be grouped by it."""
    return column.kind in GROUPS and column.has_no_null and 2 <= len(column.distinct) < len(column.values)


def number_values(column: GrammarColumn) -> list[Any]:
    """The different values of a column, numbers that are stored as texts as numbers."""
    if not column.number_as_text:
        return column.distinct
    return [float(text) if "." in text else int(text) for text in map(str, column.distinct)]


def is_unique(column: GrammarColumn) -> bool:
    """Whether every row has a value of its own."""
    return len(column.distinct) == len(column.values)


def _is_sortable(column: GrammarColumn) -> bool:
    return column.kind in ORDERED and column.has_no_null and len(column.distinct) >= 4 and not column.date_format


def is_name(column: GrammarColumn) -> bool:
    """Whether the values of a column are names."""
    return column.kind in NAMES


def _among(column: GrammarColumn, columns: Collection[GrammarColumn]) -> bool:
    return any(column is other or column.name == other.name for other in columns)


def _sortable(value: CellValue) -> tuple[bool, Any]:
    return (isinstance(value, str), value)


def _rounded(value: Any) -> int | float:
    """`value` with two significant digits, as an int if that is a whole number."""
    rounded = float(f"{value:.2g}")
    return int(rounded) if rounded == int(rounded) else rounded
