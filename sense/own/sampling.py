"""Rows drawn from a source so that foreign keys stay whole: a row is there with every row that it refers to.

Tables are drawn children first. A table begins with the rows that its children refer to, the most often referred to first where
they are more than a table may have; what is left of its rows is drawn at random. In the end, rows go whose parents had no room.
What refers to nothing in the source itself does so in the copy too.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from sense.own.tables import OwnReference, OwnRow, OwnSource, OwnTable

_MOST_ANCESTORS = 20  # times the rows of a table: so many rows are looked up at most for what its rows refer to in it

Broken = dict[tuple[str, OwnReference], set[OwnRow]]
"""(table, one of its references) -> the keys that its rows have and that the source does not."""


@dataclass(frozen=True)
class DrawnTable:
    """A table with the rows of the copy; guessed foreign keys that do not hold are not among its references."""

    table: OwnTable
    rows: list[OwnRow]


@dataclass
class _Drawing:
    """What has been drawn of a table; `present` are the keys of the rows, or the rows themselves where they have none."""

    table: OwnTable
    rows: list[OwnRow] = field(default_factory=list)
    present: set[OwnRow] = field(default_factory=set)

    def identity(self, row: OwnRow) -> OwnRow:
        """By what a row is known to be there."""
        key = self.values(row, self.table.key)
        return row if not key or None in key else key

    def values(self, row: OwnRow, columns: Sequence[str]) -> OwnRow:
        """The values of a row in some columns."""
        return tuple(row[index] for index in self.table.positions(columns))

    def keys(self, reference: OwnReference) -> list[OwnRow]:
        """What the rows refer to, once for each row; NULLs refer to nothing."""
        keys = [self.values(row, reference.columns) for row in self.rows]
        return [key for key in keys if None not in key]

    def add(self, row: OwnRow) -> None:
        """Adds a row, unless it is there."""
        identity = self.identity(row)
        if identity not in self.present:
            self.present.add(identity)
            self.rows.append(row)


def draw_tables(
    source: OwnSource, limit: int, seed: str, named: Mapping[str, Sequence[OwnRow]] | None = None
) -> list[DrawnTable]:
    """At most `limit` rows of every table, in the order of the source's tables; the same arguments give the same rows.

    `named` are rows by their tables that come before all others.
    """
    drawings = {table.name: _Drawing(table) for table in source.tables}
    wanted: dict[tuple[str, tuple[str, ...]], Counter[OwnRow]] = {}
    broken: Broken = {}
    for table in _children_first(source.tables):
        drawing = drawings[table.name]
        candidates = list((named or {}).get(table.name, ()))
        for (parent, columns), counts in wanted.items():
            if parent == table.name:
                ranked = [key for key, _ in sorted(counts.items(), key=lambda item: (-item[1], repr(item[0])))][:limit]
                rows = {drawing.values(row, columns): row for row in source.look_up(table, columns, ranked)} if ranked else {}
                candidates += [rows[key] for key in ranked if key in rows]
                _note_missing(broken, drawings.values(), (parent, columns), set(ranked) - set(rows))
        if len(candidates) < limit:
            random = Random(f"{seed}-{table.name}")
            drawn = source.draw(table, limit, random)
            candidates += random.sample(drawn, len(drawn))
        _add_with_ancestors(source, drawing, candidates, limit, broken)
        for reference in table.references:
            if reference.parent != table.name:
                needed = wanted.setdefault((reference.parent, reference.parent_columns), Counter())
                needed.update(drawing.keys(reference))
    _drop_orphans(drawings, broken)
    tables = [replace(drawing.table, references=_holding(drawing, broken)) for drawing in drawings.values()]
    return [DrawnTable(table, _in_order(table, drawings[table.name].rows)) for table in tables]


def _note_missing(
    broken: Broken, drawings: Iterable[_Drawing], parent: tuple[str, tuple[str, ...]], missing: set[OwnRow]
) -> None:
    """Notes which foreign keys have the `missing` keys of a parent, which its source does not have."""
    for child in drawings if missing else ():
        for reference in child.table.references:
            if (reference.parent, reference.parent_columns) == parent:
                broken.setdefault((child.table.name, reference), set()).update(missing & set(child.keys(reference)))


def _add_with_ancestors(source: OwnSource, drawing: _Drawing, candidates: Sequence[OwnRow], limit: int, broken: Broken) -> None:
    """Adds the candidates, up to `limit` rows, each with the rows of its own table that it refers to, and these with theirs."""
    own = [reference for reference in drawing.table.references if reference.parent == drawing.table.name]
    ancestors: dict[OwnReference, dict[OwnRow, OwnRow | None]] = {reference: {} for reference in own}
    waiting = list(candidates)
    while waiting and own and sum(map(len, ancestors.values())) < _MOST_ANCESTORS * limit:
        arrived: list[OwnRow] = []
        for reference, rows in ancestors.items():
            keys = [drawing.values(row, reference.columns) for row in waiting]
            unknown = [key for key in dict.fromkeys(keys) if None not in key and key not in rows]
            answers = source.look_up(drawing.table, reference.parent_columns, unknown) if unknown else []
            ancestors[reference] |= dict.fromkeys(unknown) | {
                drawing.values(row, reference.parent_columns): row for row in answers
            }
            arrived += answers
        waiting = arrived
    for reference, rows in ancestors.items():
        broken.setdefault((drawing.table.name, reference), set()).update(key for key, row in rows.items() if row is None)
    for row in candidates:
        chain = _chain(drawing, row, ancestors)
        if chain is not None and len(drawing.rows) + len(chain) <= limit:
            for each in chain:
                drawing.add(each)


def _chain(
    drawing: _Drawing, row: OwnRow, ancestors: Mapping[OwnReference, Mapping[OwnRow, OwnRow | None]]
) -> list[OwnRow] | None:
    """The row and all that it refers to in its table, as far as they are not there yet; None if one was not looked up."""
    chain: dict[OwnRow, OwnRow] = {}
    waiting = [row]
    while waiting:
        each = waiting.pop()
        identity = drawing.identity(each)
        if identity in drawing.present or identity in chain:
            continue
        chain[identity] = each
        for reference, rows in ancestors.items():
            key = drawing.values(each, reference.columns)
            if None in key:
                continue
            if key not in rows:
                return None
            parent = rows[key]
            waiting += [parent] if parent is not None else []
    return list(chain.values())


def _children_first(tables: Sequence[OwnTable]) -> list[OwnTable]:
    """The tables, each before those that it refers to, as far as they do not refer to one another in a circle."""
    by_name = {table.name: table for table in tables}
    ordered: dict[str, None] = {}
    open_: set[str] = set()

    def visit(table: OwnTable) -> None:
        if table.name in ordered or table.name in open_:
            return
        open_.add(table.name)
        for reference in table.references:
            visit(by_name[reference.parent])
        ordered[table.name] = None

    for table in tables:
        visit(table)
    return [by_name[name] for name in reversed(ordered)]


def _drop_orphans(drawings: Mapping[str, _Drawing], broken: Broken) -> None:
    """Takes out rows whose parents the source has and the copy has not, until there are none."""
    changed = True
    while changed:
        changed = False
        for drawing in drawings.values():
            for reference in drawing.table.references:
                absent = broken.get((drawing.table.name, reference), set())
                if absent and not reference.declared:
                    continue  # the guess was wrong
                parent = drawings[reference.parent]
                there = {parent.values(row, reference.parent_columns) for row in parent.rows} | absent
                keys = [drawing.values(row, reference.columns) for row in drawing.rows]
                remaining = [row for row, key in zip(drawing.rows, keys, strict=True) if None in key or key in there]
                changed |= len(remaining) < len(drawing.rows)
                drawing.rows = remaining


def _holding(drawing: _Drawing, broken: Broken) -> tuple[OwnReference, ...]:
    """The declared foreign keys, and of the guessed ones those that some row has and that always lead to a row."""
    return tuple(
        reference
        for reference in drawing.table.references
        if reference.declared or (drawing.keys(reference) and not broken.get((drawing.table.name, reference)))
    )


def _in_order(table: OwnTable, rows: list[OwnRow]) -> list[OwnRow]:
    """The rows in the order of their keys; numbers before texts."""
    positions = table.positions(table.key)
    if not positions:
        return rows
    return sorted(rows, key=lambda row: [(value is None, isinstance(value, str), value) for value in (row[i] for i in positions)])
