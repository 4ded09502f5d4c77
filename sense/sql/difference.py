"""How two SQL texts differ, by difflib's alignment of their tokens: the parts only one of them has, and an edit distance."""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from itertools import groupby, pairwise
from typing import NamedTuple

from sense.sql.parse import tokens

_MOST_TOKENS = 1_000  # in both texts together; difflib's time grows with the square


class Piece(NamedTuple):
    """A part of a SQL text; `same` if the other text has it too. The pieces of a text, joined, are the text."""

    text: str
    same: bool


def edit_distance(one: str, other: str) -> int:
    """How many words and signs must be replaced, inserted or deleted to turn one SQL into the other."""
    left, right = (re.findall(r"\w+|[^\w\s]", sql) for sql in (one, other))
    steps = SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for step, i1, i2, j1, j2 in steps if step != "equal")


def exact_pieces(one: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts cut where they differ in a word, a sign or in white space, upper and lower case being different.

    Takes time with the square of the texts' length: the caller limits it.
    """
    left, right = (re.findall(r"\s+|\w+|[^\w\s]", sql) for sql in (one, other))
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    in_left = {i for block in blocks for i in range(block.a, block.a + block.size)}
    in_right = {j for block in blocks for j in range(block.b, block.b + block.size)}
    return (
        _join((text, i in in_left) for i, text in enumerate(left)),
        _join((text, j in in_right) for j, text in enumerate(right)),
    )


def pieces(one: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts cut where they differ in one of SQLite's tokens, whatever the white space, and the case outside quotes.

    Texts of more than 1,000 tokens together are not aligned: each comes as one piece, marked as the same.
    """
    left, right = _tokens(one), _tokens(other)
    if len(left) + len(right) > _MOST_TOKENS:
        return [Piece(one, True)], [Piece(other, True)]
    matcher = SequenceMatcher(None, [key for key, _ in left], [key for key, _ in right], autojunk=False)
    in_left, in_right = set[int](), set[int]()
    end_left = end_right = 0
    for (start_left, start_right, size), following in pairwise(matcher.get_matching_blocks()):  # the last one is empty
        differs_before = start_left > end_left and start_right > end_right
        end_left, end_right = start_left + size, start_right + size
        differs_after = following.a > end_left and following.b > end_right
        if size == 1 and left[start_left][0] == "." and differs_before and differs_after:
            continue  # 36.15 and T1.price have no more than a point in common
        in_left.update(range(start_left, end_left))
        in_right.update(range(start_right, end_right))
    return _join(_split_space(left, in_left)), _join(_split_space(right, in_right))


def _tokens(sql: str) -> list[tuple[str, str]]:
    """What each token is compared by, and its text with the space before it; space at the end is a token of its own."""
    keyed: list[tuple[str, str]] = []
    space = ""
    for token in tokens(sql):
        if token.kind == "space":
            space = token.text
            continue
        keyed.append((token.text.upper() if token.kind == "word" else token.text, space + token.text))
        space = ""
    return [*keyed, ("", space)] if space else keyed


def _split_space(keyed: Sequence[tuple[str, str]], same: set[int]) -> Iterable[tuple[str, bool]]:
    """The texts of tokens with their marks; the space before tokens that differ is no part of the difference."""
    for i, (_, text) in enumerate(keyed):
        if i not in same and (i == 0 or i - 1 in same):
            bare = text.lstrip()
            yield text[: len(text) - len(bare)], True
            yield bare, False
        else:
            yield text, i in same


def _join(marked: Iterable[tuple[str, bool]]) -> list[Piece]:
    """Neighbours with the same mark as one piece."""
    parts = (part for part in marked if part[0])
    return [Piece("".join(text for text, _ in run), same) for same, run in groupby(parts, key=lambda part: part[1])]
