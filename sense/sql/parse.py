"""What can be told from the words of a SQL text alone, without a grammar: tokens, single SELECT or not, repeatable or not.

Everything here reads hostile text: it never raises on any string, and its time grows about linearly with the length.
Syntax errors are left to SQLite, whose messages say more than a second parser's could. `tree.py` is the grammar.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

MAX_LENGTH = 100_000  # characters; no honest query is longer, and a parser's time and memory stay small

TokenKind = Literal["space", "comment", "quoted", "word", "mark"]

CLOSING_QUOTES = {'"': '"', "'": "'", "`": "`", "[": "]"}
"""The quotes that SQLite knows, and what closes each, around a name or a text."""

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<quoted>'[^']*(?:'|\Z)|"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z))
    |(?P<word>\w+)
    |(?P<mark>.)""",
    re.DOTALL | re.VERBOSE,
)

# Possessive (*+) where what follows may match the same: else a text of blanks takes the square of its length.
_ONE_SELECT = re.compile(r"\s*+SELECT\b[^;\0]*+;?\s*+\Z", re.IGNORECASE)
_CLOCKS = frozenset(["CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP"])
_TIME_FUNCTIONS = frozenset(["DATE", "TIME", "DATETIME", "JULIANDAY", "UNIXEPOCH", "STRFTIME", "TIMEDIFF"])
# With fewer arguments a call gives another result at another time or in another run.
_FEWEST_ARGUMENTS = {**dict.fromkeys(_TIME_FUNCTIONS, 1), "STRFTIME": 2, "RANDOM": 1, "RANDOMBLOB": sys.maxsize}
_VERBS = frozenset(["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "VALUES"])


# Characters around a statement that are no part of it.
_AROUND = ";\ufeff" + "".join(filter(str.isspace, map(chr, range(0x3001))))


class Token(NamedTuple):
    """A piece of SQL: `start` is its offset in characters, `depth` how many parentheses are open before it."""

    kind: TokenKind
    text: str
    start: int
    depth: int


def tokens(sql: str) -> Iterator[Token]:
    """Yields every token of `sql` by SQLite's lexical rules, spaces and comments too; an open quote or comment runs to the end.

    >>> [(token.kind, token.text) for token in tokens("SELECT 'it'")]
    [('word', 'SELECT'), ('space', ' '), ('quoted', "'it'")]
    >>> [(token.text, token.depth) for token in tokens("f(x)")]
    [('f', 0), ('(', 0), ('x', 1), (')', 1)]
    """
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind: TokenKind = match.lastgroup  # type: ignore[assignment]  # the groups are named after the kinds
        yield Token(kind, match.group(), match.start(), depth)
        if kind == "mark":
            depth += {"(": 1, ")": -1}.get(match.group(), 0)


@lru_cache(maxsize=16)  # several questions are asked of one query, one after another
def code_tokens(sql: str) -> tuple[Token, ...]:
    """The tokens that SQLite does not skip: no spaces, no comments; words are in upper case.

    >>> [token.text for token in code_tokens("select a -- the name")]
    ['SELECT', 'A']
    """
    code = (token for token in tokens(sql) if token.kind not in ("space", "comment"))
    return tuple(token._replace(text=token.text.upper()) if token.kind == "word" else token for token in code)


def tidy(sql: str) -> str:
    """A query without what may stand around it and means nothing: a byte order mark, blanks, comments and semicolons.

    >>> tidy("\ufeffSELECT name FROM pet;; -- all of them")
    'SELECT name FROM pet'
    """
    text = sql.strip(_AROUND)
    if len(text) > MAX_LENGTH or ("--" not in text and "/*" not in text):
        return text
    code = [token for token in tokens(text) if token.kind not in ("space", "comment") and token.text not in _AROUND]
    return text[code[0].start : code[-1].start + len(code[-1].text)] if code else ""


def check_select(sql: str) -> str | None:
    """None if `sql` is one SELECT, with WITH and set operations or without; else the reason why it is rejected.

    This looks at words, not at grammar: what is misspelt passes, and SQLite itself then says what is wrong with it.

    >>> check_select("WITH n AS (SELECT 1) SELECT * FROM n")
    >>> check_select("DROP TABLE pet")
    'not a SELECT: it begins with DROP'
    """
    if len(sql) > MAX_LENGTH:
        return too_long(sql)
    if _ONE_SELECT.match(sql):
        return None
    return "contains a NUL character" if "\0" in sql else _other_than_select(sql)


def too_long(sql: str) -> str:
    """The reason to reject a text of more than MAX_LENGTH characters; '' if `sql` is no longer."""
    return f"{len(sql):,} characters long; at most {MAX_LENGTH:,} are executed" if len(sql) > MAX_LENGTH else ""


def _other_than_select(sql: str) -> str | None:
    """The part of check_select that looks at every token."""
    first = last = verb = ""
    ended = False
    for token in code_tokens(sql):
        if token.text == ";":
            ended = first != ""
            continue
        if ended:
            return "several statements; only one SELECT is executed"
        first = first or token.text
        if not verb and last in ("", ")") and token.text in _VERBS and token.depth == 0:
            verb = token.text
        last = token.text
    if not first:
        return "empty"
    if first not in ("SELECT", "WITH"):
        return f"not a SELECT: it begins with {first[:20].encode(errors='replace').decode()}"
    return None if verb in ("SELECT", "") else f"not a SELECT: WITH ... {verb}"


def varies_between_runs(sql: str) -> bool:
    """Whether `sql` reads the clock (CURRENT_..., date('now'), date(), strftime('%Y')) or draws random numbers.

    >>> varies_between_runs("SELECT date('now')"), varies_between_runs("SELECT date(born) FROM pet")
    (True, False)
    >>> varies_between_runs("SELECT name FROM pet ORDER BY random()")
    True
    """
    calls: list[_Call] = []  # one for each open parenthesis
    time_calls = 0  # how many of them are calls of time functions
    last = ""
    for token in code_tokens(sql):
        word = token.text[1:-1].upper() if token.kind == "quoted" else token.text
        if (token.kind == "word" and word in _CLOCKS) or (time_calls and token.kind == "quoted" and word == "NOW"):
            return True
        if token.text == ")" and calls:
            call = calls.pop()
            time_calls -= call.of_time
            if call.arguments < _FEWEST_ARGUMENTS.get(call.name, 0):
                return True
        elif calls:
            calls[-1].arguments = max(1, calls[-1].arguments + (token.text == ","))
        if token.text == "(":
            calls.append(_Call(last, last in _TIME_FUNCTIONS))
            time_calls += calls[-1].of_time
        last = "" if token.text[0] == "'" else word
    return False


@dataclass
class _Call:
    """An open parenthesis after the word `name`, and how many arguments have been seen in it so far."""

    name: str
    of_time: bool
    arguments: int = 0
