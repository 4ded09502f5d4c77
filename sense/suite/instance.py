"""One further database: rows of the original, some changed, some doubled, and rows for the conditions of the queries.

SQLite itself says which of the rows fit: those that would break a key, NOT NULL or a CHECK are left out. Foreign keys hold by
construction, except in circles; what refers to nothing in the end loses its reference, or goes.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from random import Random

from sense.errors import InputError
from sense.sql.result import ResultRow, Value
from sense.suite.conditions import Condition, QueryUses, TableUse, read_uses
from sense.suite.links import ParentKeys, parents_first, with_joins
from sense.suite.source import MAX_ROWS, Reference, SourceTable, in_quotes, limit_steps, read_source
from sense.suite.values import ColumnValues

_SIZES = (1.0, 0.5, 0.15, 1.5)  # of the instances, relative to the original, in turn
_MIN_ROWS, _EMPTY_ROWS = 3, 6  # of the original's rows; of invented ones in a table that is empty
_UNCHANGED_SHARE, _CHANGE_SHARE = 0.5, 0.4  # rows that stay as they are; columns that change in the others
_DOUBLES_SHARE = 0.25  # rows that are a row again under another key, relative to the others
_NULL_COLUMNS_SHARE, _NULL_SHARE = 0.5, 0.07  # columns that get NULLs although they have none; rows that get them there
_MAX_QUERY_ROWS = 120  # of a table
_KEPT_LINK_SHARE = 0.4
_ODD_SHARE = 0.4  # of a query's rows behind the first: with values of their own in the columns without conditions
_MISS_SHARE = 0.3  # of the queries that get a near miss where there are few rows; of near misses that miss all conditions


@dataclass
class _Candidate:
    """A row on its way into a table; `tag` is the query it was added for, `fixed` the positions whose values are to stay."""

    values: list[Value]
    fixed: frozenset[int] | None = frozenset()
    tag: int | None = None
    group: int | None = None


class SuiteBuilder:
    """Builds further databases of one original for the queries that are asked on it."""

    def __init__(self, database: Path, queries: Sequence[str], seed: str) -> None:
        """Reads the database; raises InputError where that is not possible."""
        self._database, self._seed = database, seed
        self._source = read_source(database)
        tables = self._source.tables
        columns = tuple((name, tuple(column.name.lower() for column in table.columns)) for name, table in tables.items())
        self._uses_of = {sql: _read_uses(sql, columns) for sql in dict.fromkeys(queries)}
        self._queries = list(dict.fromkeys(self._uses_of.values()))
        joins = dict.fromkeys(join for query in self._queries for join in query.joins)
        self._references = with_joins(tables, joins)
        self._order = parents_first(self._references)
        conditions = _conditions_by_column(self._queries)
        self._values = {
            name: [
                ColumnValues(column.affinity, (row[i] for row in table.rows), conditions.get((name, column.name.lower()), []))
                for i, column in enumerate(table.columns)
            ]
            for name, table in tables.items()
        }

    def tables_of(self, query: str) -> frozenset[str]:
        """The tables that a query reads, in lower case."""
        return frozenset(use.table for use in self._uses_of[query].uses)

    def build(self, number: int, attempt: int = 0, whole: frozenset[str] = frozenset()) -> bytes:
        """The image of instance `number`, counted from 1. Tables in `whole` keep all of the original's rows that were read."""
        random = Random(f"{self._seed}-{number}-{attempt}")
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.deserialize(self._source.template)
            limit_steps(connection)
            try:
                connection.execute("BEGIN")
                _Instance(connection, self._source.tables, self._references, self._values, self._queries, random).fill(
                    self._order, _SIZES[(number - 1) % len(_SIZES)], whole
                )
                for name, columns, rows in self._source.virtual:
                    listed = ", ".join(["rowid", *map(in_quotes, columns)])
                    marks = ", ".join("?" * (len(columns) + 1))
                    connection.executemany(f"INSERT INTO {in_quotes(name)} ({listed}) VALUES ({marks})", rows)  # noqa: S608
                connection.execute("COMMIT")
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise InputError(f"{self._database}: no other rows fit its schema ({error}); do without a suite") from None
            return connection.serialize()


@lru_cache(maxsize=1024)  # several suites are drawn for the same queries
def _read_uses(sql: str, columns: tuple[tuple[str, tuple[str, ...]], ...]) -> QueryUses:
    return read_uses(sql, dict(columns))


def _conditions_by_column(queries: Iterable[QueryUses]) -> dict[tuple[str, str], list[Condition]]:
    conditions: dict[tuple[str, str], list[Condition]] = {}
    for query in queries:
        for use in query.uses:
            for condition in use.conditions:
                conditions.setdefault((use.table, condition.column), []).append(condition)
    return conditions


class _Instance:
    """The filling of one database."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        tables: Mapping[str, SourceTable],
        references: Mapping[str, tuple[Reference, ...]],
        values: Mapping[str, list[ColumnValues]],
        queries: Sequence[QueryUses],
        random: Random,
    ) -> None:
        self._connection, self._tables, self._references = connection, tables, references
        self._values, self._random = values, random
        self._numbers = count(1)
        self._keys: dict[tuple[str, tuple[str, ...]], ParentKeys] = {}
        self._groups: set[int] = set()  # those of rows whose number matters
        self._uses: dict[str, list[tuple[int, int, TableUse]]] = {name: [] for name in tables}
        for tag, query in enumerate(queries):
            if query.group or any(use.conditions for use in query.uses):
                for use in query.uses:
                    self._uses[use.table].append((tag, query.group, use))

    def fill(self, order: Sequence[str], size: float, whole: frozenset[str]) -> None:
        """Fills all tables in an order in which parents come first."""
        for name in order:
            self._fill_table(name, size, name in whole)
        self._repair()

    def _fill_table(self, name: str, size: float, whole: bool) -> None:
        table, random = self._tables[name], self._random
        nulls = {i for i, column in enumerate(table.columns) if column.nullable and random.random() < _NULL_COLUMNS_SHARE} - {
            i for key in table.unique for i in key
        }
        candidates = list(self._base_rows(table, size, whole, nulls))
        originals = [candidate.values for candidate in candidates]
        if not whole:
            candidates += self._doubles(name, originals, nulls)
        candidates += self._query_rows(name, originals, few=size < 0.3)
        self._link(name, candidates)
        if random.random() < 0.5:
            random.shuffle(candidates)
        self._insert(table, [candidate.values for candidate in candidates])
        if table.rows and not self._has_rows(table):
            self._insert(table, table.rows)
        self._note_keys(name, candidates)

    # --- rows

    def _base_rows(self, table: SourceTable, size: float, whole: bool, nulls: set[int]) -> Iterator[_Candidate]:
        """Rows of the original with their keys, about half of them with other values in some columns."""
        random, name = self._random, table.name.lower()
        if not table.rows:
            for _ in range(_EMPTY_ROWS):
                yield _Candidate([values.draw(random) for values in self._values[name]])
            return
        count = len(table.rows) if whole else max(_MIN_ROWS, round(len(table.rows) * min(size, 1.0)))
        drawn = sorted(random.sample(range(len(table.rows)), min(count, len(table.rows))))
        for index in drawn:
            row = table.rows[index]
            if whole or random.random() < _UNCHANGED_SHARE:
                yield _Candidate(list(row), fixed=None)
            else:
                yield _Candidate(self._changed(name, row, nulls, _CHANGE_SHARE))
        for _ in range(round(min(MAX_ROWS, len(table.rows) * size)) - len(drawn)):
            values = self._changed(name, random.choice(table.rows), nulls, _CHANGE_SHARE)
            self._renew_keys(name, values, set())
            yield _Candidate(values)

    def _doubles(self, name: str, rows: Sequence[list[Value]], nulls: set[int]) -> Iterator[_Candidate]:
        """Rows that are there already, under another key: equal values, and ties. Every column of `nulls` gets a NULL here."""
        doubles = [
            self._changed(name, self._random.choice(rows), nulls, 0.1) for _ in range(max(1, round(len(rows) * _DOUBLES_SHARE)))
        ]
        for column in sorted(nulls - self._bound(name)):
            self._random.choice(doubles)[column] = None
        for values in doubles:
            self._renew_keys(name, values, set())
            yield _Candidate(values)

    def _changed(self, name: str, row: Sequence[Value], nulls: set[int], share: float) -> list[Value]:
        """The row with other values in a share of the columns that are neither keys nor references."""
        values, random = list(row), self._random
        bound = self._bound(name)
        for i, column in enumerate(self._values[name]):
            if i in bound:
                continue
            if random.random() < share:
                values[i] = None if random.random() < column.null_share else column.draw(random)
            if i in nulls and random.random() < _NULL_SHARE:
                values[i] = None
        return values

    def _bound(self, name: str) -> set[int]:
        """The positions of the columns of keys and references."""
        keys = {i for key in self._tables[name].unique for i in key}
        return keys | {i for reference in self._references[name] for i in reference.columns}

    def _query_rows(self, name: str, originals: Sequence[list[Value]], few: bool) -> Iterator[_Candidate]:
        """Rows that satisfy the conditions of a query, and rows that nearly do; so many as a count is compared with."""
        random, rows = self._random, 0
        bases: dict[int, Sequence[Value]] = {}  # one for each query, so that rows of its set operations and subqueries agree
        uses = list(self._uses[name])
        random.shuffle(uses)
        for group, (tag, size, use) in zip(self._numbers, uses, strict=False):
            if rows >= _MAX_QUERY_ROWS:
                return
            base = list(bases.setdefault(tag, random.choice(originals)))
            conditions: dict[int, list[Condition]] = {}
            for condition in use.conditions:
                position = self._tables[name].position(condition.column)
                if position is not None:
                    conditions.setdefault(position, []).append(condition)
            for position, of_column in conditions.items():
                base[position] = self._values[name][position].fitting(of_column, random)
            fixed = frozenset(conditions)
            copies = 1 + random.choice((0, 0, 1)) if conditions or few else 3
            variants = [base] * (copies + (size + random.choice((-1, 0, 1)) if size else 0))
            if size:
                self._groups.add(group)
            misses = list(self._near_misses(name, base, conditions)) if not few or random.random() < _MISS_SHARE else []
            variants = variants + misses if not few else misses[:1] or variants
            for number, values in enumerate(variants):
                row = list(values)
                if number and not size and random.random() < _ODD_SHARE:
                    self._make_odd(name, row, fixed)
                self._renew_keys(name, row, set(fixed))
                yield _Candidate(row, fixed, tag, group)
            rows += len(variants)

    def _make_odd(self, name: str, row: list[Value], fixed: Set[int]) -> None:
        """Gives the row values that no other has, but for its conditions: under DISTINCT and UNION it is one more."""
        bound = self._bound(name) | fixed
        for i, values in enumerate(self._values[name]):
            if i not in bound and values.open and row[i] is not None:
                row[i] = values.fresh(self._random, next(self._numbers))

    def _near_misses(self, name: str, base: Sequence[Value], conditions: dict[int, list[Condition]]) -> Iterator[list[Value]]:
        """The row with the literal itself, and with a value beside it, in one of the columns with conditions."""
        for exact in (True, False):
            if conditions:
                position = self._random.choice(list(conditions))
                row, of_column = list(base), conditions[position]
                literals = [Condition(c.column, "=", c.value) for c in of_column]
                values = self._values[name][position]
                row[position] = (values.fitting if exact else values.near)(literals, self._random)
                if self._random.random() < _MISS_SHARE:  # of two conditions joined with OR, none may hold
                    for other, of_other in conditions.items():
                        if other != position:
                            row[other] = self._values[name][other].near(of_other, self._random)
                yield row

    def _renew_keys(self, name: str, row: list[Value], fixed: set[int]) -> None:
        """Gives the row keys that no other has; those made of references get theirs from the parents."""
        table = self._tables[name]
        referring = {i for reference in self._references[name] for i in reference.columns}
        for key in table.unique:
            free = [i for i in key if i not in referring and i not in fixed]
            if free:
                row[free[0]] = self._values[name][free[0]].fresh(self._random, next(self._numbers))

    # --- references

    def _link(self, name: str, candidates: Sequence[_Candidate]) -> None:
        """Gives the rows references to rows of their parents."""
        table, random = self._tables[name], self._random
        chosen: dict[tuple[int, int], ResultRow] = {}
        for number, reference in enumerate(self._references[name]):
            nullable = [i for i in reference.columns if table.columns[i].nullable]
            keys = self._parent_keys(name, reference, candidates)
            earlier = {i for other in self._references[name][:number] for i in other.columns if other.declared}
            for candidate in candidates:
                values = candidate.values
                own = tuple(values[i] for i in reference.columns)
                if candidate.fixed is None and (own in keys or (None in own and bool(nullable))):
                    continue
                keeps = set(reference.columns) <= (candidate.fixed or frozenset()) or random.random() < _KEPT_LINK_SHARE
                if own in keys and keeps:
                    continue
                if nullable and reference.declared and random.random() < _NULL_SHARE and candidate.tag is None:
                    values[nullable[0]] = None
                    continue
                if not reference.declared and candidate.fixed is None:
                    continue
                decided = {position: values[i] for position, i in enumerate(reference.columns) if i in earlier}
                counted = candidate.group in self._groups
                key = chosen.get((candidate.group or 0, number)) if counted and not decided else None
                key = key or keys.choose(candidate.tag, decided, random, alone=counted)
                if key is None:
                    continue
                if counted:
                    chosen[candidate.group or 0, number] = key
                for i, value in zip(reference.columns, key, strict=True):
                    values[i] = value

    def _parent_keys(self, name: str, reference: Reference, candidates: Sequence[_Candidate]) -> ParentKeys:
        """The keys of the parent: of its rows, or those that its rows are to have, if it is this table or comes later."""
        keys = self._keys.get((reference.parent, reference.parent_columns))
        if keys is not None:
            return keys
        parent = self._tables[reference.parent]
        positions = [parent.position(column) for column in reference.parent_columns]
        rows: Iterable[Sequence[Value]] = parent.rows
        if reference.parent == name:
            rows = [candidate.values for candidate in candidates]
        return ParentKeys((tuple(row[i] for i in positions if i is not None) for row in rows), {}, self._random)

    def _note_keys(self, name: str, candidates: Sequence[_Candidate]) -> None:
        """Reads the keys that the table's rows have, for those that refer to them."""
        table = self._tables[name]
        distinct = dict.fromkeys(
            reference.parent_columns
            for references in self._references.values()
            for reference in references
            if reference.parent == name
        )
        for columns in distinct:
            positions = [table.position(column) for column in columns]
            tags: dict[ResultRow, list[int]] = {}
            for candidate in candidates:
                if candidate.tag is not None:
                    key = tuple(candidate.values[i] for i in positions if i is not None)
                    tags.setdefault(key, []).append(candidate.tag)
            listed = ", ".join(map(in_quotes, columns))
            rows = self._connection.execute(f"SELECT {listed} FROM {in_quotes(table.name)}").fetchall()  # noqa: S608  (quoted)
            self._keys[name, columns] = ParentKeys(rows, tags, self._random)

    # --- SQLite

    def _insert(self, table: SourceTable, rows: Iterable[Sequence[Value]]) -> None:
        """Inserts those rows that the constraints allow."""
        columns = ", ".join(in_quotes(column.name) for column in table.columns)
        marks = ", ".join("?" * len(table.columns))
        statement = f"INSERT OR IGNORE INTO {in_quotes(table.name)} ({columns}) VALUES ({marks})"  # noqa: S608  (quoted)
        for row in rows:
            try:
                self._connection.execute(statement, row)
            except sqlite3.IntegrityError:  # what OR IGNORE does not cover: the types of a strict table, of a rowid
                continue

    def _has_rows(self, table: SourceTable) -> bool:
        return self._connection.execute(f"SELECT 1 FROM {in_quotes(table.name)} LIMIT 1").fetchone() is not None  # noqa: S608

    def _repair(self) -> None:
        """Takes foreign keys that refer to nothing out of the rows, or the rows out of the tables, until all fit."""
        changed = True
        while changed:
            changed = False
            for table in self._tables.values():
                for reference in table.references:
                    changed |= self._repair_reference(table, reference)

    def _repair_reference(self, table: SourceTable, reference: Reference) -> bool:
        """Repairs the rows of a table by one foreign key; returns whether there were any to be repaired.

        A value is compared as in SQLite's own check, by type and collation of the parent: a + takes the child's type away.
        """
        child, parent = in_quotes(table.name), in_quotes(self._tables[reference.parent].name)
        names = [in_quotes(table.columns[i].name) for i in reference.columns]
        equal = " AND ".join(
            f"parent.{in_quotes(other)} = +{child}.{column}"
            for column, other in zip(names, reference.parent_columns, strict=True)
        )
        no_nulls = " AND ".join(f"{child}.{column} IS NOT NULL" for column in names)
        where = f"WHERE {no_nulls} AND NOT EXISTS (SELECT 1 FROM {parent} AS parent WHERE {equal})"  # noqa: S608  (quoted)
        changed = 0
        nullable = [i for i in reference.columns if table.columns[i].nullable]
        if nullable:
            column = in_quotes(table.columns[nullable[0]].name)
            changed += self._connection.execute(f"UPDATE OR IGNORE {child} SET {column} = NULL {where}").rowcount  # noqa: S608
        changed += self._connection.execute(f"DELETE FROM {child} {where}").rowcount  # noqa: S608  (quoted)
        return changed > 0
