"""SQL of SQLite's dialect written anew for a database server, if it is a query that may run there; text in, text out.

The server enforces that nothing is written. Here is refused what a read-only transaction allows and nobody should: functions that
read files, wait, take locks or reach other machines, system catalogs, settings. So functions are those known by name to be
harmless, and tables those of the database's own schema.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError, UnsupportedError

from sense.sql.parse import check_select
from sense.sql.result import Failure
from sense.sql.tree import parse_query

_SQLGLOT = {"postgresql": "postgres", "mysql": "mysql"}
# What sqlglot calls the functions that may be used. Left out are those that make long texts of short ones (REPEAT, LPAD).
_FUNCTIONS = frozenset(
    """
    And Or Xor Exists Case If Coalesce Nullif Greatest Least Cast TryCast
    Count CountIf Sum Avg Min Max GroupConcat LogicalAnd LogicalOr Stddev StddevPop StddevSamp Variance VariancePop Median
    PercentileCont PercentileDisc RowNumber Rank DenseRank PercentRank CumeDist Ntile Lag Lead FirstValue LastValue NthValue
    Collate Lower Upper Length Substring Trim Replace Concat ConcatWs StrPosition Chr Unicode Ascii Left Right Reverse Initcap
    StartsWith RegexpLike RegexpILike JSONExtract JSONExtractScalar
    Abs Round Ceil Floor Sign Sqrt Cbrt Pow Exp Ln Log Trunc Pi Degrees Radians Sin Cos Tan Asin Acos Atan Atan2 Rand
    CurrentDate CurrentTime CurrentTimestamp CurrentDatetime Date Datetime Time Timestamp TimeToStr StrToTime StrToDate ToChar
    Extract Year Month Day Hour Minute Second DayOfWeek DayOfMonth DayOfYear Week WeekOfYear Quarter DateTrunc TimestampTrunc
    DateDiff DateAdd DateSub LastDay TsOrDsToDate TsOrDsToDateStr TsOrDsToDatetime TsOrDsToTime TsOrDsToTimestamp TsOrDsAdd
    TsOrDsDiff TimeStrToTime TimeStrToDate DateStrToDate TimeToUnix UnixToTime
    """.split()
)
_REFUSED = (exp.DDL, exp.DML, exp.Command, exp.Into, exp.Lock, exp.Hint, exp.Parameter, exp.SessionParameter, exp.Placeholder)


_LONGEST = 8_000  # characters; parsing and writing anew takes Python up to 0.05 ms for each, and other requests wait meanwhile


@dataclass(frozen=True)
class Names:
    """The names of a database's tables, views and columns, each by its lower case with its spellings."""

    tables: dict[str, list[str]]
    columns: dict[str, list[str]]


def by_lower_case(names: Iterable[str]) -> dict[str, list[str]]:
    """Each name under its lower case; several, where they differ in case alone."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        found.setdefault(name.lower(), []).append(name)
    return found


def translated(sql: str, dialect: str, names: Names) -> str | Failure:
    """The same query in `dialect` (postgresql, mysql), or why it is refused or has no translation."""
    long = f"{len(sql):,} characters long; at most {_LONGEST:,} are translated for {dialect}" if len(sql) > _LONGEST else None
    reason = long or check_select(sql)
    if reason is not None:
        return Failure("rejected", reason)
    tree = parse_query(sql)
    if tree is None:
        return Failure("error", f"not understood as SQLite's SQL, so that it cannot be translated for {dialect}")
    try:
        refused = _refused(tree) or _function(tree) or _table(tree, names)
        if refused is not None:
            return refused
        _adapt(tree, dialect, names)
        text = tree.sql(dialect=_SQLGLOT[dialect], comments=False, unsupported_level=ErrorLevel.RAISE)
        again = [statement for statement in sqlglot.parse(text, read=_SQLGLOT[dialect]) if statement is not None]
    except (SqlglotError, RecursionError, ValueError) as error:
        return Failure("error", f"no translation for {dialect}: {' '.join(str(error).split())[:200]}")
    # The text is looked at as the server will: a fault in writing it must not make two statements of one.
    if len(again) != 1 or not isinstance(again[0], exp.Query) or _refused(again[0]) is not None:
        return Failure("rejected", f"its translation for {dialect} is not one SELECT")
    return text


def _adapt(tree: exp.Expr, dialect: str, names: Names) -> None:
    """What sqlglot leaves: names are spelt as the database has them, and texts are compared without case where SQLite does so.

    SQLite does not mind the case of names, servers do. A name that the database does not have gets lower case everywhere.
    """
    for identifier in tree.find_all(exp.Identifier):
        of_table = isinstance(identifier.parent, (exp.Table, exp.TableAlias)) and identifier.arg_key == "this"
        of_table = of_table or (isinstance(identifier.parent, exp.Column) and identifier.arg_key == "table")
        known = (names.tables if of_table else names.columns).get(identifier.name.lower(), [])
        if identifier.name not in known:
            identifier.set("this", known[0] if known else identifier.name.lower())
        identifier.set("quoted", True)
    for collate in list(tree.find_all(exp.Collate)):
        _collate(collate)
    if dialect == "postgresql":
        for like in list(tree.find_all(exp.Like)):
            like.replace(exp.ILike(**like.args))
        for group in tree.find_all(exp.GroupConcat):  # STRING_AGG takes texts alone
            joined = group.this.expressions[0] if isinstance(group.this, exp.Distinct) else group.this
            joined = joined.this if isinstance(joined, exp.Order) else joined
            joined.replace(exp.cast(joined.copy(), "text"))


def _collate(collate: exp.Expr) -> None:
    """COLLATE NOCASE in a comparison or in ORDER BY becomes LOWER of all that is compared; UnsupportedError elsewhere."""
    inner, parent, nocase = collate.this, collate.parent, collate.expression.name.upper() == "NOCASE"
    if nocase and not isinstance(parent, (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.Ordered)):
        raise UnsupportedError("COLLATE NOCASE elsewhere than in a comparison or in ORDER BY")
    collate.replace(inner)
    if nocase and parent is not None:
        for operand in (parent.this, parent.args.get("expression")):
            if isinstance(operand, exp.Expr):
                operand.replace(exp.Lower(this=operand.copy()))


def _refused(tree: exp.Expr) -> Failure | None:
    found = tree.find(*_REFUSED)
    return Failure("rejected", f"not allowed on a server: {type(found).__name__.upper()}") if found is not None else None


def _function(tree: exp.Expr) -> Failure | None:
    for function in tree.find_all(exp.Func):
        if type(function).__name__ not in _FUNCTIONS:
            name = function.name if isinstance(function, exp.Anonymous) else function.sql_name()
            return Failure("rejected", f"the function {name[:60]} is not among those that may be used on a server")
    return None


def _table(tree: exp.Expr, names: Names) -> Failure | None:
    made = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    if any(name.startswith("pg_") for name in made):  # such a name could be a system table elsewhere in the query
        return Failure("rejected", "a WITH table may not have a name that begins with pg_")
    for table in tree.find_all(exp.Table):
        plain = isinstance(table.this, exp.Identifier) and not table.db and not table.catalog
        if not plain or table.name.lower() not in made | names.tables.keys():
            return Failure("error", f"no such table: {table.sql(dialect='sqlite')[:100]}")
    for column in tree.find_all(exp.Column):
        if column.args.get("db") is not None:
            return Failure("error", f"no such column: {column.sql(dialect='sqlite')[:100]}")
    return None
