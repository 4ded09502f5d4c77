"""SQLite's lexical level: where words, quotes, comments and parentheses are.

Enough to tell what kind of statement a text is, in time linear in its length, whatever the text:
syntax errors are left to SQLite, whose messages say more than a second parser's could.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

Kind = Literal["space", "comment", "quoted", "word", "mark"]

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<quoted>'[^']*(?:'|\Z)|"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z))
    |(?P<word>\w+)
    |(?P<mark>.)""",
    re.DOTALL | re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of SQL: `start` is its offset, `depth` how many parentheses are open before it."""

    kind: Kind
    text: str
    start: int
    depth: int


def tokens(sql: str) -> Iterator[Token]:
    """Every token of `sql`, spaces and comments too; a quote or comment left open runs to the end."""
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind: Kind = match.lastgroup  # type: ignore[assignment]  # the groups are named after the kinds
        yield Token(kind, match.group(), match.start(), depth)
        if kind == "mark":
            depth += {"(": 1, ")": -1}.get(match.group(), 0)


def code(sql: str) -> Iterator[Token]:
    """The tokens that mean something: no spaces, no comments; words in upper case."""
    for token in tokens(sql):
        if token.kind == "word":
            yield token._replace(text=token.text.upper())
        elif token.kind not in ("space", "comment"):
            yield token
