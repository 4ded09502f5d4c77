"""Changes of a query's tree that are taken back at the end of a `with` block, its text meanwhile, and what operators share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlglot import exp
from sqlglot.generators.sqlite import SQLiteGenerator

from sense.sql.query_scope import Scope, Source
from sense.verdicts import ErrorClass

Mistakes = Iterator[ErrorClass]


Operator = Callable[[exp.Expr, Sequence[Scope]], Mistakes]


class Frame(exp.Subquery):
    """The root of a query's tree, so that the outermost query can be replaced like any other node; writes the query as it is now.

    What has not changed is written once: `changed_nodes` are those that stand in the place of others, or have other arguments.
    """

    def __init__(self, query: exp.Expr) -> None:
        super().__init__(this=query)
        self.changed_nodes: list[exp.Expr] = []
        self._generator = _CachingGenerator(dialect="sqlite", comments=False)

    def query_text(self) -> str:
        """The text of the query."""
        return self._generator.tree_text(self.this, self.changed_nodes)


class _CachingGenerator(SQLiteGenerator):
    """Writes one tree again and again; the texts of its nodes are those of the first time, unless they are out of date."""

    def tree_text(self, tree: exp.Expr, changed_nodes: Sequence[exp.Expr]) -> str:
        """The text of the tree, in which nothing but these nodes has changed since the first time."""
        self._outdated = {id(ancestor) for node in changed_nodes for ancestor in _with_ancestors(node)}
        self._first = not hasattr(self, "_texts")
        if self._first:
            self._texts: dict[int, tuple[exp.Expr, str]] = {}  # with the node, so that no other one gets its id
        return self.generate(tree, copy=False)

    def sql(self, expression: str | exp.Expr | None, key: str | None = None, comment: bool = True) -> str:
        if key or not isinstance(expression, exp.Expr):
            return super().sql(expression, key, comment)
        number = id(expression)
        if number in self._texts and number not in self._outdated:
            return self._texts[number][1]
        text = super().sql(expression, key, comment)
        if self._first:
            self._texts[number] = expression, text
        return text


def _with_ancestors(node: exp.Expr | None) -> Iterator[exp.Expr]:
    while node is not None:
        yield node
        node = node.parent


@contextmanager
def replaced(node: exp.Expr, new: exp.Expr) -> Iterator[None]:
    """`new` in the place of `node`; it holds copies of what it takes over from it."""
    node.replace(new)
    with _noted(new):
        yield
    new.replace(node)


@contextmanager
def changed(node: exp.Expr, key: str, value: Any) -> Iterator[None]:
    """Another value of one argument of a node."""
    with changed_all((node, key, value)):
        yield


@contextmanager
def changed_all(*changes: tuple[exp.Expr, str, Any]) -> Iterator[None]:
    """Other values of several arguments, as (node, argument, value)."""
    before = [(node, key, node.args.get(key)) for node, key, _ in changes]
    for node, key, value in changes:
        node.set(key, value)
    with _noted(*(node for node, _, _ in changes)):
        yield
    for node, key, value in reversed(before):
        node.set(key, value)


@contextmanager
def _noted(*nodes: exp.Expr) -> Iterator[None]:
    """Tells the frame that these nodes are changed now."""
    frame = nodes[0].root()
    if isinstance(frame, Frame):
        frame.changed_nodes += nodes
    yield
    if isinstance(frame, Frame):
        del frame.changed_nodes[-len(nodes) :]


def named_column(scope: Scope, source: Source, name: str) -> exp.Column:
    """A column as the SELECT would write it: with its table if there are several."""
    quoted = not name.isidentifier()
    table = exp.to_identifier(source.name) if len(scope.sources) > 1 or scope.outer else None
    return exp.Column(this=exp.to_identifier(name, quoted=quoted), table=table)
