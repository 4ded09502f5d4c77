"""Queries as sqlglot trees: parsing with a bound on time, the columns of an ORDER BY, and the canonical form of a query."""

import logging
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError

from sense.sql.parse import MAX_LENGTH, code_tokens

_MAX_REREADS = 4  # tokens that may be read again for each token there is; none of Spider's queries needs more than 1.6
_FREE_REREADS = 1_000  # and as many more, so that short queries may be odd

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of every statement it does not know


class BacktrackingError(SqlglotError):
    """sqlglot would read too much of a text again. Not one of its ParseErrors, on which it tries the next way to read it."""


def parse_statements(sql: str, dialect: str = "sqlite") -> list[exp.Expr]:
    """The trees of all statements in `sql`, in time that grows about linearly with its length.

    Raises SqlglotError where sqlglot cannot parse it or goes back too often, RecursionError where it is nested too deeply.
    """
    reader, parser_class = _reader(dialect)
    tokens = reader.tokenize(sql)
    parser = parser_class(dialect=reader)
    parser.rereads_left = _MAX_REREADS * len(tokens) + _FREE_REREADS
    parsed = parser.parse(tokens, sql)
    return [statement for statement in parsed if statement is not None and not isinstance(statement, exp.Semicolon)]


@cache
def _reader(dialect: str) -> tuple[Dialect, Any]:
    """A dialect, and its parser class with a bound on what is read again.

    Where sqlglot cannot tell what a token begins, it reads on, goes back, and reads on in another way. Nested in one another,
    such places double the time each: JOINs without ON, calls that look like types (date(date(...)).
    """
    reader = Dialect.get_or_raise(dialect)
    parser_class: Any = reader.parser_class

    class BoundedParser(parser_class):  # type: ignore[misc]  # its base is known only at run time
        rereads_left = 0

        def _retreat(self, index: int) -> None:
            self.rereads_left -= max(0, self._index - index)
            if self.rereads_left < 0:
                raise BacktrackingError("too much of it would have to be read again and again")
            super()._retreat(index)

    return reader, BoundedParser


def parse_query(sql: str) -> exp.Query | None:
    """The tree of one query in SQLite's dialect; None if it is no query, cannot be parsed, is too long or nested too deeply."""
    if len(sql) > MAX_LENGTH:
        return None
    try:
        parsed = parse_statements(sql)
    except (SqlglotError, RecursionError):
        return None
    return parsed[0] if len(parsed) == 1 and isinstance(parsed[0], exp.Query) else None


@lru_cache(maxsize=128)
def shared_tree(sql: str) -> exp.Query | None:
    """What `parse_query` returns, parsed once for all that read the same query one after another: none of them may change it.

    Its nodes do not tell where in the text they stand, which takes most of the time of a copy.
    """
    tree = parse_query(sql)
    for node in tree.walk() if tree is not None else ():
        if node.meta_get("start") is not None:
            node.meta.clear()
    return tree


# --- ORDER BY


def is_ordered(sql: str) -> bool:
    """True if the outermost query of `sql` has an ORDER BY, so that the order of its rows is part of the answer.

    It needs no tree, so it answers for queries that sqlglot cannot parse too.

    >>> is_ordered("SELECT name FROM pet ORDER BY age")
    True
    >>> is_ordered("SELECT name FROM (SELECT * FROM pet ORDER BY age)")
    False
    """
    last = ""
    for token in code_tokens(sql):
        if token.depth == 0 and last == "ORDER" and token.text == "BY":
            return True
        last = token.text if token.kind == "word" and token.depth == 0 else ""
    return False


def order_columns(sql: str) -> tuple[int, ...] | None:
    """The positions, from 0, of the outermost ORDER BY's keys among the result's columns; None unless every key is one of them.

    Rows that agree in these columns are ties, and any order among ties is right.

    >>> order_columns("SELECT name, age FROM pet ORDER BY age DESC, 1")
    (1, 0)
    >>> order_columns("SELECT name FROM pet ORDER BY age")
    >>> order_columns("SELECT kind, count(*) FROM pet GROUP BY kind ORDER BY COUNT( * )")
    (1,)
    """
    tree = parse_query(sql)
    order = None if tree is None else tree.args.get("order")
    if tree is None or order is None:
        return None
    select = _first_select(tree)
    columns = list(select.expressions)
    if any(column.is_star for column in columns):
        return None
    try:
        index = _index_columns(columns)
        positions = [_position(key.this, index) for key in order.expressions]
    except RecursionError:  # an expression that sqlglot parses but cannot write
        return None
    return None if None in positions else tuple(position for position in positions if position is not None)


def _first_select(tree: exp.Expr) -> exp.Expr:
    """The SELECT that names the result's columns: the first arm of a set operation, parentheses dropped."""
    while isinstance(tree, (exp.SetOperation, exp.Subquery)):
        tree = tree.this
    return tree


class _ColumnIndex(NamedTuple):
    """The position of the first column of each alias, text and name, all in lower case.

    `bare` has the names of those columns that are written without their table.
    """

    number: int
    aliases: dict[str, int]
    texts: dict[str, int]
    names: dict[str, int]
    bare: dict[str, int]


def _index_columns(columns: Sequence[exp.Expr]) -> _ColumnIndex:
    index = _ColumnIndex(len(columns), {}, {}, {}, {})
    for position, column in enumerate(columns):
        index.aliases.setdefault(column.alias.lower(), position)
        inner = column.unalias()
        index.texts.setdefault(_text(inner), position)
        if isinstance(inner, exp.Column):
            index.names.setdefault(inner.name.lower(), position)
            if not inner.table:
                index.bare.setdefault(inner.name.lower(), position)
    return index


def _position(key: exp.Expr, index: _ColumnIndex) -> int | None:
    """The position of an ORDER BY's `key` among the columns.

    The key may be a number, an alias, an expression written like a column's, or the same column, named with its table in one
    place and without in the other.
    """
    if isinstance(key, exp.Literal) and not key.is_string:
        position = int(key.name) - 1 if key.name.isdigit() else -1
        return position if 0 <= position < index.number else None
    name = key.name.lower() if isinstance(key, exp.Column) else ""
    if name and not key.args.get("table") and name in index.aliases:
        return index.aliases[name]
    text = _text(key)
    if text in index.texts:
        return index.texts[text]
    if not isinstance(key, exp.Column):
        return None
    return (index.bare if key.table else index.names).get(name)


def _text(node: exp.Expr) -> str:
    """An expression's text in lower case, as SQLite compares names without regard to case."""
    return node.sql(dialect="sqlite", comments=False).lower()


# --- the canonical form


def fingerprint(sql: str) -> str:
    """The canonical form of `sql`: equal for queries that differ in case, spacing, comments, identifier quotes or aliases.

    Literals keep their case, and so does a bare identifier in double quotes, which SQLite may read as a string.
    What sqlglot cannot parse comes back in lower case with its spaces squeezed.

    >>> fingerprint("select  T1.Name from `Pets` as T1 -- all")
    'SELECT name FROM pets'
    >>> fingerprint("SELECT a.x FROM a INNER JOIN b AS other ON a.i = other.i")
    'SELECT t1.x FROM a AS t1 JOIN b AS t2 ON t1.i = t2.i'
    >>> fingerprint("SELEC  name")
    'selec name'
    """
    return canonical_text(parse_query(sql), sql)


def canonical_text(tree: exp.Query | None, sql: str) -> str:
    """The canonical form of `sql`, whose tree is `tree`; the tree is used up."""
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
    select = _first_select(tree)
    used = {column.name for column in select.root().find_all(exp.Column) if column.args.get("table") is None}
    # All at once: sqlglot's replace() walks over all siblings that follow, so one by one would take quadratic time.
    columns = [
        column.this if isinstance(column, exp.Alias) and column.alias not in used else column for column in select.expressions
    ]
    select.set("expressions", columns)
