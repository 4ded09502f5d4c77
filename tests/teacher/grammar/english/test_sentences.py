"""Requests in words: what may be said of a few of them, over many seeds."""

import re
from random import Random

import pytest

from sense.teacher.grammar import meaning as m
from sense.teacher.grammar.english.nouns import rows_of
from sense.teacher.grammar.english.sentences import question
from sense.teacher.grammar.english.speaker import Speaker
from tests.teacher.grammar import apiaries as a
from tests.teacher.grammar.test_sql import (
    AGE,
    ALTITUDE,
    CODE,
    FRAMES,
    KEEPER_OF_APIARY,
    NAME,
    NORTH,
    OLD,
    REGION,
    REQUESTS,
    TITLE,
)


def questions(request, count=400):
    return {question(request, Random(str(seed)))[0] for seed in range(count)}


def nouns(entity, count=300):
    """All ways to speak of the rows of an entity."""
    return {rows_of(Speaker(Random(str(seed))), entity) for seed in range(count)}


def keepers(*filters):
    return m.Entity(a.KEEPER, filters)


def test_conditions_on_a_quantity():
    spoken = nouns(keepers(OLD))
    assert {"keepers older than 35", "keepers with an age above 35", "keepers whose age is above 35"} <= spoken
    assert "old keepers" in spoken


def test_conditions_before_and_after_the_noun():
    certified = m.Comparison(m.Attribute(a.KEEPER, a.CERTIFIED), "=", ("yes",))
    french = m.Comparison(m.Attribute(a.KEEPER, a.COUNTRY), "=", ("France",))
    assert "certified keepers from France" in nouns(keepers(certified, french))
    hired = m.Comparison(m.Attribute(a.KEEPER, a.HIRED, (), "year"), "=", (2020,))
    assert "keepers hired in 2020" in nouns(keepers(hired))


def test_conditions_on_other_tables_come_last():
    in_north = m.OfParent(a.CONTAINS, m.Entity(a.APIARY, (NORTH,)), "join")
    many = m.Comparison(FRAMES, ">", (9,))
    spoken = nouns(m.Entity(a.HIVE, (many, in_north)))
    assert {
        "hives with more than 9 frames in an apiary in the north",
        "hives with more than 9 frames in apiaries in the north",
    } <= spoken
    assert all(re.search(r"(in the|region is|the region) ['\"]?[Nn]orth['\"]?$", text) for text in spoken)


def test_children():
    without = m.WithChildren(a.RUNS, m.Entity(a.APIARY), "in", True)
    assert nouns(keepers(without)) == {
        "keepers who run no apiaries",
        "keepers without any apiaries",
        "keepers who have no apiary",
    }
    several = m.WithChildren(a.RUNS, m.Entity(a.APIARY), "in", False, ">=", 3)
    assert {"keepers who run at least 3 apiaries", "keepers who run no fewer than three apiaries"} <= nouns(keepers(several))


def test_the_named_row_does_not_count_itself():
    same = m.AgainstNamed(REGION, "=", "Hill")
    spoken = nouns(m.Entity(a.APIARY, (same,)))
    assert spoken
    assert all("other than" in text or "apart from" in text for text in spoken)


def test_a_vague_word_comes_with_its_meaning():
    listing = m.Listing(keepers(OLD), (NAME,))
    asked = {question(listing, Random(str(seed))) for seed in range(400)}
    vague = [(text, evidence) for text, evidence in asked if re.search(r"\bold keeper", text.lower())]
    assert vague
    assert {evidence for _, evidence in vague} == {"old means that age is above 35"}
    assert {evidence for text, evidence in asked if "old keeper" not in text.lower()} == {""}


def test_one_row_by_its_name():
    request = m.Listing(keepers(m.Comparison(NAME, "=", ("Ada",))), (AGE,))
    spoken = questions(request)
    assert {"How old is Ada?", "How old is the keeper Ada?"} <= spoken


def test_superlatives():
    request = m.Listing(keepers(), (NAME,), order=(m.OrderKey(AGE, True),), limit=1)
    spoken = questions(request)
    assert {"Who is the oldest keeper?", "What is the name of the oldest keeper?"} <= spoken
    second = m.Listing(keepers(), (NAME,), order=(m.OrderKey(AGE, True),), limit=1, offset=1)
    assert all("second" in text.lower() for text in questions(second))


def test_columns_of_other_rows_stand_behind_the_rows():
    mentors = m.Listing(keepers(), (NAME, m.Attribute(a.KEEPER, a.AGE, (a.MENTOR,))))
    spoken = questions(mentors)
    assert "What are the names of the keepers and the ages of their mentors?" in spoken
    assert "What are the name of each keeper and the age of their mentor?" in spoken
    assert any(text.startswith("For each keeper, what are the name and the age of the mentor") for text in spoken)
    far = m.Listing(m.Entity(a.HIVE), (CODE, m.Attribute(a.KEEPER, a.AGE, (a.CONTAINS, a.RUNS))))
    assert "What are the codes of the hives and the ages of the corresponding keepers?" in questions(far)
    long = m.Listing(m.Entity(a.APIARY, (NORTH, m.Comparison(ALTITUDE, ">", (400,)))), (TITLE, KEEPER_OF_APIARY))
    assert all(
        "name" not in text or re.search(", together with the names? of|titles? and the names?", text) for text in questions(long)
    )


def test_what_takes_many_words_stands_behind_the_rows():
    classed = questions(m.Listing(keepers(), (NAME, m.Classed(AGE, 40, "high", "low"))))
    assert any(
        re.search("of (each|every) keeper, and the label 'high' if their age is above 40 and 'low'", text) for text in classed
    )
    upper = questions(m.Listing(keepers(), (NAME, m.Changed("upper", m.Attribute(a.KEEPER, a.COUNTRY)))))
    assert any("keeper, and their country in capital letters" in text for text in upper)
    joined = questions(m.Listing(keepers(), (m.Joined(NAME, m.Attribute(a.KEEPER, a.COUNTRY), ", "),)))
    assert any(re.search("name and country of (each|every) keeper, joined by ', '", text) for text in joined)


def test_one_condition_or_another_says_how_far_it_reaches():
    spanish = m.Comparison(m.Attribute(a.KEEPER, a.COUNTRY), "=", ("Spain",))
    spoken = nouns(keepers(m.Comparison(m.Attribute(a.KEEPER, a.CERTIFIED), "=", ("yes",)), m.Either(OLD, spanish)))
    assert any("certified keepers who either are older than 35 or are from Spain" in text for text in spoken)
    assert any("with either an age above 35 or" in text for text in nouns(m.Entity(a.KEEPER, (m.Either(OLD, OLD),))))


def test_groups_with_conditions_count_what_meets_them():
    grouping = m.Grouping(
        m.Entity(a.APIARY, (NORTH,)), (KEEPER_OF_APIARY,), (m.Count(),), identity=True, having=m.Having(m.Count(), ">", 2)
    )
    for text in questions(grouping):
        assert re.search(r"only for keepers with .*apiaries|for the keepers with .*apiaries", text)
        assert len(re.findall("[Nn]orth", text)) == 2, text


def test_averages_of_groups_are_of_rows_that_there_are():
    grouping = m.Grouping(m.Entity(a.APIARY), (KEEPER_OF_APIARY,), (m.Aggregate("AVG", ALTITUDE),), identity=True)
    assert not any("at least one" in text for text in questions(grouping))


def test_a_number_beside_the_first_group_is_that_of_the_group():
    first = m.Grouping(m.Entity(a.APIARY), (REGION,), (m.Count(),), order=(m.OrderKey(m.Count(), True),), limit=1)
    assert all(text.rstrip(".?").endswith("together with its number of apiaries") for text in questions(first))


def test_names_in_both_lists():
    request = m.Combining(
        "INTERSECT",
        m.Listing(m.Entity(a.APIARY, (NORTH,)), (TITLE,)),
        m.Listing(m.Entity(a.APIARY, (m.Comparison(ALTITUDE, ">", (400,)),)), (TITLE,)),
    )
    assert any(
        re.search("titles of the apiaries in the ['\"]?[Nn]orth['\"]? that also have an altitude above 400 metres", text)
        for text in questions(request)
    )


def test_sorted_by_two_columns_the_first_one():
    request = m.Listing(
        keepers(), (NAME,), order=(m.OrderKey(m.Attribute(a.KEEPER, a.COUNTRY), False), m.OrderKey(AGE, True)), limit=1
    )
    assert all("first keeper when all of them are" in text for text in questions(request))


def test_the_sides_of_a_long_percentage_are_clear():
    old = m.Measuring(
        m.Entity(a.HIVE, (m.OfParent(a.CONTAINS, m.Entity(a.APIARY, (NORTH,)), "join"),)),
        (m.CountIf(m.Comparison(FRAMES, ">", (9,)), True),),
    )
    for text in questions(old):
        assert re.search("percentage of the hives|among the hives in .*[Nn]orth['\"]?, of those that have .* 9 frames", text), (
            text
        )


def test_a_meaning_is_evidence_only_where_its_word_is_used():
    named = m.Listing(keepers(m.AgainstNamed(AGE, ">", "Ada"), OLD), (NAME,))
    for text, evidence in {question(named, Random(str(seed))) for seed in range(400)}:
        assert ("old means" in evidence) == bool(re.search(r"\bold\b", text.lower())), text


def test_more_than_one_is_followed_by_a_singular():
    several = m.Grouping(m.Entity(a.APIARY), (REGION,), (), having=m.Having(m.Count(), ">", 1))
    for text in questions(several):
        assert re.search("(more than|over) (1|one) apiary", text), text


def test_rows_of_one_table_are_told_apart_by_their_verb():
    alone = m.WithChildren(a.MENTOR, m.Entity(a.KEEPER), "in", True)
    assert nouns(keepers(alone)) == {"keepers who teach no keepers"}


def test_no_order_without_its_column():
    wide = m.Attribute(a.APIARY, a.column("width", "integer", most=("largest",), least=("smallest",), values=(1, 2, 3, 4)))
    request = m.Listing(m.Entity(a.APIARY), (TITLE,), order=(m.OrderKey(wide, True),))
    assert all("width" in text for text in questions(request))


def test_no_long_subject_between_do_and_have():
    long = m.Entity(a.APIARY, (NORTH, m.Comparison(ALTITUDE, ">", (400,))))
    for request in (m.Listing(long, (REGION,), distinct=True), m.Measuring(long, (m.Count(REGION),))):
        assert not any(text.endswith(" have?") for text in questions(request))


def test_groups_without_rows_are_spoken_of():
    inner = m.Grouping(m.Entity(a.APIARY), (KEEPER_OF_APIARY,), (m.Count(),), identity=True)
    assert all("at least one" in text for text in questions(inner))
    outer = m.Grouping(m.Entity(a.APIARY), (NAME,), (m.Count(),), identity=True, outer=a.RUNS)
    assert all(re.search("without any|0 for those that have none", text) for text in questions(outer))


def test_counts_and_styles():
    spoken = questions(m.Measuring(m.Entity(a.APIARY, (NORTH,)), (m.Count(),)))
    assert {"How many apiaries are in the north?", "How many apiaries in the north are there?"} <= spoken
    assert any(text.startswith(("Could you", "Can you", "Please")) for text in spoken)
    assert any(". How many are there?" in text for text in spoken)
    assert any(not text.endswith(("?", ".")) for text in spoken)


def test_rows_are_listed_without_the_name_of_their_label():
    spoken = questions(m.Listing(m.Entity(a.APIARY, (NORTH,)), (TITLE,)))
    assert "Which apiaries are in the north?" in spoken
    assert any("title" in text for text in spoken)


@pytest.mark.parametrize("sql", REQUESTS)
def test_every_question_is_well_formed(sql):
    for text in questions(REQUESTS[sql], 60):
        assert re.fullmatch(r"[A-Z][^{}]*", text), text
        assert not re.search(r"  | ,|\bthe the\b|\bof of\b|\ba [aeio]|\ban [bcdfgjklmnpqrtvwxyz]|None", text), text
