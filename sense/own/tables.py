"""What a source of rows is: its tables with their keys, rows drawn at random, and rows looked up by a key."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from sense.errors import InputError

OwnValue = str | int | float | None
"""A value in a copy: there are no blobs."""
OwnRow = tuple[OwnValue, ...]

MAX_TEXT = 500
"""Characters of a text that the copy keeps, where it is no key."""


@dataclass(frozen=True)
class OwnColumn:
    """A column with its type as it is declared in the copy ('' if it has none)."""

    name: str
    type: str
    nullable: bool = True


@dataclass(frozen=True)
class OwnReference:
    """A foreign key: `columns` hold the values that `parent_columns` have in a row of `parent`.

    One that is not `declared` was guessed from names, and holds only if every value is there.
    """

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    declared: bool = True


@dataclass(frozen=True)
class OwnTable:
    """A table: its columns in order, the columns of its primary key (none: it has no such key), and its foreign keys."""

    name: str
    columns: tuple[OwnColumn, ...]
    key: tuple[str, ...] = ()
    references: tuple[OwnReference, ...] = ()

    def positions(self, names: Sequence[str]) -> tuple[int, ...]:
        """Where the columns with these names stand."""
        by_name = {column.name: index for index, column in enumerate(self.columns)}
        return tuple(by_name[name] for name in names)


class OwnSource(Protocol):
    """A database whose rows can be drawn and looked up; nothing is written there."""

    @property
    def tables(self) -> Sequence[OwnTable]:
        """The tables, with foreign keys to one another alone."""
        ...

    def draw(self, table: OwnTable, count: int, random: Random) -> list[OwnRow]:
        """At most `count` rows, drawn from those that are looked at, in their order."""
        ...

    def look_up(
        self, table: OwnTable, columns: Sequence[str], keys: Collection[OwnRow], limit: int | None = None
    ) -> list[OwnRow]:
        """The rows whose values in `columns` are one of `keys`; with `limit`, at most so many of them."""
        ...


def key_columns(table: OwnTable, tables: Iterable[OwnTable]) -> set[str]:
    """The columns of a table that are of its primary key or of a foreign key, to or from it: their values are left whole."""
    own = {*table.key, *(name for reference in table.references for name in reference.columns)}
    return own | {name for one in tables for to in one.references if to.parent == table.name for name in to.parent_columns}


def reservoir(rows: Iterable[OwnRow], count: int, random: Random) -> list[OwnRow]:
    """`count` of the rows, each with the same chance, in their order; all of them if they are fewer."""
    chosen: list[tuple[int, OwnRow]] = []
    for number, row in enumerate(rows):
        if number < count:
            chosen.append((number, row))
        elif (place := random.randrange(number + 1)) < count:
            chosen[place] = (number, row)
    return [row for _, row in sorted(chosen, key=lambda pair: pair[0])]


def select_tables(tables: Sequence[OwnTable], names: Sequence[str], where: str) -> tuple[OwnTable, ...]:
    """The tables with these names (all, if there are none), without foreign keys to others.

    InputError if a name is missing, if there is no table at all, or if names differ in case alone, which SQLite takes for one.
    """
    unknown = sorted(set(names) - {table.name for table in tables})
    if unknown:
        raise InputError(f"{where}: no table {', '.join(unknown)}; there are: {', '.join(table.name for table in tables)}")
    chosen = [table for table in tables if not names or table.name in names]
    if not chosen:
        raise InputError(f"{where}: there is no table in it; name a database that has one")
    for kind, group in (("tables", [table.name for table in chosen]), *((f"columns of {t.name}", _names(t)) for t in chosen)):
        lower = [name.lower() for name in group]
        repeated = sorted({name for name in group if lower.count(name.lower()) > 1})
        if repeated:
            raise InputError(
                f"{where}: {kind} that differ in case alone: {', '.join(repeated)}; SQLite takes them for one: rename"
            )
    remaining = {table.name for table in chosen}
    return tuple(replace(table, references=tuple(one for one in table.references if one.parent in remaining)) for table in chosen)


def _names(table: OwnTable) -> list[str]:
    return [column.name for column in table.columns]


def guess_references(tables: Sequence[OwnTable]) -> tuple[OwnTable, ...]:
    """The tables with foreign keys guessed from names, where none of them declares any.

    `customer_id` refers to the single key of `customer` or `customers`, and so does `billing_customer_id`; a column that is
    called as the key of one other table alone refers to it, unless that is `id`.
    """
    if any(table.references for table in tables):
        return tuple(tables)
    return tuple(replace(table, references=tuple(_guesses(table, tables))) for table in tables)


def _guesses(table: OwnTable, tables: Sequence[OwnTable]) -> Iterable[OwnReference]:
    for column in table.columns:
        if table.key == (column.name,):
            continue
        parents = [other for other in tables if other is not table and len(other.key) == 1 and _refers(column.name, other)]
        if len(parents) == 1:
            yield OwnReference((column.name,), parents[0].name, parents[0].key, declared=False)


def _refers(column: str, parent: OwnTable) -> bool:
    name, key = _squeezed(column), _squeezed(parent.key[0])
    if name == key and key not in _KEY_WORDS:
        return True
    stem = next((name.removesuffix(word) for word in _KEY_WORDS if name.endswith(word) and name != word), "")
    nouns = {noun for noun in nouns_of(parent.name) if len(noun) > 2}
    return bool(stem) and any(stem == noun or stem.endswith(noun) for noun in nouns)


_KEY_WORDS = ("id", "key", "code", "number", "no")


def nouns_of(name: str) -> set[str]:
    """A table's name in small letters without separators, as it is and in a rough singular."""
    plain = _squeezed(name)
    endings = (("ies", "y"), ("ses", "s"), ("xes", "x"), ("s", ""))
    return {plain, *(plain.removesuffix(many) + one for many, one in endings if plain.endswith(many))}


def _squeezed(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())


def guess_key(names: Sequence[str], table: str, unique: Collection[str]) -> tuple[str, ...]:
    """The primary key of a table that declares none: `id`, `customer_id` of `customers`, or the first column.

    It is one of `unique`, the columns without NULL whose values all differ; empty if none fits.
    """
    nouns = nouns_of(table)
    expected = {*_KEY_WORDS, *(noun + word for noun in nouns for word in _KEY_WORDS)}
    candidates = [name for name in names if _squeezed(name) in expected]
    candidates += [name for name in names[:1] if _squeezed(name).endswith(_KEY_WORDS)]
    return next(((name,) for name in candidates if name in unique), ())
