import sqlite3
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from random import Random

import pytest

from sense.config import GrammarConfig
from sense.teacher.grammar import domains
from sense.teacher.grammar.domains import GROUPS, NUMBERS
from sense.teacher.grammar.naming import needs_quotes
from sense.teacher.grammar.populate import invent_database


def make(name="animal_shelter", seed="0", tables=4, rows=30):
    return invent_database(f"{name}_0", domains.load(name), tables, rows, Random(seed))


@pytest.fixture(scope="module")
def every():
    return [make(name, f"{name}-{n}") for name in domains.names() for n in range(2)]


@pytest.fixture(scope="module")
def many():
    """Databases as the defaults of the configuration invent them."""
    names = domains.names()
    return [make(names[n % len(names)], str(n), tables=GrammarConfig().tables, rows=GrammarConfig().rows) for n in range(500)]


def data_columns(database):
    return [column for table in database.tables.values() for column in table.data_columns]


def texts(database):
    return [value for _, rows in database.rows for row in rows for value in row if isinstance(value, str)]


def identifiers(database):
    return [name for table in database.tables.values() for name in (table.name, *(column.name for column in table.columns))]


def share(truths):
    truths = list(truths)
    return sum(map(bool, truths)) / max(1, len(truths))


def test_the_same_seed_gives_the_same_database():
    one, two = make(seed="x"), make(seed="x")
    assert (one.ddl, one.rows, one.image) == (two.ddl, two.rows, two.image)


def test_two_databases_of_one_domain_differ_in_their_schema():
    assert len({make(seed=str(n)).ddl for n in range(20)}) >= 19
    tables = {table for n in range(20) for table in make(seed=str(n)).tables}
    assert {"animal", "pet"} <= {name.lower().rstrip("s") for name in tables}
    assert any("_" in name or name[0].isupper() for name in tables)


@pytest.mark.parametrize("most", [2, 3, 5])
def test_there_are_two_to_so_many_tables_all_connected(most):
    for n in range(15):
        database = make("astronomy", str(n), tables=most)
        assert 2 <= len(database.tables) <= most
        linked = {database.links[0].child}
        for _ in database.links:
            linked |= {end for link in database.links for end in (link.child, link.parent) if {link.child, link.parent} & linked}
        assert linked == set(database.tables)


def test_every_foreign_key_has_its_parent_and_only_one_to_the_own_table_may_be_null(many):
    for database in many:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(database.image)
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            declared = [row for table in database.tables for row in connection.execute(f'PRAGMA foreign_key_list("{table}")')]
            assert len(declared) in (0, len(database.links))
        for link in database.links:
            column = database.tables[link.child].column(link.column)
            assert set(column.non_null) <= set(database.tables[link.parent].column(link.key).values)
            assert column.has_no_null or link.child == link.parent


def test_the_file_holds_exactly_the_rows(many):
    for database in many:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(database.image)
            for table, rows in database.rows:
                stored = connection.execute(f'SELECT * FROM "{table}"').fetchall()
                assert [tuple(map(repr, row)) for row in stored] == [tuple(map(repr, row)) for row in rows]


def test_keys_differ_from_row_to_row(many):
    for database in many:
        for table in database.tables.values():
            keys = list(zip(*(table.column(name).values for name in table.key_columns), strict=True))
            assert len(set(keys)) == len(keys)
            assert (table.key is not None) == (len(table.key_columns) == 1)


def test_rows_that_refer_to_their_own_table_form_trees(many):
    links = [(database, link) for database in many for link in database.links if link.child == link.parent]
    assert len({database.db_id for database, _ in links}) >= 0.05 * len(many)
    for database, link in links:
        table = database.tables[link.child]
        parents = dict(zip(table.column(link.key).values, table.column(link.column).values, strict=True))
        assert None in parents.values()
        reached = {key for key, parent in parents.items() if parent is None}
        for _ in parents:
            reached |= {key for key, parent in parents.items() if parent in reached}
        assert reached == set(parents)
        assert link.role


def test_two_references_to_one_parent_lead_to_different_rows(many):
    databases = 0
    for database in many:
        links = [link for link in database.links if link.role and link.child != link.parent]
        databases += bool(links)
        for first, second in pairwise(links):
            if (first.child, first.parent) == (second.child, second.parent):
                table = database.tables[first.child]
                assert first.role != second.role
                pairs = zip(table.column(first.column).values, table.column(second.column).values, strict=True)
                assert all(one != two for one, two in pairs)
    assert databases >= 0.03 * len(many)


# What a part of the databases has, and the least and the greatest share of them.
UNTIDY = {
    "NULLs in half of the data columns": (0.03, 0.16, lambda d: share(not c.has_no_null for c in data_columns(d)) > 0.3),
    "numbers as text": (0.04, 0.16, lambda d: any(c.number_as_text for c in data_columns(d))),
    "dates that are not ISO": (0.04, 0.16, lambda d: any(c.date_format for c in data_columns(d))),
    "codes": (0.04, 0.16, lambda d: any(c.meanings for c in data_columns(d))),
    "distractors": (0.04, 0.16, lambda d: any(c.distractor for t in d.tables.values() for c in t.columns)),
    "beyond ASCII": (0.04, 0.16, lambda d: any(not text.isascii() for text in texts(d))),
    "apostrophes": (0.04, 0.16, lambda d: any("'" in text for text in texts(d))),
    "double quotes": (0.04, 0.16, lambda d: any('"' in text for text in texts(d))),
    "stray spaces": (0.03, 0.16, lambda d: any(text != text.strip() for text in texts(d))),
    "quoted names": (0.04, 0.18, lambda d: any(map(needs_quotes, identifiers(d)))),
    "flags as numbers": (0.05, 0.25, lambda d: any(c.kind == "flag" and 1 in c.values for c in data_columns(d))),
}


@pytest.mark.parametrize("kind", UNTIDY)
def test_each_kind_of_untidiness_occurs_in_some_databases(many, kind):
    low, high, occurs = UNTIDY[kind]
    assert low <= share(map(occurs, many)) <= high


def test_what_a_question_must_know_is_noted_in_the_column(many):
    for column in (column for database in many for column in data_columns(database)):
        if column.number_as_text:
            assert all(str(float(value)) in (value, f"{value}.0") for value in column.non_null)
        elif column.kind in NUMBERS:
            assert not any(isinstance(value, str) for value in column.non_null)
        if column.kind == "date":
            dates = [datetime.strptime(value, column.date_format or "%Y-%m-%d").date() for value in column.non_null]
            assert all(column.spec.low <= value.year <= column.spec.high for value in dates)
        if column.meanings:
            assert set(column.distinct) <= set(column.meanings)
            assert set(column.meanings.values()) == set(column.spec.of)
        elif column.kind == "category":
            assert {value.lower() for value in column.distinct} <= {value.lower() for value in column.spec.of}


def test_distractors_are_no_data_columns(many):
    tables = [table for database in many for table in database.tables.values()]
    assert any(column.words.startswith("old ") for table in tables for column in table.columns if column.distractor)
    assert not any(column.distractor for table in tables for column in table.data_columns)


def test_some_parents_have_several_children_and_some_none(every):
    several = none = links = 0
    for database in every:
        for link in database.links:
            used = database.tables[link.child].column(link.column).values
            links += 1
            several += len(used) > len(set(used))
            none += len(set(used)) < len(database.tables[link.parent].column(link.key).values)
    assert several / links > 0.95
    assert none / links > 0.7


def test_labels_are_known_and_different_and_nulls_are_few(every):
    columns = [column for database in every for table in database.tables.values() for column in table.data_columns]
    values = [value for column in columns for value in column.values]
    assert 0.005 < values.count(None) / len(values) < 0.05
    for database in every:
        for table in database.tables.values():
            if table.label:
                assert len(table.label.distinct) == len(table.label.values), (database.db_id, table.name)


def test_categories_repeat_and_quantities_spread(every):
    columns = [
        column
        for database in every
        for table in database.tables.values()
        for column in table.data_columns
        if len(column.non_null) > 10
    ]
    groups = [column for column in columns if column.kind in GROUPS]
    assert sum(len(column.distinct) < len(column.non_null) * 0.7 for column in groups) / len(groups) > 0.95
    quantities = [column for column in columns if column.kind in ("measure", "price")]
    assert sum(len(column.distinct) > len(column.non_null) * 0.8 for column in quantities) / len(quantities) > 0.95


def test_values_lie_in_their_range(every):
    for database in every:
        for table in database.tables.values():
            for column in table.data_columns:
                low, high = column.spec.low, column.spec.high
                if low is not None and column.kind != "date":
                    assert all(low <= float(value) <= high for value in column.non_null), column.name


def test_a_table_never_needs_more_names_than_there_are():
    database = make("newspaper", "3", tables=4, rows=400)
    assert max(len(rows) for _, rows in database.rows) > 100
    sections = [table for table in database.tables.values() if table.singular in ("section", "department")]
    assert all(len(table.columns[0].values) <= 12 for table in sections)


def test_one_row_is_enough():
    database = make(rows=1)
    assert [len(rows) for _, rows in database.rows] == [1] * len(database.tables)
