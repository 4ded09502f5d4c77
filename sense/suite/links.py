"""Which row of its parent a row refers to: some parents get none, some one, a few many, and rows of one query find each other."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random

from sense.sql.result import ResultRow, Value
from sense.suite.conditions import Join
from sense.suite.source import Reference, SourceTable

_CHILDLESS_SHARE = 0.25  # of the parents, besides those that have no child by chance
_SAME_QUERY_SHARE, _FIRST_SHARE = 0.85, 0.6


class ParentKeys:
    """The keys of a parent's rows that a reference may take; `tags` has the queries for which rows were added, by key."""

    def __init__(self, keys: Iterable[ResultRow], tags: Mapping[ResultRow, Sequence[int]], random: Random) -> None:
        distinct = [key for key in dict.fromkeys(keys) if None not in key]
        self._all = frozenset(distinct)
        self._by_tag: dict[int, list[ResultRow]] = {}
        for key in distinct:
            for tag in tags.get(key, ()):
                self._by_tag.setdefault(tag, []).append(key)
        random.shuffle(distinct)
        self._keys = distinct
        often = max(1, round(len(distinct) * (1 - _CHILDLESS_SHARE)))
        self._often, self._seldom = distinct[:often], distinct[often:] or distinct

    def __contains__(self, key: ResultRow) -> bool:
        return key in self._all

    def choose(self, tag: int | None, fixed: Mapping[int, Value], random: Random, alone: bool) -> ResultRow | None:
        """A key for a row that is added for the query `tag`; `fixed` holds parts of it, by position, that are decided already.

        `alone` asks for a parent that has few other children, so that those that are added decide about their number.
        """
        if fixed:
            keys = [key for key in self._keys if all(key[i] == value for i, value in fixed.items())]
            return random.choice(keys) if keys else None
        tagged = self._by_tag.get(tag, ()) if tag is not None else ()
        if tagged and random.random() < _SAME_QUERY_SHARE:
            return tagged[0] if random.random() < _FIRST_SHARE else random.choice(tagged)
        if alone and self._seldom:
            return random.choice(self._seldom)
        return self._often[int(len(self._often) * random.random() ** 2)] if self._often else None


def with_joins(tables: Mapping[str, SourceTable], joins: Iterable[Join]) -> dict[str, tuple[Reference, ...]]:
    """The references of each table: its foreign keys, and the joins of queries that follow none."""
    references = {name: list(table.references) for name, table in tables.items()}
    for join in joins:
        one, other = tables.get(join.table), tables.get(join.other_table)
        if one is None or other is None:
            continue
        position, other_position = one.position(join.column), other.position(join.other_column)
        if position is None or other_position is None:
            continue
        ends = ((join.table, position), (join.other_table, other_position))
        if any(_refers(references[name], position) for name, position in ends):
            continue
        (child, position), (parent, parent_position) = sorted(ends, key=lambda end: _weight(tables[end[0]], end[1]))
        column = tables[parent].columns[parent_position].name
        references[child].append(Reference((position,), parent, (column,), declared=False))
    return {name: tuple(of_table) for name, of_table in references.items()}


def _refers(references: Sequence[Reference], position: int) -> bool:
    return any(position in reference.columns for reference in references)


def _weight(table: SourceTable, position: int) -> tuple[bool, int]:
    """What makes a column the parent's rather than the child's: it is a key, or has more values."""
    return (position,) in table.unique, len({row[position] for row in table.rows})


def parents_first(references: Mapping[str, Sequence[Reference]]) -> list[str]:
    """The tables, each after those that it refers to; in a circle, one of them has to come first."""
    order: dict[str, bool] = {}  # whether a table's parents are all in

    def visit(name: str) -> None:
        if name in order:
            return
        order[name] = False
        for reference in references[name]:
            visit(reference.parent)
        del order[name]
        order[name] = True

    for name in references:
        visit(name)
    return list(order)
