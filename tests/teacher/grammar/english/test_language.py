import pytest

from sense.teacher.grammar.english.language import (
    article,
    is_plural,
    join_words,
    number_word,
    plural,
    plural_of_column,
    singular,
    third_person,
)


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("pet", "pets"),
        ("branch", "branches"),
        ("policy", "policies"),
        ("bee yard", "bee yards"),
        ("date of birth", "dates of birth"),
        ("fee per hour", "fees per hour"),
        ("salesperson", "salespersons"),
        ("member of staff", "members of staff"),
        ("woman", "women"),
        ("company", "companies"),
        ("year built", "years built"),
        ("date opened", "dates opened"),
        ("material cost", "material costs"),
        ("changed by", "changed by"),
        ("first diagnosis", "first diagnoses"),
        ("pay per hour", "pay per hour"),
        ("exactness", "exactness"),
    ],
)
def test_plurals(one, many):
    assert plural(one) == many


@pytest.mark.parametrize(
    ("many", "one"),
    [
        ("days", "day"),
        ("feet", "foot"),
        ("people per hour", "person per hour"),
        ("hours in the air", "hour in the air"),
        ("delivery boxes", "delivery box"),
        ("entries", "entry"),
        ("percent", "percent"),
    ],
)
def test_singulars_of_units(many, one):
    assert singular(many) == one


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("name", "names"),
        ("bedrooms", "bedrooms"),
        ("hours per week", "hours per week"),
        ("status", "statuses"),
        ("manager's name", "manager's names"),
    ],
)
def test_the_columns_of_several_rows(words, expected):
    assert plural_of_column(words) == expected


def test_what_is_a_plural():
    assert [
        words for words in ("frames", "address", "status", "analysis", "owner's name", "lines added") if is_plural(words)
    ] == [
        "frames",
        "lines added",
    ]


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("run an apiary", "runs an apiary"),
        ("placed an order", "placed an order"),
        ("made a sale", "made a sale"),
        ("are in stock", "is in stock"),
        ("have no visit", "has no visit"),
        ("carry a parcel", "carries a parcel"),
        ("teach a course", "teaches a course"),
        ("do not work", "does not work"),
    ],
)
def test_the_third_person(verb, expected):
    assert third_person(verb) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("age", "an age"),
        ("unit price", "a unit price"),
        ("home city", "a home city"),
        ("hourly wage", "an hourly wage"),
        ("8-hour shift", "an 8-hour shift"),
        ("ID", "an ID"),
    ],
)
def test_articles(words, expected):
    assert article(words) == expected


def test_lists_and_numbers():
    assert [join_words(["a"]), join_words(["a", "b"], "or"), join_words(["a", "b", "c"])] == ["a", "a or b", "a, b and c"]
    assert [number_word(number) for number in (2, 10, 11)] == ["two", "ten", "11"]
