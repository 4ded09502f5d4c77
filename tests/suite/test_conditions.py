"""What is read of a query: which literal belongs to which column, and what is joined."""

import doctest

import pytest

from sense.suite import conditions
from sense.suite.conditions import Condition, Join, TableUse, read_uses

COLUMNS = {"pet": ["id", "name", "age", "owner"], "person": ["id", "name", "city"]}


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(conditions).failed == 0


def all_conditions(sql):
    return {(use.table, c.column, c.operator, c.value) for use in read_uses(sql, COLUMNS).uses for c in use.conditions}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("age >= 3", {("pet", "age", ">=", 3)}),
        ("3 < age", {("pet", "age", ">", 3)}),
        ("age BETWEEN 2 AND 4.5", {("pet", "age", ">=", 2), ("pet", "age", "<=", 4.5)}),
        ("age IN (1, -2)", {("pet", "age", "=", 1), ("pet", "age", "=", -2)}),
        ("NOT name LIKE '%a'", {("pet", "name", "not like", "%a")}),
        ("name NOT IN ('a')", {("pet", "name", "!=", "a")}),
        ("lower(name) = 'rex' COLLATE NOCASE", {("pet", "name", "=", "rex")}),
        ('name = "Rex"', {("pet", "name", "=", "Rex")}),
        ('name = "owner"', set()),
        ("age = NULL OR age IS NULL", set()),
        ("PET.Age <> 1", {("pet", "age", "!=", 1)}),
        ("strftime('%Y', name) = '2020'", set()),
    ],
)
def test_literals_belong_to_their_columns(where, expected):
    assert all_conditions(f"SELECT * FROM Pet WHERE {where}") == expected


def test_a_column_is_looked_for_in_its_own_query_and_in_those_around():
    sql = "SELECT name FROM person WHERE EXISTS (SELECT 1 FROM pet AS p WHERE p.owner = person.id AND city = 'Oslo' AND age > 1)"
    uses = read_uses(sql, COLUMNS)
    assert set(uses.uses) == {
        TableUse("person", (Condition("city", "=", "Oslo"),)),
        TableUse("pet", (Condition("age", ">", 1),)),
    }
    assert uses.joins == (Join("pet", "owner", "person", "id"),)


def test_each_occurrence_of_a_table_has_its_own_conditions():
    sql = "SELECT name FROM pet WHERE age = 1 INTERSECT SELECT name FROM pet WHERE age = 2"
    assert [use.conditions for use in read_uses(sql, COLUMNS).uses] == [(Condition("age", "=", 1),), (Condition("age", "=", 2),)]


def test_joins_by_a_subquery():
    uses = read_uses("SELECT name FROM person WHERE id NOT IN (SELECT owner FROM pet)", COLUMNS)
    assert uses.joins == (Join("person", "id", "pet", "owner"),)


@pytest.mark.parametrize(
    ("having", "group"), [("count(*) > 2", 2), ("3 <= count(DISTINCT name)", 3), ("sum(age) > 5", 0), ("count(*) > 1000", 0)]
)
def test_the_size_of_groups(having, group):
    assert read_uses(f"SELECT owner FROM pet GROUP BY owner HAVING {having}", COLUMNS).group == group


@pytest.mark.parametrize("sql", ["", "no SQL", "SELECT (", "DROP TABLE pet", "SELECT * FROM nowhere WHERE a = 1", "(" * 5000])
def test_what_is_no_query_on_the_tables_has_no_uses(sql):
    assert read_uses(sql, COLUMNS).uses == ()


def test_sums_and_means_are_compared_by_their_column():
    assert all_conditions("SELECT owner FROM pet GROUP BY owner HAVING avg(age) > 4") == {("pet", "age", ">", 4)}
