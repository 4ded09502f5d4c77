"""The coarse structure of a query, and which constructs are counted: section 1 of `benchmarks.synthesis`."""

from collections.abc import Mapping, Sequence

from sqlglot import exp

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is)
_VALUES = (exp.Literal, exp.Null, exp.Boolean)
_SET_OPERATIONS = {exp.Union: "union", exp.Intersect: "intersect", exp.Except: "except"}

QUERY_FEATURES = (
    "3+ joins",
    "self join",
    "outer join",
    "3+ conditions",
    "4+ columns",
    "2 group keys",
    "2 order keys",
    "arithmetic",
)
"""What a query may have, as a share of all rows."""
HARD_FEATURES = ("CASE", "CTE", "window", "EXISTS", "date function", "CAST", "string function")
"""What a query may have, also as a share of the rows at hard and extra."""


def structure(tree: exp.Expr) -> str:
    """A text that is equal for queries of the same coarse structure.

    Names become `c` and `t`, values `v`. Comparisons are one (=, <>, <, <=, >, >=, BETWEEN, IS; LIKE is another), and so are
    aggregates, but of *, of a column and of DISTINCT are three. Left out are aliases, parentheses, the kind of inner joins, the
    direction of sorting and the number at LIMIT. The order and number of columns, conditions and joins count.

    >>> from sense.sql.tree import parse_query
    >>> structure(parse_query("SELECT T1.name, T1.age FROM pet AS T1 WHERE T1.age > 3 ORDER BY T1.age DESC LIMIT 2"))
    'select c, c from t where c?v order by c limit'
    >>> structure(parse_query("SELECT kind, COUNT(*), AVG(age) FROM pet GROUP BY kind HAVING NOT MIN(age) < 3"))
    'select c, agg(*), agg(c) from t group by c having not agg(c)?v'
    """
    match tree:
        case exp.Select():
            return _select(tree)
        case exp.SetOperation():
            return f"{_with(tree)}{structure(tree.this)} {_SET_OPERATIONS[type(tree)]} {structure(tree.expression)}{_order(tree)}"
        case exp.Subquery():
            return f"({structure(tree.this)})"
        case exp.Alias() | exp.Paren() | exp.Ordered() | exp.Neg():
            return structure(tree.this)
        case exp.Not():
            return f"not {structure(tree.this)}"
        case exp.Table():
            return "t"
        case exp.Column() | exp.Star():
            return "c"
        case exp.AggFunc():
            return (
                f"agg({'*' if isinstance(tree.this, exp.Star) else 'distinct' if isinstance(tree.this, exp.Distinct) else 'c'})"
            )
        case exp.Between():
            return f"{structure(tree.this)}?{structure(tree.args['low'])}"
        case exp.Connector():
            return f"({f' {tree.key} '.join(structure(side) for side in tree.flatten())})"
        case exp.In():
            query = tree.args.get("query")
            return f"{structure(tree.this)} in {structure(query) if query is not None else 'v'}"
        case _ if isinstance(tree, _VALUES):
            return "v"
        case _ if isinstance(tree, _COMPARISONS):
            return f"{structure(tree.this)}?{structure(tree.expression)}"
        case _:
            name = tree.name.lower() if isinstance(tree, exp.Anonymous) else tree.key
            return f"{name}({', '.join(structure(child) for child in tree.iter_expressions())})"


def _select(tree: exp.Select) -> str:
    parts = [
        f"{_with(tree)}select{' distinct' if tree.args.get('distinct') else ''} {', '.join(map(structure, tree.expressions))}"
    ]
    source = tree.args.get("from_")
    if source is not None:
        parts.append(f"from {structure(source.this)}")
    for join in tree.args.get("joins") or ():
        condition = join.args.get("on")
        parts.append(f"{join.side.lower()} join {structure(join.this)}".strip())
        parts += [f"on {structure(condition)}"] if condition is not None else []
    for clause, words in (("where", "where"), ("group", "group by"), ("having", "having")):
        node = tree.args.get(clause)
        if node is not None:
            parts.append(f"{words} {', '.join(map(structure, node.expressions or [node.this]))}")
    return " ".join(parts) + _order(tree)


def _with(tree: exp.Query) -> str:
    clause = tree.args.get("with_")
    return "".join(f"with {structure(table.this)} " for table in clause.expressions) if clause is not None else ""


def _order(tree: exp.Query) -> str:
    order = tree.args.get("order")
    keys = f" order by {', '.join(map(structure, order.expressions))}" if order is not None else ""
    return f"{keys}{' limit' if tree.args.get('limit') is not None else ''}"


def without_quoted_values(tree: exp.Query, columns: Mapping[str, Sequence[str]]) -> exp.Query:
    """The tree, in which `"Paris"` is a text unless a table has a column of that name, as SQLite reads it.

    >>> from sense.sql.tree import parse_query
    >>> without_quoted_values(parse_query('SELECT "name" FROM pet WHERE city = "Paris"'), {"pet": ["name", "city"]}).sql()
    'SELECT "name" FROM pet WHERE city = \\'Paris\\''
    """
    names = {name.lower() for table in columns.values() for name in table}
    for column in list(tree.find_all(exp.Column)):
        if column.this.args.get("quoted") and not column.table and column.name.lower() not in names:
            column.replace(exp.Literal.string(column.name))
    return tree
