"""What a query asks of each table that it reads: the conditions on its columns, and which columns it joins by equality.

A condition compares a column with a literal. Which table a column belongs to is read from the query's own FROM and JOIN and from
those around it; what stands in double quotes and is no column's name is a text, as SQLite takes it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from sense.sql.tree import shared_tree

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "like", "not like"]
LiteralValue = str | int | float

_COMPARISONS: dict[type[exp.Expr], Operator] = {
    exp.EQ: "=",
    exp.Is: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.Like: "like",
    exp.ILike: "like",
    exp.Glob: "like",
}
_NEGATIONS: dict[Operator, Operator] = {
    "=": "!=",
    "!=": "=",
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
    "like": "not like",
    "not like": "like",
}
_MIRRORED: dict[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_TRANSPARENT = (exp.Paren, exp.Collate, exp.Lower, exp.Upper, exp.Trim, exp.Cast, exp.Sum, exp.Avg, exp.Max, exp.Min)
_MAX_GROUP = 12  # rows that a group is given at most so that it passes HAVING COUNT(*) > n


@dataclass(frozen=True)
class Condition:
    """A column, by its lower-case name, compared with a literal; of BETWEEN and IN there is one for each literal."""

    column: str
    operator: Operator
    value: LiteralValue


@dataclass(frozen=True)
class TableUse:
    """One occurrence of a table in a query, by its lower-case name, and the conditions on it there."""

    table: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Join:
    """`column` of `table` is compared with that of the other table for equality; all names are in lower case."""

    table: str
    column: str
    other_table: str
    other_column: str


@dataclass(frozen=True)
class QueryUses:
    """What a query asks of the tables; `group` is the largest number that a count is compared with, 0 if none is."""

    uses: tuple[TableUse, ...]
    joins: tuple[Join, ...]
    group: int


def read_uses(sql: str, columns: Mapping[str, Sequence[str]]) -> QueryUses:
    """The uses of tables in `sql`; `columns` holds the columns of each table, all names in lower case.

    A query that cannot be parsed has none.

    >>> read_uses("SELECT name FROM pet WHERE age > 3", {"pet": ["name", "age"]}).uses
    (TableUse(table='pet', conditions=(Condition(column='age', operator='>', value=3),)),)
    """
    tree = shared_tree(sql)
    if tree is None:
        return QueryUses((), (), 0)
    reader = _Reader(tree, columns)
    return QueryUses(tuple(reader.uses()), tuple(dict.fromkeys(reader.joins())), reader.group())


class _Reader:
    """The tables and columns of one query's tree. A source is a table in FROM or JOIN; the same table may be several."""

    def __init__(self, tree: exp.Query, columns: Mapping[str, Sequence[str]]) -> None:
        self._tree, self._columns = tree, columns
        self._sources: dict[int, dict[str, exp.Table]] = {}  # by the id of the SELECT: alias -> table
        self._tables = [table for table in tree.find_all(exp.Table) if table.name.lower() in columns]
        for table in self._tables:
            select = table.parent_select
            if select is not None:
                self._sources.setdefault(id(select), {}).setdefault(table.alias_or_name.lower(), table)

    def uses(self) -> Iterator[TableUse]:
        conditions: dict[int, list[Condition]] = {id(table): [] for table in self._tables}
        for node in self._tree.find_all(*_COMPARISONS, exp.Between, exp.In):
            for source, condition in self._conditions(node):
                conditions[id(source)].append(condition)
        for table in self._tables:
            yield TableUse(table.name.lower(), tuple(dict.fromkeys(conditions[id(table)])))

    def joins(self) -> Iterator[Join]:
        for node in self._tree.find_all(exp.EQ, exp.In):
            other: exp.Expr | None = node.args.get("expression")
            if isinstance(node, exp.In):
                query = node.args.get("query")
                select = query.find(exp.Select) if query is not None else None
                other = select.expressions[0].unalias() if select is not None and select.expressions else None
            left, right = self._column(node.this), self._column(other)
            if left is not None and right is not None and left[0].name.lower() != right[0].name.lower():
                yield Join(left[0].name.lower(), left[1], right[0].name.lower(), right[1])

    def group(self) -> int:
        sizes = [0]
        for node in self._tree.find_all(exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE):
            for count, number in ((node.this, node.expression), (node.expression, node.this)):
                value = _value(number)
                if isinstance(count, exp.Count) and isinstance(value, int) and 0 < value < _MAX_GROUP:
                    sizes.append(value)
        return max(sizes)

    def _conditions(self, node: exp.Expr) -> Iterator[tuple[exp.Table, Condition]]:
        if isinstance(node, exp.Between):
            pairs: list[tuple[exp.Expr, exp.Expr, Operator]] = [
                (node.this, node.args["low"], ">="),
                (node.this, node.args["high"], "<="),
            ]
        elif isinstance(node, exp.In):
            pairs = [(node.this, option, "=") for option in node.expressions]
        else:
            operator = _COMPARISONS[type(node)]
            pairs = [
                (node.this, node.expression, operator),
                (node.expression, node.this, _MIRRORED.get(operator, operator)),
            ]
        negated = isinstance(node.parent, exp.Not)
        for left, right, operator in pairs:
            column, value = self._column(left), self._literal(right)
            if column is not None and value is not None:
                yield column[0], Condition(column[1], _NEGATIONS[operator] if negated else operator, value)

    def _literal(self, node: exp.Expr | None) -> LiteralValue | None:
        node = _strip(node)
        if isinstance(node, exp.Column):
            identifier = node.this
            quoted = isinstance(identifier, exp.Identifier) and identifier.args.get("quoted")
            return node.name if quoted and not node.table and self._column(node) is None else None
        return _value(node)

    def _column(self, node: exp.Expr | None) -> tuple[exp.Table, str] | None:
        """The source and the name of the column that a node is, calls that hardly change a value taken off."""
        node = _strip(node)
        if not isinstance(node, exp.Column):
            return None
        name, alias = node.name.lower(), node.table.lower()
        select = node.parent_select
        while select is not None:
            for source_alias, source in self._sources.get(id(select), {}).items():
                if (not alias or alias == source_alias) and name in self._columns[source.name.lower()]:
                    return source, name
            select = select.parent_select
        return None


def _strip(node: exp.Expr | None) -> exp.Expr | None:
    while isinstance(node, _TRANSPARENT):
        node = node.this
    return node


def _value(node: exp.Expr | None) -> LiteralValue | None:
    """The value of a literal, with its sign; None for anything else."""
    sign = 1
    while isinstance(node, (exp.Neg, exp.Paren)):
        sign = -sign if isinstance(node, exp.Neg) else sign
        node = node.this
    if not isinstance(node, exp.Literal):
        return None
    if node.is_string:
        return str(node.this)
    try:
        return sign * int(node.this)
    except ValueError:
        pass
    try:
        return sign * float(node.this)
    except ValueError:
        return None
