"""Faults planted into a draft of the grammar, such as models write them: what a checker of drafts must not let through."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from random import Random

from sqlglot import exp

from sense.sql.tree import parse_query
from sense.teacher import CellValue, Draft, TableRows, database_bytes
from sense.teacher.grammar.sql.text import identifier, sql_text


def plant(draft: Draft, kind: str, rng: Random) -> Draft:
    """The draft with a fault of this kind, one of KINDS; where there is no place for it, with a column misspelt."""
    return KINDS[kind](draft, rng) or _misspell_column(draft, rng)


def _misspell_column(draft: Draft, rng: Random) -> Draft:
    """A column with its last letter doubled: as a plain name, or in double quotes, where SQLite takes it for a text."""
    tree = parse_query(draft.sql)
    columns = list(tree.find_all(exp.Column)) if tree else []
    if tree is None or not columns:
        table, names, _ = next(_tables(draft))
        return replace(draft, sql=sql_text(exp.select(identifier(names[0] + names[0][-1])).from_(identifier(table))))
    column = columns[0]
    name = column.name + column.name[-1]
    column.set("this", exp.Identifier(this=name, quoted=not column.table and rng.random() < 0.5))
    return replace(draft, sql=sql_text(tree))


def _add_idle_condition(draft: Draft, _: Random) -> Draft | None:
    """A condition that every row meets."""
    tree = parse_query(draft.sql)
    for table, names, rows in _tables(draft):
        for number, name in enumerate(names):
            if rows and all(row[number] is not None for row in rows):
                source = _source(tree, table)
                column = exp.Column(this=identifier(name), table=exp.to_identifier(source) if source else None)
                condition = exp.Not(this=exp.Is(this=column, expression=exp.Null()))
                select = (
                    tree if isinstance(tree, exp.Select) and source else exp.select(identifier(name)).from_(identifier(table))
                )
                return replace(draft, sql=sql_text(select.where(condition)))
    return None


def _source(tree: exp.Query | None, table: str) -> str:
    """The name under which a SELECT without outer joins reads a table; '' if it does not."""
    if not isinstance(tree, exp.Select) or any(join.side for join in tree.find_all(exp.Join)):
        return ""
    sources = [source.this for source in (tree.args.get("from_"), *tree.args.get("joins", [])) if source is not None]
    return next((str(one.alias_or_name) for one in sources if isinstance(one, exp.Table) and one.name == table), "")


def _tie_at_limit(draft: Draft, _: Random) -> Draft | None:
    """The one row with the lowest value of a column, of which there are two."""
    for table, names, rows in _tables(draft):
        for number, name in enumerate(names):
            values = [row[number] for row in rows]
            texts = [value for value in values if isinstance(value, str)]
            numbers = [value for value in values if isinstance(value, int)]
            tied = (texts or numbers) and len(values) in (len(texts), len(numbers)) and _has_two_lowest(texts, numbers)
            if tied:
                label = names[1 if len(names) > 1 and number != 1 else 0]
                select = exp.select(identifier(label)).from_(identifier(table)).order_by(exp.column(identifier(name))).limit(1)
                return replace(draft, sql=sql_text(select))
    table, names, rows = max(_tables(draft), key=lambda each: len(each[2]))
    if len(rows) < 2:
        return None
    return replace(draft, sql=sql_text(exp.select(identifier(names[0])).from_(identifier(table)).limit(1)))


def _has_two_lowest(texts: list[str], numbers: list[int]) -> bool:
    return texts.count(min(texts)) > 1 if texts else numbers.count(min(numbers)) > 1


def _break_key(draft: Draft, _: Random) -> Draft | None:
    """A row that refers to a row that is not there."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(database_bytes(draft.db_id, draft.ddl, draft.rows))
        for table, names, rows in _tables(draft):
            for key in connection.execute('SELECT "from" FROM pragma_foreign_key_list(?) ORDER BY id, seq', (table,)):
                number = [name.lower() for name in names].index(key[0].lower())
                for position, row in enumerate(rows):
                    if row[number] is not None:
                        absent = 987_654_321 if isinstance(row[number], int) else f"{row[number]}?"
                        broken = (*row[:number], absent, *row[number + 1 :])
                        changed = (*rows[:position], broken, *rows[position + 1 :])
                        return replace(draft, rows=_with_rows(draft.rows, table, changed))
    return None


def _with_rows(rows: TableRows, table: str, changed: tuple[tuple[CellValue, ...], ...]) -> TableRows:
    return tuple((name, changed if name == table else table_rows) for name, table_rows in rows)


def _other_level(draft: Draft, _: Random) -> Draft:
    """SQL that is hard where easy SQL was asked for, and else easy."""
    table, names, _rows = next(_tables(draft))
    easy = exp.select(identifier(names[0])).from_(identifier(table))
    highest = exp.select(exp.Max(this=exp.column(identifier(names[0])))).from_(identifier(table))
    condition = exp.EQ(this=exp.column(identifier(names[0])), expression=exp.Subquery(this=highest))
    return replace(draft, sql=sql_text(easy.where(condition) if draft.level == "easy" else easy))


def _tables(draft: Draft) -> Iterator[tuple[str, list[str], tuple[tuple[CellValue, ...], ...]]]:
    """Each table with the names of its columns and its rows."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(database_bytes(draft.db_id, draft.ddl, draft.rows))
        for table, rows in draft.rows:
            yield table, [name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))], rows


KINDS: Mapping[str, Callable[[Draft, Random], Draft | None]] = {
    "misspelt-column": _misspell_column,
    "idle-condition": _add_idle_condition,
    "tie-at-limit": _tie_at_limit,
    "broken-key": _break_key,
    "other-level": _other_level,
}
"""Name of a kind of fault -> what plants it, None if it has no place in this draft."""
