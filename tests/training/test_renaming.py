import random
import re

import pytest
import sqlglot

from sense.records import Example
from sense.schema import Column, ForeignKey, Schema, Table
from sense.training import renaming

SCHEMA = Schema(
    (
        Table(
            "pet",
            (
                Column("id", "INTEGER", True, ()),
                Column("pet_age", "INTEGER", False, ()),
                Column("HomeCity", "TEXT", False, ("Rome",)),
            ),
        ),
        Table("visit", (Column("pet_id", "INTEGER", False, ()), Column("cost", "REAL", False, ()))),
    ),
    (ForeignKey("visit", "pet_id", "pet", "id"),),
)


def example(question, sql):
    return Example(id="a", db_id="d", question=question, sql=sql, source="s", hardness="easy")


def names(schema):
    return {table.name: [column.name for column in table.columns] for table in schema.tables}


def test_names_and_values_change_together_in_schema_question_and_sql():
    before = example(
        "How many pets of pet age above 3 in the home city Rome?",
        "SELECT COUNT(*) FROM pet WHERE pet_age > 3 AND HomeCity = 'Rome'",
    )
    after, schema = renaming.rename(before, SCHEMA, random.Random(1))
    pet = next(name for name, columns in names(schema).items() if len(columns) == 3)
    age = next(column for column in names(schema)[pet] if column.startswith(f"{pet}_"))
    city = next(column for column in names(schema)[pet] if column not in {age, "id"})
    value = after.sql.split("'")[1]
    assert after.sql == f"SELECT COUNT(*) FROM {pet} WHERE {age} > 3 AND {city} = '{value}'"
    first, second = renaming._PART.findall(city)
    assert after.question == (
        f"How many {pet}s of {age.replace('_', ' ')} above 3 in the {first.lower()} {second.lower()} {value}?"
    )
    assert city == first.capitalize() + second.capitalize()
    assert value[0].isupper()
    assert {pet, first.lower(), second.lower(), value.lower()} <= set(renaming.replacement_words())
    old = {"pet", "age", "home", "city", "rome", "visit", "cost"}
    assert not old & set(after.question.lower().replace("?", "").split())


def test_the_schema_keeps_its_structure():
    _, schema = renaming.rename(example("pets?", "SELECT * FROM pet"), SCHEMA, random.Random(2))
    (key,) = schema.foreign_keys
    tables = names(schema)
    assert key.column in tables[key.table]
    assert key.other_column in tables[key.other_table]
    assert key.column == f"{key.other_table}_id"
    assert sorted(len(columns) for columns in tables.values()) == [2, 3]
    assert {c.type for t in schema.tables for c in t.columns} == {"INTEGER", "TEXT", "REAL"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT T1.pet_age FROM pet AS T1 JOIN visit AS T2 ON T1.id = T2.pet_id GROUP BY T1.pet_age HAVING COUNT(*) > 2",
        "SELECT \"pet_age\", PET.HomeCity FROM Pet WHERE HomeCity LIKE '%Rom%' ORDER BY pet_age DESC LIMIT 3",
        "SELECT avg(cost) FROM visit EXCEPT SELECT max(cost) FROM visit",
    ],
)
def test_the_form_of_the_sql_stays(sql):
    after, _ = renaming.rename(example("pet age, home city, visit cost?", sql), SCHEMA, random.Random(3))

    def form(text):
        tree = sqlglot.parse_one(text, read="sqlite")
        return [type(node).__name__ for node in tree.walk()]

    assert form(after.sql) == form(sql)
    assert "pet_age" not in after.sql.lower()


def test_a_name_that_the_question_only_implies_stays_and_keys_do_not():
    sql = "SELECT COUNT(*) FROM pet JOIN visit ON pet.id = visit.pet_id WHERE pet_age > 3 AND cost > 5"
    after, schema = renaming.rename(example("How many visits of the older pets were costly?", sql), SCHEMA, random.Random(1))
    columns = [column for table in names(schema).values() for column in table]
    assert "cost" in columns
    (age,) = (column for column in columns if column.endswith("_age"))
    assert age != "pet_age"
    assert "pet_id" not in columns
    assert not {"pet", "visit"} & names(schema).keys()
    assert f"{age} > 3 AND cost > 5" in after.sql


def test_the_same_seed_gives_the_same_copy_and_another_seed_another():
    before = example("pet age of pets?", "SELECT pet_age FROM pet")
    one, two = (renaming.rename(before, SCHEMA, random.Random("x")) for _ in range(2))
    assert one == two
    assert renaming.rename(before, SCHEMA, random.Random("y"))[0] != one[0]


def test_an_untokenizable_sql_has_no_copy():
    assert renaming.rename(example("?", "SELECT 'open"), SCHEMA, random.Random(0)) is None


def test_words_are_many_and_different():
    assert len(set(renaming.replacement_words())) == len(renaming.replacement_words()) >= 400


def test_examples_renamed_together_share_one_schema_and_invented_words_are_in_no_list():
    before = [
        example("How many pets have the pet age 3?", "SELECT COUNT(*) FROM pet WHERE pet_age = 3"),
        example("Which home cities have pets?", "SELECT DISTINCT HomeCity FROM pet"),
        example("What is the highest cost of a visit?", "SELECT MAX(cost) FROM visit"),
    ]
    after, schema = renaming.rename_together(before, SCHEMA, random.Random(1), invented=1.0)
    tables = names(schema)
    for row in after:
        for table in sqlglot.parse_one(row.sql, dialect="sqlite").find_all(sqlglot.exp.Table):
            assert table.name in tables
        for column in sqlglot.parse_one(row.sql, dialect="sqlite").find_all(sqlglot.exp.Column):
            assert any(column.name in columns for columns in tables.values())
            assert any(word.lower() in row.question for word in re.findall("[A-Z]?[a-z]+", column.name))
    assert not set(tables) & {*renaming.replacement_words(), "pet", "visit"}
    assert renaming.rename_together(before, SCHEMA, random.Random(1), invented=1.0) == (after, schema)


def test_invented_words_have_all_tokens_and_are_names_in_sql():
    before = [example("How many pets have the pet age 3?", "SELECT COUNT(*) FROM pet WHERE pet_age = 3")]
    tokens = ["ord", "er", "inct", "fid"]
    inventor = renaming.of_tokens(tokens)
    names_of = [
        set(names(renaming.rename_together(before, SCHEMA, random.Random(seed), invented=1.0, inventor=inventor)[1]))
        for seed in range(30)
    ]
    invented = set().union(*names_of)
    assert all(re.fullmatch("((ord|er|inct|fid)+s?_?)+", name.lower()) for name in invented)
    assert all(any(token in name.lower() for name in invented) for token in tokens)
    assert "order" not in {word for name in invented for word in name.lower().split("_")}


def test_a_word_that_one_example_needs_stays_for_all_of_them():
    before = [
        example("Pets of pet age 3?", "SELECT * FROM pet WHERE pet_age = 3"),
        example("The priciest?", "SELECT MAX(cost) FROM visit"),
    ]
    after, schema = renaming.rename_together(before, SCHEMA, random.Random(1))
    assert "cost" in after[1].sql
    assert "cost" in [column for columns in names(schema).values() for column in columns]
    with pytest.raises(ValueError, match="cannot be renamed"):
        renaming.rename_together([*before, example("?", "SELECT 'open")], SCHEMA, random.Random(1))
