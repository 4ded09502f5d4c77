"""SQL of SQLite's dialect written anew for a database server, if it is a query that may run there; text in, text out.

The server enforces that nothing is written. Here is refused what a read-only transaction allows and nobody should: functions that
read files, wait, take locks or reach other machines, system catalogs, settings. So functions are those known by name to be
harmless, types those of plain values, and tables those of the database's own schema.

One difference remains: MySQL makes fractions where it divides integers. So `/` becomes DIV there where both sides are seen to be
integers (numbers, COUNT, casts, columns, and what is reckoned from them); others, as of subqueries, it divides in its own way.
"""

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError, UnsupportedError

from sense.sql.parse import check_select
from sense.sql.result import Failure
from sense.sql.tree import parse_query, parse_statements

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
_INTEGERS = (exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.MEDIUMINT, exp.DType.INT, exp.DType.BIGINT)
_UNDERLINED = re.compile(r"\x1b\[\d*m")  # how sqlglot shows on a terminal where it stopped
_REFUSED = (exp.DDL, exp.DML, exp.Command, exp.Into, exp.Lock, exp.Hint, exp.Parameter, exp.SessionParameter, exp.Placeholder)

_TYPES = frozenset(
    """
    TINYINT SMALLINT MEDIUMINT INT BIGINT FLOAT DOUBLE DECIMAL TEXT TINYTEXT MEDIUMTEXT LONGTEXT CHAR NCHAR VARCHAR NVARCHAR
    BOOLEAN DATE TIME TIMETZ DATETIME TIMESTAMP TIMESTAMPTZ
    """.split()
)
_WIDEST = 1_000  # characters or digits of a type
_LONGEST = 8_000  # characters; parsing and writing anew takes Python up to 0.05 ms for each, and other requests wait meanwhile


@dataclass(frozen=True)
class Names:
    """The names of a database's tables, views and columns, each by its lower case with its spellings.

    `integers` are the columns, in lower case, that hold integers in every table that has them.
    """

    tables: dict[str, list[str]]
    columns: dict[str, list[str]]
    integers: frozenset[str] = frozenset()


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
        refused = _refused(tree) or _function(tree) or _type(tree) or _table(tree, names)
        if refused is not None:
            return refused
        _adapt(tree, sql, dialect, names)
        text = tree.sql(dialect=_SQLGLOT[dialect], comments=False, unsupported_level=ErrorLevel.RAISE)
        again = parse_statements(text, _SQLGLOT[dialect])
    except (SqlglotError, RecursionError, ValueError) as error:
        said = " ".join(_UNDERLINED.sub("", str(error)).split())
        return Failure("error", f"no translation for {dialect}: {said[:200]}")
    # The text is looked at as the server will: a fault in writing it must not make two statements of one.
    if len(again) != 1 or not isinstance(again[0], exp.Query) or _refused(again[0]) is not None:
        return Failure("rejected", f"its translation for {dialect} is not one SELECT")
    return text


def _adapt(tree: exp.Expr, sql: str, dialect: str, names: Names) -> None:
    """What sqlglot leaves: names are spelt as the database has them, and texts are compared without case where SQLite does so.

    SQLite does not mind the case of names, servers do. A name that the database does not have gets lower case everywhere.
    """
    made = {alias.alias.lower() for alias in tree.find_all(exp.Alias)}
    made |= {column.name.lower() for alias in tree.find_all(exp.TableAlias) for column in alias.columns}
    _unquote(tree, sql, names.columns.keys() | made)
    if dialect == "mysql":
        _divide(tree, names.integers - made)
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


def _unquote(tree: exp.Expr, sql: str, columns: Set[str]) -> None:
    """SQLite takes what stands in double quotes and is no column's name for a text, and Spider's queries are written so."""
    for column in list(tree.find_all(exp.Column)):
        name = column.this
        if not column.table and name.name.lower() not in columns and sql[name.meta.get("start", 0)] == '"':
            column.replace(exp.Literal.string(name.name))


def _divide(tree: exp.Expr, columns: Set[str]) -> None:
    """The divisions of integers, the inner ones first."""
    for division in reversed(list(tree.find_all(exp.Div))):
        if _integer(division.this, columns) and _integer(division.expression, columns):
            division.replace(exp.IntDiv(this=division.this, expression=division.expression))


def _integer(value: exp.Expr, columns: Set[str]) -> bool:
    if isinstance(value, (exp.Paren, exp.Neg, exp.Sum, exp.Min, exp.Max, exp.Abs)):
        return _integer(value.this, columns)
    if isinstance(value, (exp.Add, exp.Sub, exp.Mul)):
        return _integer(value.this, columns) and _integer(value.expression, columns)
    if isinstance(value, exp.Column):
        return value.name.lower() in columns
    return (
        isinstance(value, (exp.Count, exp.IntDiv)) or value.is_int or (isinstance(value, exp.Cast) and value.is_type(*_INTEGERS))
    )


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


def _type(tree: exp.Expr) -> Failure | None:
    """Other types tell names out of system catalogs (regclass), may be of anybody's making, or make long texts of short ones."""
    for kind in [*(cast.args["to"] for cast in tree.find_all(exp.Cast)), *tree.find_all(exp.DataType)]:
        known = isinstance(kind, exp.DataType) and kind.this.name in _TYPES and not kind.args.get("collate")
        if not known or not all(size.name.isdecimal() and int(size.name) <= _WIDEST for size in kind.expressions):
            return Failure(
                "rejected", f"the type {kind.sql(dialect='sqlite')[:60]} is not among those that may be used on a server"
            )
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
