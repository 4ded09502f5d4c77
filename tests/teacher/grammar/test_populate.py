import sqlite3
from contextlib import closing
from random import Random

import pytest

from sense.teacher.grammar import domains
from sense.teacher.grammar.domains import GROUPS
from sense.teacher.grammar.populate import invent_database


def make(name="animal_shelter", seed="0", tables=4, rows=30):
    return invent_database(f"{name}_0", domains.load(name), tables, rows, Random(seed))


@pytest.fixture(scope="module")
def every():
    return [make(name, f"{name}-{n}") for name in domains.names() for n in range(2)]


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


def test_every_foreign_key_has_its_parent_and_is_never_null(every):
    for database in every:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(database.image)
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            declared = [row for table in database.tables for row in connection.execute(f"PRAGMA foreign_key_list({table})")]
            assert len(declared) == len(database.links)
        for link in database.links:
            assert database.tables[link.child].column(link.column).has_no_null


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
                if column.kind == "date":
                    assert all(str(int(low)) <= value[:4] <= str(int(high)) for value in column.non_null)
                elif low is not None:
                    assert all(low <= value <= high for value in column.non_null), column.name


def test_a_table_never_needs_more_names_than_there_are():
    database = make("newspaper", "3", tables=4, rows=400)
    assert max(len(rows) for _, rows in database.rows) > 100
    sections = [table for table in database.tables.values() if table.singular in ("section", "department")]
    assert all(len(table.columns[0].values) <= 12 for table in sections)


def test_one_row_is_enough():
    database = make(rows=1)
    assert [len(rows) for _, rows in database.rows] == [1] * len(database.tables)
