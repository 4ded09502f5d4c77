import pytest

from sense import prompts
from sense.prompts.linking import linking_line
from sense.sql.parse import check_select


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("SELECT name FROM pet", "-- tables: pet columns: name"),
        ("select NAME, Name from Pet", "-- tables: Pet columns: NAME, Name"),
        ("SELECT COUNT(*) FROM pet", "-- tables: pet columns: *"),
        ('SELECT "home city" FROM "my pets"', "-- tables: my pets columns: home city"),
        (
            "WITH old AS (SELECT id FROM pet WHERE age > 3) SELECT o.name FROM owner AS o JOIN old ON old.id = o.pet_id",
            "-- tables: owner, pet columns: name, id, pet_id, age",
        ),
        ("SELECT city, COUNT(*) AS n FROM pet GROUP BY city ORDER BY n", "-- tables: pet columns: city"),
        ("SELECT name AS name FROM pet", "-- tables: pet columns: name"),
        ("SELECT name FROM pet WHERE id IN (SELECT pet_id FROM visit)", "-- tables: pet, visit columns: name, id, pet_id"),
        ('SELECT "a\nDROP" FROM pet', "-- tables: pet columns: a DROP"),
        ("SELECT name FROM", ""),
    ],
)
def test_the_line_names_tables_and_columns_once_in_the_order_of_the_query(sql, line):
    assert linking_line(sql) == line


@pytest.mark.parametrize("sql", ["SELECT name FROM pet", "WITH a AS (SELECT 1 AS b) SELECT b FROM a", "SELECT name FROM"])
@pytest.mark.parametrize("target", ["sql", "linked"])
def test_the_query_of_a_completion_is_read_back(sql, target):
    assert prompts.answer_sql(prompts.completion(sql, target)) == sql


def test_a_linked_completion_is_one_query_whose_line_is_a_comment():
    completion = prompts.completion("SELECT name FROM pet", "linked")
    assert completion == " -- tables: pet columns: name\nSELECT name FROM pet"
    assert check_select(completion) is None


def test_another_comment_before_the_query_is_left_in_it():
    assert prompts.answer_sql("-- all of them\nSELECT name FROM pet") == "-- all of them\nSELECT name FROM pet"
