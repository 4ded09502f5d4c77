"""Plausible rows for an invented schema: categories repeat, quantities are spread, every foreign key refers to a parent.

The rows do not depend on any question; a production looks for what it needs in the rows that there are.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

from sense.teacher import CellValue, TableRows, database_bytes
from sense.teacher.grammar.domains import GROUPS, NAMES, ColumnSpec, Domain, shared_lists
from sense.teacher.grammar.pieces import GrammarColumn, GrammarDatabase, GrammarSchema, GrammarTable
from sense.teacher.grammar.schema import draw_schema

NULL_COLUMN_SHARE = 0.2  # probability that a column, neither key nor label, has NULLs at all
NULL_SHARE = 0.1  # share of NULLs in such a column

_FLAGS = (("yes", "no"), ("yes", "no"), ("true", "false"), ("Y", "N"))
_TYPES = {"integer": "INTEGER", "year": "INTEGER", "key": "INTEGER", "measure": "REAL", "price": "REAL", "rating": "REAL"}


@dataclass(frozen=True)
class ValueSource:
    """Where the values of one database come from: the random generator, and the two values that its flags have."""

    rng: Random
    flags: tuple[str, str]


def invent_database(db_id: str, domain: Domain, tables: int, rows: int, rng: Random) -> GrammarDatabase:
    """A filled database of `domain`: at most `tables` tables of at most `rows` rows."""
    schema = draw_schema(domain, tables, rng)
    source = ValueSource(rng, rng.choice(_FLAGS))
    first_id = rng.choice((1, 1, 101, 1001))
    filled: dict[str, GrammarTable] = {}
    for table in schema.tables:
        keys = {link.column: filled[link.parent].key for link in schema.links if link.child == table.name}
        parents = {column: key.values for column, key in keys.items() if key}
        leaf = all(link.parent != table.name for link in schema.links)
        filled[table.name] = _fill(table, _count(table, leaf, rows, rng), first_id, parents, source)
    ddl = tuple(_create_table(table, schema) for table in filled.values())
    content: TableRows = tuple(
        (table.name, tuple(zip(*(c.values for c in table.columns), strict=True))) for table in filled.values()
    )
    return GrammarDatabase(db_id, domain.name, filled, schema.links, ddl, content, database_bytes(db_id, ddl, content))


def _count(table: GrammarTable, leaf: bool, rows: int, rng: Random) -> int:
    """The number of rows: most of `rows` for a table that no other refers to, about half for one that others refer to."""
    count = round(rows * (rng.uniform(0.75, 1) if leaf else rng.uniform(0.35, 0.65)))
    names = [_names(table.label.spec)[0]] if table.label and table.label.spec else []
    return max(1, min([count, *names]))


def _fill(
    table: GrammarTable, count: int, first_id: int, parents: dict[str, tuple[CellValue, ...]], source: ValueSource
) -> GrammarTable:
    """`table` with `count` rows; `parents` maps the name of each foreign key's column to the parent keys it may hold."""
    columns: list[GrammarColumn] = []
    for column in table.columns:
        if column is table.key:
            values: list[CellValue] = list(range(first_id, first_id + count))
        elif column.spec is None:
            values = _references(parents[column.name], count, source.rng)
        else:
            values = _values(column.spec, count, column is table.label, source)
        columns.append(replace(column, values=tuple(values)))
    by_name = {column.name: column for column in columns}
    key, label = (by_name[old.name] if old else None for old in (table.key, table.label))
    return replace(table, columns=tuple(columns), key=key, label=label)


def _references(keys: tuple[CellValue, ...], count: int, rng: Random) -> list[CellValue]:
    """`count` foreign keys, some parents often and some never."""
    used = rng.sample(keys, max(1, round(len(keys) * rng.uniform(0.65, 0.9))))
    return list(rng.choices(used, _skew(len(used)), k=count))


def _values(spec: ColumnSpec, count: int, label: bool, source: ValueSource) -> list[CellValue]:
    rng = source.rng
    values: list[CellValue]
    if spec.kind in NAMES:
        space, name_of = _names(spec)
        different = count if label or spec.kind == "code" else max(2, count // 2)
        names = [name_of(number) for number in rng.sample(range(space), min(different, space))]
        values = list(names) if len(names) == count else list(rng.choices(names, k=count))
    elif spec.kind in GROUPS or spec.kind == "flag":
        options = source.flags if spec.kind == "flag" else _options(spec)
        pool = rng.sample(options, min(len(options), rng.randint(3, max(4, count // 4))))
        values = list(rng.choices(pool, _skew(len(pool)), k=count))
    else:
        values = _spread(spec, count, rng)
    if not label and rng.random() < NULL_COLUMN_SHARE:
        values = [None if rng.random() < NULL_SHARE else value for value in values]
    return values


def _spread(spec: ColumnSpec, count: int, rng: Random) -> list[CellValue]:
    """Values with few repeats: a value that has occurred already is drawn again, at most three times."""
    seen: set[CellValue] = set()
    values: list[CellValue] = []
    for _ in range(count):
        value = _scalar(spec, rng)
        for _again in range(3):
            if value not in seen:
                break
            value = _scalar(spec, rng)
        seen.add(value)
        values.append(value)
    return values


def _scalar(spec: ColumnSpec, rng: Random) -> CellValue:
    low, high = spec.low or 0, spec.high or 0
    match spec.kind:
        case "phone":
            return f"555-{rng.randrange(10_000):04d}"
        case "email":
            return f"{rng.choice(shared_lists().first_names)}.{rng.choice(shared_lists().last_names)}@example.com".lower()
        case "date":
            start = date(int(low), 1, 1)
            return (start + timedelta(days=rng.randrange((date(int(high), 12, 31) - start).days + 1))).isoformat()
        case "year":
            return rng.randint(int(low), int(high))
        case _:
            return _quantity(spec, low, high, rng)


def _quantity(spec: ColumnSpec, low: float, high: float, rng: Random) -> int | float:
    if spec.kind == "rating":
        return round(rng.uniform(low, high), 1)
    value = rng.triangular(low, high, low + 0.3 * (high - low))  # small values are more likely, as with prices and populations
    if spec.kind == "integer":
        return int(min(high, low + round((value - low) / spec.step) * spec.step))
    return round(value, 2 if spec.kind == "price" else spec.digits)


def _options(spec: ColumnSpec) -> tuple[str, ...]:
    if spec.kind == "city":
        return shared_lists().cities
    return shared_lists().countries if spec.kind == "country" else spec.of


def _names(spec: ColumnSpec) -> tuple[int, Callable[[int], str]]:
    """How many different names a column may hold, and a function that gives the name for each number below that."""
    parts: tuple[Iterable[str], ...] = spec.parts
    separator = " "
    if spec.kind == "person":
        parts = (shared_lists().first_names, shared_lists().last_names)
    elif spec.kind == "code":
        parts, separator = tuple({"#": "0123456789", "L": "ABCDEFGHJKLMNPRSTVWXYZ"}.get(sign, sign) for sign in spec.form), ""
    lists = [list(part) for part in parts]
    space = 1
    for choices in lists:
        space *= len(choices)

    def name_of(number: int) -> str:
        words = []
        for choices in reversed(lists):
            number, index = divmod(number, len(choices))
            words.append(choices[index])
        return separator.join(reversed(words))

    return space, name_of


def _skew(count: int) -> list[float]:
    """Falling weights, so that the groups differ in size."""
    return [1 / (index + 1) ** 0.7 for index in range(count)]


def _create_table(table: GrammarTable, schema: GrammarSchema) -> str:
    """The CREATE TABLE statement of a table."""
    lines = [f"{c.name} {_TYPES.get(c.kind, 'TEXT')}{' PRIMARY KEY' if c is table.key else ''}" for c in table.columns]
    lines += [
        f"FOREIGN KEY ({link.column}) REFERENCES {link.parent}({link.key})" for link in schema.links if link.child == table.name
    ]
    return f"CREATE TABLE {table.name} (\n  " + ",\n  ".join(lines) + "\n)"
