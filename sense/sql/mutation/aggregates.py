"""Mistakes in aggregates, DISTINCT, GROUP BY and windows."""

from collections.abc import Iterator, Sequence

from sqlglot import exp

from sense.sql.mutation.changes import Mistakes, changed, named_column, replaced
from sense.sql.mutation.order import turned
from sense.sql.query_scope import Scope, is_windowed

_AGGREGATES: dict[type[exp.Expr], tuple[type[exp.AggFunc], ...]] = {
    exp.Max: (exp.Min,),
    exp.Min: (exp.Max,),
    exp.Avg: (exp.Sum, exp.Max),
    exp.Sum: (exp.Avg, exp.Count),
}


_RANKS: dict[type[exp.Expr], type[exp.Func]] = {
    exp.RowNumber: exp.Rank,
    exp.Rank: exp.RowNumber,
    exp.DenseRank: exp.Rank,
    exp.Lag: exp.Lead,
    exp.Lead: exp.Lag,
    exp.FirstValue: exp.LastValue,
    exp.LastValue: exp.FirstValue,
}


_LABELS = ("name", "title", "description", "detail")


def swap_aggregates(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """MAX for MIN, AVG for SUM, SUM for COUNT."""
    for scope, node in _aggregates(scopes):
        for other in _AGGREGATES.get(type(node), ()):
            if not isinstance(node.this, exp.Distinct) and node.this not in scope.group_keys:
                with replaced(node, other(this=node.this.copy())):
                    yield "aggregate"


def change_counts(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """COUNT(x) for COUNT(DISTINCT x) and COUNT(*) for COUNT(DISTINCT x), and the other way round."""
    for scope, node in _aggregates(scopes):
        if not isinstance(node, exp.Count) or is_windowed(node):
            continue
        counted = node.this
        if isinstance(counted, exp.Distinct):
            column = counted.expressions[0]
            if not scope.comes_once(column):
                with replaced(node, exp.Count(this=column.copy(), big_int=True)):
                    yield "aggregate"
            continue
        new = _distinct_column(scope) if isinstance(counted, exp.Star) else counted
        if new is not None and not scope.comes_once(new) and new not in scope.group_keys:
            with replaced(node, exp.Count(this=exp.Distinct(expressions=[new.copy()]), big_int=True)):
                yield "aggregate"
        if isinstance(counted, exp.Star):
            for column in _outer_joined_keys(scope):
                with replaced(node, exp.Count(this=column.copy(), big_int=True)):
                    yield "aggregate"
        elif any(join.side == "LEFT" for join in scope.select.args.get("joins") or ()):
            with replaced(node, exp.Count(this=exp.Star(), big_int=True)):
                yield "aggregate"


def _aggregates(scopes: Sequence[Scope]) -> Iterator[tuple[Scope, exp.Expr]]:
    for scope in scopes:
        for nodes in scope.nodes.values():
            for node in nodes:
                if isinstance(node, exp.AggFunc):
                    yield scope, node


def _distinct_column(scope: Scope) -> exp.Column | None:
    """A column that a model might count instead of rows: a column compared or grouped by, else the first that is no key."""
    for column in scope.columns("where"):
        if (
            scope.source_of(column) in scope.sources.values()
            and not isinstance(column.parent, exp.EQ)
            and not scope.is_unique(column)
        ):
            return column
    for source in scope.sources.values():
        for name in source.columns:
            new = named_column(scope, source, name)
            if (
                name.lower() not in source.unique | _fixed_columns(scope)
                and new not in scope.group_keys
                and not _names_a_row(new)
            ):
                return new
    return None


def _fixed_columns(scope: Scope) -> set[str]:
    """The names of columns that are compared with = in WHERE, so that each has one value alone."""
    return {column.name.lower() for column in scope.columns("where") if isinstance(column.parent, exp.EQ)}


def _outer_joined_keys(scope: Scope) -> Iterator[exp.Column]:
    """The first column of each table on the right of a LEFT JOIN."""
    for join in scope.select.args.get("joins") or ():
        source = scope.sources.get(join.this.alias_or_name.lower())
        if join.side == "LEFT" and source is not None and source.columns:
            yield named_column(scope, source, source.columns[0])


def change_distinct(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """DISTINCT added or dropped where rows may come twice."""
    for scope in scopes:
        limit = scope.select.args.get("limit")
        single = scope.is_single_row or (isinstance(limit, exp.Limit) and limit.expression.name == "1")
        if scope.keeps_duplicates and not single and not scope.group_keys and not scope.rows_are_distinct():
            distinct = None if scope.select.args.get("distinct") else exp.Distinct()
            if distinct and len(scope.sources) == 1 and any(map(_names_a_row, _selected(scope))):
                continue
            with changed(scope.select, "distinct", distinct):
                yield "aggregate"


def _selected(scope: Scope) -> Iterator[exp.Expr]:
    """The columns of the result, and those that are compared with = in WHERE."""
    yield from (column.unalias() for column in scope.select.expressions)
    yield from (column for column in scope.columns("where") if isinstance(column.parent, exp.EQ))


def _names_a_row(column: exp.Expr) -> bool:
    """Whether a column is a name by its own name, so that it stands for the rows, and the same name twice is an accident."""
    return isinstance(column, exp.Column) and any(word in column.name.lower() for word in _LABELS)


def change_groups(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """GROUP BY dropped, or one of its keys."""
    for scope in scopes:
        group = scope.select.args.get("group")
        if group is None:
            continue
        if len(group.expressions) > 1:
            for index, dropped in enumerate(group.expressions):
                others = [key for number, key in enumerate(group.expressions) if number != index]
                source = scope.source_of(dropped) if isinstance(dropped, exp.Column) else None
                if any(scope.is_unique(key) and scope.source_of(key) == source for key in others):
                    continue  # the key of its row is left
                with changed(group, "expressions", others):
                    yield "aggregate"
        elif scope.select.args.get("having") is None and _runs_ungrouped(scope):
            with changed(scope.select, "group", None):
                yield "aggregate"


def _runs_ungrouped(scope: Scope) -> bool:
    """Whether the SELECT without GROUP BY is a query, and another one."""
    returns_aggregate = any(isinstance(node, exp.AggFunc) for node in scope.nodes["expressions"])
    return returns_aggregate or (scope.keeps_duplicates and not scope.aggregates)


def change_windows(tree: exp.Expr, _scopes: Sequence[Scope]) -> Mistakes:
    """PARTITION BY dropped, RANK for ROW_NUMBER, LAG for LEAD, another order inside the window."""
    for window in list(tree.find_all(exp.Window)):
        if window.args.get("partition_by"):
            with changed(window, "partition_by", None):
                yield "aggregate"
        other = _RANKS.get(type(window.this))
        if other is not None:
            with replaced(window.this, other(**window.this.copy().args)):
                yield "aggregate"
        for key in window.args["order"].expressions[:1] if window.args.get("order") else ():
            with turned(key):
                yield "order"
