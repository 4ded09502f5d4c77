"""Databases of another layout with the same data: tables and columns in another order, further ones, no keys."""

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from importlib import resources
from random import Random
from typing import NamedTuple

from sense import config
from sense.records import Example
from sense.robustness.plan import AddedColumn, AddedTable, DatabasePlan, Drop
from sense.robustness.words import replace_words, split_name
from sense.schema import Schema, Table
from sense.sql.parse import tokens

_MAX_TABLES, _MAX_COLUMNS = 3, 2  # that are added to a database, and to each of its tables
_TABLES_SHARE = 1 / 3  # further tables for each that there is
_ROWS = (12, 60)  # of a further table
_SHORTEST = 3  # letters of a word that means something: not "on" or "by"


def plan_shuffle(_examples: Sequence[Example], schema: Schema, rng: Random) -> DatabasePlan | Drop:
    """All tables, and the columns of each, in another order."""
    columns = {
        table.name.lower(): _other_order([column.name for column in table.columns], rng)
        for table in schema.tables
        if len(table.columns) > 1
    }
    if not columns and len(schema.tables) < 2:
        return Drop("nothing to shuffle: one table with one column")
    return DatabasePlan(tables=_other_order([table.name for table in schema.tables], rng), columns=columns)


def plan_no_keys(_examples: Sequence[Example], schema: Schema, _rng: Random) -> DatabasePlan | Drop:
    """No primary and foreign keys are declared; all rows stay."""
    keys = [column for table in schema.tables for column in table.columns if column.primary_key]
    if not keys and not schema.foreign_keys:
        return Drop("no key is declared")
    return DatabasePlan(without_keys=True)


def plan_distractors(examples: Sequence[Example], schema: Schema, rng: Random) -> DatabasePlan | Drop:
    """Further tables with rows, and further columns in each table, among those that there are.

    What a question or a gold on the database has a word of, or the schema itself, is not added: it could be what is asked for.
    """
    own_names = [name for table in schema.tables for name in (table.name, *(column.name for column in table.columns))]
    in_use = {_stem(word) for name in own_names for word in split_name(name)}
    in_use |= {_stem(word) for row in examples for text in (row.question, row.evidence) for word in split_name(text)}
    in_use |= {_stem(word) for row in examples for token in tokens(row.sql) for word in split_name(token.text)}
    style = _style(own_names)
    tables = [table for table in _distractors().tables if not _is_in_use(table.name, in_use)]
    count = min(len(tables), _MAX_TABLES, max(1, round(len(schema.tables) * _TABLES_SHARE)))
    added_tables = tuple(_add_table(table, in_use, style, rng) for table in rng.sample(tables, count))
    free = [column for column in _distractors().columns if not _is_in_use(column.name, in_use)]
    rng.shuffle(free)
    added_columns: dict[str, tuple[AddedColumn, ...]] = {}
    for table in schema.tables:
        number = min(len(free), rng.randint(1, _MAX_COLUMNS))
        added_columns[table.name.lower()] = tuple(_add_column(free.pop(), style, rng) for _ in range(number))
    if not added_tables and not any(added_columns.values()):
        return Drop("every further table and column is spoken of")
    return DatabasePlan(
        tables=_merge([table.name for table in schema.tables], [table.name for table in added_tables], rng),
        columns={table.name.lower(): _with_added(table, added_columns[table.name.lower()], rng) for table in schema.tables},
        added_columns=added_columns,
        added_tables=added_tables,
    )


class _Column(config.Section):
    """A further column: one of `values` in each row, or a whole number from `low` to `high`."""

    name: str
    type: str
    values: tuple[str, ...] = ()
    low: int = 0
    high: int = 0


class _Table(config.Section):
    """A further table; its key goes before its columns."""

    name: str
    key: str
    columns: tuple[_Column, ...]


class _Distractors(config.Section):
    """The content of distractors.yaml."""

    tables: tuple[_Table, ...]
    columns: tuple[_Column, ...]


class _Style(NamedTuple):
    """How names of a database are written: `PetAge` if capital, else `pet_age`."""

    capital: bool


@cache
def _distractors() -> _Distractors:
    text = resources.files("sense.robustness").joinpath("distractors.yaml").read_text(encoding="utf-8")
    content: _Distractors = config.validate(_Distractors, config.parse(text, "distractors.yaml"), "distractors.yaml")
    return content


def _add_table(table: _Table, in_use: Collection[str], style: _Style, rng: Random) -> AddedTable:
    """A table as it is added. Its columns need not differ from those of other tables in one word: no gold names its table."""
    key = AddedColumn(_styled(table.key, style), "INTEGER")
    others = [column for column in table.columns if not _is_in_use(column.name, in_use)]
    return AddedTable(
        _styled(table.name, style), (key, *(_add_column(column, style, rng) for column in others)), rng.randint(*_ROWS)
    )


def _add_column(column: _Column, style: _Style, rng: Random) -> AddedColumn:
    salt = rng.randrange(1000)
    return AddedColumn(_styled(column.name, style), column.type, column.values, column.low, column.high, salt)


def _is_in_use(name: str, in_use: Collection[str]) -> bool:
    return any(_stem(word) in in_use for word in split_name(name) if len(word) >= _SHORTEST)


def _stem(word: str) -> str:
    """A word without the ending of its plural."""
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _style(names: Iterable[str]) -> _Style:
    """The style of most of the names."""
    every = list(names)
    return _Style(sum(name[:1].isupper() for name in every) * 2 > len(every))


def _styled(name: str, style: _Style) -> str:
    words = split_name(name)
    return "".join(word.capitalize() for word in words) if style.capital else replace_words(name, words)


def _with_added(table: Table, added: Sequence[AddedColumn], rng: Random) -> tuple[str, ...]:
    """The columns of a table with those that are added; the first stays first, as it is the key in most tables."""
    first, *others = [column.name for column in table.columns]
    return (first, *_merge(others, [column.name for column in added], rng))


def _merge(names: Sequence[str], added: Sequence[str], rng: Random) -> tuple[str, ...]:
    """The names in their order, with those that are added at drawn places among them."""
    merged = list(names)
    for name in added:
        merged.insert(rng.randint(0, len(merged)), name)
    return tuple(merged)


def _other_order(names: Sequence[str], rng: Random) -> tuple[str, ...]:
    """The names in a drawn order that is not their own."""
    order = rng.sample(names, len(names))
    return tuple(order if order != list(names) else [*order[1:], *order[:1]])
