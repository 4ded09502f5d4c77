"""How much a query asks for, counted: finer than Spider's four levels, which look at the outermost SELECT alone.

Every part counts, wherever in the query it stands. The weighted sum of the counts (`WEIGHTS`) is the score: 1 for one choice (a
column, an aggregate, a LIMIT), 2 for two (a condition: what and against what; a join: which table and on which keys; a
level of nesting), 3 and 4 for what changes how the whole is read (a set operation, a window).

The bands are cut by Spider's training set. Its 6,639 questions, by the score of their golds, fall into seven parts as equal as
whole scores allow (12% to 17% each): bands 1 to 7. Band 8 begins at the least score that at most 1 in 100 of them reaches:
what is harder than nearly all of Spider. Each of the four levels is spread over several bands, most of all medium: three to five
of them hold a twentieth of it or more.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

from sqlglot import exp

from sense.sql.tree import parse_query

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
        """The order of queries: what has a higher score asks for more."""
        return sum(weight * count for weight, count in zip(WEIGHTS, self, strict=True))

    @property
    def band(self) -> Band:
        """The score in eight steps."""
        return BANDS[sum(self.score >= cut for cut in _CUTS)]


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

_KINDS: dict[str, type[exp.Expr] | tuple[type[exp.Expr], ...]] = {
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
_NO_CALLS = (exp.Connector, exp.Case, exp.If, exp.Exists, exp.TsOrDsToTimestamp)  # functions to sqlglot, but not to a reader
_KNOWN: dict[type[exp.Expr], tuple[str, ...]] = {}  # _parts() of the kinds met so far

Place = Literal["", "cte", "subquery"]  # where a query stands: nowhere inside another, or as an arm of a set operation: ""


def complexity(sql: str) -> Complexity:
    """The counts of `sql`; of a text that cannot be parsed, that it is unknown."""
    tree = parse_query(sql)
    if tree is None:
        return Complexity(unknown=1)
    counts: Counter[str] = Counter()
    tables: set[str] = set()
    ctes: set[str] = set()
    deepest = 0
    for node, place, depth in _walk(tree):
        deepest = max(deepest, depth)
        counts.update(_parts(node))
        counts["alternatives"] += _negates(node)
        counts["subqueries"] += place == "subquery"
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
    """What a node counts for by its kind, wherever it stands."""
    kind = type(node)
    if kind not in _KNOWN:
        parts = [part for part, kinds in _KINDS.items() if issubclass(kind, kinds)]
        if issubclass(kind, exp.AggFunc):
            parts.append("aggregates")
        elif issubclass(kind, _ARITHMETIC) or (issubclass(kind, exp.Func) and not issubclass(kind, _NO_CALLS)):
            parts.append("functions")
        _KNOWN[kind] = tuple(parts)
    return _KNOWN[kind]


def _walk(tree: exp.Expr) -> Iterator[tuple[exp.Expr, Place, int]]:
    """Every node, its place if it is a query (parentheses around it are none), and how many queries are around it."""
    stack: list[tuple[exp.Expr, Place, int]] = [(tree, "", 0)]
    while stack:
        node, place, depth = stack.pop()
        parenthesis = isinstance(node, exp.Subquery)
        if isinstance(node, exp.Query) and not parenthesis:
            depth += place != ""
            yield node, place, depth
        else:
            yield node, "", depth
        arms = (node.this, node.expression) if isinstance(node, exp.SetOperation) else ()
        for child in node.iter_expressions():
            if any(child is arm for arm in arms):
                inside: Place = ""
            elif parenthesis:
                inside = place
            else:
                inside = "cte" if isinstance(node, exp.CTE) else "subquery"
            stack.append((child, inside, depth))


def _negates(node: exp.Expr) -> bool:
    """True for NOT; IS NOT is an operator of its own, as in Spider's levels."""
    return (isinstance(node, exp.Not) and not isinstance(node.this, exp.Is)) or bool(node.args.get("negate"))
