"""Random choices on one database: the tables, columns and aggregates of a production.

A choice for which the database has no candidate raises NoFit; the grammar then tries again or uses another production. The
choices make sense: only quantities are averaged, only columns whose values repeat are grouped by.
"""

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import Any, Literal, TypeVar

from sense.teacher.grammar.domains import GROUPS, NUMBERS
from sense.teacher.grammar.pieces import (
    Aggregate,
    AggregateFunction,
    GrammarColumn,
    GrammarDatabase,
    GrammarTable,
    Hops,
    Link,
    Order,
    Rank,
    Side,
)

T = TypeVar("T")

LABEL_SHARE = 0.55
"""How often the selected column is the one that names the row."""

ORDERED = NUMBERS | {"year", "date"}
_EXTREMES: tuple[tuple[AggregateFunction, ...], ...] = (
    ("MIN", "MAX"),
    ("AVG", "MAX"),
    ("MIN", "AVG", "MAX"),
    ("MAX", "MIN"),
    ("AVG", "MIN"),
)


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

    def chance(self, share: float) -> bool:
        """True with probability `share`."""
        return self.rng.random() < share

    def table(self, predicate: Callable[[GrammarTable], Any] = bool) -> GrammarTable:
        """A table for which `predicate` is true."""
        return self.pick([table for table in self.database.tables.values() if predicate(table)])

    def link(
        self, predicate: Callable[[GrammarTable, GrammarTable], Any] | None = None
    ) -> tuple[Link, GrammarTable, GrammarTable]:
        """A foreign key with its child and its parent, for which `predicate(child, parent)` is true."""
        tables = self.database.tables
        ends = [(link, tables[link.child], tables[link.parent]) for link in self.database.links]
        return self.pick([end for end in ends if predicate is None or predicate(end[1], end[2])])

    def hops(self, *ways: Literal["up", "down", "bridge"]) -> Hops:
        """Three tables to join: grandchild to grandparent (up), the other way (down), or two parents of one child (bridge)."""
        candidates: list[tuple[tuple[str, str, str], tuple[Link, Link]]] = []
        for link in self.database.links:
            for other in self.database.links:
                if link.parent == other.child:
                    if "up" in ways:
                        candidates.append(((link.child, link.parent, other.parent), (link, other)))
                    if "down" in ways:
                        candidates.append(((other.parent, link.parent, link.child), (other, link)))
                elif link.child == other.child and link is not other and "bridge" in ways:
                    candidates.append(((link.parent, link.child, other.parent), (link, other)))
        (first, second, third), links = self.pick(candidates)
        tables = self.database.tables
        return Hops((tables[first], tables[second], tables[third]), links)

    def selected_column(self, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> GrammarColumn:
        """A column to select: most often the label, rarely the key."""
        if table.label and table.label not in exclude and self.chance(LABEL_SHARE):
            return table.label
        if table.key and table.key not in exclude and self.chance(0.08):
            return table.key
        return self.pick([column for column in table.data_columns if column not in exclude])

    def selected_columns(self, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> list[GrammarColumn]:
        """Two columns to select, sometimes three, in their order in the table."""
        first = self.selected_column(table, exclude)
        others = [column for column in table.data_columns if column is not first and column not in exclude]
        count = 2 if self.chance(0.25) else 1
        if len(others) < count:
            raise NoFit
        chosen = [first, *self.rng.sample(others, count)]
        return [column for column in table.columns if column in chosen]

    def number(self, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> GrammarColumn:
        """A quantity with at least four different values."""
        return self.pick([c for c in table.data_columns if c.kind in NUMBERS and len(c.distinct) >= 4 and c not in exclude])

    def group(self, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> GrammarColumn:
        """A column without NULL whose values repeat."""
        options = [c for c in table.data_columns if c.kind in GROUPS and c.has_no_null and c not in exclude]
        return self.pick([c for c in options if 2 <= len(c.distinct) < len(c.values)])

    def name(self, table: GrammarTable) -> GrammarColumn:
        """The column that names a row."""
        return self.pick([table.label] if table.label else [])

    def heading(self, table: GrammarTable) -> GrammarColumn:
        """The column to group by when another table's rows are counted for each row or group: the label, or a group column."""
        if table.label and self.chance(0.65):
            return table.label
        return self.group(table)

    def order(self, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> Order:
        """An order by a column without NULL."""
        options = [
            c for c in table.data_columns if c.kind in ORDERED and c.has_no_null and len(c.distinct) >= 4 and c not in exclude
        ]
        return Order(self.pick(options), self.chance(0.6))

    def aggregate(self, table: GrammarTable, exclude: Collection[GrammarColumn] = ()) -> Aggregate:
        """An aggregate that makes sense for its column."""
        column = self.pick([c for c in table.data_columns if c.kind in ORDERED and len(c.distinct) >= 3 and c not in exclude])
        if column.kind not in NUMBERS:
            return Aggregate(self.rng.choice(("MIN", "MAX")), column)
        total = column.spec is not None and column.spec.sum and column.kind != "rating"
        functions: tuple[AggregateFunction, ...] = ("AVG", "AVG", "MIN", "MAX", "SUM", "SUM")
        return Aggregate(self.rng.choice(functions if total else functions[:4]), column)

    def average(self, table: GrammarTable) -> Aggregate:
        """The average of a quantity."""
        return Aggregate("AVG", self.number(table))

    def extremes(self, table: GrammarTable) -> list[Aggregate]:
        """Two or three aggregates of one quantity."""
        column = self.number(table)
        return [Aggregate(function, column) for function in self.pick(_EXTREMES)]

    def side(self) -> Side:
        """Above, at times below."""
        return Side(">" if self.chance(0.65) else "<")

    def rank(self) -> Rank:
        """The highest, at times the lowest."""
        return Rank(self.chance(0.75))
