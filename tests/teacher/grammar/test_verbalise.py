from random import Random

import pytest

from sense.teacher.grammar.domains import ColumnSpec
from sense.teacher.grammar.english import article, join_words, plural
from sense.teacher.grammar.pieces import Aggregate, Bound, Condition, GrammarColumn, GrammarTable, Hops, Link, Order, Rank, Side
from sense.teacher.grammar.verbalise import SYNONYM_SHARE, Verbaliser, question

WEIGHT = GrammarColumn("bodyWeight", "body weight", ("mass",), ColumnSpec(kind="measure", low=1, high=9), (3.5, 4.5))
TOES = GrammarColumn("toes", "toes", (), ColumnSpec(kind="integer", low=1, high=9), (3, 4))
BORN = GrammarColumn("born", "born", (), ColumnSpec(kind="year", low=2000, high=2009), (2001, 2002))
SPECIES = GrammarColumn("species", "species", (), ColumnSpec(kind="category", of=("dog", "cat")), ("dog", "cat"))
PET = GrammarTable("pets", "pet", "pets", (("animal", "animals"),), (WEIGHT, TOES, BORN, SPECIES), None, None)
OWNER = GrammarTable("owner", "owner", "owners", (), (), None, None)
VISIT = GrammarTable("visit", "visit", "visits", (), (), None, None)
OWNED = Link("pets", "owner_id", "owner", "id", "own")
VISITED = Link("visit", "pet_id", "pets", "id", "had")


def wordings(say):
    """All that a verbaliser may say, over many seeds."""
    return {say(Verbaliser(Random(str(seed)))) for seed in range(600)}


def test_a_condition_on_a_quantity():
    condition = Condition(PET, WEIGHT, ">", (3.5,))
    clauses = wordings(lambda verbaliser: verbaliser.condition(condition).clause)
    assert {"body weight is above 3.5", "body weight exceeds 3.5", "mass is greater than 3.5"} <= clauses
    assert {"a body weight over 3.5", "a mass above 3.5"} <= wordings(lambda verbaliser: verbaliser.condition(condition).noun)


def test_plural_columns_agree_with_their_verb():
    assert {"toes are at least 4", "toes are 4 or more"} == wordings(
        lambda verbaliser: verbaliser.condition(Condition(PET, TOES, ">=", (4,))).clause
    )
    assert {"toes equal 4", "toes are 4"} < wordings(
        lambda verbaliser: verbaliser.condition(Condition(PET, TOES, "=", (4,))).clause
    )
    assert wordings(lambda verbaliser: verbaliser.condition(Condition(PET, TOES, "between", (3, 4))).noun) == {
        "toes between 3 and 4"
    }


def test_a_year_comes_before_or_after():
    assert wordings(lambda verbaliser: verbaliser.condition(Condition(PET, BORN, "<", (2002,))).short) == {
        "born before 2002",
        "born earlier than 2002",
    }
    assert wordings(lambda verbaliser: str(verbaliser.aggregates([Aggregate("MAX", BORN)]))) == {
        "latest born",
        "most recent born",
    }


def test_a_text_is_spelt_as_it_is_with_quotes_or_without():
    clauses = wordings(lambda verbaliser: verbaliser.condition(Condition(PET, SPECIES, "=", ("guinea pig",))).clause)
    assert {"species is guinea pig", "species is 'guinea pig'", 'species equals "guinea pig"'} <= clauses
    assert all("guinea pig" in clause for clause in clauses)


def test_missing_values():
    assert "species is missing" in wordings(lambda verbaliser: verbaliser.condition(Condition(PET, SPECIES, "null", ())).clause)
    assert "species that is not missing" in wordings(
        lambda verbaliser: verbaliser.condition(Condition(PET, SPECIES, "not null", ())).short
    )


def test_orders_ranks_bounds_and_sides():
    down = wordings(lambda verbaliser: verbaliser.order(Order(TOES, True)).sorted)
    assert down == {"sorted by toes in descending order", "in descending order of toes", "ordered by toes from highest to lowest"}
    assert wordings(lambda verbaliser: verbaliser.order(Order(BORN, False)).top) == {"earliest born"}
    assert wordings(lambda verbaliser: verbaliser.rank(Rank(False)).most) == {"fewest"}
    assert wordings(lambda verbaliser: verbaliser.bound(Bound(">=", 3))) == {"at least 3", "3 or more"}
    assert wordings(lambda verbaliser: verbaliser.side(Side("<")).than) == {"less than", "lower than"}


def test_ways_over_two_keys():
    verbaliser = Verbaliser(Random("plain"))
    assert not verbaliser.uses_synonyms
    assert verbaliser.hops(Hops((VISIT, PET, OWNER), (VISITED, OWNED))) == "visits of a pet of an owner"
    assert verbaliser.hops(Hops((OWNER, PET, VISIT), (OWNED, VISITED))) == "owners that own a pet with a visit"


def test_a_small_share_of_questions_uses_other_words():
    questions = [question("counted", {"table": PET}, Random(str(seed))) for seed in range(2000)]
    other = sum("animals" in text for text in questions) / len(questions)
    assert all(("pets" in text) != ("animals" in text) for text in questions)
    assert abs(other - SYNONYM_SHARE / 2) < 0.02  # a loose question still takes the identifier's words half of the time


@pytest.mark.parametrize(
    ("one", "many"), [("pet", "pets"), ("branch", "branches"), ("policy", "policies"), ("bee yard", "bee yards")]
)
def test_plurals(one, many):
    assert plural(one) == many


def test_articles_and_lists():
    assert [article(words) for words in ("age", "unit price", "home city")] == ["an age", "a unit price", "a home city"]
    assert [join_words(["a"]), join_words(["a", "b"]), join_words(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
