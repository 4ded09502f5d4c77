"""How hard a query is: Spider's four levels of hardness, and a finer count of its parts, its complexity, in eight bands.

**Hardness** follows the published rules (Yu et al. 2018, `evaluation.py` of the Spider repository). Three counts decide:
*first* (WHERE, GROUP BY, ORDER BY, LIMIT, every join, every OR, every LIKE), *nested* (subqueries in conditions, and a set
operation) and *others* (several aggregates, columns, conditions, groups). The rules look at the outermost, leftmost SELECT only,
and their quirks are kept, because published levels have them: a subquery in FROM is a table like any other, NOT counts as an
aggregate, and so does every AND and OR in HAVING. Where Spider's grammar knows no such query, the rules are extended: a CTE, and
a subquery among the columns, is nested.

**Complexity** counts every part, wherever in the query it stands. The weighted sum of the counts (`WEIGHTS`) is the score: 1 for
one choice (a column, an aggregate, a LIMIT), 2 for two (a condition: what and against what; a join: which table and on which
keys; a level of nesting), 3 and 4 for what changes how the whole is read (a set operation, a window).

The bands of complexity are cut by Spider's training set. Its 6,639 questions, by the score of their golds, fall into seven parts
as equal as whole scores allow (12% to 17% each): bands 1 to 7. Band 8 begins at the least score that at most 1 in 100 of them
reaches: what is harder than nearly all of Spider. Each of the four levels is spread over several bands, most of all medium: three
to five of them hold a twentieth of it or more.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from sqlglot import exp

from sense.records import Hardness
from sense.sql.tree import parse_query

_AGGREGATES = (exp.Count, exp.Sum, exp.Avg, exp.Max, exp.Min)


def hardness(sql: str) -> Hardness:
    """Spider's level of `sql`; "extra" if it cannot be parsed.

    >>> hardness("SELECT name FROM pet")
    'easy'
    >>> hardness("SELECT name FROM pet WHERE age > (SELECT avg(age) FROM pet)")
    'hard'
    """
    return tree_hardness(parse_query(sql))


def tree_hardness(tree: exp.Query | None) -> Hardness:
    """Spider's level of a query by its tree; "extra" for None."""
    if tree is None:
        return "extra"
    select, nested = _leftmost(tree)
    if not isinstance(select, exp.Select):
        return "extra"
    units, connectives = _conditions(select)
    first = _count_first(select, units, connectives)
    nested += sum(len(_subqueries(part)) for part in [*units, *select.expressions, *_order_keys(select)])
    return _level(first, nested, _count_others(select))


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


def _count_first(select: exp.Select, units: list[exp.Expr], connectives: list[exp.Expr]) -> int:
    clauses = sum(select.args.get(name) is not None for name in ("where", "group", "order", "limit"))
    ors = sum(isinstance(connective, exp.Or) for connective in connectives)
    likes = sum(isinstance(_without_not(unit), exp.Like) for unit in units)
    return clauses + len(select.args.get("joins") or ()) + ors + likes


def _count_others(select: exp.Select) -> int:
    where, _ = _split(select.args.get("where"))
    having, having_connectives = _split(select.args.get("having"))
    aggregates = sum(_count_aggregates(column) > 0 for column in select.expressions)
    aggregates += sum(_count_aggregates(key) for key in _order_keys(select))
    aggregates += sum(_is_negated(unit) for unit in [*where, *having]) + len(having_connectives)
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
            isinstance(node, exp.Not) and isinstance(_without_not(node), exp.Connector)
        ):
            stack.append(node.this)
        else:
            units.append(node)
    return units, connectives


def _without_not(unit: exp.Expr) -> exp.Expr:
    """A unit without its NOT and its parentheses."""
    while isinstance(unit, (exp.Not, exp.Paren)):
        unit = unit.this
    return unit


def _is_negated(unit: exp.Expr) -> bool:
    """True for NOT IN, NOT LIKE and the like; IS NOT is an operator of its own."""
    return isinstance(unit, exp.Not) and not isinstance(_without_not(unit), exp.Is)


def _order_keys(select: exp.Select) -> list[exp.Expr]:
    order = select.args.get("order")
    return [] if order is None else list(order.expressions)


def _count_aggregates(part: exp.Expr) -> int:
    """How many aggregates `part` holds outside its subqueries."""
    return sum(isinstance(node, _AGGREGATES) for node in _walk_outside_subqueries([part]))


def _subqueries(part: exp.Expr) -> list[exp.Expr]:
    """The outermost subqueries of `part`."""
    return [node for node in _walk_outside_subqueries([part]) if isinstance(node, (exp.Select, exp.SetOperation))]


def _walk_outside_subqueries(roots: Iterable[exp.Expr]) -> Iterator[exp.Expr]:
    """Yields every node, down to subqueries but not into them."""
    stack = list(roots)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, (exp.Select, exp.SetOperation)):
            stack += list(node.iter_expressions())


# --- complexity

Band = Literal["1", "2", "3", "4", "5", "6", "7", "8"]
BANDS: tuple[Band, ...] = ("1", "2", "3", "4", "5", "6", "7", "8")
_CUTS = (4, 5, 7, 8, 10, 12, 21)  # the least score of each band but the first


class Complexity(NamedTuple):
    """How often each part occurs in a query, its subqueries included."""

    tables: int = 0  # different ones, CTEs not among them
    joins: int = 0
    columns: int = 0  # entries of the SELECT lists
    conditions: int = 0  # of WHERE and HAVING, parted by AND and OR; of ON and CASE those after the first
    alternatives: int = 0  # OR, and NOT but for IS NOT
    aggregates: int = 0
    groups: int = 0  # keys of GROUP BY
    orders: int = 0  # keys of ORDER BY
    limits: int = 0  # LIMIT and OFFSET
    distincts: int = 0
    functions: int = 0  # of one row's values: calls, casts, arithmetic
    cases: int = 0  # branches of CASE, and IIF
    windows: int = 0
    subqueries: int = 0
    depth: int = 0  # the most queries around one, CTEs among them
    set_operations: int = 0
    ctes: int = 0
    unknown: int = 0  # 1 if the text cannot be parsed: then nothing else was counted

    @property
    def score(self) -> int:
        """The weighted sum of the counts: a query with a higher score asks for more."""
        return sum(weight * count for weight, count in zip(WEIGHTS, self, strict=True))

    @property
    def band(self) -> Band:
        """The band that the score falls into."""
        score = self.score
        return BANDS[sum(score >= cut for cut in _CUTS)]


WEIGHTS = Complexity(
    tables=1,
    joins=2,
    columns=1,
    conditions=2,
    alternatives=1,
    aggregates=1,
    groups=2,
    orders=1,
    limits=1,
    distincts=1,
    functions=1,
    cases=2,
    windows=4,
    subqueries=2,
    depth=2,
    set_operations=3,
    ctes=2,
    unknown=_CUTS[-1],  # as Spider's levels have it: what cannot be parsed is of the hardest kind
)

_PART_CLASSES: dict[str, type[exp.Expr] | tuple[type[exp.Expr], ...]] = {
    "joins": exp.Join,
    "conditions": (exp.Where, exp.Having, exp.Connector),  # a clause of n conditions has n - 1 connectors
    "alternatives": exp.Or,
    "orders": exp.Ordered,
    "limits": (exp.Limit, exp.Offset),
    "distincts": exp.Distinct,
    "cases": exp.If,
    "windows": exp.Window,
    "set_operations": exp.SetOperation,
    "ctes": exp.CTE,
}
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe)
_NOT_FUNCTIONS = (exp.Connector, exp.Case, exp.If, exp.Exists, exp.TsOrDsToTimestamp)  # functions to sqlglot, but not to a reader
_PARTS_OF_CLASS: dict[type[exp.Expr], tuple[str, ...]] = {}  # _parts() of the node classes met so far

# Where a query stands in another one; "" for the outermost query and for the arms of its set operations.
QueryPosition = Literal["", "cte", "subquery"]


def complexity(sql: str) -> Complexity:
    """How often each part occurs in `sql`; `Complexity(unknown=1)` if it cannot be parsed.

    >>> counts = complexity("SELECT name FROM pet WHERE age > 3 AND kind = 'cat'")
    >>> counts.tables, counts.columns, counts.conditions
    (1, 1, 2)
    >>> counts.score, counts.band
    (6, '3')
    >>> complexity("SELEC name").band
    '8'
    """
    return tree_complexity(parse_query(sql))


def tree_complexity(tree: exp.Query | None) -> Complexity:
    """How often each part occurs in a query, by its tree; `Complexity(unknown=1)` for None."""
    if tree is None:
        return Complexity(unknown=1)
    counts: Counter[str] = Counter()
    tables: set[str] = set()
    ctes: set[str] = set()
    deepest = 0
    for node, position, depth in _walk_with_position(tree):
        deepest = max(deepest, depth)
        counts.update(_parts(node))
        counts["alternatives"] += _is_negation(node)
        counts["subqueries"] += position == "subquery"
        if isinstance(node, exp.Select):
            counts["columns"] += len(node.expressions)
        elif isinstance(node, exp.Group):
            counts["groups"] += len(node.expressions)
        elif isinstance(node, exp.Table):
            tables.add(node.name.lower())
        elif isinstance(node, exp.CTE):
            ctes.add(node.alias.lower())
        elif isinstance(node, exp.Window):  # its own function is part of it
            counts.subtract(_parts(node.this.this if isinstance(node.this, exp.Filter) else node.this))
    return Complexity(tables=len(tables - ctes), depth=deepest, **counts)


def _parts(node: exp.Expr) -> tuple[str, ...]:
    """The fields of Complexity that a node counts for by its class, wherever it stands."""
    node_class = type(node)
    if node_class not in _PARTS_OF_CLASS:
        parts = [part for part, classes in _PART_CLASSES.items() if issubclass(node_class, classes)]
        if issubclass(node_class, exp.AggFunc):
            parts.append("aggregates")
        elif issubclass(node_class, _ARITHMETIC) or (
            issubclass(node_class, exp.Func) and not issubclass(node_class, _NOT_FUNCTIONS)
        ):
            parts.append("functions")
        _PARTS_OF_CLASS[node_class] = tuple(parts)
    return _PARTS_OF_CLASS[node_class]


def _walk_with_position(tree: exp.Expr) -> Iterator[tuple[exp.Expr, QueryPosition, int]]:
    """Yields every node, its position if it is a query (parentheses are none), and how many queries are around it."""
    stack: list[tuple[exp.Expr, QueryPosition, int]] = [(tree, "", 0)]
    while stack:
        node, position, depth = stack.pop()
        parenthesis = isinstance(node, exp.Subquery)
        if isinstance(node, exp.Query) and not parenthesis:
            depth += position != ""
            yield node, position, depth
        else:
            yield node, "", depth
        arms = (node.this, node.expression) if isinstance(node, exp.SetOperation) else ()
        for child in node.iter_expressions():
            if any(child is arm for arm in arms):
                inside: QueryPosition = ""
            elif parenthesis:
                inside = position
            else:
                inside = "cte" if isinstance(node, exp.CTE) else "subquery"
            stack.append((child, inside, depth))


def _is_negation(node: exp.Expr) -> bool:
    """True for NOT; IS NOT is an operator of its own, as in Spider's levels."""
    return (isinstance(node, exp.Not) and not isinstance(node.this, exp.Is)) or bool(node.args.get("negate"))
