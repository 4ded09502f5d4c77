"""Random choices on one database: which table, column, condition a production is about.

A choice that the database cannot offer raises NoFit; the grammar then tries again or takes another production. What is
drawn has a meaning: only quantities are averaged, only what repeats is grouped, literals come from the rows.
"""

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import Any, Literal, TypeVar

from sense.teacher.grammar.domains import GROUPS, NUMBERS
from sense.teacher.grammar.pieces import Aggregate, Column, Database, Function, Hops, Link, Order, Rank, Side, Table

T = TypeVar("T")

LABEL_SHARE = 0.55
"""How often the column shown is the one that names the row."""

ORDERED = NUMBERS | {"year", "date"}
_EXTREMES: tuple[tuple[Function, ...], ...] = (
    ("MIN", "MAX"),
    ("AVG", "MAX"),
    ("MIN", "AVG", "MAX"),
    ("MAX", "MIN"),
    ("AVG", "MIN"),
)


class NoFit(Exception):  # noqa: N818  (no error: the grammar's way to say "try something else")
    """The database offers nothing for what is to be drawn."""


class Draw:
    """Choices on `database`, made by `rng`."""

    def __init__(self, database: Database, rng: Random) -> None:
        self.database, self.rng = database, rng

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`."""
        if not options:
            raise NoFit
        return self.rng.choice(options)

    def chance(self, share: float) -> bool:
        """True with probability `share`."""
        return self.rng.random() < share

    def table(self, need: Callable[[Table], Any] = bool) -> Table:
        """A table for which `need` is true."""
        return self.pick([table for table in self.database.tables.values() if need(table)])

    def link(self, need: Callable[[Table, Table], Any] | None = None) -> tuple[Link, Table, Table]:
        """A foreign key with its child and its parent, for which `need(child, parent)` is true."""
        tables = self.database.tables
        ends = [(link, tables[link.child], tables[link.parent]) for link in self.database.links]
        return self.pick([end for end in ends if need is None or need(end[1], end[2])])

    def hops(self, *ways: Literal["up", "down", "bridge"]) -> Hops:
        """Three tables in a row: grandchild to grandparent (up), back (down), or two parents of one child (bridge)."""
        found: list[tuple[tuple[str, str, str], tuple[Link, Link]]] = []
        for one in self.database.links:
            for two in self.database.links:
                if one.parent == two.child:
                    found += [((one.child, one.parent, two.parent), (one, two))] if "up" in ways else []
                    found += [((two.parent, one.parent, one.child), (two, one))] if "down" in ways else []
                elif one.child == two.child and one is not two and "bridge" in ways:
                    found.append(((one.parent, one.child, two.parent), (one, two)))
        (first, second, third), links = self.pick(found)
        tables = self.database.tables
        return Hops((tables[first], tables[second], tables[third]), links)

    def shown(self, table: Table, but: Collection[Column] = ()) -> Column:
        """A column to show: the label more often than not, rarely the key."""
        if table.label and table.label not in but and self.chance(LABEL_SHARE):
            return table.label
        if table.key and table.key not in but and self.chance(0.08):
            return table.key
        return self.pick([column for column in table.plain if column not in but])

    def several(self, table: Table, but: Collection[Column] = ()) -> list[Column]:
        """Two columns to show, sometimes three, in their order in the table."""
        first = self.shown(table, but)
        others = [column for column in table.plain if column is not first and column not in but]
        count = 2 if self.chance(0.25) else 1
        if len(others) < count:
            raise NoFit
        chosen = [first, *self.rng.sample(others, count)]
        return [column for column in table.columns if column in chosen]

    def number(self, table: Table, but: Collection[Column] = ()) -> Column:
        """A quantity with at least four different values."""
        return self.pick([c for c in table.plain if c.kind in NUMBERS and len(c.distinct) >= 4 and c not in but])

    def group(self, table: Table, but: Collection[Column] = ()) -> Column:
        """A column without NULL whose values repeat."""
        options = [c for c in table.plain if c.kind in GROUPS and c.whole and c not in but]
        return self.pick([c for c in options if 2 <= len(c.distinct) < len(c.values)])

    def name(self, table: Table) -> Column:
        """The column that names a row."""
        return self.pick([table.label] if table.label else [])

    def heading(self, table: Table) -> Column:
        """What stands for a table's rows when another table's rows are counted for each: its label, or a group."""
        if table.label and self.chance(0.65):
            return table.label
        return self.group(table)

    def order(self, table: Table, but: Collection[Column] = ()) -> Order:
        """An order by a column without NULL."""
        options = [c for c in table.plain if c.kind in ORDERED and c.whole and len(c.distinct) >= 4 and c not in but]
        return Order(self.pick(options), self.chance(0.6))

    def aggregate(self, table: Table, but: Collection[Column] = ()) -> Aggregate:
        """An aggregate that means something for its column."""
        column = self.pick([c for c in table.plain if c.kind in ORDERED and len(c.distinct) >= 3 and c not in but])
        if column.kind not in NUMBERS:
            return Aggregate(self.rng.choice(("MIN", "MAX")), column)
        total = column.spec is not None and column.spec.sum and column.kind != "rating"
        functions: tuple[Function, ...] = ("AVG", "AVG", "MIN", "MAX", "SUM", "SUM")
        return Aggregate(self.rng.choice(functions if total else functions[:4]), column)

    def average(self, table: Table) -> Aggregate:
        """The average of a quantity."""
        return Aggregate("AVG", self.number(table))

    def extremes(self, table: Table) -> list[Aggregate]:
        """Two or three aggregates of one quantity."""
        column = self.number(table)
        return [Aggregate(function, column) for function in self.pick(_EXTREMES)]

    def side(self) -> Side:
        """Above, at times below."""
        return Side(">" if self.chance(0.65) else "<")

    def rank(self) -> Rank:
        """The highest, at times the lowest."""
        return Rank(self.chance(0.75))
