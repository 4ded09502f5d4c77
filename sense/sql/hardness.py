"""Spider's hardness of a query, by the published rules (Yu et al. 2018, `evaluation.py` of the Spider repository).

Three counts decide: *first* (WHERE, GROUP BY, ORDER BY, LIMIT, every join, every OR, every LIKE), *nested*
(subqueries in conditions, and a set operation) and *others* (several aggregates, columns, conditions, groups).
The rules look at the outermost, leftmost SELECT only, and their quirks are kept, because published levels have
them: a subquery in FROM is a table like any other, NOT counts as an aggregate, so does every AND and OR in HAVING.
Where Spider's grammar knows no such query, we extend: a CTE, and a subquery among the columns, is nested.
"""

from collections.abc import Iterable, Iterator

from sqlglot import exp

from sense.records import Hardness
from sense.sql.tree import parse_query

_AGGREGATES = (exp.Count, exp.Sum, exp.Avg, exp.Max, exp.Min)


def hardness(sql: str) -> Hardness:
    """The level of `sql`; "extra" if it cannot be parsed."""
    tree = parse_query(sql)
    if tree is None:
        return "extra"
    select, nested = _leftmost(tree)
    if not isinstance(select, exp.Select):
        return "extra"
    units, connectives = _conditions(select)
    first = _first(select, units, connectives)
    nested += sum(len(_subqueries(part)) for part in [*units, *select.expressions, *_ordered(select)])
    return _level(first, nested, _others(select))


def _level(first: int, nested: int, others: int) -> Hardness:
    if nested == 0:
        if first <= 1 and others == 0:
            return "easy"
        if (first <= 1 and others <= 2) or (first <= 2 and others < 2):
            return "medium"
        if (first <= 2 and others > 2) or (first == 3 and others <= 2):
            return "hard"
    elif nested == 1 and first <= 1 and others == 0:
        return "hard"
    return "extra"


def _leftmost(tree: exp.Expr) -> tuple[exp.Expr, int]:
    """The SELECT that the rules look at, and how many CTEs and set operations (one at most counts) were met on the way."""
    ctes, set_operation = 0, 0
    while True:
        ctes += len(tree.ctes) if isinstance(tree, exp.Query) else 0
        if isinstance(tree, exp.SetOperation):
            set_operation = 1
        elif not isinstance(tree, exp.Subquery):
            return tree, ctes + set_operation
        tree = tree.this


def _first(select: exp.Select, units: list[exp.Expr], connectives: list[exp.Expr]) -> int:
    clauses = sum(select.args.get(name) is not None for name in ("where", "group", "order", "limit"))
    ors = sum(isinstance(connective, exp.Or) for connective in connectives)
    likes = sum(isinstance(_plain(unit), exp.Like) for unit in units)
    return clauses + len(select.args.get("joins") or ()) + ors + likes


def _others(select: exp.Select) -> int:
    where, _ = _split(select.args.get("where"))
    having, having_connectives = _split(select.args.get("having"))
    aggregates = sum(_aggregates(column) > 0 for column in select.expressions)
    aggregates += sum(_aggregates(key) for key in _ordered(select))
    aggregates += sum(_negated(unit) for unit in [*where, *having]) + len(having_connectives)
    group = select.args.get("group")
    return sum([aggregates > 1, len(select.expressions) > 1, len(where) > 1, group is not None and len(group.expressions) > 1])


def _conditions(select: exp.Select) -> tuple[list[exp.Expr], list[exp.Expr]]:
    """The units and connectives of ON, WHERE and HAVING together."""
    units: list[exp.Expr] = []
    connectives: list[exp.Expr] = []
    ons = [join.args.get("on") for join in select.args.get("joins") or () if join.args.get("kind") or join.args.get("on")]
    for clause in [*ons, select.args.get("where"), select.args.get("having")]:
        more_units, more_connectives = _split(clause)
        units += more_units
        connectives += more_connectives
    return units, connectives


def _split(clause: exp.Expr | None) -> tuple[list[exp.Expr], list[exp.Expr]]:
    """A condition as Spider sees it: flat, parentheses dropped; its units and the ANDs and ORs between them."""
    units: list[exp.Expr] = []
    connectives: list[exp.Expr] = []
    stack = [] if clause is None else [clause]
    while stack:
        node = stack.pop()
        if isinstance(node, exp.Connector):
            connectives.append(node)
            stack += [node.right, node.left]
        elif isinstance(node, (exp.Where, exp.Having, exp.Paren)) or (
            isinstance(node, exp.Not) and isinstance(_plain(node), exp.Connector)
        ):
            stack.append(node.this)
        else:
            units.append(node)
    return units, connectives


def _plain(unit: exp.Expr) -> exp.Expr:
    """A unit without its NOT and its parentheses."""
    while isinstance(unit, (exp.Not, exp.Paren)):
        unit = unit.this
    return unit


def _negated(unit: exp.Expr) -> bool:
    """True for NOT IN, NOT LIKE and the like; IS NOT is an operator of its own."""
    return isinstance(unit, exp.Not) and not isinstance(_plain(unit), exp.Is)


def _ordered(select: exp.Select) -> list[exp.Expr]:
    order = select.args.get("order")
    return [] if order is None else list(order.expressions)


def _aggregates(part: exp.Expr) -> int:
    """How many aggregates `part` holds outside its subqueries."""
    return sum(isinstance(node, _AGGREGATES) for node in _walk([part]))


def _subqueries(part: exp.Expr) -> list[exp.Expr]:
    """The outermost subqueries of `part`."""
    return [node for node in _walk([part]) if isinstance(node, (exp.Select, exp.SetOperation))]


def _walk(roots: Iterable[exp.Expr]) -> Iterator[exp.Expr]:
    """Every node, down to subqueries but not into them."""
    stack = list(roots)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, (exp.Select, exp.SetOperation)):
            stack += list(node.iter_expressions())
