"""Wishes follow the shares of the section, and what is missing of them among the examples that are there."""

import random
from collections import Counter
from typing import Any

import pytest

from sense.config import LlmConfig, SynthesizeConfig
from sense.records import Example, Hardness
from sense.teacher.quotas import ROUND, Quotas, Wish, asked_and_kept, count_wishes, known_units

LEVELS = {"easy": 0.5, "hard": 0.5}
SQL: dict[Hardness, str] = {
    "easy": "SELECT name FROM bell",
    "hard": "SELECT name FROM bell WHERE kg > (SELECT AVG(kg) FROM bell)",
}


def quotas(seed: int = 0, levels: dict[str, float] = LEVELS, **llm: Any) -> Quotas:
    settings = LlmConfig.model_validate({"model": "m", "quotas": {"hard": {"HAVING": 0.5}}} | llm)
    return Quotas(SynthesizeConfig.model_validate({"seed": seed, "teacher": "llm", "llm": settings, "levels": levels}), settings)


def example(level: Hardness, style: str = "question") -> Example:
    fields = {"id": "x", "db_id": "d", "question": "?", "sql": SQL[level], "source": "llm", "hardness": level, "style": style}
    return Example.model_validate(fields)


def wishes_of(some: Quotas, numbers: range) -> list[Wish]:
    return [wish for number in numbers for wish in some.wishes(number)]


def test_half_of_the_units_before_are_known_in_whole_rounds():
    for number in range(200):
        assert known_units(number) % ROUND == 0
        assert number / 2 - ROUND < known_units(number) <= number / 2


def test_at_first_the_shares_of_the_section_are_asked_for():
    wishes = wishes_of(quotas(questions=10), range(2 * ROUND))
    counts = count_wishes(wishes)
    assert len(wishes) == 160
    assert counts["level", "easy"] == counts["level", "hard"] == 80
    assert 30 <= counts["feature", "HAVING"] <= 50  # 40, of the hard ones
    assert not any(wish.feature for wish in wishes if wish.level == "easy")
    assert 36 <= counts["style", "question"] <= 60  # 30%
    assert counts["style", "with evidence"] > 0
    unit = quotas(questions=10).wishes(3)
    assert [wish.level for wish in unit] == ["easy"] * 5 + ["hard"] * 5
    assert unit == quotas(questions=10).wishes(3) != quotas(seed=1, questions=10).wishes(3)


def test_a_level_that_is_left_out_is_never_asked_for():
    assert {wish.level for wish in wishes_of(quotas(levels={"hard": 1}), range(8))} == {"hard"}


def test_what_is_missing_is_asked_for_as_soon_as_its_round_is_known():
    some = quotas(questions=10)
    asked = [some.wishes(number) for number in range(2 * ROUND)]
    for number in range(ROUND):  # no hard question is kept, and no style but one
        assert not some.is_ready(2 * ROUND)
        some.add(asked[number], [example("easy")] * 5, "Bell  foundry" if number < 6 else "ships")
    assert some.is_ready(2 * ROUND)
    wishes = wishes_of(some, range(2 * ROUND, 4 * ROUND))
    counts = Counter(wish.level for wish in wishes)
    assert counts["hard"] > 0.8 * len(wishes)  # 5 of 6 are missing, and hardly any that was asked for came
    assert counts["easy"] > 0
    assert sum(wish.style == "question" for wish in wishes) == 0  # of these there are enough already
    assert some.avoid(2 * ROUND) == ["bell foundry"]
    assert some.avoid(2 * ROUND - 1) == []


def test_a_feature_that_is_there_already_is_asked_for_no_more():
    some = quotas(questions=10, quotas={"hard": {"subquery": 0.3, "HAVING": 0.3}})
    for number in range(ROUND):
        some.add(some.wishes(number), [example("easy")] * 5 + [example("hard")] * 5, "")
    counts = count_wishes(wishes_of(some, range(2 * ROUND, 4 * ROUND)))
    assert counts["feature", "subquery"] == 0
    assert counts["feature", "HAVING"] > 40


def test_a_model_that_fails_at_what_is_hard_is_asked_for_more_of_it_until_the_shares_are_met():
    chances = {"easy": 0.95, "hard": 0.3}
    some, rng = quotas(questions=10), random.Random(0)
    kept: Counter[str] = Counter()
    for number in range(100):
        wishes = some.wishes(number)
        examples = [example(wish.level, wish.style) for wish in wishes if rng.random() < chances[wish.level]]
        kept.update(each.hardness for each in examples)
        some.add(wishes, examples, "")
    assert 0.45 <= kept["hard"] / kept.total() <= 0.55  # without, it would be 0.24


def test_asked_and_kept_are_counted_by_level_feature_and_style():
    wishes = [Wish("easy", None, "question"), Wish("hard", "HAVING", "polite")]
    counts = asked_and_kept(count_wishes(wishes), [example("hard", "polite")])
    assert counts["level"]["easy"] == {"asked": 1, "kept": 0}
    assert counts["level"]["hard"] == {"asked": 1, "kept": 1}
    assert counts["feature"] == {
        "HAVING": {"asked": 1, "kept": 0},
        "aggregate": {"asked": 0, "kept": 1},
        "subquery": {"asked": 0, "kept": 1},
    }
    assert counts["style"] == {"polite": {"asked": 1, "kept": 1}, "question": {"asked": 1, "kept": 0}}


@pytest.mark.parametrize("bad", [{"quotas": {"hard": {"joins": 0.1}}}, {"quotas": {"hard": {"join": 1.5}}}, {"questions": 0}])
def test_a_quota_of_what_is_not_known_is_refused(bad):
    with pytest.raises(ValueError, match=r"quotas|questions"):
        quotas(**bad)
