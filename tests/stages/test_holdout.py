"""Which of one's own questions become dev: by the skeleton of their SQL, and the same ones when more are added."""

import pytest

from sense.decontamination.forms import skeleton
from sense.ingest import SeedQuestion
from sense.stages.holdout import hold_out_skeletons


def questions(count, first=0):
    """Two questions with one skeleton for each number."""
    pairs = [
        (f"Which {number} is {value}?", f"SELECT c{number} FROM t WHERE c{number} > {value}")
        for number in range(first, first + count)
        for value in (1, 2)
    ]
    return [SeedQuestion(index, "db", question, sql) for index, (question, sql) in enumerate(pairs)]


def test_about_half_of_the_skeletons_are_held_out_with_all_their_questions():
    seed, dev = hold_out_skeletons(questions(40), None, 0)
    assert len(seed) + len(dev) == 80
    assert 24 <= len(dev) <= 56
    assert not {skeleton(one.sql) for one in seed} & {skeleton(one.sql) for one in dev}


def test_further_questions_leave_the_others_where_they_are():
    before, after = hold_out_skeletons(questions(20), None, 0)[1], hold_out_skeletons(questions(40), None, 0)[1]
    assert {one.question for one in before} <= {one.question for one in after}
    assert hold_out_skeletons(questions(20), None, 1)[1] != before


def test_one_wording_with_two_queries_is_in_one_part():
    pairs = [
        (f"Question {number}?", f"SELECT {column} FROM t") for number in range(20) for column in (f"a{number}", f"b{number}")
    ]
    seed, dev = hold_out_skeletons([SeedQuestion(i, "db", q, sql) for i, (q, sql) in enumerate(pairs)], None, 0)
    assert seed
    assert not {one.question for one in seed} & {one.question for one in dev}


@pytest.mark.parametrize("seed", range(8))
def test_both_parts_have_a_question_where_there_are_two_skeletons(seed):
    first, second = hold_out_skeletons(questions(2), None, seed)
    assert len(first) == len(second) == 2


def test_a_limit_on_dev_leaves_the_rest_for_training():
    seed, dev = hold_out_skeletons(questions(40), 6, 0)
    assert len(dev) == 6
    assert len(seed) == 74
