"""When two queries are the same, and two schemas: canonical SQL with and without its names, a schema's names and its shape.

Both forms of SQL are equal for queries that differ in spelling, in aliases, or in the order of their conditions. What renaming
leaves is the masked form, the shapes of tables and columns, and the other words of the question.
"""

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from sqlglot import exp

from sense.decontamination.near_duplicates import normalize
from sense.schema import Column, Schema, Table
from sense.sql.parse import code_tokens
from sense.sql.tree import canonical_text, parse_query

_CAPITAL_INSIDE = re.compile(r"([a-z])([A-Z])")
_OPERATORS = frozenset(
    """SELECT FROM WHERE GROUP HAVING ORDER LIMIT DISTINCT JOIN LEFT OR AND NOT IN LIKE BETWEEN EXISTS UNION INTERSECT EXCEPT CASE
    IS NULL DESC COUNT SUM AVG MIN MAX CAST WITH OVER = + / %""".split()
)
_NOT_TRIVIAL = frozenset(["WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "JOIN", "WITH", "UNION", "EXCEPT", "INTERSECT", "OVER"])


class CanonicalSql(NamedTuple):
    """`named` has the query's names and values. `masked` has numbers for names and ? for values: renaming does not change it.

    `trivial`: at most one column or aggregate of one table, and no condition, group, order, limit, subquery or set operation.
    `SELECT COUNT(*) FROM singer` can be asked of any database with such a table, and says nothing of where it comes from.
    """

    named: str
    masked: str
    trivial: bool


@lru_cache(maxsize=4096)
def canonical_sql(sql: str) -> CanonicalSql:
    """Both forms of `sql`; what cannot be parsed comes back in lower case with its spaces squeezed.

    >>> canonical_sql("SELECT Name FROM pet AS p WHERE p.age > 3 AND 'x' = p.kind").named
    "SELECT name FROM pet WHERE age > 3 AND kind = 'x'"
    >>> canonical_sql("SELECT Name FROM pet WHERE age > 3").masked
    'SELECT n1 FROM n2 WHERE n3 > ?'
    """
    tree = parse_query(sql)
    if tree is None:
        text = canonical_text(None, sql)
        return CanonicalSql(text, text, trivial=False)
    trivial = _is_trivial(tree)
    try:
        _turn_comparisons(tree)
        masked = tree.copy()
        _sort_conditions(tree, _text)
        _sort_conditions(masked, _masked_text)
    except RecursionError:  # an expression that sqlglot parses but cannot write
        text = canonical_text(None, sql)
        return CanonicalSql(text, text, trivial=False)
    return CanonicalSql(canonical_text(tree, sql), _number_names(canonical_text(masked, sql)), trivial)


@lru_cache(maxsize=4096)
def skeleton(sql: str) -> str:
    """The canonical form with ? for each value, and for all values of an IN: equal for queries that differ in values alone.

    >>> skeleton("SELECT Name FROM pet WHERE kind IN ('cat', 'dog') AND age > 3")
    'SELECT name FROM pet WHERE age > ? AND kind IN (?)'
    """
    canonical = canonical_sql(sql).named
    tree = parse_query(canonical)
    if tree is None:
        return canonical
    for among in tree.find_all(exp.In):
        if among.expressions:
            among.set("expressions", [exp.Placeholder()])
    for literal in list(tree.find_all(exp.Literal)):
        literal.replace(exp.Placeholder())
    return tree.sql(dialect="sqlite", comments=False)


@lru_cache(maxsize=32_768)  # every row of new data is compared as it is written, and again with the other splits
def tables_of(sql: str) -> frozenset[str]:
    """Tables that a query reads, in lower case, without parsing it: those behind FROM and JOIN, and no CTEs.

    >>> sorted(tables_of("WITH old AS (SELECT * FROM Pet) SELECT * FROM old JOIN [owner] ON 1"))
    ['owner', 'pet']
    """
    texts = [token.text.lower() if token.kind == "word" else token.text.strip('"`[]').lower() for token in code_tokens(sql)]
    tables = {name for before, name in pairwise(texts) if before in ("from", "join") and name != "("}
    return frozenset(
        tables - {name for name, word, mark in zip(texts, texts[1:], texts[2:], strict=False) if (word, mark) == ("as", "(")}
    )


def may_be_trivial(sql: str) -> bool:
    """Whether `CanonicalSql.trivial` may be true, told from the words alone; False is certain."""
    return not _NOT_TRIVIAL & {token.text for token in code_tokens(sql)}


def _is_trivial(tree: exp.Query) -> bool:
    if not isinstance(tree, exp.Select) or len(tree.expressions) > 1:
        return False
    clauses = ("where", "group", "having", "order", "limit", "joins", "with_", "windows")
    return not any(tree.args.get(clause) for clause in clauses) and len(list(tree.find_all(exp.Select, exp.Table))) == 2


def _turn_comparisons(tree: exp.Expr) -> None:
    """In a comparison with a value, the value stands on the right."""
    turned: dict[type[exp.Expr], type[exp.Expr]] = {exp.EQ: exp.EQ, exp.NEQ: exp.NEQ, exp.GT: exp.LT, exp.LT: exp.GT}
    turned |= {exp.GTE: exp.LTE, exp.LTE: exp.GTE}
    for node in list(tree.find_all(*turned)):
        left, right = node.args["this"], node.args["expression"]
        if isinstance(left, exp.Literal) and not isinstance(right, exp.Literal):
            node.replace(turned[type(node)](this=right.copy(), expression=left.copy()))


def _sort_conditions(tree: exp.Expr, key: Callable[[exp.Expr], str]) -> None:
    """What AND and OR connect, and the values of IN, in the order of their texts; innermost first."""
    for node in reversed(list(tree.find_all(exp.Connector, exp.In, bfs=False))):
        if isinstance(node, exp.In):
            node.set("expressions", sorted(node.expressions, key=_text))
            continue
        outer = node.parent
        while isinstance(outer, exp.Paren):
            outer = outer.parent
        if type(outer) is not type(node):
            parts = sorted(_connected(node), key=key)
            combined = parts[0]
            for part in parts[1:]:
                combined = type(node)(this=combined, expression=part)
            node.replace(combined)


def _connected(connector: exp.Expr) -> list[exp.Expr]:
    """What a connector connects, and those of its own kind in it; parentheses stay around those of the other kind alone."""
    parts: list[exp.Expr] = []
    stack: list[exp.Expr] = [connector]
    while stack:
        node = stack.pop().unnest()
        if type(node) is type(connector):
            stack += [node.args["expression"], node.args["this"]]
        else:
            parts.append(exp.Paren(this=node.copy()) if isinstance(node, exp.Connector) else node.copy())
    return parts


def _text(node: exp.Expr) -> str:
    return node.sql(dialect="sqlite", comments=False).lower()


def _masked_text(node: exp.Expr) -> str:
    copy = node.copy()
    for identifier in copy.find_all(exp.Identifier):
        identifier.set("this", "n")
        identifier.set("quoted", False)
    for literal in list(copy.find_all(exp.Literal)):
        literal.set("this", "v")
    return _text(copy)


def _number_names(canonical: str) -> str:
    """A canonical query with names numbered in the order in which they come, and ? for each value."""
    tree = parse_query(canonical)
    if tree is None:
        return canonical
    numbers: dict[str, int] = {}
    for identifier in tree.find_all(exp.Identifier, bfs=False):
        number = numbers.setdefault(identifier.name.lower(), len(numbers) + 1)
        identifier.replace(exp.Identifier(this=f"n{number}", quoted=False))
    for literal in list(tree.find_all(exp.Literal)):
        literal.replace(exp.Placeholder())
    return tree.sql(dialect="sqlite", comments=False)


def schema_names(schema: Schema) -> frozenset[str]:
    """The tables and the columns with their tables, in lower case."""
    tables = {table.name.lower() for table in schema.tables}
    return frozenset(tables | {f"{table.name}.{column.name}".lower() for table in schema.tables for column in table.columns})


def schema_shape(schema: Schema) -> str:
    """A digest of all that new names and another order leave: each table's column types and keys, and what refers to what."""
    return hashlib.sha256("\n".join(sorted(table_shapes(schema).values())).encode()).hexdigest()


@lru_cache(maxsize=4096)
def table_shapes(schema: Schema) -> dict[str, str]:
    """Of each table what new names leave: the types and keys of its columns, and of the tables that it refers to."""
    columns = {table.name: _columns(table) for table in schema.tables}
    links: dict[str, list[str]] = {table.name: [] for table in schema.tables}
    for key in schema.foreign_keys:
        links[key.table].append(columns[key.other_table])
    return {name: f"{shape} {sorted(links[name])}" for name, shape in columns.items()}


def column_shapes(sql: str, schema: Schema) -> list[str]:
    """The types and keys of the columns that a query names, of the tables that it reads; sorted."""
    tables, names = tables_of(sql), {token.text.strip('"`[]').lower() for token in code_tokens(sql) if token.text[0] != "'"}
    columns = [column for table in schema.tables if table.name.lower() in tables for column in table.columns]
    return sorted(_shape(column) for column in columns if column.name.lower() in names)


def _columns(table: Table) -> str:
    return ",".join(sorted(map(_shape, table.columns)))


def _shape(column: Column) -> str:
    return f"{_affinity(column.type)}{'*' if column.primary_key else ''}"


def _affinity(declared: str) -> str:
    """SQLite's affinity of a declared type (section 3.1 of its page on datatypes)."""
    name = declared.upper()
    for words, affinity in (
        (("INT",), "INTEGER"),
        (("CHAR", "CLOB", "TEXT"), "TEXT"),
        (("BLOB",), "BLOB"),
        (("REAL", "FLOA", "DOUB"), "REAL"),
    ):
        if any(word in name for word in words):
            return affinity
    return "NUMERIC" if name else "BLOB"


@lru_cache(maxsize=4096)
def name_words(schema: Schema) -> frozenset[str]:
    """The words of which the names of tables and columns are made, in the singular."""
    names = [table.name for table in schema.tables] + [column.name for table in schema.tables for column in table.columns]
    return frozenset(_singular(word) for name in names for word in _words(name))


def question_words(question: str, names: frozenset[str], sql: str) -> list[str]:
    """The words of a question, '' for those of the schema's names and of the SQL's values: renaming does not change them.

    >>> question_words("Which pets are older than 3?", frozenset(["pet"]), "SELECT * FROM pet WHERE age > 3")
    ['which', '', 'are', 'older', 'than', '3']
    """
    masked = names | {_singular(word) for word in literal_words(sql)}
    return ["" if _singular(word) in masked else word for word in normalize(question).split()]


def literal_words(sql: str) -> set[str]:
    """The words of all that stands in quotes in a query.

    >>> sorted(literal_words("SELECT name FROM pet WHERE kind = 'Great Dane'"))
    ['dane', 'great']
    """
    return {word for token in code_tokens(sql) if token.kind == "quoted" for word in normalize(token.text).split()}


def operators(sql: str) -> str:
    """The keywords, functions and marks of a query, sorted: the same under other names and in another order of conditions.

    Those of size are left out: 3 < age is age > 3.

    >>> operators("SELECT max(T1.age) FROM pet AS T1 WHERE T1.weight > 3 AND T1.kind = 'dog'")
    '= AND FROM MAX SELECT WHERE'
    """
    return " ".join(sorted(token.text for token in code_tokens(sql) if token.text in _OPERATORS))


def _words(name: str) -> list[str]:
    """The words of an identifier: petOwner_id has three."""
    return normalize(_CAPITAL_INSIDE.sub(r"\1 \2", name).replace("_", " ")).split()


@lru_cache(maxsize=4096)
def _singular(word: str) -> str:
    """The word without the ending of a plural, roughly: both forms of a noun come out the same."""
    return re.sub(r"(?<=[^s])s$", "", re.sub(r"ies$", "y", re.sub(r"(?:(?<=[sx])|(?<=[cs]h))es$", "", word)))
