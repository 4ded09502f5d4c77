"""Mutants of a gold query: plausible wrong SQL, each with one mistake as models make them.

The mistakes are those of `mutation`. What would only be another spelling is left out as far as a query and its
schema tell: DISTINCT on rows with a key, a LEFT JOIN to a table that every row refers to, the order inside a subquery.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

from sqlglot.errors import SqlglotError

from sense.sql.mutation import OPERATORS
from sense.sql.mutation.changes import Frame
from sense.sql.query_scope import Tables, quote_texts, scopes
from sense.sql.tree import shared_tree
from sense.verdicts import ErrorClass

_MOST = 15  # of one query


class Mutant(NamedTuple):
    """A wrong SQL made from a gold, and what is wrong with it."""

    sql: str
    error_class: ErrorClass


def mutants(sql: str, columns: Mapping[str, Sequence[str]], unique: Mapping[str, Sequence[str]] | None = None) -> list[Mutant]:
    """At most 15 different mutants of `sql`, each of another meaning; none of what cannot be parsed.

    `columns` are those of each table of the database; `unique` those in which no value comes twice. Of a table that `unique`
    does not have, these are the first column and those that are called id or after the table. The classes of error take turns,
    so that the first few mutants have several.

    >>> [mutant.sql for mutant in mutants("SELECT name FROM pet WHERE age > 3", {"pet": ["id", "name", "age"]})][:2]
    ['SELECT name FROM pet WHERE age >= 3', 'SELECT name, age FROM pet WHERE age > 3']
    """
    parsed = shared_tree(sql)
    if parsed is None:
        return []
    tree = parsed.copy()
    tables = Tables(columns, unique or {})
    by_class: defaultdict[ErrorClass, list[Mutant]] = defaultdict(list)
    frame = Frame(tree)
    try:
        quote_texts(scopes(tree, tables))
        query_scopes = scopes(frame, tables)
        texts = {frame.query_text()}
        for operator in OPERATORS:
            for error_class in operator(tree, query_scopes):
                text = frame.query_text()
                if text not in texts:
                    texts.add(text)
                    by_class[error_class].append(Mutant(text, error_class))
    except (SqlglotError, RecursionError):  # nested too deeply to be written
        return []
    turns = chain.from_iterable(zip_longest(*by_class.values()))
    return [mutant for mutant in turns if mutant is not None][:_MOST]
