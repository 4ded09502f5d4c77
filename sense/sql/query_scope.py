"""The SELECTs of a query as scopes: where each stands, the tables it reads, whose column a column is, and how they are joined."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from sqlglot import exp

# Where a SELECT stands: it gives the result, is read like a table (FROM, CTE), or is a part of a condition or expression.
Role = Literal["result", "source", "in", "exists", "scalar"]
Clause = Literal["expressions", "joins", "where", "group", "having", "order"]
CLAUSES: tuple[Clause, ...] = ("expressions", "joins", "where", "group", "having", "order")


class Source(NamedTuple):
    """A table of FROM or JOIN: the name that columns are qualified with, the table, its columns and those that are unique.

    A subquery or CTE has no columns here.
    """

    name: str
    table: str
    columns: Sequence[str]
    unique: frozenset[str]  # in lower case


class JoinEdge(NamedTuple):
    """An equation between columns of two sources, by which they are joined."""

    left: exp.Column
    right: exp.Column
    left_source: Source
    right_source: Source


class Tables:
    """The columns of each table, and its unique ones: `unique`, or by their names where that does not have the table."""

    def __init__(self, columns: Mapping[str, Sequence[str]], unique: Mapping[str, Sequence[str]]) -> None:
        self.names = list(columns)
        self._columns = {table.lower(): names for table, names in columns.items()}
        self._unique = {table.lower(): _likely_keys(table, names) for table, names in columns.items()}
        self._unique |= {table.lower(): frozenset(map(str.lower, names)) for table, names in unique.items()}

    def columns(self, table: str) -> Sequence[str]:
        """The columns of a table; none of a table that does not exist."""
        return self._columns.get(table.lower(), ())

    def source(self, name: str, table: str) -> Source:
        """The table under the name that a query uses for it."""
        return Source(name, table, self.columns(table), self._unique.get(table.lower(), frozenset()))


class Scope:
    """One SELECT: `arm` is the set operation that it is an arm of; `nodes` are the nodes of each clause, without subqueries'."""

    def __init__(self, select: exp.Select, tables: Tables, outer: "Scope | None") -> None:
        self.select, self.tables, self.outer = select, tables, outer
        self.role, self.arm = _role(select)
        self.sources: dict[str, Source] = {}
        for node in [select.args.get("from_"), *(select.args.get("joins") or ())]:
            relation = None if node is None else node.this
            if isinstance(relation, exp.Table):
                self._add(tables.source(relation.alias_or_name, relation.name))
            elif isinstance(relation, exp.Subquery):
                self._add(Source(relation.alias, "", (), frozenset()))
        self.nodes: dict[Clause, list[exp.Expr]] = {clause: list(_own_nodes(select.args.get(clause))) for clause in CLAUSES}

    def _add(self, source: Source) -> None:
        self.sources[source.name.lower()] = source

    @property
    def gives_result(self) -> bool:
        """Whether its columns are those of the whole query, and nothing else has as many."""
        return self.role == "result" and self.arm is None

    @property
    def keeps_duplicates(self) -> bool:
        """Whether it matters how often a row comes."""
        all_rows = self.arm is None or (isinstance(self.arm, exp.Union) and not self.arm.args.get("distinct"))
        return self.role in ("result", "source") and all_rows

    @property
    def order_counts(self) -> bool:
        """Whether its ORDER BY changes the result, if it has one."""
        return self.gives_result or bool(self.select.args.get("limit"))

    @property
    def aggregates(self) -> bool:
        """Whether it has aggregates outside of windows, in any clause."""
        return any(isinstance(node, exp.AggFunc) and not is_windowed(node) for nodes in self.nodes.values() for node in nodes)

    @property
    def is_single_row(self) -> bool:
        """Whether it aggregates all rows to one."""
        columns = self.nodes["expressions"]
        return not self.group_keys and any(isinstance(node, exp.AggFunc) and not is_windowed(node) for node in columns)

    @property
    def group_keys(self) -> list[exp.Expr]:
        """The keys of GROUP BY."""
        group = self.select.args.get("group")
        return [] if group is None else list(group.expressions)

    def columns(self, *clauses: Clause) -> list[exp.Column]:
        """The columns that occur in the clauses; in all if none is named."""
        return [node for clause in clauses or CLAUSES for node in self.nodes[clause] if isinstance(node, exp.Column)]

    def source_of(self, column: exp.Column) -> Source | None:
        """The source that a column is of, here or in an outer SELECT; None if it cannot be told."""
        name = column.table.lower()
        if name:
            source = self.sources.get(name)
        else:
            fitting = [source for source in self.sources.values() if has_column(source, column.name)]
            source = fitting[0] if len(fitting) == 1 else None
        return source or (self.outer.source_of(column) if self.outer else None)

    def is_unique(self, column: exp.Expr) -> bool:
        """Whether the expression is a column that has no value twice in its table."""
        if not isinstance(column, exp.Column):
            return False
        source = self.source_of(column)
        return source is not None and column.name.lower() in source.unique

    def comes_once(self, column: exp.Expr) -> bool:
        """Whether the expression is a column that has no value twice in what the SELECT reads."""
        source = self.source_of(column) if isinstance(column, exp.Column) and self.is_unique(column) else None
        return source is not None and self.determines_rows(source)

    def join_edge(self, condition: exp.Expr | None) -> JoinEdge | None:
        """The condition, if it equates columns of two tables, one of which may be of an outer SELECT."""
        if not isinstance(condition, exp.EQ):
            return None
        left, right = condition.left, condition.right
        if not (isinstance(left, exp.Column) and isinstance(right, exp.Column)):
            return None
        left_source, right_source = self.source_of(left), self.source_of(right)
        if left_source is None or right_source is None or left_source == right_source:
            return None
        return JoinEdge(left, right, left_source, right_source)

    def edges(self) -> list[JoinEdge]:
        """The equations between columns of two of its own sources, in ON and WHERE."""
        edges = [edge for node in [*self.nodes["joins"], *self.nodes["where"]] if (edge := self.join_edge(node))]
        own = self.sources.values()
        return [edge for edge in edges if edge.left_source in own and edge.right_source in own]

    def determines_rows(self, source: Source) -> bool:
        """Whether each row of `source` occurs at most once: all joins lead from it to columns that are unique."""
        reached = {source.name}
        edges = self.edges()
        for _ in edges:
            for edge in edges:
                if edge.left_source.name in reached and edge.right.name.lower() in edge.right_source.unique:
                    reached.add(edge.right_source.name)
                if edge.right_source.name in reached and edge.left.name.lower() in edge.left_source.unique:
                    reached.add(edge.left_source.name)
        return len(reached) == len(self.sources)

    def rows_are_distinct(self) -> bool:
        """Whether no row of the result can come twice, by a key among the columns or by GROUP BY."""
        columns = [column.unalias() for column in self.select.expressions]
        if not self.sources or self._reads_groups(columns):
            return True
        if self.group_keys:
            return all(key in columns for key in self.group_keys)
        if any(isinstance(column, exp.AggFunc) for column in columns):
            return True
        if any(column.is_star for column in columns):
            return len(self.sources) == 1
        return any(map(self.comes_once, columns))

    def _reads_groups(self, columns: Sequence[exp.Expr]) -> bool:
        """Whether the only source is a CTE or subquery with one row for each value of a column that is among `columns`."""
        table = self.select.args.get("from_") if len(self.sources) == 1 else None  # sqlglot reads a JOIN without FROM
        relation = None if table is None else table.this
        if isinstance(relation, exp.Table):
            ctes = {cte.alias.lower(): cte.this for cte in self.select.root().find_all(exp.CTE)}
            relation = ctes.get(relation.name.lower())
        inner = relation.this if isinstance(relation, exp.Subquery) else relation
        group = inner.args.get("group") if isinstance(inner, exp.Select) else None
        if not isinstance(inner, exp.Select) or group is None or len(group.expressions) != 1:
            return False
        keys = {column.alias_or_name.lower() for column in inner.expressions if column.unalias() == group.expressions[0]}
        return any(isinstance(column, exp.Column) and column.name.lower() in keys for column in columns)


def scopes(tree: exp.Expr, tables: Tables) -> list[Scope]:
    """A scope for each SELECT, outer ones before those inside them; none for those of recursive CTEs."""
    by_select: dict[int, Scope] = {}
    for select in tree.find_all(exp.Select, bfs=False):
        if is_recursive(select):
            continue
        outer = select.parent_select
        by_select[id(select)] = Scope(select, tables, by_select.get(id(outer)))
    return list(by_select.values())


def _likely_keys(table: str, columns: Sequence[str]) -> frozenset[str]:
    """The first column, and those that are called id or after the table."""
    stem = table.lower().rstrip("s")
    own = {"id", f"{stem}id", f"{stem}_id", f"{stem}s_id", f"{table.lower()}_id"}
    return frozenset(name.lower() for number, name in enumerate(columns) if number == 0 or name.lower() in own)


def quote_texts(query_scopes: Sequence[Scope]) -> None:
    """Turns names in double quotes that are no column into the texts that SQLite takes them for; the scopes are then outdated."""
    for scope in query_scopes:
        aliases = {column.alias.lower() for column in scope.select.expressions}
        if not all(source.columns for source in scope.sources.values()) or scope.outer is not None:
            continue
        for column in scope.columns():
            quoted = column.this.args.get("quoted") and not column.args.get("table")
            if quoted and column.name.lower() not in aliases and scope.source_of(column) is None:
                column.replace(exp.Literal.string(column.name))


def has_column(source: Source, name: str) -> bool:
    """Whether a table has the column, whatever the case of its name."""
    return any(column.lower() == name.lower() for column in source.columns)


def is_windowed(node: exp.Expr) -> bool:
    """Whether an aggregate is the function of a window."""
    return isinstance(node.parent, exp.Window) or (isinstance(node.parent, exp.Filter) and is_windowed(node.parent))


def is_recursive(query: exp.Expr) -> bool:
    """Whether a query is in a recursive CTE, which may not end if it is changed."""
    cte = query.find_ancestor(exp.CTE)
    return cte is not None and bool(cte.parent and cte.parent.args.get("recursive"))


def holds_query(node: exp.Expr) -> bool:
    """Whether there is a subquery in an expression."""
    return node.find(exp.Select) is not None


def _role(select: exp.Select) -> tuple[Role, exp.SetOperation | None]:
    """Where a SELECT stands, and the set operation it is an arm of."""
    arm: exp.SetOperation | None = None
    node = select.parent
    while isinstance(node, (exp.SetOperation, exp.Subquery)):
        if isinstance(node, exp.SetOperation) and (arm is None or node.args.get("distinct")):
            arm = node
        node = node.parent
    if node is None:
        return "result", arm
    if isinstance(node, (exp.CTE, exp.From, exp.Join)):
        return "source", arm
    if isinstance(node, exp.Exists):
        return "exists", arm
    return ("in" if isinstance(node, (exp.In, exp.All, exp.Any)) else "scalar"), arm


def _own_nodes(clause: exp.Expr | list[exp.Expr] | None) -> Iterator[exp.Expr]:
    """The nodes of a clause in their order, without those of the queries in it."""
    stack = list(reversed(clause)) if isinstance(clause, list) else [clause]
    while stack:
        node = stack.pop()
        if node is None:
            continue
        yield node
        stack += [child for child in node.iter_expressions(reverse=True) if not isinstance(child, exp.Query)]
