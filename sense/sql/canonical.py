"""A canonical form of queries, to tell whether two of them are the same but for their writing."""

from sqlglot import exp
from sqlglot.errors import SqlglotError

from sense.sql.tree import parse_query


def fingerprint(sql: str) -> str:
    """The canonical form of `sql`: equal for queries that differ in case, spacing, comments, identifier quotes or aliases.

    Literals keep their case, and so does a bare identifier in double quotes, which SQLite may read as a string.
    What sqlglot cannot parse comes back in lower case with its spaces squeezed.
    """
    tree = parse_query(sql)
    if tree is None:
        return _squeezed(sql)
    try:
        _fold_identifiers(tree)
        _fold_clauses(tree)
        _rename_tables(tree)
        _drop_column_aliases(tree)
        return tree.sql(dialect="sqlite", comments=False)
    except (SqlglotError, RecursionError):
        return _squeezed(sql)


def _squeezed(sql: str) -> str:
    return " ".join(sql.lower().split())


def _fold_identifiers(tree: exp.Expr) -> None:
    for identifier in tree.find_all(exp.Identifier):
        column = identifier.parent
        bare = isinstance(column, exp.Column) and identifier.arg_key == "this" and column.args.get("table") is None
        if not (bare and identifier.args.get("quoted")):
            name = identifier.name.lower()
            plain = name.isidentifier()
            identifier.replace(exp.Identifier(this=name, quoted=not plain))


def _fold_clauses(tree: exp.Expr) -> None:
    for join in tree.find_all(exp.Join):
        kind, on = join.args.get("kind"), join.args.get("on")
        if kind == "OUTER" or (on is not None and kind in ("INNER", "CROSS")):
            join.set("kind", None)
    for key in tree.find_all(exp.Ordered):
        if not key.args.get("desc"):
            key.set("desc", None)


def _rename_tables(tree: exp.Expr) -> None:
    """Tables are called t1, t2, ... in order of appearance; a single one needs no name at all."""
    sources: list[exp.Expr] = [node for node in tree.find_all(exp.Table, exp.Subquery, bfs=False) if node.alias_or_name]
    if len(sources) == 1 and isinstance(sources[0], exp.Table) and len(list(tree.find_all(exp.Select))) == 1:
        sources[0].set("alias", None)
        for column in tree.find_all(exp.Column):
            column.set("table", None)
        return
    new = {node.alias_or_name: f"t{number}" for number, node in enumerate(sources, start=1)}
    if len(new) < len(sources) or any(node.name in new.values() for node in sources):
        return  # the same name stands for different tables in different places: left as it is
    for node in sources:
        alias = node.args.get("alias") or exp.TableAlias()
        alias.set("this", exp.to_identifier(new[node.alias_or_name]))
        node.set("alias", alias)
    for column in tree.find_all(exp.Column):
        if column.table in new:
            column.set("table", exp.to_identifier(new[column.table]))


def _drop_column_aliases(tree: exp.Query) -> None:
    """The names given to the outermost columns do not change the result, unless something refers to them."""
    while isinstance(tree, (exp.SetOperation, exp.Subquery)):
        tree = tree.this
    used = {column.name for column in tree.root().find_all(exp.Column) if column.args.get("table") is None}
    # all at once: replacing one of them looks at all that follow
    columns = [
        column.this if isinstance(column, exp.Alias) and column.alias not in used else column for column in tree.expressions
    ]
    tree.set("expressions", columns)
