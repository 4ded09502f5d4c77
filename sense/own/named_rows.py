"""The rows that golds name: a copy of a few rows has to have them, or a question about Ann Berg has no answer there.

A row is named by a comparison of one of its columns with a value: full_name = 'Ann Berg', city IN ('Ghent', 'Lyon'). Some rows of
other tables of the gold that refer to it come with it, and all that these refer to.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from sqlglot import exp

from sense.own.tables import OwnRow, OwnSource, OwnTable, OwnValue
from sense.sql.tree import parse_query

_OF_ONE_VALUE = 5  # rows that are looked up
_MOST_CHILDREN = 5  # rows of one table that refer to one row
_TEXTS, _NUMBERS = ("CHAR", "TEXT", "CLOB"), ("INT", "REAL", "NUM", "DEC", "FLOA", "DOUB")


def named_rows(source: OwnSource, golds: Iterable[str]) -> dict[str, list[OwnRow]]:
    """The rows of each table that the golds (in SQLite's dialect) name, those named first before the others."""
    rows: dict[str, dict[OwnRow, None]] = defaultdict(dict)
    for sql in golds:
        tree = parse_query(sql)
        if tree is None:
            continue
        names = {table.name.lower() for table in tree.find_all(exp.Table)}
        tables = [table for table in source.tables if table.name.lower() in names]
        for table, column, value in _comparisons(tree, tables):
            named = source.look_up(table, (column,), [(value,)], _OF_ONE_VALUE)
            rows[table.name].update(dict.fromkeys(named))
            for child, referring in _children(source, table, named, tables):
                rows[child.name].update(dict.fromkeys(referring))
    _add_parents(source, rows)
    return {name: list(named) for name, named in rows.items()}


def _add_parents(source: OwnSource, rows: dict[str, dict[OwnRow, None]]) -> None:
    """Adds what the rows refer to, and what that refers to."""
    by_name = {table.name: table for table in source.tables}
    waiting = [(by_name[name], row) for name, named in rows.items() for row in named]
    while waiting:
        table, row = waiting.pop()
        for reference in table.references:
            key = tuple(row[index] for index in table.positions(reference.columns))
            parent = by_name[reference.parent]
            for other in source.look_up(parent, reference.parent_columns, [key], 1) if None not in key else ():
                if other not in rows[parent.name]:
                    rows[parent.name][other] = None
                    waiting.append((parent, other))


def _comparisons(tree: exp.Query, tables: Sequence[OwnTable]) -> Iterator[tuple[OwnTable, str, OwnValue]]:
    """(table, column, value) for each column that is compared with a value of its kind, in each table that has it."""
    for node in tree.find_all(exp.EQ, exp.In):
        sides = [node.this, node.args.get("expression"), *node.expressions]
        columns = [side for side in sides if isinstance(side, exp.Column)]
        literals = [side for side in sides if isinstance(side, exp.Literal)]
        for column in columns:
            for table in tables:
                for own in table.columns:
                    if own.name.lower() == column.name.lower():
                        yield from ((table, own.name, _value(each)) for each in literals if _fits(own.type.upper(), each))


def _fits(type_name: str, literal: exp.Literal) -> bool:
    """Whether a column of this type can be compared with the value on any server."""
    kinds = _TEXTS if literal.is_string else _NUMBERS
    return any(kind in type_name for kind in kinds) and "INTERVAL" not in type_name


def _value(literal: exp.Literal) -> OwnValue:
    if literal.is_string:
        return literal.name
    return int(literal.name) if literal.is_int else float(literal.name)


def _children(
    source: OwnSource, parent: OwnTable, rows: Sequence[OwnRow], tables: Sequence[OwnTable]
) -> Iterator[tuple[OwnTable, list[OwnRow]]]:
    """Rows of the other tables that refer to rows of `parent`."""
    for child in tables:
        for reference in child.references:
            if reference.parent == parent.name and child is not parent:
                positions = parent.positions(reference.parent_columns)
                for key in {tuple(row[index] for index in positions): None for row in rows}:
                    if None not in key:
                        yield child, source.look_up(child, reference.columns, [key], _MOST_CHILDREN)
