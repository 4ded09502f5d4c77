"""A SQLite file as the grammar needs it: tables with nouns, columns with words and kinds, foreign keys with verbs."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sense.errors import InputError
from sense.schema import Schema, introspect
from sense.sql.snapshot import open_database, unreadable
from sense.teacher import CellValue, database_bytes
from sense.teacher.grammar.database import GrammarColumn, GrammarDatabase, GrammarTable, Link
from sense.teacher.grammar.domains import NAMES, NUMBERS, TIMES, ColumnSpec
from sense.teacher.grammar.english.language import plural
from sense.teacher.grammar.own.glossary import (
    NOT_ASKED,
    ColumnTerms,
    Glossary,
    TableTerms,
    glossary_path,
    read_glossary,
)
from sense.teacher.grammar.own.kinds import CHECKS, are_numbers, can_be_summed, date_format, guess_kind
from sense.teacher.grammar.own.names import (
    event_of,
    event_words,
    is_short_for,
    nouns,
    split_words,
    without_key_word,
    without_unit,
)

_SHORTEST_ROLE = 3  # letters: a shorter name of a foreign key says nothing
_MOST_JUNCTION_COLUMNS = 2  # beside its two foreign keys
# The first table whose rows cannot be inserted as they are read.
_COMPUTED = """
SELECT m.name, iif(m.rootpage = 0, 'is a virtual table', 'has generated columns') FROM sqlite_master AS m
WHERE m.type = 'table' AND (m.rootpage = 0 OR EXISTS (SELECT 1 FROM pragma_table_xinfo(m.name) WHERE hidden IN (2, 3)))
ORDER BY m.rowid LIMIT 1"""


def read_own_database(dataset: Path, db_id: str) -> GrammarDatabase:
    """The database `db_id` of a dataset folder, in the words of its glossary; InputError if it cannot be read or used."""
    path = dataset / "databases" / db_id / f"{db_id}.sqlite"
    schema = introspect(path)
    glossary_file = glossary_path(dataset, db_id)
    glossary = read_glossary(glossary_file, {table.name: [column.name for column in table.columns] for table in schema.tables})
    return _Reader(path, glossary_file, schema, glossary).database(db_id)


def draft_glossary(database: GrammarDatabase) -> Glossary:
    """What is known of a database without a glossary, as one."""
    links = {(link.child, link.column): link for link in database.links}

    def terms(table: GrammarTable, column: GrammarColumn) -> ColumnTerms:
        link = links.get((table.name, column.name))
        if link is not None:
            return ColumnTerms(phrase=column.words, kind="key", verb=link.verb, by=link.by, role=link.role)
        kind: Any = "key" if column.spec is None else NOT_ASKED if column.distractor else column.kind
        return ColumnTerms(phrase=column.words, kind=kind, unit=column.spec.unit if column.spec else "")

    tables = {
        table.name: TableTerms(
            noun=table.singular,
            plural=table.plural,
            label=table.label.name if table.label else None,
            columns={column.name: terms(table, column) for column in table.columns},
        )
        for table in database.tables.values()
    }
    return Glossary(tables=tables)


class _Reader:
    """Reads one database."""

    def __init__(self, path: Path, glossary_file: Path, schema: Schema, glossary: Glossary) -> None:
        self._path, self._glossary_file, self._schema, self._glossary = path, glossary_file, schema, glossary
        self._references = {(key.table, key.column): key for key in schema.foreign_keys}

    def database(self, db_id: str) -> GrammarDatabase:
        """The database with all its rows."""
        ddl, rows = self._content()
        tables = {name: self._table(name, values) for name, values in rows}
        links = self._links(tables)
        tables = {name: replace(table, across=_across(table, links)) for name, table in tables.items()}
        return GrammarDatabase(db_id, split_words(db_id), tables, tuple(links), ddl, rows, database_bytes(db_id, ddl, rows))

    def _content(self) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[tuple[CellValue, ...], ...]], ...]]:
        """The CREATE TABLE statements and the rows; InputError if there is a blob, a generated column or a virtual table."""
        try:
            with open_database(self._path) as connection:
                connection.text_factory = lambda data: data.decode("utf-8", "replace")
                computed = connection.execute(_COMPUTED).fetchone()
                if computed is not None:
                    raise InputError(f"{self._path}: table {computed[0]} {computed[1]}; copy it: sense own {self._path}")
                statements = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
                ddl = tuple(statement for (statement,) in statements)
                rows = tuple(
                    (table.name, tuple(connection.execute('SELECT * FROM "{}"'.format(table.name.replace('"', '""')))))  # noqa: S608
                    for table in self._schema.tables
                )
        except (OSError, sqlite3.Error) as error:
            raise unreadable(self._path, error) from None
        if any(isinstance(value, bytes) for _, values in rows for row in values for value in row):
            raise InputError(f"{self._path}: holds blobs, of which nothing can be asked; copy it: sense own {self._path}")
        return ddl, rows

    def _terms(self, table: str) -> TableTerms:
        return self._glossary.tables.get(table) or TableTerms()

    def _table(self, name: str, rows: Sequence[tuple[CellValue, ...]]) -> GrammarTable:
        terms = self._terms(name)
        one, many = nouns(name)
        one = terms.noun or one
        many = terms.plural or (plural(terms.noun) if terms.noun else many)
        schema_table = next(table for table in self._schema.tables if table.name == name)
        columns = tuple(
            self._column(name, one, column.name, column.primary_key, tuple(row[index] for row in rows))
            for index, column in enumerate(schema_table.columns)
        )
        key = [column.name for column in schema_table.columns if column.primary_key]
        by_name = {column.name: column for column in columns}
        return GrammarTable(
            name=name,
            singular=one,
            plural=many,
            synonyms=tuple((synonym, plural(synonym)) for synonym in terms.synonyms),
            columns=columns,
            key=by_name[key[0]] if len(key) == 1 else None,
            label=self._label(name, terms, by_name),
            key_columns=tuple(key),
        )

    def _column(self, table: str, noun: str, name: str, primary_key: bool, values: tuple[CellValue, ...]) -> GrammarColumn:
        terms = self._terms(table).columns.get(name) or ColumnTerms()
        words, unit = (terms.phrase, "") if terms.phrase else without_unit(split_words(name))
        column = GrammarColumn(name, words, terms.synonyms, None, values)
        present = column.non_null
        if terms.kind == "key" or ((primary_key or (table, name) in self._references) and not terms.kind):
            return column
        kind = terms.kind or guess_kind(split_words(name), present, noun) or NOT_ASKED
        if kind == NOT_ASKED or not present:
            return replace(column, spec=ColumnSpec(kind="code", form="#"), distractor=True)
        if kind in CHECKS and not CHECKS[kind](present):
            raise InputError(
                f"{self._glossary_file}: tables.{table}.columns.{name}: kind: {kind} does not fit its values, such as "
                f"{present[0]!r}; give it another kind, or none"
            )
        texts = [str(value) for value in present]
        if kind in NUMBERS:
            values = tuple(int(value) if isinstance(value, float) and value.is_integer() else value for value in values)
        elif kind in TIMES and not terms.phrase:
            words = event_words(words)
        else:
            words = terms.phrase or split_words(name)
        return replace(
            column,
            words=words,
            values=values,
            spec=_spec(kind, words, terms.unit or unit, present),
            date_format=(date_format(texts) or "") if kind == "date" else "",
            number_as_text=kind in NUMBERS and isinstance(present[0], str) and are_numbers(texts),
            meanings={code: meaning for code, meaning in terms.meanings.items() if code in present},
        )

    def _label(self, table: str, terms: TableTerms, columns: Mapping[str, GrammarColumn]) -> GrammarColumn | None:
        """The column that names a row: that of the glossary, else the likeliest of those whose values all differ."""
        if terms.label is not None:
            label = columns[terms.label]
            if not _is_label(label) or label.kind not in NAMES:
                raise InputError(
                    f"{self._glossary_file}: tables.{table}.label: {terms.label} names no row: it must be of kind "
                    f"{', '.join(sorted(NAMES))}, with another value in every row; leave the label out"
                )
            return label
        options = [column for column in columns.values() if _is_label(column)]
        ranked = sorted(options, key=lambda column: (column.kind == "code", not column.words.endswith(("name", "title"))))
        return ranked[0] if ranked else None

    def _links(self, tables: Mapping[str, GrammarTable]) -> list[Link]:
        """The foreign keys of one column each whose values are all there."""
        links = []
        for (child, column), key in self._references.items():
            parent = tables[key.other_table]
            keys = set(parent.column(key.other_column).values)
            composite = [other for other in self._schema.foreign_keys if (other.table, other.other_table) == (child, parent.name)]
            same_target = [other.other_column for other in composite]
            if not set(tables[child].column(column).non_null) <= keys or len(set(same_target)) > 1:
                continue
            terms = self._terms(child).columns.get(column) or ColumnTerms()
            role = terms.role or _role(tables[child].column(column).words, parent, child == parent.name, len(composite) > 1)
            verb = terms.verb or (f"are the {role} of" if role else "have")
            links.append(Link(child, column, parent.name, key.other_column, verb, terms.by or "of", role))
        return links


def _role(words: str, parent: GrammarTable, to_itself: bool, one_of_several: bool) -> str:
    """What the parent is to the row by the name of the foreign key, '' if that says no more than the parent's noun."""
    stem = without_key_word(words)
    if len(stem) < _SHORTEST_ROLE:
        return "parent" if to_itself else stem if one_of_several else ""
    same = is_short_for(stem, parent.singular) or is_short_for(stem, parent.plural)
    if same and not (to_itself or one_of_several):
        return ""
    return "parent" if same and to_itself else stem


def _is_label(column: GrammarColumn) -> bool:
    """Whether a column can name a row: every row has a value of its own."""
    return (
        column.spec is not None
        and not column.distractor
        and column.kind in NAMES
        and bool(column.values)
        and column.has_no_null
        and len(column.distinct) == len(column.values)
    )


def _across(table: GrammarTable, links: Sequence[Link]) -> dict[str, str]:
    """In a table that joins two others and holds little else: how each of these leads to the other."""
    own = [link for link in links if link.child == table.name]
    if len(own) != 2 or own[0].parent == own[1].parent or any(link.role or link.parent == table.name for link in own):
        return {}
    pair = {link.column for link in own}
    if table.label is not None or (set(table.key_columns) != pair and len(table.data_columns) > _MOST_JUNCTION_COLUMNS):
        return {}
    return dict.fromkeys((link.parent for link in own), "are linked to")


def _spec(kind: Any, words: str, unit: str, values: Sequence[CellValue]) -> ColumnSpec:
    """The specification that values of a kind would have been drawn from."""
    fields: dict[str, Any] = {"kind": kind}
    if kind in NUMBERS | TIMES:
        numbers = [float(str(value)[:4] if kind == "date" and "-" in str(value)[4:5] else _number(value)) for value in values]
        low, high = min(numbers), max(numbers)
        fields |= {"low": low, "high": high if high > low else low + 1}
    if kind in NUMBERS:
        fields |= {"unit": unit, "sum": can_be_summed(words)}
    elif kind in TIMES and (event := event_of(words)):
        fields["when"] = event
    elif kind == "category":
        fields["of"] = tuple(dict.fromkeys(map(str, values)))
    elif kind == "title":
        fields["parts"] = (tuple(dict.fromkeys(map(str, values))),)
    elif kind == "code":
        fields["form"] = "#"
    return ColumnSpec.model_validate(fields)


def _number(value: CellValue) -> float:
    """A number, of a text too; 0 for a date in another form, whose bounds nobody asks for."""
    try:
        return float(str(value))
    except ValueError:
        return 0.0
