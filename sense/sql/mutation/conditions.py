"""Mistakes in WHERE and HAVING: operators, literals, conditions left out, AND for OR, NOT."""

from collections.abc import Iterator, Sequence

from sqlglot import exp

from sense.sql.mutation.changes import Mistakes, changed, replaced
from sense.sql.query_scope import Clause, Scope, holds_query
from sense.verdicts import ErrorClass

_CONDITIONS: tuple[Clause, ...] = ("where", "having")


COMPARISONS: dict[type[exp.Expr], tuple[type[exp.Binary], ...]] = {
    exp.EQ: (exp.NEQ,),
    exp.NEQ: (exp.EQ,),
    exp.GT: (exp.GTE, exp.LT),
    exp.GTE: (exp.GT, exp.LTE),
    exp.LT: (exp.LTE, exp.GT),
    exp.LTE: (exp.LT, exp.GTE),
}


_BOUNDARIES = {(exp.GT, exp.GTE), (exp.GTE, exp.GT), (exp.LT, exp.LTE), (exp.LTE, exp.LT)}


def change_operators(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """Comparisons: > for >=, < or the other way round, = for <>; LIKE for =; the bounds of BETWEEN."""
    for scope, node in _conditions(scopes):
        if isinstance(node, exp.Like) and isinstance(node.expression, exp.Literal) and "_" not in node.expression.name:
            with replaced(node, exp.EQ(this=node.this.copy(), expression=exp.Literal.string(node.expression.name.strip("%")))):
                yield "filter"
        elif isinstance(node, exp.Between):
            low, high = node.args["low"].copy(), node.args["high"].copy()
            inside = exp.And(
                this=exp.GT(this=node.this.copy(), expression=low), expression=exp.LT(this=node.this.copy(), expression=high)
            )
            for new in (exp.Paren(this=inside), exp.GTE(this=node.this.copy(), expression=low.copy())):
                with replaced(node, new):
                    yield "filter"
        elif isinstance(node, exp.Binary) and not scope.join_edge(node):
            for other in COMPARISONS.get(type(node), ()):
                if not _same_meaning(node, other):
                    with replaced(node, other(this=node.this.copy(), expression=node.expression.copy())):
                        yield "filter"


def _same_meaning(node: exp.Binary, other: type[exp.Binary]) -> bool:
    """Whether another operator changes nothing, or nothing but for an accident: > the average, COUNT(*) > 0."""
    if (type(node), other) not in _BOUNDARIES:
        return False
    means = (exp.Avg, exp.Sum, exp.Div, exp.Round)  # that a row or literal is equal to one is an accident
    if any(isinstance(side, means) or (holds_query(side) and side.find(*means)) for side in (node.left, node.right)):
        return True
    return isinstance(node.left, exp.Count) and isinstance(node, exp.GT) and node.right.name == "0"


def change_literals(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """The numbers and texts that columns are compared with."""
    compared = (*COMPARISONS, exp.In, exp.Like, exp.Glob, exp.Between)
    for scope in scopes:
        for clause in (*_CONDITIONS, "expressions", "joins"):
            for node in scope.nodes[clause]:
                if isinstance(node, exp.Literal) and not node.find_ancestor(exp.Collate):
                    parent = node.parent
                    if parent is None or not isinstance(parent, compared):
                        continue
                    value = _other_text(node.name, parent) if node.is_string else _other_number(node.name, parent)
                    if value is not None:
                        with replaced(node, exp.Literal(this=value, is_string=node.is_string)):
                            yield "other" if clause == "expressions" else "filter"


def _other_number(text: str, parent: exp.Expr) -> str | None:
    if not text.isdigit():
        return None if "e" in text.lower() or text.count(".") != 1 else _other_number(text.partition(".")[0] or "0", parent)
    return "0" if text == "1" and isinstance(parent, exp.EQ) else str(int(text) + max(1, int(text) // 10))


def _other_text(text: str, parent: exp.Expr) -> str | None:
    """A text in other letters where they count; another digit; a shorter text."""
    if isinstance(parent, exp.Like):
        inner = text.strip("%")
        return text.replace(inner, inner[:-1]) if len(inner) > 2 and inner.isalnum() else None
    if text.lower() != text:
        return text.lower()
    if text.capitalize() != text:
        return text.capitalize()
    digits = [index for index, sign in enumerate(text) if sign.isdigit()]
    return f"{text[: digits[-1]]}{(int(text[digits[-1]]) + 1) % 10}{text[digits[-1] + 1 :]}" if digits else None


def drop_conditions(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """WHERE or HAVING, or one of the conditions in it."""
    for scope in scopes:
        for clause in _CONDITIONS:
            whole = scope.select.args.get(clause)
            if whole is None:
                continue
            condition = whole.this
            if not isinstance(condition, exp.Connector):
                if not _is_implied(scope, condition) and not (scope.join_edge(condition) and scope.role != "exists"):
                    with changed(scope.select, clause, None):
                        yield _condition_class(condition)
                continue
            for node in scope.nodes[clause]:
                if isinstance(node, exp.Connector):
                    for left_out, rest in ((node.right, node.left), (node.left, node.right)):
                        if isinstance(left_out, exp.Connector) or scope.join_edge(left_out) or _is_implied(scope, left_out):
                            continue
                        with replaced(node, rest.copy()):
                            yield _condition_class(left_out)


def _is_implied(scope: Scope, condition: exp.Expr) -> bool:
    """x IS NOT NULL beside a comparison of x, or where only an aggregate of x is asked for; COUNT(*) >= 1."""
    if isinstance(condition, (exp.GT, exp.GTE)) and isinstance(condition.left, exp.Count):
        return condition.right.name == ("0" if isinstance(condition, exp.GT) else "1")
    inner = condition.this if isinstance(condition, exp.Not) else None
    if not (isinstance(inner, exp.Is) and isinstance(inner.expression, exp.Null)):
        return False
    others = (node for node in scope.nodes["where"] if isinstance(node, (*COMPARISONS, exp.Like, exp.Between)))
    if any(node.this == inner.this and not node.find_ancestor(exp.Or) for node in others):
        return True
    columns = [column.unalias() for column in scope.select.expressions]
    return all(isinstance(column, exp.AggFunc) and column.this == inner.this for column in columns)


def swap_connectors(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """AND for OR, OR for AND."""
    for scope, node in _conditions(scopes):
        if isinstance(node, (exp.And, exp.Or)) and not any(scope.join_edge(side) for side in (node.left, node.right)):
            other = exp.Or if isinstance(node, exp.And) else exp.And
            with replaced(node, other(this=node.left.copy(), expression=node.right.copy())):
                yield "filter"


def negate_conditions(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """IN for NOT IN, EXISTS for NOT EXISTS, LIKE for NOT LIKE, IS NULL for IS NOT NULL or for an empty text."""
    for _, node in _conditions(scopes):
        if isinstance(node, (exp.In, exp.Exists, exp.Like, exp.Glob, exp.Is)):
            error_class: ErrorClass = "nesting" if holds_query(node) else "filter"
            if isinstance(node.parent, exp.Not):
                with replaced(node.parent, node.copy()):
                    yield error_class
            else:
                with replaced(node, exp.Not(this=node.copy())):
                    yield error_class
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null) and not isinstance(node.parent, exp.Not):
            with replaced(node, exp.EQ(this=node.this.copy(), expression=exp.Literal.string(""))):
                yield "filter"


def _conditions(scopes: Sequence[Scope]) -> Iterator[tuple[Scope, exp.Expr]]:
    """The nodes of WHERE and HAVING."""
    for scope in scopes:
        for clause in _CONDITIONS:
            for node in scope.nodes[clause]:
                yield scope, node


def _condition_class(condition: exp.Expr) -> ErrorClass:
    return "nesting" if holds_query(condition) else "filter"
