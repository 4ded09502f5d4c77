"""Which constructs a query has, by its tree: what the wishes for an LLM and the benchmark of strong data count."""

from collections.abc import Iterator

from sqlglot import exp

from sense.config import SqlFeature

_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
_DATE_FUNCTIONS = frozenset("date time datetime julianday strftime unixepoch timediff".split())
_STRING_FUNCTIONS = frozenset(
    "concat format instr length like_escape lower ltrim printf replace rtrim substr substring trim upper".split()
)
_PLAIN: dict[type[exp.Expr], SqlFeature] = {
    exp.AggFunc: "aggregate",
    exp.Group: "GROUP BY",
    exp.Having: "HAVING",
    exp.Limit: "LIMIT",
    exp.Distinct: "DISTINCT",
    exp.Like: "LIKE",
    exp.SetOperation: "set operation",
    exp.CTE: "CTE",
    exp.Window: "window",
    exp.Exists: "EXISTS",
    exp.Cast: "CAST",
    exp.DPipe: "string function",
}
"""Class of nodes -> the feature that they are, wherever they stand."""


def features(tree: exp.Query) -> set[SqlFeature]:
    """Which features a query has, in its subqueries too; columns are those that it returns.

    >>> from sense.sql.tree import parse_query
    >>> sorted(features(parse_query("SELECT a.x + 1 FROM t AS a LEFT JOIN t AS b ON a.x = b.y GROUP BY a.x, a.y")))
    ['2 group keys', 'GROUP BY', 'arithmetic', 'join', 'outer join', 'self join']
    """
    columns = len(_first_select(tree).expressions)
    present: set[SqlFeature] = {"4+ columns"} if columns >= 4 else set()
    for select in tree.find_all(exp.Select):
        present |= set(_features_of_select(select))
    for node in tree.walk():
        present |= set(_features_of_node(node))
    return present


def _first_select(tree: exp.Expr) -> exp.Expr:
    while isinstance(tree, (exp.SetOperation, exp.Subquery)):
        tree = tree.this
    return tree


def _features_of_select(select: exp.Select) -> Iterator[SqlFeature]:
    joins = select.args.get("joins") or []
    source = select.args.get("from_")
    tables = [
        node.name.lower()
        for node in ([source.this] if source else []) + [join.this for join in joins]
        if isinstance(node, exp.Table)
    ]
    if joins:
        yield "join"
    if len(joins) >= 3:
        yield "3+ joins"
    if len(set(tables)) < len(tables):
        yield "self join"
    if any(join.side in ("LEFT", "RIGHT", "FULL") for join in joins):
        yield "outer join"
    clauses = [select.args[name].this for name in ("where", "having") if select.args.get(name) is not None]
    if sum(len(list(_conditions(clause))) for clause in clauses) >= 3:
        yield "3+ conditions"
    if select.args.get("group") is not None and len(select.args["group"].expressions) >= 2:
        yield "2 group keys"


def _conditions(clause: exp.Expr) -> Iterator[exp.Expr]:
    """The conditions that AND and OR put together."""
    if isinstance(clause, (exp.Connector, exp.Paren)):
        for side in clause.iter_expressions():
            yield from _conditions(side)
    else:
        yield clause


def _features_of_node(node: exp.Expr) -> Iterator[SqlFeature]:
    if not isinstance(node.parent, exp.Window):  # else it is the window's own function
        yield from (feature for kind, feature in _PLAIN.items() if isinstance(node, kind))
    if isinstance(node, exp.Order) and not isinstance(node.parent, exp.Window):
        yield "ORDER BY"
        if len(node.expressions) >= 2:
            yield "2 order keys"
    elif isinstance(node, exp.Select) and not _is_top(node):
        yield "subquery"
    elif isinstance(node, _ARITHMETIC):
        yield "arithmetic"
    elif isinstance(node, exp.Case) or (isinstance(node, exp.If) and not isinstance(node.parent, exp.Case)):
        yield "CASE"
    elif isinstance(node, exp.Func) and not isinstance(node, tuple(_PLAIN)):
        name = node.sql("sqlite").partition("(")[0].lower()
        if name in _DATE_FUNCTIONS:
            yield "date function"
        elif name in _STRING_FUNCTIONS:
            yield "string function"


def _is_top(select: exp.Select) -> bool:
    """Whether a SELECT is the query itself, an arm of its set operations, or a CTE."""
    node: exp.Expr = select
    while isinstance(node.parent, exp.SetOperation):
        node = node.parent
    return node.parent is None or isinstance(node.parent, exp.CTE)
