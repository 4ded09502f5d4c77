"""Rows of evaluation sets under other names, found by what renaming leaves of SQL, schema and question.

Of a renamed row the masked SQL is the same, and one of these:

database  it has all tables of the other database, but for names, and most other words of the question are the same
tables    the tables that the query reads are the same, but for names, and the questions word by word; the SQL is not trivial
columns   so are only the columns that the query names, but they are many, and so are the words in which the questions agree
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from sense.decontamination.compared_sets import ComparedRow
from sense.decontamination.forms import (
    CanonicalSql,
    canonical_sql,
    column_shapes,
    literal_words,
    name_words,
    operators,
    question_words,
    table_shapes,
    tables_of,
)
from sense.schema import Schema

_SAME_WORDS = 0.7  # of 320 questions that were renamed, none has less than 0.75
_MIN_DATABASE = 8  # columns; many databases have the tables of a smaller one
_MIN_WORDS = 2  # fewer words in common are in any two questions
_MIN_COLUMNS, _MIN_COLUMNS_AND_WORDS = 2, 12  # a column counts as two words


@dataclass(frozen=True)
class _Entry:
    """A row with its schema; `number` is that of the order in which rows were added."""

    number: int
    row: ComparedRow
    schema: Schema

    @cached_property
    def words(self) -> list[str]:
        """The words of the question, '' for those of names and values."""
        return question_words(self.row.question, name_words(self.schema), self.row.sql)

    @cached_property
    def forms(self) -> CanonicalSql:
        return canonical_sql(self.row.sql)

    @cached_property
    def tables(self) -> list[str]:
        """The shapes of the tables that the query reads, with the keys between them."""
        names = tables_of(self.row.sql)
        tables = tuple(table for table in self.schema.tables if table.name.lower() in names)
        keys = (key for key in self.schema.foreign_keys if {key.table.lower(), key.other_table.lower()} <= names)
        return sorted(table_shapes(Schema(tables, tuple(keys))).values())

    @cached_property
    def columns(self) -> list[str]:
        """The shapes of the columns that the query names."""
        return column_shapes(self.row.sql, self.schema)


class RenamedRows:
    """The rows of evaluation sets, to be asked for those that another row may be under other names."""

    def __init__(self) -> None:
        self._size = 0
        self._by_form: defaultdict[tuple[str, int], list[_Entry]] = defaultdict(list)
        self._by_schema: defaultdict[Schema, list[_Entry]] = defaultdict(list)
        self._on_like_databases: dict[Schema, list[_Entry]] = {}

    def add(self, row: ComparedRow, schema: Schema | None) -> None:
        """Adds a row; one without a schema is only counted."""
        if schema is not None:
            entry = _Entry(self._size, row, schema)
            self._by_form[_form(entry)].append(entry)
            self._by_schema[schema].append(entry)
            self._on_like_databases.clear()
        self._size += 1

    def find(self, row: ComparedRow, schema: Schema) -> Iterator[int]:
        """The numbers of the rows that `row` may be, renamed; those on a like database first."""
        entry = _Entry(-1, row, schema)
        if schema not in self._on_like_databases:
            self._on_like_databases[schema] = list(self._find_on_like_databases(schema))
        on_database = [other for other in self._on_like_databases[schema] if _share_words(entry, other)]
        on_tables = [other for other in self._by_form.get(_form(entry), ()) if _read_the_same(entry, other)]
        for other in (*on_database, *on_tables):
            if entry.forms.masked == other.forms.masked:
                yield other.number

    def _find_on_like_databases(self, schema: Schema) -> Iterator[_Entry]:
        """The rows on databases of which `schema` has all tables: on those that have no others, and on large ones."""
        tables = Counter(table_shapes(schema).values())
        for other, entries in self._by_schema.items():
            other_tables = Counter(table_shapes(other).values())
            is_large = sum(len(table.columns) for table in other.tables) >= _MIN_DATABASE
            if other_tables == tables or (is_large and other_tables <= tables):
                yield from entries


def _form(entry: _Entry) -> tuple[str, int]:
    """What renaming leaves and is quick to compute: the query's operators, and how many words the question has."""
    return operators(entry.row.sql), len(entry.words)


def _share_words(one: _Entry, other: _Entry) -> bool:
    """Whether most words agree that are no names on either side, in whatever order."""
    names = name_words(one.schema) | name_words(other.schema)
    words = (question_words(entry.row.question, names, entry.row.sql) for entry in (one, other))
    left, right = (Counter(word for word in some if word and not word.isdigit()) for some in words)
    return (left & right).total() >= _SAME_WORDS * (left | right).total()


def _read_the_same(one: _Entry, other: _Entry) -> bool:
    """Whether two questions of equal length agree word by word, and their queries in the tables, or in many columns."""
    pairs = list(zip(one.words, other.words, strict=True))
    if any(a != b for a, b in pairs if a and b and not (a.isdigit() and b.isdigit())):
        return False
    common = sum(a == b != "" for a, b in pairs) + len(literal_words(one.row.sql) & literal_words(other.row.sql))
    if common < _MIN_WORDS:
        return False
    if one.tables == other.tables and not other.forms.trivial:
        return True
    many = len(one.columns) >= _MIN_COLUMNS and common + 2 * len(one.columns) >= _MIN_COLUMNS_AND_WORDS
    return many and one.columns == other.columns
