"""How two SQL texts differ: pieces that only one of them has, and the edit distance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sense.sql.difference import edit_distance, exact_pieces, pieces

SQL = st.text(st.sampled_from("SELECT a,b*('\"` \n--/;é"), max_size=60)


@given(SQL, SQL)
def test_pieces_joined_are_the_text(one, other):
    left, right = pieces(one, other)
    assert "".join(piece.text for piece in left) == one
    assert "".join(piece.text for piece in right) == other


@given(SQL)
def test_a_text_does_not_differ_from_itself(sql):
    assert all(piece.same for side in pieces(sql, sql) for piece in side)


def test_pieces_look_at_tokens_regardless_of_case_and_space():
    left, right = pieces("SELECT name FROM item", "select  Name\nfrom items")
    assert [(piece.text, piece.same) for piece in left] == [("SELECT name FROM ", True), ("item", False)]
    assert [(piece.text, piece.same) for piece in right] == [("select  Name\nfrom ", True), ("items", False)]
    assert [piece.same for piece in pieces("SELECT 'a'", "SELECT 'A'")[0]] == [True, False]


def test_a_point_between_words_that_differ_is_no_piece_of_its_own():
    left, right = pieces("SELECT a FROM t WHERE b < 36.15", "SELECT a FROM t WHERE T1.price > 3")
    assert [piece.text for piece in left if not piece.same] == ["b < 36.15"]
    assert [piece.text for piece in right if not piece.same] == ["T1.price > 3"]
    left, right = pieces("SELECT T1.a", "SELECT T1.b")
    assert [piece.text for piece in left if not piece.same] == ["a"]


def test_texts_too_long_to_align_are_not_compared():
    assert [len(side) for side in pieces("a " * 600, "b " * 600)] == [1, 1]


def test_exact_pieces_mark_only_what_differs():
    chosen, rejected = exact_pieces("SELECT name FROM pet", "SELECT age FROM pet")
    assert chosen == [("SELECT ", True), ("name", False), (" FROM pet", True)]
    assert rejected == [("SELECT ", True), ("age", False), (" FROM pet", True)]


def test_exact_pieces_differ_in_case_and_space_too():
    assert exact_pieces("select a", "SELECT  a") == (
        [("select ", False), ("a", True)],
        [("SELECT  ", False), ("a", True)],
    )


@pytest.mark.parametrize(
    ("one", "other", "tokens"),
    [
        ("SELECT a FROM t", "SELECT a FROM t", 0),
        ("SELECT a FROM t", "SELECT b FROM t", 1),
        ("SELECT a FROM t", "SELECT a, b FROM t", 2),
        ("SELECT a FROM t WHERE a = 1", "SELECT a FROM t", 4),
    ],
)
def test_distance_counts_tokens(one: str, other: str, tokens: int):
    assert edit_distance(one, other) == edit_distance(other, one) == tokens
