"""Changes of a query's tree that are taken back at the end of a `with` block, and what all operators share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlglot import exp

from sense.sql.query_scope import Scope, Source
from sense.verdicts import ErrorClass

Mistakes = Iterator[ErrorClass]


Operator = Callable[[exp.Expr, Sequence[Scope]], Mistakes]


@contextmanager
def replaced(node: exp.Expr, new: exp.Expr) -> Iterator[None]:
    """`new` in the place of `node`; it holds copies of what it takes over from it."""
    node.replace(new)
    yield
    new.replace(node)


@contextmanager
def changed(node: exp.Expr, key: str, value: Any) -> Iterator[None]:
    """Another value of one argument of a node."""
    before = node.args.get(key)
    node.set(key, value)
    yield
    node.set(key, before)


@contextmanager
def changed_all(*changes: tuple[exp.Expr, str, Any]) -> Iterator[None]:
    """Other values of several arguments, as (node, argument, value)."""
    before = [(node, key, node.args.get(key)) for node, key, _ in changes]
    for node, key, value in changes:
        node.set(key, value)
    yield
    for node, key, value in reversed(before):
        node.set(key, value)


def named_column(scope: Scope, source: Source, name: str) -> exp.Column:
    """A column as the SELECT would write it: with its table if there are several."""
    quoted = not name.isidentifier()
    table = exp.to_identifier(source.name) if len(scope.sources) > 1 or scope.outer else None
    return exp.Column(this=exp.to_identifier(name, quoted=quoted), table=table)
