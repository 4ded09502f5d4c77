"""Columns under other names: the draws, and golds rewritten to the letter."""

import random

import pytest

from sense.records import Example
from sense.robustness import names
from sense.robustness.plan import DatabasePlan
from sense.robustness.words import abbreviate, replace_words, split_name, synonyms
from sense.schema import Column, Schema, Table, quote_identifier

SCHEMA = Schema(
    (
        Table("city", tuple(Column(name, "TEXT", False) for name in ("id", "name", "country", "Home Country", "city"))),
        Table("Mayor", tuple(Column(name, "TEXT", False) for name in ("City_ID", "FirstName", "NAME", "salary", "nm"))),
    ),
    (),
)
PLAN = DatabasePlan(renamed={"name": "designation", "country": "nation", "home country": "Home Nation"})


def example(sql, evidence=""):
    return Example(id="a", db_id="d", question="The country?", sql=sql, source="s", hardness="easy", evidence=evidence)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT name FROM city", "SELECT designation FROM city"),
        ("SELECT  Name , id FROM city -- name", "SELECT  designation , id FROM city -- name"),
        ("SELECT T1.name FROM city AS T1 WHERE country = 'name'", "SELECT T1.designation FROM city AS T1 WHERE nation = 'name'"),
        ('SELECT "name" FROM city WHERE city = "name of it"', 'SELECT "designation" FROM city WHERE city = "name of it"'),
        ('SELECT id FROM Mayor WHERE nm = "country" OR NAME = 1', 'SELECT id FROM Mayor WHERE nm = "country" OR designation = 1'),
        ("SELECT [Home Country] FROM city", "SELECT [Home Nation] FROM city"),
        ("SELECT nm AS name FROM Mayor ORDER BY name", "SELECT nm AS designation FROM Mayor ORDER BY designation"),
    ],
)
def test_a_gold_with_the_new_names(sql, expected):
    row = names.rewrite(example(sql), SCHEMA, PLAN)
    assert (row.sql, row.question) == (expected, "The country?")


def test_what_cannot_be_rewritten_is_dropped():
    assert names.rewrite(example("SELECT id FROM city WHERE city = 'name'"), SCHEMA, PLAN) == names.NOTHING_RENAMED
    assert names.rewrite(example("SELECT name FROM a_view"), SCHEMA, PLAN) == names.UNCERTAIN
    assert names.rewrite(example("SELECT name FROM"), SCHEMA, PLAN) == names.UNCERTAIN


def test_evidence_speaks_of_the_new_names():
    row = names.rewrite(example("SELECT name FROM city", "country is Home Country, countryside = city.name"), SCHEMA, PLAN)
    assert row.evidence == "nation is Home Nation, countryside = city.designation"


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ("old refers to city = 'country'; name = 'it''s name'", "old refers to city = 'country'; designation = 'it''s name'"),
        ("the town's name and its mayors' country", "the town's designation and its mayors' nation"),
        ("COUNTRY = 'Italy' and Name LIKE 'A%', home Country>=1", "nation = 'Italy' and designation LIKE 'A%', Home Nation>=1"),
        ('land refers to Country; `NAME`, "Home country"', 'land refers to nation; `designation`, "Home Nation"'),
        ("Country is a word, NAMES = 1, Countryside = 2", "Country is a word, NAMES = 1, Countryside = 2"),
    ],
)
def test_values_in_the_evidence_stay_and_names_in_another_case_are_new_too(evidence, expected):
    assert names.rewrite(example("SELECT name FROM city", evidence), SCHEMA, PLAN).evidence == expected


def test_abbreviations_by_hand():
    plan = names.plan_abbreviations([], SCHEMA, random.Random(0))
    # `nm` is taken, so that `name` stays; `id`, and `city`, which is a table too, stay
    assert plan.renamed == {
        "country": "coun",
        "home country": "Hm Coun",
        "city_id": "Cty_ID",
        "firstname": "FrstNm",
        "salary": "sal",
    }
    assert [abbreviate(word) for word in ("customer", "name", "year", "id", "employee", "straße")] == [
        *("cust", "nm", "yr", "id", "empl", "straße"),
    ]


def test_new_names_are_in_no_gold_and_nowhere_twice():
    golds = [example('SELECT count(*) AS nation FROM city WHERE name = "label"')]
    for seed in range(30):
        plan = names.plan_synonyms(golds, SCHEMA, random.Random(seed))
        assert "country" not in plan.renamed  # "nation" is the alias of a gold
        assert plan.renamed["firstname"] in {"GivenName", "Forename"}
        assert plan.renamed["salary"] in {"pay", "wage"}
        assert "city" not in plan.renamed  # a table, too
        new = [name.lower() for name in plan.renamed.values()]
        assert len(set(new)) == len(new)
        assert not set(new) & {column.name.lower() for table in SCHEMA.tables for column in table.columns}


def test_a_word_has_one_synonym_in_a_database():
    columns = tuple(Column(f"{name}_{number}", "", False) for number, name in enumerate(["customer"] * 9))
    plan = names.plan_synonyms([], Schema((Table("t", columns),), ()), random.Random(1))
    assert len({name.split("_")[0] for name in plan.renamed.values()}) == 1
    assert len(plan.renamed) == 9


def test_the_style_of_a_name_stays():
    assert replace_words("Home City", ["town", "of origin"]) == "Town Of Origin"
    assert replace_words("HOME_CITY2", ["home", "big town"]) == "HOME_BIG_TOWN2"
    assert split_name("") == []


def test_synonyms_are_names_and_other_words():
    for word, others in synonyms().items():
        assert word not in others
        for other in others:
            assert quote_identifier(other.replace(" ", "_")) == other.replace(" ", "_"), other
            assert other == other.lower()
