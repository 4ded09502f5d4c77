"""The text of SQL trees, as people write it: `!=`, `NOT IN`, quotes only where SQLite needs them."""

from sqlglot import exp
from sqlglot.generators.sqlite import SQLiteGenerator

from sense.teacher import CellValue
from sense.teacher.grammar.naming import needs_quotes


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


def identifier(text: str) -> exp.Identifier:
    """An identifier, in quotes where SQLite needs them."""
    return exp.Identifier(this=text, quoted=needs_quotes(text))


def literal(value: CellValue) -> exp.Expr:
    """A literal as it is written in SQL."""
    if isinstance(value, str):
        return exp.Literal.string(value)
    if isinstance(value, (int, float)) and value < 0:
        return exp.Neg(this=exp.Literal.number(-value))
    return exp.Literal.number(value)
