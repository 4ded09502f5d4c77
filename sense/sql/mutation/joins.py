"""Mistakes in joins: a wrong key, LEFT JOIN for JOIN, a table left out."""

from collections.abc import Sequence

from sqlglot import exp

from sense.sql.mutation.changes import Mistakes, changed_all, named_column, replaced
from sense.sql.query_scope import JoinEdge, Scope, Source


def change_joins(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """A wrong key; LEFT JOIN for JOIN and back where rows without a partner may be; a table left out."""
    for scope in scopes:
        joins = scope.select.args.get("joins") or []
        for edge in scope.edges():
            wrong = _wrong_key(scope, edge)
            if wrong is not None:
                column, new = wrong
                with replaced(column, new):
                    yield "join"
        for index, join in enumerate(joins):
            if join.args.get("on") is not None and _keeps_unmatched(scope, join, joins[index + 1 :]):
                left = join.side == "LEFT"
                with changed_all((join, "side", None if left else "LEFT"), (join, "kind", None)):
                    yield "join"
        yield from _drop_tables(scope)


def _wrong_key(scope: Scope, edge: JoinEdge) -> tuple[exp.Column, exp.Column] | None:
    """A column of a join with the one that a model takes instead: the other table's own key, or the next column."""
    ends = ((edge.right, edge.right_source), (edge.left, edge.left_source))
    for column, source in ends:
        first = source.columns[0] if source.columns else column.name
        if first.lower() != column.name.lower():
            return column, named_column(scope, source, first)
    for column, source in ends:
        following = [name for name in source.columns if name.lower() != column.name.lower()]
        if following:
            return column, named_column(scope, source, following[0])
    return None


def _keeps_unmatched(scope: Scope, join: exp.Join, later: Sequence[exp.Join]) -> bool:
    """Whether LEFT JOIN and JOIN may differ: rows without a partner may exist, and nothing behind the join drops them."""
    source = scope.sources.get(join.this.alias_or_name.lower())
    if source is None or join.kind not in ("", "INNER", "OUTER") or join.side not in ("", "LEFT"):
        return False
    on = join.args["on"]
    own = [column for column in on.find_all(exp.Column) if scope.source_of(column) == source]
    if any(column.name.lower() in source.unique for column in own):
        return False  # each row of the table before refers to one here
    if any(isinstance(node, (exp.GT, exp.GTE)) and isinstance(node.left, exp.Count) for node in scope.nodes["having"]):
        return False  # one row without a partner is no more than one
    order = scope.select.args.get("order")
    if order is not None and order.expressions[0].args.get("desc") and isinstance(order.expressions[0].this, exp.AggFunc):
        return not scope.select.args.get("limit")
    where = scope.select.args.get("where")
    behind = [
        *(clause for clause in (where, scope.select.args.get("having")) if clause),
        *(other.args.get("on") for other in later),
    ]
    for clause in filter(None, behind):
        for column in clause.find_all(exp.Column):
            if scope.source_of(column) == source and not isinstance(column.parent, exp.Is):
                return False
    return True


def _drop_tables(scope: Scope) -> Mistakes:
    """A table left out that only joins and conditions use, with its conditions; its neighbours are joined to one another."""
    select = scope.select
    joins = select.args.get("joins") or []
    start = select.args.get("from_")
    all_columns = any(node.is_star and not isinstance(node.parent, exp.Count) for node in scope.nodes["expressions"])
    if start is None or all_columns or any(not join.args.get("on") for join in joins):
        return
    used = {_name(scope.source_of(column)) for column in scope.columns("expressions", "group", "having", "order")}
    for index, relation in enumerate([start.this, *(join.this for join in joins)]):
        source = scope.sources.get(relation.alias_or_name.lower())
        if source is None or source.name in used or not source.columns:
            continue
        where, dropped = _without_source(scope, source)
        edges = [edge for edge in scope.edges() if source in (edge.left_source, edge.right_source)]
        own = [edge.right if edge.right_source == source else edge.left for edge in edges]
        ends = [edge.left if edge.right_source == source else edge.right for edge in edges]
        needed_later = [join for join in joins[index:] if _uses(scope, join.args["on"], source)]
        first, rest = start, [join.copy() for number, join in enumerate(joins, start=1) if number != index]
        if index == 0:
            if len(joins) > 1 or len(edges) != 1:
                continue
            first, rest = exp.From(this=joins[0].this.copy()), []
        elif len(edges) == 2 and needed_later and needed_later == joins[index : index + 1] and not dropped:
            rest[index - 1].set("on", exp.EQ(this=ends[0].copy(), expression=ends[1].copy()))
        elif len(edges) != 1 or needed_later:
            continue
        if len(edges) == 1 and not dropped and own[0].name.lower() in source.unique:
            continue  # each row refers to one row of the table
        with changed_all((select, "from_", first), (select, "joins", rest or None), (select, "where", where)):
            yield "join"


def _uses(scope: Scope, condition: exp.Expr, source: Source) -> bool:
    return any(scope.source_of(column) == source for column in condition.find_all(exp.Column))


def _name(source: Source | None) -> str:
    return "" if source is None else source.name


def _without_source(scope: Scope, source: Source) -> tuple[exp.Where | None, bool]:
    """WHERE without the conditions on a table, and whether there were any; conditions joined by OR go together."""
    where = scope.select.args.get("where")
    if where is None:
        return None, False
    parts = list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
    rest = [part for part in parts if not _uses(scope, part, source)]
    if len(rest) == len(parts):
        return where, False
    return (exp.Where(this=exp.and_(*rest, copy=True, wrap=False)) if rest else None), True
