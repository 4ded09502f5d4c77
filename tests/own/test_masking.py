"""Masks: the same shape, another value, equal for equal values."""

import pytest

from sense.own.masking import _masks, mask_tables, masked_columns
from sense.own.sampling import DrawnTable
from sense.own.tables import OwnColumn, OwnReference, OwnTable


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("Ann Lee-2 ß", r"[A-Z][a-z]{2} [A-Z][a-z]{2}-\d [a-z]"),
        ("ann@mail.com", r"[a-z]{3}@[a-z]{4}\.[a-z]{3}"),
        ("+32 9 55", r"\+\d\d \d \d\d"),
        ("2024-02-29", r"20\d\d-\d\d-\d\d"),
        ("2024-13-45", r"\d{4}-\d\d-\d\d"),
        (1234, r"[1-9]\d{3}"),
        (-7, r"-\d"),
        (12.5, r"[1-9]\d\.\d"),
        (-0.25, r"-\d\.\d{1,2}"),
    ],
)
def test_a_mask_has_the_shape_of_its_value(value, shape):
    import re

    mask = _masks([value], "key")[value]
    assert mask != value
    assert type(mask) is type(value)
    assert re.fullmatch(shape, str(mask)), mask


def test_a_masked_date_is_a_date():
    from datetime import date

    for day in range(1, 29):
        value = f"2023-02-{day:02}"
        mask = _masks([value], "key")[value]
        assert date.fromisoformat(str(mask)) != date.fromisoformat(value)


def test_all_letters_stay_different_although_each_of_them_is_taken():
    letters = "abcdefghijklmnopqrstuvwxyz"
    masks = _masks(letters, "key")
    assert len(set(masks.values())) == 26
    assert all(masks[letter] != letter for letter in letters)


def test_another_key_gives_other_masks_and_the_same_key_the_same():
    values = [f"person {number}" for number in range(50)]
    assert _masks(values, "one") == _masks(list(reversed(values)), "one") != _masks(values, "two")


def test_what_a_foreign_key_joins_is_masked_together():
    parent = OwnTable("person", (OwnColumn("email", ""), OwnColumn("age", "")), ("email",))
    child = OwnTable("letter", (OwnColumn("to", ""),), (), (OwnReference(("to",), "person", ("email",)),))
    columns = masked_columns([parent, child], ["letter.to"], "post")
    assert columns == {("person", "email"), ("letter", "to")}
    drawn = [DrawnTable(parent, [("a@b.c", 30), ("d@e.f", 40)]), DrawnTable(child, [("d@e.f",), (None,), ("d@e.f",)])]
    people, letters = mask_tables(drawn, columns, "key")
    assert [row[1] for row in people.rows] == [30, 40]
    assert letters.rows == [(people.rows[1][0],), (None,), (people.rows[1][0],)]
    assert {row[0] for row in people.rows} & {"a@b.c", "d@e.f"} == set()
