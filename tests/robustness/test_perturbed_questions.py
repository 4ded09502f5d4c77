"""Questions in other words: what changes by hand, and that values stay."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sense.records import Example
from sense.robustness import questions
from sense.robustness.phrasings import _candidates
from sense.robustness.plan import DatabasePlan, Drop
from sense.robustness.protected import gold_texts, protected_spans
from sense.schema import Column, Schema, Table

SCHEMA = Schema((Table("dogs", (Column("weight", "REAL", False),)),), ())


def example(question, sql="SELECT 1"):
    return Example(id="a", db_id="d", question=question, sql=sql, source="s", hardness="easy")


def texts(rewrite, question, sql="SELECT 1"):
    """The different questions that seeds give, or the reasons to drop it."""
    rows = [rewrite(example(question, sql), SCHEMA, DatabasePlan(), random.Random(seed)) for seed in range(400)]
    return {row.reason if isinstance(row, Drop) else row.question for row in rows}


@pytest.mark.parametrize(
    ("question", "sql", "expected"),
    [
        ("How many dogs are there?", "SELECT count ( * ) FROM dog", {"What number of dogs are there?"}),
        ("Name the average age.", "SELECT avg(age) FROM dog", {"Name the mean age."}),
        ("Name the average age.", "SELECT average FROM dog", {"no keyword in the question"}),
        ("Dogs older on average?", "SELECT avg(age) FROM dog", {"no keyword in the question"}),
        ("Dogs with more than 3 cats", "SELECT 1", {"Dogs with over 3 cats", "Dogs with in excess of 3 cats"}),
        ("Dogs with no more than 3 cats", "SELECT 1", {"no keyword in the question"}),
        ("What is the number of the room?", "SELECT number FROM room", {"no keyword in the question"}),
        ("Different dogs?", "SELECT DISTINCT a FROM dog", {"Distinct dogs?", "Unique dogs?"}),
        (
            "Different dogs called 'different more than 3'?",
            "SELECT DISTINCT a FROM dog WHERE b = 'different more than 3'",
            {"Distinct dogs called 'different more than 3'?", "Unique dogs called 'different more than 3'?"},
        ),
    ],
)
def test_keywords(question, sql, expected):
    assert texts(questions.rewrite_keywords, question, sql) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "How many big dogs are there?",
            ["Count the big dogs.", "Tell me the number of big dogs.", "I need to know the number of big dogs."],
        ),
        (
            "How many dogs are there in Rome?",
            ["Count the dogs in Rome.", "Tell me the number of dogs in Rome.", "I need to know the number of dogs in Rome."],
        ),
        (
            "What is the age of Rex? List it once.",
            [
                "Tell me the age of Rex. List it once.",
                "Give me the age of Rex. List it once.",
                "I would like to know the age of Rex. List it once.",
            ],
        ),
        (
            "Which dogs are old?",
            ["Tell me which dogs are old.", "I want to know which dogs are old.", "Could you tell me which dogs are old?"],
        ),
        ("List all dogs.", ["Please list all dogs.", "I would like you to list all dogs.", "Could you list all dogs?"]),
        ("List all dogs. Rex too.", ["Please list all dogs. Rex too.", "I would like you to list all dogs. Rex too."]),
    ],
)
def test_other_phrasings(question, expected):
    assert _candidates(question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "Which dogs does Ann own?",
        "What is the dog called?",
        "How many dogs and how many cats are there?",
        "In which city is Rex?",
        "Name of the owner of Rex?",
        "Count and age of dogs?",
        "Name, age of dogs",
    ],
)
def test_a_question_whose_verb_comes_first_gets_a_sentence_before_it(question):
    lowered = question[0].lower() + question[1:]
    assert all(text.endswith(lowered) and ":" in text for text in _candidates(question))
    assert _candidates("Rex has which owner?")[0] == "I have a question: Rex has which owner?"


def test_lower_case_makes_values_small_and_leaves_the_gold():
    row = example("Dogs of Ann?", "SELECT a FROM dog WHERE b = 'Ann'")
    new = questions.rewrite_in_lower_case(row, SCHEMA, DatabasePlan(), random.Random(0))
    assert (new.question, new.sql) == ("dogs of ann?", row.sql)
    assert questions.rewrite_in_lower_case(new, SCHEMA, DatabasePlan(), random.Random(0)) == questions.UNCHANGED


def test_values_are_protected():
    row = example(
        "Which of 'big dogs' has Tony Award, born in March 2010 with brown fur, O'Neil's?",
        "SELECT a FROM d WHERE b = \"Tony Award\" AND c LIKE '%2010-03%' AND fur = 'Brown' AND e > 12.5",
    )
    spans = {row.question[start:end] for start, end in protected_spans(row)}
    assert spans == {"'big dogs'", "Tony Award", "Tony", "Award", "March", "2010", "brown", "O"}
    assert list(gold_texts(row.sql)) == ["Tony Award", "2010-03", "Brown", "12", "5"]


def test_typing_errors_by_hand():
    swapped, left_out = {"prarot", "parort", "parrto"}, {"prrot", "parot", "parrt"}
    doubled, mistaken = {"paarrot", "parrrot", "parroot"}, {"psrrot", "paerot", "patrot", "pareot", "partot", "parrit", "parrpt"}
    expected = {f"Old {word}?" for word in swapped | left_out | doubled | mistaken}
    assert texts(questions.rewrite_with_typos, "Old parrot?") == expected
    assert texts(questions.rewrite_with_typos, "How old is it?") == {questions.NO_WORD.reason}
    assert texts(questions.rewrite_with_typos, "Parrot?", "SELECT a FROM d WHERE b = 'parrot'") == {questions.NO_WORD.reason}


VALUES = ("New York", "brown", "it's", "More Than 3", "How many", "2010-03-01", "what is the", "average")


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(
    st.sampled_from(
        [
            "How many dogs are there in {}?",
            "What is the average weight of {}?",
            "List dogs with more than 3 of {}.",
            "{}?",
            "Show {} and {}",
        ]
    ),
    st.sampled_from(VALUES),
    st.sampled_from([questions.rewrite_keywords, questions.rewrite_with_typos, questions.rewrite_rephrased]),
    st.integers(0, 5),
)
def test_values_stay(template, value, rewrite, seed):
    literal = value.replace("'", "''")
    row = example(template.format(value, "dogs"), f"SELECT count(*), avg(a) FROM dogs WHERE b = '{literal}'")
    new = rewrite(row, SCHEMA, DatabasePlan(), random.Random(seed))
    if isinstance(new, Example):
        assert value in new.question
        assert new.question != row.question
        assert new.sql == row.sql
