"""Questions for SQL, as plain as a program words them: columns, conditions and order one after the other, with all values.

They are no good questions of nested queries, whose conditions they list without saying what belongs to what.
"""

import re
from collections.abc import Iterator
from random import Random

from sqlglot import exp

from sense.sql.tree import parse_query

_AGGREGATES = {exp.Avg: "average", exp.Max: "highest", exp.Min: "lowest", exp.Sum: "total"}
_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "is",
    exp.NEQ: "is not",
    exp.GT: "is above",
    exp.LT: "is below",
    exp.GTE: "is at least",
    exp.LTE: "is at most",
    exp.Like: "contains",
}
_FORMS = {
    "question": "What are {}?",
    "command": "Show {}.",
    "keywords": "{}",
    "polite": "Could you tell me {}?",
    "formal": "Please provide a report on {}.",
    "colloquial": "I just need {}.",
}
_COMMANDS = ("Show {}.", "List {}.", "Find {}.", "Give me {}.", "Report {}.")


def wording(sql: str, style: str, rng: Random) -> tuple[str, str]:
    """A question for a query in a style, and the evidence that it needs; both empty for what cannot be parsed."""
    tree = parse_query(sql)
    if tree is None:
        return "", ""
    select = next(iter(tree.find_all(exp.Select)))
    tables = list(dict.fromkeys(_words(table.name) for table in tree.find_all(exp.Table, bfs=False)))
    asked = _join([_expression(column) for column in select.expressions])
    conditions = _join([*_conditions(tree)])
    order = "".join(_order(tree))
    group = next((f" for each {_join([_expression(key) for key in part.expressions])}" for part in tree.find_all(exp.Group)), "")
    subject = f"{asked} of {_join(tables)}"
    where = f" where {conditions}" if conditions else ""
    if style == "with evidence" and conditions:
        return f"Show {asked} of selected {_join(tables)}{group}{order}.", f"Selected are those where {conditions}."
    if style == "two sentences":
        return f"Consider {_join(tables)}{where}. Show {asked}{group}{order}.", ""
    text = f"{subject}{where}{group}{order}"
    form = _FORMS.get(style) or rng.choice(_COMMANDS)
    return (text[:1].upper() + text[1:] if form == "{}" else form.format("the " + text)), ""


def _words(name: str) -> str:
    """A name as words: `shipName` and `ship_name` as ship name."""
    return " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower().split())


def _expression(node: exp.Expr) -> str:
    node = node.unalias()
    if isinstance(node, exp.Count):
        inner = node.this
        return "number of " + (_expression(inner) if isinstance(inner, (exp.Column, exp.Distinct)) else "entries")
    for kind, word in _AGGREGATES.items():
        if isinstance(node, kind):
            return f"{word} {_expression(node.this)}"
    if isinstance(node, exp.Column):
        return _words(node.name)
    columns = list(dict.fromkeys(_words(column.name) for column in node.find_all(exp.Column)))
    return _join(columns) or "entries"


def _conditions(tree: exp.Query) -> Iterator[str]:
    """Every condition with a value, in the order of the query."""
    for node in tree.find_all(*_COMPARISONS, exp.Between, exp.In, exp.Is, bfs=False):
        subject = _expression(node.this)
        negated = " not" if isinstance(node.parent, exp.Not) else ""
        if isinstance(node, exp.Between):
            yield f"{subject} lies{negated} between {_value(node.args['low'])} and {_value(node.args['high'])}"
        elif isinstance(node, exp.In) and node.expressions:
            yield f"{subject} is{negated} one of {_join([_value(value) for value in node.expressions])}"
        elif isinstance(node, exp.Is):
            yield f"{subject} is{' known' if negated else ' unknown'}"
        elif isinstance(node.expression, (exp.Literal, exp.Neg)):
            yield f"{subject} {_COMPARISONS[type(node)]} {_value(node.expression)}"


def _value(node: exp.Expr) -> str:
    return f"-{node.this.name}" if isinstance(node, exp.Neg) else node.name.strip("%")


def _order(tree: exp.Query) -> Iterator[str]:
    for order in tree.find_all(exp.Order, bfs=False):
        keys = [_expression(key.this) for key in order.expressions]
        descending = any(key.args.get("desc") for key in order.expressions)
        yield f", sorted by {_join(keys)} from the {'highest' if descending else 'lowest'}"
    for part in tree.find_all(exp.Limit, exp.Offset, bfs=False):
        yield f", {'the first' if isinstance(part, exp.Limit) else 'without the first'} {part.expression.name}"


def _join(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] if parts else ""
