"""What a question asks, without SQL and without words: the parts from which both are made.

An `Entity` is a table with what its rows must meet; conditions may speak of other tables along foreign keys, and those of others
again. A `Request` asks something of an entity: to list rows, to measure them, to group them, to combine two lists. Because every
part may hold others, few kinds of parts give many structures. `tree` turns a request into SQL, `english` into a question.
"""

from dataclasses import dataclass
from typing import Literal

from sense.teacher import CellValue
from sense.teacher.grammar.database import GrammarColumn, GrammarTable, Link

AggregateFunction = Literal["AVG", "SUM", "MIN", "MAX"]
Inequality = Literal[">", "<", ">=", "<=", "=", "!="]
Operator = Literal[">", "<", ">=", "<=", "=", "!=", "between", "in", "not in", "contains", "starts", "ends", "null", "not null"]
Part = Literal["", "year", "month", "length"]
"""What of a value is compared or grouped by: all of it, the year or the month of a date, the number of characters of a text."""
Shape = Literal["join", "in", "exists"]
"""How a condition on another table is written in SQL; the result is the same."""


@dataclass(frozen=True)
class Attribute:
    """A column of an entity's row, or of the row to which the foreign keys `path` lead from there; `part` as in Part."""

    table: GrammarTable
    column: GrammarColumn
    path: tuple[Link, ...] = ()
    part: Part = ""


@dataclass(frozen=True)
class Comparison:
    """A condition on one attribute.

    `values` has two values for "between", two or more for "in" and "not in", none for "null" and "not null", else one.
    """

    attribute: Attribute
    operator: Operator
    values: tuple[CellValue, ...] = ()


@dataclass(frozen=True)
class Either:
    """One of two conditions, or both."""

    first: Comparison
    second: Comparison


@dataclass(frozen=True)
class OfParent:
    """The row that `link` leads to is one of `parent`, or (`negated`) is none of them."""

    link: Link
    parent: "Entity"
    shape: Shape
    negated: bool = False


@dataclass(frozen=True)
class WithChildren:
    """Rows of `child` refer to the row by `link`: at least one, none (`negated`), or as many as `operator` and `count` say."""

    link: Link
    child: "Entity"
    shape: Shape
    negated: bool = False
    operator: Inequality = ">="
    count: int = 1


@dataclass(frozen=True)
class Across:
    """The row is joined by `junction` with at least one row of `other`, or (`negated`) with none.

    `here` is the foreign key from the junction to the row's table, `there` the one to the other table.
    """

    junction: GrammarTable
    here: Link
    there: Link
    other: "Entity"
    shape: Shape
    negated: bool = False


@dataclass(frozen=True)
class AgainstAggregate:
    """A quantity compared with the average, the highest or the lowest one of `among`, rows of the same table."""

    attribute: Attribute
    operator: Inequality
    function: AggregateFunction
    among: "Entity"


@dataclass(frozen=True)
class AgainstNamed:
    """A value compared with that of the row whose label is `label`; that row itself is left out where it would be among them."""

    attribute: Attribute
    operator: Inequality
    label: CellValue


@dataclass(frozen=True)
class OfCommonest:
    """A category is the one that most rows of the table have, or (not `descending`) the fewest."""

    attribute: Attribute
    descending: bool = True


@dataclass(frozen=True)
class AgainstParent:
    """A quantity compared with the same one of the row that `link` leads to in the same table (an employee and the manager)."""

    attribute: Attribute
    operator: Inequality
    link: Link


@dataclass(frozen=True)
class AgainstOther:
    """A quantity compared with another one of the same row."""

    attribute: Attribute
    operator: Inequality
    other: Attribute


Filter = (
    Comparison
    | Either
    | OfParent
    | WithChildren
    | Across
    | AgainstAggregate
    | AgainstNamed
    | OfCommonest
    | AgainstParent
    | AgainstOther
)


@dataclass(frozen=True)
class Entity:
    """The rows of a table that meet all of `filters`."""

    table: GrammarTable
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True)
class Total:
    """A number computed from two quantities of one row: "-" and "+" of two of one unit, "*" of a price and a number of pieces."""

    operator: Literal["-", "+", "*"]
    first: Attribute
    second: Attribute


@dataclass(frozen=True)
class Changed:
    """A text in another form: in capital or small letters, its number of characters, its first letter; a number rounded."""

    function: Literal["upper", "lower", "length", "initial", "rounded"]
    attribute: Attribute


@dataclass(frozen=True)
class Joined:
    """Two texts in one, with a separator."""

    first: Attribute
    second: Attribute
    separator: str


@dataclass(frozen=True)
class Classed:
    """One of two words for each row: `high` where the quantity is above `bound`, else `low`."""

    attribute: Attribute
    bound: CellValue
    high: str
    low: str


@dataclass(frozen=True)
class Ranked:
    """The rank of a row by a quantity, among all rows or (`within`) among those with the same value there."""

    attribute: Attribute
    descending: bool
    within: Attribute | None = None


@dataclass(frozen=True)
class Running:
    """The sum of a quantity up to the row, in the order of a date."""

    attribute: Attribute
    by: Attribute


Item = Attribute | Total | Changed | Joined | Classed | Ranked | Running


@dataclass(frozen=True)
class OrderKey:
    """A sort key; `descending` puts the highest first."""

    item: "Attribute | Measure"
    descending: bool


@dataclass(frozen=True)
class Count:
    """The number of rows, or (`distinct`) of different values."""

    distinct: Attribute | None = None


@dataclass(frozen=True)
class Aggregate:
    """An aggregate of a quantity, or of a number computed from two; `rounded` to a whole number by CAST."""

    function: AggregateFunction
    of: Attribute | Total
    rounded: bool = False


@dataclass(frozen=True)
class Spread:
    """The highest of a quantity less the lowest."""

    attribute: Attribute


@dataclass(frozen=True)
class CountIf:
    """How many of the rows meet a condition; `percent` of them if it is a percentage."""

    condition: Comparison
    percent: bool = False


Measure = Count | Aggregate | Spread | CountIf


@dataclass(frozen=True)
class Having:
    """Which groups: those whose measure compares with `value`."""

    measure: Measure
    operator: Inequality
    value: CellValue


@dataclass(frozen=True)
class Listing:
    """Rows of an entity: what of them, each once (`distinct`) or not, in which order, how many. No items: all columns."""

    entity: Entity
    items: tuple[Item, ...]
    distinct: bool = False
    order: tuple[OrderKey, ...] = ()
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True)
class Measuring:
    """Numbers about all rows of an entity."""

    entity: Entity
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class Grouping:
    """Numbers about the rows of an entity, group by group.

    `keys` are grouped by. With `identity` they are columns of one row each, that `keys[0].path` leads to, and that row's key is
    grouped by, alone or (`strict`, as standard SQL has it) with the keys. With `outer`, the keys belong to the row that this
    foreign key leads to, and those without any row of the entity come too, with 0. Without `measures`, the groups alone are
    asked for.
    """

    entity: Entity
    keys: tuple[Attribute, ...]
    measures: tuple[Measure, ...]
    identity: bool = False
    outer: Link | None = None
    having: Having | None = None
    order: tuple[OrderKey, ...] = ()
    limit: int | None = None
    measures_first: bool = False
    strict: bool = False


@dataclass(frozen=True)
class Combining:
    """Two lists of the same columns in one: in both, in the first only, in any of them.

    The lists may be of two tables, whose columns hold the same kind of values; with `link`, they are the keys of a table and the
    foreign keys that refer to them.
    """

    operator: Literal["INTERSECT", "EXCEPT", "UNION"]
    first: Listing
    second: Listing
    link: Link | None = None


@dataclass(frozen=True)
class BestOfGroup:
    """For each value of `key`, the row with the highest or lowest quantity; written with a window or with a query by the row."""

    entity: Entity
    items: tuple[Attribute, ...]
    key: Attribute
    by: Attribute
    descending: bool
    window: bool


@dataclass(frozen=True)
class AboveMeanGroups:
    """The groups whose measure is above (or below) the mean of all groups; with a CTE."""

    entity: Entity
    key: Attribute
    measure: Measure
    operator: Literal[">", "<"]
    with_measure: bool


@dataclass(frozen=True)
class Contrast:
    """The difference between one number about two kinds of rows, which differ in one condition."""

    measure: Measure
    first: Entity
    second: Entity


@dataclass(frozen=True)
class Twins:
    """Pairs of different rows with the same value of an attribute, each pair once."""

    entity: Entity
    item: Attribute
    same: Attribute


Request = Listing | Measuring | Grouping | Combining | BestOfGroup | AboveMeanGroups | Contrast | Twins
