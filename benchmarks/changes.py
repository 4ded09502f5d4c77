"""Changes to the tree of a gold query, for `mutations.py`: what models get wrong, or say differently.

Each changes the copy that it is given and returns what has become of it, None if there is nothing to change.
"""

from random import Random

import sqlglot
from sqlglot import exp

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_AGGREGATES = (exp.Count, exp.Sum, exp.Avg, exp.Max, exp.Min)
_SETS = (exp.Union, exp.Intersect, exp.Except)


def _pick(tree: exp.Expression, random: Random, *kinds: type[exp.Expression]) -> exp.Expression | None:
    nodes = [node for node in tree.find_all(*kinds) if type(node) in kinds]
    return random.choice(nodes) if nodes else None


def _distinct(tree, random):
    select = _pick(tree, random, exp.Select)
    select.set("distinct", None if select.args.get("distinct") else exp.Distinct())
    return tree


def _distinct_argument(tree, random):
    call = _pick(tree, random, *_AGGREGATES)
    if call is None or isinstance(call.this, exp.Star):
        return None
    inside = call.this
    call.set("this", inside.expressions[0] if isinstance(inside, exp.Distinct) else exp.Distinct(expressions=[inside.copy()]))
    return tree


def _columns(tree, random):
    """Columns permuted, one doubled, one dropped, one renamed, a constant added, all of them three times."""
    select = _pick(tree, random, exp.Select)
    columns = list(select.expressions)
    kind = random.randrange(6)
    if kind == 0:
        random.shuffle(columns)
    elif kind == 1:
        columns.insert(random.randrange(len(columns) + 1), random.choice(columns).copy())
    elif kind == 2 and len(columns) > 1:
        columns.pop(random.randrange(len(columns)))
    elif kind == 3 and not isinstance(columns[0], (exp.Star, exp.Alias)):
        columns[0] = exp.alias_(columns[0], random.choice(["n", "total", "distinct_names"]))
    elif kind == 4:
        columns.append(random.choice([exp.Literal.number(1), exp.Literal.string("x"), exp.Null()]))
    elif len(columns) <= 2:
        columns = [column.copy() for column in columns * 3]
    select.set("expressions", columns)
    return tree


def _select_all(tree, random):
    select = _pick(tree, random, exp.Select)
    select.set("expressions", [exp.Star()])
    return tree


def _number(tree, random):
    numbers = [node for node in tree.find_all(exp.Literal) if not node.is_string]
    if not numbers:
        return None
    node = random.choice(numbers)
    value = node.this
    other = [f"{value}0", f"({value} + 1)", f"{value}.0", f"'{value}'", "0", f"-{value}", f"{value} - 0.5", "9223372036854775807"]
    node.replace(sqlglot.parse_one(random.choice(other), read="sqlite"))
    return tree


def _string(tree, random):
    strings = [node for node in tree.find_all(exp.Literal) if node.is_string]
    if not strings:
        return None
    node = random.choice(strings)
    value = node.this
    other = [value.upper(), value.lower(), f"{value} ", value[1:], f"%{value}%", "distinct", "a value b", "it's"]
    node.replace(exp.Literal.string(random.choice(other)))
    return tree


def _join(tree, random):
    join = _pick(tree, random, exp.Join)
    if join is None:
        return None
    if random.random() < 0.3:
        join.set("on", None)
        join.set("using", None)
    join.set("kind", None)
    join.set("side", random.choice([None, "LEFT", "LEFT", "RIGHT"]))
    return tree


def _order(tree, random):
    """ORDER BY turned round, dropped, added, or moved into a subquery."""
    order = _pick(tree, random, exp.Order)
    kind = random.randrange(4)
    if order is not None and kind == 0:
        key = random.choice(order.expressions)
        key.set("desc", not key.args.get("desc"))
        return tree
    if order is not None and kind == 1:
        order.pop()
        return tree
    if kind == 2:
        return exp.select("*").from_(tree.subquery("inside"))
    position, descending = exp.Literal.number(random.choice([1, 1, 2])), random.random() < 0.5
    return tree.order_by(exp.Ordered(this=position, desc=descending, nulls_first=not descending), copy=False, dialect="sqlite")


def _limit(tree, random):
    limit = _pick(tree, random, exp.Limit)
    if limit is not None and random.random() < 0.5:
        limit.pop()
        return tree
    return tree.limit(random.choice([0, 1, 2, 3, 5, 1000, -1]), copy=False, dialect="sqlite")


def _cast(tree, random):
    """A column in other types: texts, integers, reals, blobs that look like it, or NULL for something else."""
    column = _pick(tree, random, exp.Column, *_AGGREGATES)
    if column is None:
        return None
    wrap = ["CAST({} AS INTEGER)", "CAST({} AS REAL)", "CAST({} AS TEXT)", "CAST({} AS BLOB)", "{} * 1.0", "{} + 0", "{} || ''"]
    wrap += ["ROUND({}, 1)", "COALESCE({}, 0)", "NULLIF({}, 1)", "LOWER({})", "-{}", "TRIM({})", "ABS({})", "{} / 2 * 2"]
    text = random.choice(wrap).format(column.sql(dialect="sqlite"))
    column.replace(sqlglot.parse_one(text, read="sqlite"))
    return tree


def _swap_class(kinds):
    """A change that puts another of `kinds` in the place of one."""

    def change(tree, random):
        node = _pick(tree, random, *kinds)
        if node is None:
            return None
        other = random.choice([kind for kind in kinds if type(node) is not kind])
        arguments = {key: value for key, value in node.args.items() if key in other.arg_types}
        new = other(**arguments)
        if node is tree:
            return new
        node.replace(new)
        return tree

    return change


def _drop(*clauses):
    """A change that drops one of `clauses`, or all but one side of a condition in it."""

    def change(tree, random):
        node = _pick(tree, random, *clauses)
        if node is None:
            return None
        if isinstance(node, (exp.And, exp.Or)):
            node.replace(random.choice([node.left, node.right]))
        else:
            node.pop()
        return tree

    return change


def _not(tree, random):
    node = _pick(tree, random, *_COMPARISONS, exp.In, exp.Like, exp.Between, exp.Not)
    if node is None:
        return None
    node.replace(node.this if isinstance(node, exp.Not) else exp.Not(this=exp.Paren(this=node.copy())))
    return tree


def _sibling(tree, random):
    """A column in the place of another one of the query."""
    columns = list(tree.find_all(exp.Column))
    if len(columns) < 2:
        return None
    one, other = random.sample(columns, 2)
    one.replace(other.copy())
    return tree


def _set(tree, random):
    """ALL of a UNION; or the query united with, cut with, taken from itself."""
    union = _pick(tree, random, exp.Union)
    if union is not None:
        union.set("distinct", not union.args.get("distinct"))
        return tree
    if tree.args.get("order") or tree.args.get("limit"):
        return None
    kind = random.choice([exp.union, exp.union, exp.except_, exp.intersect])
    return kind(tree, tree.copy(), distinct=kind is not exp.union or random.random() < 0.5, copy=False)


def _exists(tree, random):
    """x IN (SELECT y ...) written with EXISTS, and rightly so unless there are NULLs; IN of EXISTS."""
    node = _pick(tree, random, exp.In, exp.Exists)
    if node is None:
        return None
    if isinstance(node, exp.Exists):
        node.replace(exp.In(this=exp.Literal.number(1), query=node.this.subquery()))
        return tree
    inside = node.args.get("query")
    if inside is None or not isinstance(inside.this, exp.Select):
        return None
    query = inside.this.copy()
    column = query.expressions[0].unalias()
    node.replace(exp.Exists(this=query.where(exp.EQ(this=column.copy(), expression=node.this.copy()), dialect="sqlite")))
    return tree


def _count(tree, random):
    call = _pick(tree, random, exp.Count)
    column = _pick(tree, random, exp.Column)
    if call is None:
        return None
    call.set("this", exp.Star() if not isinstance(call.this, exp.Star) or column is None else column.copy())
    return tree


def _rewrite(tree, random):
    """The same, said differently: BETWEEN, a subquery in FROM, a WITH, conditions that are always true."""
    between = _pick(tree, random, exp.Between)
    if between is not None and random.random() < 0.5:
        low, high = (
            kind(this=between.this.copy(), expression=between.args[key].copy())
            for kind, key in ((exp.GTE, "low"), (exp.LTE, "high"))
        )
        between.replace(exp.Paren(this=exp.And(this=low, expression=high)))
        return tree
    kind = random.randrange(4)
    if kind == 0:
        return exp.select("*").with_("found", as_=tree).from_("found")
    if kind == 1:
        return exp.select("*").from_(tree.subquery("t")).where("1 = 1")
    select = _pick(tree, random, exp.Select)
    select.where(random.choice(["1", "NULL IS NULL", "2 > 1 OR 1 = 0"]), copy=False, dialect="sqlite")
    return tree


def _make_empty(tree, random):
    select = _pick(tree, random, exp.Select)
    select.where(random.choice(["0", "NULL", "1 = 2"]), copy=False, dialect="sqlite")
    return tree


def _misspell(tree, random):
    node = _pick(tree, random, exp.Column, exp.Table)
    if node is None or not node.name:
        return None
    name = node.name
    node.set("this", exp.to_identifier(random.choice([f"{name}s", name[:-1] or "x", name.replace("_", ""), name.upper()])))
    return tree


CHANGES = (
    *(
        _distinct,
        _distinct_argument,
        _columns,
        _columns,
        _select_all,
        _number,
        _string,
        _join,
        _order,
        _order,
        _limit,
        _cast,
        _cast,
    ),
    *(_not, _sibling, _sibling, _set, _exists, _count, _rewrite, _make_empty, _misspell),
    *(_swap_class(_COMPARISONS), _swap_class(_AGGREGATES), _swap_class((exp.And, exp.Or)), _swap_class(_SETS)),
    *(_drop(exp.Where), _drop(exp.Having), _drop(exp.Group), _drop(exp.And, exp.Or), _drop(exp.Join)),
)
