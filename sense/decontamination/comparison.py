"""Where the rows of a set overlap with evaluation sets: the same or nearly the same question, the same SQL, the same schema.

A row overlaps with another for the first of these reasons:

same question             no word differs
near-duplicate question   the trigrams have a Jaccard index of 0.8 or more
same SQL                  the canonical forms agree, names and values too, and are not trivial
same SQL skeleton         they agree but for the values; of rows on the databases of the set alone
renamed SQL               they agree without names and values, and so do schemas and questions; see `renamed_rows`
same schema               the names of tables and columns have a Jaccard index of 0.8 or more
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from sense.decontamination import near_duplicates
from sense.decontamination.compared_sets import ComparedRow, ComparedSet
from sense.decontamination.forms import (
    CanonicalSql,
    canonical_sql,
    may_be_trivial,
    schema_names,
    skeleton,
    tables_of,
)
from sense.decontamination.renamed_rows import RenamedRows
from sense.records import Record
from sense.schema import Schema

Reason = Literal["same question", "near-duplicate question", "same SQL", "same SQL skeleton", "renamed SQL", "same schema"]
REASONS: tuple[Reason, ...] = get_args(Reason)
SAME_SCHEMA = 0.8
"""Two schemas are the same from this Jaccard index of their names on."""


class Overlap(Record):
    """A row of the set `data`, the row of the evaluation set `against` that it overlaps with, and why.

    `similarity` is the Jaccard index that decided; 1 where the forms are equal.
    """

    reason: Reason
    similarity: float
    data: str
    row: ComparedRow
    against: str
    against_row: ComparedRow


@dataclass(frozen=True)
class _Origin:
    """A row of an evaluation set, and the set."""

    set_name: str
    row: ComparedRow

    @cached_property
    def forms(self) -> CanonicalSql:
        """Its SQL, which is parsed only where it may be looked for."""
        return canonical_sql(self.row.sql)


class Comparison:
    """The evaluation sets, ready to be compared with row after row."""

    def __init__(self, sets: Sequence[ComparedSet], same_databases: bool = False, held_out: Sequence[ComparedSet] = ()) -> None:
        """With `same_databases` the rows are meant to be on databases of the sets: the same schema, and SQL that is the same
        but for names and values, are no overlaps then. `held_out` are those of the sets whose SQL skeletons are overlaps instead.
        """
        self._same_databases = same_databases
        self._questions = near_duplicates.NearDuplicates()
        self._origins: list[_Origin] = []
        self._by_tables: dict[frozenset[str], list[_Origin]] = defaultdict(list)
        self._renamed = RenamedRows()
        self._schemas: list[tuple[frozenset[str], _Origin]] = []
        for compared_set in sets:
            self._add(compared_set)
        self._skeletons = {skeleton(row.sql): _Origin(each.name, row) for each in held_out for row in each.rows}
        self._same_schemas: dict[tuple[str, str], tuple[float, _Origin] | None] = {}

    def _add(self, compared_set: ComparedSet) -> None:
        databases: set[str] = set()
        for row in compared_set.rows:
            origin, schema = _Origin(compared_set.name, row), compared_set.schemas.get(row.db_id)
            self._origins.append(origin)
            self._questions.add(near_duplicates.sketch(row.question))
            self._by_tables[tables_of(row.sql)].append(origin)
            self._renamed.add(row, schema)
            if schema is not None and row.db_id not in databases:
                databases.add(row.db_id)
                self._schemas.append((schema_names(schema), origin))

    def overlap(
        self, row: ComparedRow, schema: Schema, data: str, question: near_duplicates.Sketch | None = None
    ) -> Overlap | None:
        """Where `row` of the set `data` overlaps, if it does; `schema` is that of its database, `question` its sketch."""
        return next(self._overlaps(row, schema, data, question or near_duplicates.sketch(row.question)), None)

    def _overlaps(self, row: ComparedRow, schema: Schema, data: str, question: near_duplicates.Sketch) -> Iterator[Overlap]:
        def overlap(reason: Reason, origin: _Origin, similarity: float = 1.0) -> Overlap:
            return Overlap(
                reason=reason,
                similarity=round(similarity, 4),
                data=data,
                row=row,
                against=origin.set_name,
                against_row=origin.row,
            )

        match = self._questions.nearest(question)
        if match is not None:
            origin = self._origins[match.number]
            same = near_duplicates.normalize(origin.row.question) == question.text
            yield overlap("same question" if same else "near-duplicate question", origin, match.similarity)
        on_same_tables = self._by_tables.get(tables_of(row.sql), ())
        if on_same_tables and not (forms := canonical_sql(row.sql)).trivial:
            yield from (overlap("same SQL", origin) for origin in on_same_tables if forms.named == origin.forms.named)
        if self._same_databases:
            if self._skeletons and (origin_of_skeleton := self._skeletons.get(skeleton(row.sql))) is not None:
                yield overlap("same SQL skeleton", origin_of_skeleton)
            return
        yield from (overlap("renamed SQL", self._origins[number]) for number in self._renamed.find(row, schema))
        same_schema = self._same_schema(data, row.db_id, schema)
        if same_schema is not None:
            yield overlap("same schema", same_schema[1], same_schema[0])

    def _same_schema(self, data: str, db_id: str, schema: Schema) -> tuple[float, _Origin] | None:
        """A row on the nearest schema of the evaluation sets, if that is the same; computed once a database of the data."""
        if (data, db_id) not in self._same_schemas:
            names = schema_names(schema)
            schemas = ((_jaccard(names, other), origin) for other, origin in self._schemas)
            nearest = max(schemas, key=lambda pair: pair[0], default=None)
            self._same_schemas[data, db_id] = nearest if nearest is not None and nearest[0] >= SAME_SCHEMA else None
        return self._same_schemas[data, db_id]


def find_overlaps(data: ComparedSet, comparison: Comparison) -> list[Overlap]:
    """The overlaps of a set, one for each row that has any, in the order of its rows; its databases must be there."""
    overlaps = (comparison.overlap(row, data.schemas[row.db_id], data.name) for row in data.rows)
    return [overlap for overlap in overlaps if overlap is not None]


def trivial_sql(data: Iterable[str], evaluation: Iterable[str]) -> dict[str, int]:
    """The trivial canonical SQL that both have, and how often it is in `evaluation`."""
    both = {forms.named for sql in data if may_be_trivial(sql) and (forms := canonical_sql(sql)).trivial}
    counts = Counter(canonical_sql(sql).named for sql in evaluation if may_be_trivial(sql))
    return {sql: counts[sql] for sql in sorted(counts) if sql in both}


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one or other else 0.0
