"""Mistakes in set operations and in expressions: arithmetic, CASE, dates, functions."""

from collections.abc import Sequence

from sqlglot import exp

from sense.sql.mutation.changes import Mistakes, changed, replaced
from sense.sql.query_scope import Scope, is_recursive

_FORMATS = {"%Y": "%m", "%m": "%d", "%d": "%m", "%Y-%m": "%Y", "%Y-%m-%d": "%Y-%m", "%H": "%M", "%w": "%d", "%j": "%d"}


_ARITHMETIC: dict[type[exp.Expr], type[exp.Binary]] = {exp.Add: exp.Sub, exp.Mul: exp.Add}


_BARE = (exp.Cast, exp.Coalesce, exp.Abs, exp.Trim, exp.Round)  # functions that a model forgets around their argument


def change_set_operations(tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """UNION for INTERSECT, UNION ALL for UNION, an arm left out."""
    keeping = {id(scope.arm) for scope in scopes if scope.role in ("result", "source")}
    for node in list(tree.find_all(exp.SetOperation)):
        if is_recursive(node):
            continue
        others: tuple[type[exp.SetOperation], ...] = (exp.Intersect, exp.Except) if isinstance(node, exp.Union) else (exp.Union,)
        if isinstance(node, exp.Except):
            others = (exp.Intersect, exp.Union)
        for other in others:
            with replaced(node, other(**{**node.copy().args, "distinct": True})):
                yield "nesting"
        if isinstance(node, exp.Union) and id(node) in keeping:
            with changed(node, "distinct", not node.args.get("distinct")):
                yield "nesting"
        left = node.left.copy()
        for key in ("with_", "order", "limit"):
            if node.args.get(key):
                left.set(key, node.args[key].copy())
        with replaced(node, left):
            yield "nesting"


def change_expressions(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """Operands and operators of arithmetic, results of CASE, parts of dates, functions forgotten or taken for others."""
    for scope in scopes:
        for nodes in scope.nodes.values():
            for node in nodes:
                new = _other_expression(node)
                if new is not None:
                    with replaced(node, new):
                        yield "other"


def _other_expression(node: exp.Expr) -> exp.Expr | None:
    if isinstance(node, exp.Case) and node.args.get("default") and node.args["ifs"]:
        case = node.copy()
        first, default = case.args["ifs"][0].args["true"], case.args["default"]
        case.args["ifs"][0].set("true", default)
        case.set("default", first)
        return case
    if isinstance(node, exp.If) and node.args.get("false") and not isinstance(node.parent, exp.Case):
        return exp.If(this=node.this.copy(), true=node.args["false"].copy(), false=node.args["true"].copy())
    return _other_operation(node)


def _other_operation(node: exp.Expr) -> exp.Expr | None:
    if isinstance(node, (exp.Sub, exp.Div)):
        return type(node)(**{**node.args, "this": node.expression.copy(), "expression": node.this.copy()})
    if type(node) in _ARITHMETIC:
        return _ARITHMETIC[type(node)](this=node.this.copy(), expression=node.expression.copy())
    if isinstance(node, (exp.Upper, exp.Lower)):
        return (exp.Lower if isinstance(node, exp.Upper) else exp.Upper)(this=node.this.copy())
    if isinstance(node, exp.TimeToStr) and node.args["format"].name in _FORMATS:
        return exp.TimeToStr(this=node.this.copy(), format=exp.Literal.string(_FORMATS[node.args["format"].name]))
    if isinstance(node, exp.Cast) and isinstance(node.parent, (exp.Avg, exp.Sum)):
        return None  # they read texts as numbers by themselves
    return node.this.copy() if isinstance(node, _BARE) else None
