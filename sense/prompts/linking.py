"""The linking line: the tables and columns of a query, which a model can be trained to write before the query itself.

It is a comment of SQL, so that an answer with it is still one statement. A model that has to say first which names the question
means (schema linking) writes fewer queries with names that do not exist.
"""

import re

from sqlglot import exp

from sense.sql.tree import shared_tree

_LINE = re.compile(r"\A\s*+-- tables:[^\n]*+\n\s*+")


def linking_line(sql: str) -> str:
    """The tables and columns that a query names, in its order, those of its WITH last; those of CTEs and aliases not.

    A query that cannot be parsed has no line (an empty text).

    >>> linking_line("SELECT T1.name FROM pet AS T1 JOIN owner AS T2 ON T1.owner_id = T2.id WHERE age > 3")
    '-- tables: pet, owner columns: name, owner_id, id, age'
    >>> linking_line("SELECT COUNT(*) FROM pet")
    '-- tables: pet columns: *'
    """
    tree = shared_tree(sql)
    if tree is None:
        return ""
    own = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    aliases = {alias.alias.lower() for alias in tree.find_all(exp.Alias) if alias.this.name.lower() != alias.alias.lower()}
    tables = [table.name for table in tree.find_all(exp.Table, bfs=False) if table.name.lower() not in own]
    columns = [column.name for column in tree.find_all(exp.Column, bfs=False) if column.name.lower() not in aliases]
    return f"-- tables: {_listed(tables)} columns: {_listed(columns) or '*'}"


def without_linking_line(sql: str) -> str:
    """`sql` without the linking line before it, if it has one.

    >>> without_linking_line("-- tables: pet columns: name\\nSELECT name FROM pet")
    'SELECT name FROM pet'
    """
    return _LINE.sub("", sql, count=1)


def _listed(names: list[str]) -> str:
    """The names, each once, on one line."""
    return ", ".join(dict.fromkeys(" ".join(name.split()) for name in names))
