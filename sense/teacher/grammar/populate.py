"""Plausible rows for an invented schema: categories repeat, quantities spread, every foreign key has its parent.

Nothing here looks at a question: what a question needs (a group of two, a value above average) is looked up in the rows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

from sense.teacher import CellValue, TableRows, database_bytes
from sense.teacher.grammar.domains import GROUPS, NAMES, ColumnSpec, Domain, shared
from sense.teacher.grammar.layout import sketch
from sense.teacher.grammar.pieces import Column, Database, Layout, Table

NULL_COLUMNS = 0.2
"""The chance of a column (neither key nor label) to have NULLs at all."""
NULLS = 0.1
"""The share of NULLs in such a column."""

_FLAGS = (("yes", "no"), ("yes", "no"), ("true", "false"), ("Y", "N"))
_TYPES = {"integer": "INTEGER", "year": "INTEGER", "key": "INTEGER", "measure": "REAL", "price": "REAL", "rating": "REAL"}


@dataclass(frozen=True)
class Chance:
    """What is random in one database: the generator, and the two values that its flags have."""

    rng: Random
    flags: tuple[str, str]


def invent(db_id: str, domain: Domain, tables: int, rows: int, rng: Random) -> Database:
    """A filled database of `domain`: at most `tables` tables of at most `rows` rows."""
    layout = sketch(domain, tables, rng)
    chance = Chance(rng, rng.choice(_FLAGS))
    first_id = rng.choice((1, 1, 101, 1001))
    filled: dict[str, Table] = {}
    for table in layout.tables:
        keys = {link.column: filled[link.parent].key for link in layout.links if link.child == table.name}
        parents = {column: key.values for column, key in keys.items() if key}
        leaf = all(link.parent != table.name for link in layout.links)
        filled[table.name] = _fill(table, _count(table, leaf, rows, rng), first_id, parents, chance)
    ddl = tuple(_create(table, layout) for table in filled.values())
    content: TableRows = tuple(
        (table.name, tuple(zip(*(c.values for c in table.columns), strict=True))) for table in filled.values()
    )
    return Database(db_id, domain.name, filled, layout.links, ddl, content, database_bytes(db_id, ddl, content))


def _count(table: Table, leaf: bool, rows: int, rng: Random) -> int:
    """How many rows: most of `rows` for a table that no other refers to, about half for one that others refer to."""
    wanted = round(rows * (rng.uniform(0.75, 1) if leaf else rng.uniform(0.35, 0.65)))
    names = [_names(table.label.spec)[0]] if table.label and table.label.spec else []
    return max(1, min([wanted, *names]))


def _fill(table: Table, count: int, first_id: int, parents: dict[str, tuple[CellValue, ...]], chance: Chance) -> Table:
    """`table` with `count` rows; `parents` maps each foreign key's column to the keys it may hold."""
    columns: list[Column] = []
    for column in table.columns:
        if column is table.key:
            values: list[CellValue] = list(range(first_id, first_id + count))
        elif column.spec is None:
            values = _references(parents[column.name], count, chance.rng)
        else:
            values = _values(column.spec, count, column is table.label, chance)
        columns.append(replace(column, values=tuple(values)))
    by_name = {column.name: column for column in columns}
    key, label = (by_name[old.name] if old else None for old in (table.key, table.label))
    return replace(table, columns=tuple(columns), key=key, label=label)


def _references(keys: tuple[CellValue, ...], count: int, rng: Random) -> list[CellValue]:
    """`count` foreign keys: some parents often, some never."""
    used = rng.sample(keys, max(1, round(len(keys) * rng.uniform(0.65, 0.9))))
    return list(rng.choices(used, _skew(len(used)), k=count))


def _values(spec: ColumnSpec, count: int, label: bool, chance: Chance) -> list[CellValue]:
    rng = chance.rng
    values: list[CellValue]
    if spec.kind in NAMES:
        space, name = _names(spec)
        few = count if label or spec.kind == "code" else max(2, count // 2)
        names = [name(at) for at in rng.sample(range(space), min(few, space))]
        values = list(names) if len(names) == count else list(rng.choices(names, k=count))
    elif spec.kind in GROUPS or spec.kind == "flag":
        words = chance.flags if spec.kind == "flag" else _words(spec)
        pool = rng.sample(words, min(len(words), rng.randint(3, max(4, count // 4))))
        values = list(rng.choices(pool, _skew(len(pool)), k=count))
    else:
        values = _spread(spec, count, rng)
    if not label and rng.random() < NULL_COLUMNS:
        values = [None if rng.random() < NULLS else value for value in values]
    return values


def _spread(spec: ColumnSpec, count: int, rng: Random) -> list[CellValue]:
    """Values without many repeats: one is drawn anew, three times at most, while it has occurred already."""
    values: dict[CellValue, int] = {}
    drawn: list[CellValue] = []
    for _ in range(count):
        value = _scalar(spec, rng)
        for _again in range(3):
            if value not in values:
                break
            value = _scalar(spec, rng)
        values[value] = 1
        drawn.append(value)
    return drawn


def _scalar(spec: ColumnSpec, rng: Random) -> CellValue:
    low, high = spec.low or 0, spec.high or 0
    match spec.kind:
        case "phone":
            return f"555-{rng.randrange(10_000):04d}"
        case "email":
            return f"{rng.choice(shared().first_names)}.{rng.choice(shared().last_names)}@example.com".lower()
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
    value = rng.triangular(low, high, low + 0.3 * (high - low))  # small ones are the likelier, as with prices and populations
    if spec.kind == "integer":
        return int(min(high, low + round((value - low) / spec.step) * spec.step))
    return round(value, 2 if spec.kind == "price" else spec.digits)


def _words(spec: ColumnSpec) -> tuple[str, ...]:
    if spec.kind == "city":
        return shared().cities
    return shared().countries if spec.kind == "country" else spec.of


def _names(spec: ColumnSpec) -> tuple[int, Callable[[int], str]]:
    """How many different names a column may hold, and the function from a number below that to the name."""
    parts: tuple[Iterable[str], ...] = spec.parts
    glue = " "
    if spec.kind == "person":
        parts = (shared().first_names, shared().last_names)
    elif spec.kind == "code":
        parts, glue = tuple({"#": "0123456789", "L": "ABCDEFGHJKLMNPRSTVWXYZ"}.get(sign, sign) for sign in spec.form), ""
    lists = [list(part) for part in parts]
    space = 1
    for choices in lists:
        space *= len(choices)

    def name(at: int) -> str:
        words = []
        for choices in reversed(lists):
            at, place = divmod(at, len(choices))
            words.append(choices[place])
        return glue.join(reversed(words))

    return space, name


def _skew(count: int) -> list[float]:
    """Weights of which the first are clearly the heaviest, so that counts per group differ."""
    return [1 / (place + 1) ** 0.7 for place in range(count)]


def _create(table: Table, layout: Layout) -> str:
    """The CREATE TABLE statement of a table."""
    lines = [f"{c.name} {_TYPES.get(c.kind, 'TEXT')}{' PRIMARY KEY' if c is table.key else ''}" for c in table.columns]
    lines += [
        f"FOREIGN KEY ({link.column}) REFERENCES {link.parent}({link.key})" for link in layout.links if link.child == table.name
    ]
    return f"CREATE TABLE {table.name} (\n  " + ",\n  ".join(lines) + "\n)"
