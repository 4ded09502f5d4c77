"""Invents databases: a schema, plausible rows in it, and the SQLite file with both.

The rows do not depend on any question; what is asked is looked for in the rows that there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from sense.teacher import CellValue, TableRows, database_bytes
from sense.teacher.grammar.database import GrammarColumn, GrammarDatabase, GrammarTable
from sense.teacher.grammar.ddl import Declarations, create_table, draw_declarations
from sense.teacher.grammar.domains import Domain
from sense.teacher.grammar.references import draw_key_style, key_values
from sense.teacher.grammar.schema import draw_schema
from sense.teacher.grammar.values import ValueStyle, draw_value_style, fill_column, name_count


def invent_database(db_id: str, domain: Domain, tables: int, rows: int, rng: Random, plain_names: float = 0.0) -> GrammarDatabase:
    """A filled database of `domain`: at most `tables` tables of at most `rows` rows."""
    schema = draw_schema(domain, tables, rng, plain_names)
    declarations, keys, values = draw_declarations(rng), draw_key_style(rng), draw_value_style(rng)
    referred = {link.parent for link in schema.links if link.parent != link.child}
    links = {table.name: [link for link in schema.links if link.child == table.name] for table in schema.tables}
    filled: dict[str, GrammarTable] = {}
    for table in schema.tables:
        count = _count(table, table.name not in referred, rows, values, rng)
        table_keys = key_values(table, links[table.name], filled, count, keys, rng)
        filled[table.name] = _fill(table, count, table_keys, declarations, values, rng)
    ddl = tuple(create_table(table, links[table.name], declarations, rng) for table in filled.values())
    content: TableRows = tuple(
        (table.name, tuple(zip(*(c.values for c in table.columns), strict=True))) for table in filled.values()
    )
    return GrammarDatabase(db_id, domain.name, filled, schema.links, ddl, content, database_bytes(db_id, ddl, content))


def _count(table: GrammarTable, leaf: bool, rows: int, style: ValueStyle, rng: Random) -> int:
    """The number of rows: most of `rows` for a table that no other refers to, about half for one that others refer to."""
    count = round(rows * (rng.uniform(0.75, 1) if leaf else rng.uniform(0.35, 0.65)))
    names = [name_count(table.label.spec, style)] if table.label and table.label.spec else []
    return max(1, min([count, *names]))


def _fill(
    table: GrammarTable,
    count: int,
    keys: Mapping[str, Sequence[CellValue]],
    declarations: Declarations,
    style: ValueStyle,
    rng: Random,
) -> GrammarTable:
    """`table` with `count` rows, or as many as `keys` has, the values of its key columns."""
    count = min([count, *map(len, keys.values())])
    columns: list[GrammarColumn] = []
    for column in table.columns:
        if column.spec is None:
            columns.append(replace(column, values=tuple(keys[column.name])))
        else:
            whole_numbers = declarations.whole_numbers(column.kind)
            columns.append(fill_column(column, column.spec, count, column is table.label, whole_numbers, style, rng))
    by_name = {column.name: column for column in columns}
    key, label = (by_name[old.name] if old else None for old in (table.key, table.label))
    return replace(table, columns=tuple(columns), key=key, label=label)
