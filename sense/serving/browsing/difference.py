"""How two SQL texts and two results differ: which pieces and which rows only one of them has."""

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from sense.serving.messages import Message
from sense.sql.lexer import tokens
from sense.sql.result import Result, Value

_TOKENS = 1_000  # in both texts together; difflib's time grows with the square
_COLUMNS = 30  # beyond, columns are compared in their places


class Piece(Message):
    """A part of a SQL text; `same` if the other text has it too. All pieces joined are the text."""

    text: str
    same: bool


def pieces(one: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts cut where they differ, token by token, regardless of case outside quotes and of space.

    Texts too long to be aligned come as one piece each, marked as the same.
    """
    left, right = _tokens(one), _tokens(other)
    if len(left) + len(right) > _TOKENS:
        return [Piece(text=one, same=True)], [Piece(text=other, same=True)]
    matcher = SequenceMatcher(None, [word for word, _ in left], [word for word, _ in right], autojunk=False)
    same_left, same_right = set[int](), set[int]()
    end_left = end_right = 0
    for (start_left, start_right, size), after in pairwise(matcher.get_matching_blocks()):  # the last one is empty
        differs_before = start_left > end_left and start_right > end_right
        end_left, end_right = start_left + size, start_right + size
        differs_after = after.a > end_left and after.b > end_right
        if size == 1 and left[start_left][0] == "." and differs_before and differs_after:
            continue  # 36.15 and T1.price have a point in common, which tells nobody anything
        same_left.update(range(start_left, end_left))
        same_right.update(range(start_right, end_right))
    return _joined(left, same_left), _joined(right, same_right)


def _tokens(sql: str) -> list[tuple[str, str]]:
    """What each token is compared by, and its text with the space before it; space at the end is a token of its own."""
    found: list[tuple[str, str]] = []
    space = ""
    for token in tokens(sql):
        if token.kind == "space":
            space = token.text
            continue
        found.append((token.text.upper() if token.kind == "word" else token.text, space + token.text))
        space = ""
    return [*found, ("", space)] if space else found


def _joined(found: Sequence[tuple[str, str]], same: set[int]) -> list[Piece]:
    """Neighbours that are alike as one piece; the space before a piece that differs is not part of the difference."""
    parts: list[tuple[str, bool]] = []

    def add(text: str, alike: bool) -> None:
        if parts and parts[-1][1] == alike:
            parts[-1] = (parts[-1][0] + text, alike)
        elif text:
            parts.append((text, alike))

    for number, (_, text) in enumerate(found):
        bare = text.lstrip()
        differs_after_other = number not in same and (number == 0 or number - 1 in same)
        if differs_after_other:
            add(text[: len(text) - len(bare)], True)
            add(bare, False)
        else:
            add(text, number in same)
    return [Piece(text=text, same=alike) for text, alike in parts]


def only(one: Result, other: Result) -> tuple[list[int], list[int]] | None:
    """The rows of each result that the other lacks, by number, repetitions counted; None if they have not as many columns.

    Columns may stand in another order, as they may when a verdict is made; each is taken for the one most like it.
    """
    if len(one.columns) != len(other.columns):
        return None
    left = [tuple(map(_plain, row)) for row in one.rows]
    right = [tuple(map(_plain, row)) for row in other.rows]
    order = _alignment(left, right, len(one.columns))
    right = [tuple(row[column] for column in order) for row in right]
    return _lacking(left, right), _lacking(right, left)


def _plain(value: Value) -> Value:
    """Numbers that a verdict takes for the same, made the same, nearly always."""
    if isinstance(value, float):
        rounded = float(f"{value:.6g}")
        return int(rounded) if rounded.is_integer() else rounded
    return value


def _alignment(left: Sequence[tuple[Value, ...]], right: Sequence[tuple[Value, ...]], columns: int) -> list[int]:
    """For each column of the left rows the one of the right rows with the most values in common; of equals its own place."""
    if columns > _COLUMNS or not left or not right:
        return list(range(columns))
    mine = [Counter(values) for values in zip(*left, strict=True)]
    theirs = [Counter(values) for values in zip(*right, strict=True)]
    likeness = [
        ((mine[one] & theirs[other]).total(), one == other, -one, -other) for one in range(columns) for other in range(columns)
    ]
    order = [-1] * columns
    for _, _, one, other in sorted(likeness, reverse=True):
        if order[-one] < 0 and -other not in order:
            order[-one] = -other
    return order


def _lacking(rows: Sequence[tuple[Value, ...]], others: Sequence[tuple[Value, ...]]) -> list[int]:
    left = Counter(others)
    found = []
    for number, row in enumerate(rows):
        if left[row] > 0:
            left[row] -= 1
        else:
            found.append(number)
    return found
