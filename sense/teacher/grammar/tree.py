"""SQL as sqlglot trees: the few nodes that the grammar uses, and their plain text (no aliases, `!=`, `NOT IN`).

Every function returns new nodes, because in sqlglot a node has one parent.
"""

from collections.abc import Sequence

from sqlglot import exp
from sqlglot.generators.sqlite import SQLiteGenerator

from sense.teacher import CellValue
from sense.teacher.grammar.naming import needs_quotes
from sense.teacher.grammar.pieces import Aggregate, AggregateFunction, Comparison, Condition, GrammarColumn, GrammarTable, Link

_FUNCTIONS: dict[AggregateFunction, type[exp.AggFunc]] = {"AVG": exp.Avg, "SUM": exp.Sum, "MIN": exp.Min, "MAX": exp.Max}
_COMPARISONS: dict[Comparison, type[exp.Binary]] = {
    "=": exp.EQ,
    "!=": exp.NEQ,
    ">": exp.GT,
    "<": exp.LT,
    ">=": exp.GTE,
    "<=": exp.LTE,
}
_PATTERNS = {"contains": "%{}%", "starts": "{}%", "ends": "%{}"}


class _PlainGenerator(SQLiteGenerator):
    """SQLite's dialect in the spelling that people use."""

    def not_sql(self, expression: exp.Not) -> str:
        inner = expression.this
        if isinstance(inner, exp.In):
            return self.in_sql(inner).replace(" IN ", " NOT IN ", 1)
        if isinstance(inner, exp.Is):
            return self.is_sql(inner).replace(" IS ", " IS NOT ", 1)
        return super().not_sql(expression)

    def neq_sql(self, expression: exp.NEQ) -> str:
        return self.binary(expression, "!=")


def sql_text(tree: exp.Expr) -> str:
    """The SQL text of a tree."""
    return _PlainGenerator().generate(tree, copy=False)


def col(column: GrammarColumn, table: GrammarTable | None = None) -> exp.Column:
    """A column; with `table`, qualified by its name."""
    return exp.Column(this=_name(column.name), table=_name(table.name) if table else None)


def count(inner: exp.Expr | None = None) -> exp.Count:
    """COUNT(*), or COUNT(DISTINCT inner)."""
    return exp.Count(this=exp.Distinct(expressions=[inner]) if inner else exp.Star())


def aggregate_call(aggregate: Aggregate, table: GrammarTable | None = None) -> exp.Expr:
    """AVG(x) and the like."""
    return _FUNCTIONS[aggregate.function](this=col(aggregate.column, table))


def literal(value: CellValue) -> exp.Expr:
    """A literal as it is written in SQL."""
    return exp.Literal.string(value) if isinstance(value, str) else exp.Literal.number(value)


def condition(piece: Condition, qualified: bool = False) -> exp.Expr:
    """The tree of a condition; with `qualified`, its column is qualified by the table's name."""
    left = col(piece.column, piece.table if qualified else None)
    match piece.operator:
        case "between":
            return exp.Between(this=left, low=literal(piece.values[0]), high=literal(piece.values[1]))
        case "contains" | "starts" | "ends":
            return exp.Like(this=left, expression=literal(_PATTERNS[piece.operator].format(piece.values[0])))
        case "null":
            return exp.Is(this=left, expression=exp.Null())
        case "not null":
            return exp.Not(this=exp.Is(this=left, expression=exp.Null()))
        case _:
            return compare(left, piece.operator, literal(piece.values[0]))


def compare(left: exp.Expr, operator: Comparison, right: exp.Expr) -> exp.Expr:
    """`left` compared with `right`; a SELECT on the right is put in parentheses."""
    return _COMPARISONS[operator](this=left, expression=exp.Subquery(this=right) if isinstance(right, exp.Query) else right)


def both(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """`left` AND `right`."""
    return exp.And(this=left, expression=right)


def either(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """`left` OR `right`."""
    return exp.Or(this=left, expression=right)


def inside(left: exp.Expr, query: exp.Query, negated: bool = False) -> exp.Expr:
    """`left` IN or NOT IN the rows of `query`."""
    membership = exp.In(this=left, query=exp.Subquery(this=query))
    return exp.Not(this=membership) if negated else membership


def join(link: Link, joined: GrammarTable) -> exp.Join:
    """JOIN `joined` ON the foreign key of `link`, which is written child first."""
    child, parent = (
        exp.Column(this=_name(column), table=_name(table))
        for table, column in ((link.child, link.column), (link.parent, link.key))
    )
    return exp.Join(this=_table(joined), on=exp.EQ(this=child, expression=parent))


def select(
    columns: Sequence[exp.Expr],
    table: GrammarTable,
    *,
    joins: Sequence[exp.Join] = (),
    where: exp.Expr | None = None,
    group: exp.Expr | None = None,
    having: exp.Expr | None = None,
    order: exp.Expr | None = None,
    descending: bool = False,
    limit: int | None = None,
    distinct: bool = False,
) -> exp.Select:
    """A SELECT; `order` is the sort key and `descending` its direction."""
    return exp.Select(
        expressions=list(columns),
        distinct=exp.Distinct() if distinct else None,
        from_=exp.From(this=_table(table)),
        joins=list(joins),
        where=exp.Where(this=where) if where else None,
        group=exp.Group(expressions=[group]) if group else None,
        having=exp.Having(this=having) if having else None,
        order=exp.Order(expressions=[exp.Ordered(this=order, desc=descending, nulls_first=not descending)]) if order else None,
        limit=exp.Limit(expression=exp.Literal.number(limit)) if limit else None,
    )


def _name(text: str) -> exp.Identifier:
    return exp.Identifier(this=text, quoted=needs_quotes(text))


def _table(table: GrammarTable) -> exp.Table:
    return exp.Table(this=_name(table.name))
