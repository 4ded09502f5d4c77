"""What is wrong with a wrong SQL, by its tree beside the gold's: one class, the first of these that holds.

    syntax          SQLite does not understand it, or it is no query
    schema linking  a table or column that does not exist, or one in the place of another
    nesting         other set operations, subqueries or CTEs, IN for NOT IN
    join            too many tables or too few, other keys, LEFT JOIN for JOIN
    columns         too many columns in the result, or too few
    aggregate       another aggregate, DISTINCT, other groups or windows
    filter          another condition in WHERE or HAVING
    order           another ORDER BY or LIMIT
    other           anything else: arithmetic, CASE, functions; and what differs in spelling only

A SQL with several mistakes has the class of the coarsest: who reads the wrong table gets its columns wrong too. But a column that
stands in the place of another comes before the conditions only where the rest of the clause is right.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlglot import exp
from sqlglot.errors import SqlglotError

from sense.sql.tree import parse_query
from sense.verdicts import ErrorClass, VerdictName

# By SQLite's messages.
_MESSAGES: tuple[tuple[re.Pattern[str], ErrorClass], ...] = (
    (re.compile(r"no such (table|column)|ambiguous column name|has no column named|cannot join using column"), "schema linking"),
    (re.compile(r"misuse of|nested aggregate|HAVING clause|aggregate functions? (is|are) not allowed"), "aggregate"),
    (re.compile(r"same number of result columns|sub-select returns|circular reference"), "nesting"),
    (re.compile(r"ON clause references|cannot have both ON and USING"), "join"),
    (re.compile(r"(ORDER BY|GROUP BY) term|LIMIT clause should come|ORDER BY clause should come"), "order"),
)


def error_class(gold: str, predicted: str, verdict: VerdictName, detail: str = "") -> ErrorClass:
    """The class of the error of `predicted`; `verdict` and `detail` are those it got when it was executed.

    >>> error_class("SELECT name FROM pet WHERE age > 3", "SELECT name FROM pet WHERE age >= 3", "mismatch")
    'filter'
    >>> error_class("SELECT name FROM pet", "SELECT title FROM pet", "error", "no such column: title")
    'schema linking'
    """
    if verdict == "error":
        return next((name for pattern, name in _MESSAGES if pattern.search(detail)), "syntax")
    parts, gold_parts = _parts(predicted), _parts(gold)
    if parts is None or verdict == "rejected":
        return "syntax"
    if gold_parts is None:
        return "other"
    return next((name for name, differs in _differences(gold_parts, parts) if differs), "other")


class _Clause:
    """The pieces of the clauses of one kind, of all SELECTs together, without the queries in them; each list is sorted.

    They are written with the tables of columns, without them, and without the columns themselves.
    """

    def __init__(self, pieces: Iterable[exp.Expr]) -> None:
        copies = [_without_queries(piece) for piece in pieces]
        self.texts = sorted(map(_text, copies))
        self.aggregates = Counter(_aggregate(node) for copy in copies for node in copy.find_all(exp.AggFunc))
        for column in _columns(copies):
            column.set("table", None)
        self.names = sorted(map(_text, copies))
        for column in _columns(copies):
            column.set("this", exp.to_identifier("_"))
        self.shapes = sorted(map(_text, copies))

    def has_other_columns(self, gold: "_Clause") -> bool:
        """Whether nothing but the columns is another."""
        return self.shapes == gold.shapes and self.names != gold.names

    def has_other_aggregates(self, gold: "_Clause") -> bool:
        """Whether there are as many pieces, with other aggregates."""
        return len(self.shapes) == len(gold.shapes) and self.aggregates != gold.aggregates


class _Parts(NamedTuple):
    """What a query is made of, its subqueries included."""

    tables: Counter[str]
    nesting: Counter[str]
    joins: Counter[str]
    widths: list[int]
    rows: Counter[str]  # what makes several rows one: DISTINCT; and windows
    columns: _Clause
    filters: _Clause
    connectors: Counter[str]
    groups: _Clause
    orders: _Clause
    limits: list[str]


def _differences(gold: _Parts, parts: _Parts) -> Iterator[tuple[ErrorClass, bool]]:
    """The classes in the order of the module's text, and whether the two differ in each."""
    clauses = [(getattr(gold, name), getattr(parts, name)) for name in ("columns", "filters", "groups", "orders")]
    yield "schema linking", bool(gold.tables - parts.tables) and bool(parts.tables - gold.tables)
    yield "nesting", gold.nesting != parts.nesting
    yield "join", gold.tables != parts.tables or gold.joins != parts.joins
    yield "columns", gold.widths != parts.widths
    grouped = gold.rows != parts.rows or len(gold.groups.texts) != len(parts.groups.texts)
    yield "aggregate", grouped or any(clause.has_other_aggregates(of_gold) for of_gold, clause in clauses)
    yield "schema linking", any(clause.has_other_columns(of_gold) for of_gold, clause in clauses)
    yield "filter", gold.filters.names != parts.filters.names or gold.connectors != parts.connectors
    yield "order", gold.orders.names != parts.orders.names or gold.limits != parts.limits
    yield "aggregate", gold.groups.names != parts.groups.names
    yield (
        "schema linking",
        any(clause.texts != of_gold.texts for of_gold, clause in clauses) and gold.columns.names == parts.columns.names,
    )


def _parts(sql: str) -> _Parts | None:
    """The parts of a query; None if it cannot be parsed, or is nested too deeply to be written."""
    tree = parse_query(sql)
    if tree is None:
        return None
    try:
        _normalize(tree)
        return _collect(tree)
    except (SqlglotError, RecursionError):
        return None


def _normalize(tree: exp.Query) -> None:
    """Spells what means the same alike: names in lower case and without quotes, tables without aliases, aliases of columns."""
    for column in list(tree.find_all(exp.Column)):
        compared = isinstance(column.parent, exp.Predicate) and column.arg_key in ("expression", "expressions", "low", "high")
        if compared and column.this.args.get("quoted") and not column.args.get("table"):  # a text to SQLite
            column.replace(exp.Literal.string(column.name))
    for identifier in tree.find_all(exp.Identifier):
        identifier.set("this", identifier.name.lower())
        identifier.set("quoted", False)
    for select in reversed(list(tree.find_all(exp.Select))):  # what is inside first: its aliases hide those outside
        relations = [node.this for node in [select.args.get("from_"), *(select.args.get("joins") or ())] if node is not None]
        tables = {node.alias_or_name: node for node in relations if isinstance(node, exp.Table)}
        aliased = {column.alias: column.this for column in select.expressions if isinstance(column, exp.Alias)}
        for column in list(select.find_all(exp.Column)):
            if column.table in tables:
                column.set("table", exp.to_identifier(tables[column.table].name) if len(relations) > 1 else None)
            elif column.name in aliased and not column.table and column.find_ancestor(exp.Order, exp.Group, exp.Having):
                column.replace(aliased[column.name].copy())
        for table in tables.values():
            table.set("alias", None)


def _collect(tree: exp.Query) -> _Parts:
    selects = list(tree.find_all(exp.Select))
    groups = [key for select in selects if select.args.get("group") for key in select.args["group"].expressions]
    windows = list(tree.find_all(exp.Window))
    filters = [piece for clause in tree.find_all(exp.Where, exp.Having) for piece in _conditions(clause.this)]
    return _Parts(
        tables=Counter(table.name for table in tree.find_all(exp.Table)),
        nesting=Counter(map(_nesting, tree.find_all(exp.Select, exp.SetOperation, exp.In, exp.Exists))),
        joins=Counter(_keys(tree)) + Counter(f"{join.side} join" for join in tree.find_all(exp.Join)),
        widths=[-1 if select.is_star else len(select.expressions) for select in selects],
        rows=Counter(f"{window.this.key} over {len(window.args.get('partition_by') or ())}" for window in windows)
        + Counter("distinct" for select in selects if select.args.get("distinct")),
        columns=_Clause(column.unalias() for select in selects for column in select.expressions),
        filters=_Clause(filters),
        connectors=Counter(node.key for node in tree.find_all(exp.Connector) if not node.find_ancestor(exp.Join)),
        groups=_Clause(groups),
        orders=_Clause(tree.find_all(exp.Ordered)),
        limits=sorted(_text(node) for node in tree.find_all(exp.Limit, exp.Offset)),
    )


def _without_queries(piece: exp.Expr) -> exp.Expr:
    """A copy with a sign in the place of each query: the parts of queries are collected by themselves."""
    frame = exp.Paren(this=piece.copy())
    while (query := frame.find(exp.Query)) is not None:
        query.replace(exp.to_identifier("_query"))
    return frame


def _columns(nodes: Iterable[exp.Expr]) -> Iterator[exp.Column]:
    for node in nodes:
        yield from node.find_all(exp.Column)


def _conditions(condition: exp.Expr) -> Iterator[exp.Expr]:
    """The conditions between AND and OR, but for the keys of joins."""
    if isinstance(condition, (exp.Connector, exp.Paren)):
        for side in condition.iter_expressions():
            yield from _conditions(side)
    elif not _is_key(condition):
        yield condition


def _is_key(node: exp.Expr) -> bool:
    return isinstance(node, exp.EQ) and isinstance(node.left, exp.Column) and isinstance(node.right, exp.Column)


def _keys(tree: exp.Query) -> Iterator[str]:
    """The equations between columns, and the columns of USING, whatever side a column stands on."""
    for node in tree.find_all(exp.EQ):
        if _is_key(node):
            yield " = ".join(sorted((_text(node.left), _text(node.right))))
    for join in tree.find_all(exp.Join):
        yield from (f"using {key.name}" for key in join.args.get("using") or ())


def _nesting(node: exp.Expr) -> str:
    """What a subquery, a set operation or a test of a subquery counts as."""
    if isinstance(node, exp.SetOperation):
        return f"{node.key} {bool(node.args.get('distinct'))}"
    negated = "not " if isinstance(node.parent, exp.Not) and (isinstance(node, exp.Exists) or node.args.get("query")) else ""
    return negated + ("list" if isinstance(node, exp.In) and not node.args.get("query") else node.key)


def _aggregate(node: exp.Expr) -> str:
    return (
        f"{node.key} {'distinct' if isinstance(node.this, exp.Distinct) else 'star' if isinstance(node.this, exp.Star) else ''}"
    )


def _text(node: exp.Expr) -> str:
    return node.sql(dialect="sqlite", comments=False)
