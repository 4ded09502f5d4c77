"""Mistakes in what is asked for: a column too few or too many, another column, another table."""

from collections.abc import Sequence

from sqlglot import exp

from sense.sql.mutation.changes import Mistakes, changed, changed_all, named_column, replaced
from sense.sql.query_scope import Clause, Scope, Source, has_column, holds_query


def change_width(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """A column of the result left out, and one too many."""
    for scope in scopes:
        if not scope.gives_result:
            continue
        columns = scope.select.expressions
        if len(columns) > 1 and not _sorts_by_position(scope):
            for index in (len(columns) - 1, 0):
                if not _is_referred_to(scope, columns[index]):
                    with changed(scope.select, "expressions", columns[:index] + columns[index + 1 :]):
                        yield "columns"
        extra = _extra_column(scope)
        if extra is not None:
            with changed(scope.select, "expressions", [*columns, extra]):
                yield "columns"
        if len(columns) == 1 and columns[0].is_star:
            for source in list(scope.sources.values())[:1]:
                if len(source.columns) > 1:
                    with changed(scope.select, "expressions", [named_column(scope, source, source.columns[0])]):
                        yield "columns"


def _sorts_by_position(scope: Scope) -> bool:
    order = scope.select.args.get("order")
    return order is not None and any(isinstance(key.this, exp.Literal) for key in order.expressions)


def _is_referred_to(scope: Scope, column: exp.Expr) -> bool:
    """Whether another clause uses the alias of a column."""
    alias = column.alias.lower()
    return bool(alias) and any(node.name.lower() == alias for node in scope.columns("where", "group", "having", "order"))


def _extra_column(scope: Scope) -> exp.Expr | None:
    """What a model adds: the key of the order or of the groups, a column that is compared, else one of the first table."""
    columns = [column.unalias() for column in scope.select.expressions]
    if any(column.is_star for column in columns):
        return None
    order = scope.select.args.get("order")
    keys: list[exp.Expr] = [key.this for key in order.expressions] if order else []
    alone = [column for column in columns if isinstance(column, exp.AggFunc)] and not scope.group_keys
    having = [node for node in scope.nodes["having"] if isinstance(node, exp.AggFunc)]
    compared = [] if alone else [column for column in scope.columns("where") if scope.source_of(column) in scope.sources.values()]
    aliases = {column.alias.lower() for column in scope.select.expressions}
    for node in [*keys, *scope.group_keys, *having, *compared]:
        literal = isinstance(node, exp.Literal)
        if node not in columns and not literal and not holds_query(node) and node.name.lower() not in aliases - {""}:
            return node.copy()
    for source in scope.sources.values():
        for name in source.columns:
            new = named_column(scope, source, name)
            if new not in columns:
                return exp.Max(this=new) if alone else new
    return None


def change_columns(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """Another column of the same table, or the column of the same name in another table of the query."""
    for scope in scopes:
        edges = {id(column) for edge in scope.edges() for column in (edge.left, edge.right)}
        joined = {column.name.lower() for edge in scope.edges() for column in (edge.left, edge.right)}
        clauses: tuple[Clause, ...] = ("where", "group", "having", "order")
        for clause in clauses if scope.role == "exists" else ("expressions", *clauses):
            for column in scope.columns(clause):
                source = scope.source_of(column)
                counted = isinstance(column.parent, exp.Count)  # all columns without NULLs count alike
                if id(column) in edges or counted or source not in scope.sources.values() or source is None:
                    continue
                correlated = scope.join_edge(column.parent) is not None
                if correlated or (clause == "order" and not scope.order_counts) or _names_a_column(scope, column):
                    continue
                new = _other_column(scope, source, column)
                grouped = column in scope.group_keys
                if new is not None and not (grouped and clause != "group"):
                    nodes = _same_columns(scope, column) if clause == "group" else [column]
                    with changed_all(*((node, "this", new.this.copy()) for node in nodes)):
                        yield "schema linking"
                for other in scope.sources.values():
                    if other != source and column.table and has_column(other, column.name) and column.name.lower() not in joined:
                        with changed(column, "table", exp.to_identifier(other.name)):
                            yield "schema linking"


def _names_a_column(scope: Scope, column: exp.Column) -> bool:
    """Whether a column is referred to from outside, as one of a CTE or of a subquery in FROM."""
    return scope.role == "source" and any(column == selected for selected in scope.select.expressions)


def _same_columns(scope: Scope, column: exp.Column) -> list[exp.Column]:
    """A key of GROUP BY, and where it is asked for and sorted by."""
    return [node for node in scope.columns("expressions", "group", "order") if node == column]


def _other_column(scope: Scope, source: Source, column: exp.Column) -> exp.Column | None:
    """A column that may be taken for `column`: one that shares a word with it, else the next that is neither used nor unique."""
    used = {node.name.lower() for node in scope.columns()}
    names = [name for name in source.columns if name.lower() not in used]
    words = set(column.name.lower().split("_")) - {"id"}
    similar = [name for name in names if words & set(name.lower().split("_"))]
    index = next((number for number, name in enumerate(source.columns) if name.lower() == column.name.lower()), 0)
    following = [name for name in [*source.columns[index:], *source.columns[:index]] if name in names]
    plain = [name for name in following if name.lower() not in source.unique]
    chosen = next(iter([*similar, *plain, *following]), None)
    return None if chosen is None else named_column(scope, source, chosen)


def change_tables(_tree: exp.Expr, scopes: Sequence[Scope]) -> Mistakes:
    """Another table that has all columns that are used of the one."""
    for scope in scopes:
        if len(scope.sources) != 1 or not scope.select.args.get("from_"):
            continue
        table = scope.select.args["from_"].this
        source = next(iter(scope.sources.values()))
        if not isinstance(table, exp.Table) or not source.columns:
            continue
        needed = {column.name for column in scope.select.find_all(exp.Column) if scope.source_of(column) == source}
        taken = {node.name.lower() for node in scope.select.root().find_all(exp.Table)}
        for name in scope.tables.names:
            other = scope.tables.source(name, name)
            if name.lower() not in taken and all(has_column(other, column) for column in needed):
                new = (
                    exp.to_table(name, dialect="sqlite")
                    if name.isidentifier()
                    else exp.Table(this=exp.to_identifier(name, quoted=True))
                )
                alias = table.alias or (table.name if any(c.table for c in scope.select.find_all(exp.Column)) else "")
                new.set("alias", exp.TableAlias(this=exp.to_identifier(alias)) if alias else None)
                with replaced(table, new):
                    yield "schema linking"
                break
