"""Translates SQL of SQLite's dialect for a database server, or says why it may not run there; text in, text out.

The server enforces that nothing is written. This module refuses what a read-only transaction allows and nobody should do:
functions that read files, wait, take locks or reach other machines, system catalogs, settings. So only functions known to be
harmless are let through, only types of plain values, and only tables of the database's own schema.

One difference remains: where MySQL divides integers, it returns fractions. So `/` becomes DIV where both sides are visibly
integers (numbers, COUNT, casts, columns, and what is computed from them); others, such as subqueries, are divided MySQL's way.
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
# sqlglot's names of the functions that may be used. Left out are those that make long texts of short ones (REPEAT, LPAD).
_ALLOWED_FUNCTIONS = frozenset(
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
_INTEGER_TYPES = (exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.MEDIUMINT, exp.DType.INT, exp.DType.BIGINT)
_TERMINAL_ESCAPES = re.compile(r"\x1b\[\d*m")  # sqlglot underlines the place of an error
_FORBIDDEN_NODES = (
    exp.DDL,
    exp.DML,
    exp.Command,
    exp.Into,
    exp.Lock,
    exp.Hint,
    exp.Parameter,
    exp.SessionParameter,
    exp.Placeholder,
)

_ALLOWED_TYPES = frozenset(
    """
    TINYINT SMALLINT MEDIUMINT INT BIGINT FLOAT DOUBLE DECIMAL TEXT TINYTEXT MEDIUMTEXT LONGTEXT CHAR NCHAR VARCHAR NVARCHAR
    BOOLEAN DATE TIME TIMETZ DATETIME TIMESTAMP TIMESTAMPTZ
    """.split()
)
_WIDEST_TYPE = 1_000  # characters or digits
_LONGEST_SQL = 8_000  # characters; translation takes up to 0.05 ms for each, and other requests wait meanwhile


@dataclass(frozen=True)
class DatabaseNames:
    """The names of a database's tables, views and columns, each by its lower case with its spellings.

    `integers` are the columns, in lower case, that hold integers in every table that has them.
    """

    tables: dict[str, list[str]]
    columns: dict[str, list[str]]
    integers: frozenset[str] = frozenset()


def group_by_lower_case(names: Iterable[str]) -> dict[str, list[str]]:
    """Each name under its lower case; several, where they differ in case alone."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(name.lower(), []).append(name)
    return groups


def translate(sql: str, dialect: str, names: DatabaseNames) -> str | Failure:
    """The same query in `dialect` (postgresql, mysql), or why it is refused or has no translation."""
    reason = check_select(sql)
    if len(sql) > _LONGEST_SQL:
        reason = f"{len(sql):,} characters long; at most {_LONGEST_SQL:,} are translated for {dialect}"
    if reason is not None:
        return Failure("rejected", reason)
    tree = parse_query(sql)
    if tree is None:
        return Failure("error", f"not understood as SQLite's SQL, so that it cannot be translated for {dialect}")
    try:
        failure = _check_nodes(tree) or _check_functions(tree) or _check_types(tree) or _check_tables(tree, names)
        if failure is not None:
            return failure
        _adapt(tree, sql, dialect, names)
        text = tree.sql(dialect=_SQLGLOT[dialect], comments=False, unsupported_level=ErrorLevel.RAISE)
        parsed_again = parse_statements(text, _SQLGLOT[dialect])
    except (SqlglotError, RecursionError, ValueError) as error:
        message = " ".join(_TERMINAL_ESCAPES.sub("", str(error)).split())
        return Failure("error", f"no translation for {dialect}: {message[:200]}")
    # The text is parsed as the server will do it: a fault in writing it must not make two statements of one.
    if len(parsed_again) != 1 or not isinstance(parsed_again[0], exp.Query) or _check_nodes(parsed_again[0]) is not None:
        return Failure("rejected", f"its translation for {dialect} is not one SELECT")
    return text


def _adapt(tree: exp.Expr, sql: str, dialect: str, names: DatabaseNames) -> None:
    """Does what sqlglot leaves: spells names as the database has them, and compares texts without case where SQLite does so.

    SQLite ignores the case of names, servers do not. A name that the database does not have becomes lower case everywhere.
    """
    own = {alias.alias.lower() for alias in tree.find_all(exp.Alias)}
    own |= {column.name.lower() for alias in tree.find_all(exp.TableAlias) for column in alias.columns}
    _unquote(tree, sql, names.columns.keys() | own)
    if dialect == "mysql":
        _divide(tree, names.integers - own)
    for identifier in tree.find_all(exp.Identifier):
        of_table = isinstance(identifier.parent, (exp.Table, exp.TableAlias)) and identifier.arg_key == "this"
        of_table = of_table or (isinstance(identifier.parent, exp.Column) and identifier.arg_key == "table")
        spellings = (names.tables if of_table else names.columns).get(identifier.name.lower(), [])
        if identifier.name not in spellings:
            identifier.set("this", spellings[0] if spellings else identifier.name.lower())
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
    """Makes texts of what stands in double quotes and is no column's name, as SQLite does; Spider's queries rely on it."""
    for column in list(tree.find_all(exp.Column)):
        name = column.this
        if not column.table and name.name.lower() not in columns and sql[name.meta.get("start", 0)] == '"':
            column.replace(exp.Literal.string(name.name))


def _divide(tree: exp.Expr, columns: Set[str]) -> None:
    """Makes integer divisions of those whose sides are integers, the inner ones first."""
    for division in reversed(list(tree.find_all(exp.Div))):
        if _is_integer(division.this, columns) and _is_integer(division.expression, columns):
            division.replace(exp.IntDiv(this=division.this, expression=division.expression))


def _is_integer(value: exp.Expr, columns: Set[str]) -> bool:
    if isinstance(value, (exp.Paren, exp.Neg, exp.Sum, exp.Min, exp.Max, exp.Abs)):
        return _is_integer(value.this, columns)
    if isinstance(value, (exp.Add, exp.Sub, exp.Mul)):
        return _is_integer(value.this, columns) and _is_integer(value.expression, columns)
    if isinstance(value, exp.Column):
        return value.name.lower() in columns
    return (
        isinstance(value, (exp.Count, exp.IntDiv))
        or value.is_int
        or (isinstance(value, exp.Cast) and value.is_type(*_INTEGER_TYPES))
    )


def _collate(collate: exp.Expr) -> None:
    """Makes LOWER of all that is compared out of COLLATE NOCASE in a comparison or in ORDER BY; UnsupportedError elsewhere."""
    inner, parent, nocase = collate.this, collate.parent, collate.expression.name.upper() == "NOCASE"
    if nocase and not isinstance(parent, (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.Ordered)):
        raise UnsupportedError("COLLATE NOCASE elsewhere than in a comparison or in ORDER BY")
    collate.replace(inner)
    if nocase and parent is not None:
        for operand in (parent.this, parent.args.get("expression")):
            if isinstance(operand, exp.Expr):
                operand.replace(exp.Lower(this=operand.copy()))


def _check_nodes(tree: exp.Expr) -> Failure | None:
    node = tree.find(*_FORBIDDEN_NODES)
    return Failure("rejected", f"not allowed on a server: {type(node).__name__.upper()}") if node is not None else None


def _check_functions(tree: exp.Expr) -> Failure | None:
    for function in tree.find_all(exp.Func):
        if type(function).__name__ not in _ALLOWED_FUNCTIONS:
            name = function.name if isinstance(function, exp.Anonymous) else function.sql_name()
            return Failure("rejected", f"the function {name[:60]} is not among those that may be used on a server")
    return None


def _check_types(tree: exp.Expr) -> Failure | None:
    """Other types read names from system catalogs (regclass), may be user-defined, or make long texts of short ones."""
    for data_type in [*(cast.args["to"] for cast in tree.find_all(exp.Cast)), *tree.find_all(exp.DataType)]:
        allowed = (
            isinstance(data_type, exp.DataType) and data_type.this.name in _ALLOWED_TYPES and not data_type.args.get("collate")
        )
        if not allowed or not all(size.name.isdecimal() and int(size.name) <= _WIDEST_TYPE for size in data_type.expressions):
            name = data_type.sql(dialect="sqlite")[:60]
            return Failure("rejected", f"the type {name} is not among those that may be used on a server")
    return None


def _check_tables(tree: exp.Expr, names: DatabaseNames) -> Failure | None:
    own = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    if any(name.startswith("pg_") for name in own):  # such a name could be a system table elsewhere in the query
        return Failure("rejected", "a WITH table may not have a name that begins with pg_")
    for table in tree.find_all(exp.Table):
        unqualified = isinstance(table.this, exp.Identifier) and not table.db and not table.catalog
        if not unqualified or table.name.lower() not in own | names.tables.keys():
            return Failure("error", f"no such table: {table.sql(dialect='sqlite')[:100]}")
    for column in tree.find_all(exp.Column):
        if column.args.get("db") is not None:
            return Failure("error", f"no such column: {column.sql(dialect='sqlite')[:100]}")
    return None
