"""What a SQL text is: taken out of a completion, a single SELECT or not, its canonical form, its hardness.

Everything here reads hostile text: it never raises on any string, and its time grows about linearly with the length.
"""

import re
from dataclasses import dataclass

from sense.sql.canonical import fingerprint
from sense.sql.hardness import hardness
from sense.sql.lexer import code, tokens
from sense.sql.tree import MAX_LENGTH

__all__ = ["check_select", "extract", "fingerprint", "hardness", "tells_time"]

# Possessive (*+) where what follows may match the same: else a text of blanks takes the square of its length.
_ONE_LINE = re.compile(r"\s*+(SELECT\b[^;`\n]*+);?\s*+\Z", re.IGNORECASE)  # what trained models answer: nothing to look for
_ONE_SELECT = re.compile(r"\s*+SELECT\b[^;\0]*+;?\s*+\Z", re.IGNORECASE)
_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_BEGIN = (
    r"(?:SELECT\b|WITH\s+(?:RECURSIVE\s+)?(?:\w+|\"[^\"\n]*\"|`[^`\n]*`|\[[^\[\]\n]*\])\s*(?:\([^()]*\)\s*)?"
    r"AS\s*(?:NOT\s+)?(?:MATERIALIZED\s*)?\()"
)
# Where a statement begins, the likeliest first: a line or what follows "SQL:", then capitals, then anywhere.
_STARTS = (
    re.compile(rf"(?:^(?:sql\w*)?|[:>`])[ \t]*({_BEGIN})", re.IGNORECASE | re.MULTILINE),
    re.compile(rf"\b({_BEGIN})"),
    re.compile(rf"\b({_BEGIN})", re.IGNORECASE),
)
_CLAUSES = ("FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "WINDOW", "UNION", "INTERSECT", "EXCEPT", "AND", "OR")
_JOINS = ("JOIN", "LEFT", "RIGHT", "FULL", "INNER", "CROSS", "NATURAL", "ON", "USING")
_CONTINUES = frozenset([*_CLAUSES, *_JOINS])
_BEFORE_SELECT = frozenset(["UNION", "ALL", "INTERSECT", "EXCEPT", ")"])
_CLOCKS = frozenset(["CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP"])
_OF_TIME = frozenset(["DATE", "TIME", "DATETIME", "JULIANDAY", "UNIXEPOCH", "STRFTIME", "TIMEDIFF"])
_VERBS = frozenset(["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "VALUES"])


def extract(completion: str) -> str:
    """The SQL in a chatty completion: the first SELECT, preferably in a fence; '' if there is none.

    Surrounding prose, fences, the final semicolon and further statements are left out; SQL that is wrong stays wrong.
    """
    plain = _ONE_LINE.match(completion)
    if plain:
        return plain[1].strip().removesuffix(".").rstrip()
    pieces = _THINKING.sub("", completion).split("```")
    for pattern in _STARTS:
        for piece in [*pieces[1::2], *pieces[0::2]]:
            found = pattern.search(piece)
            if found:
                start = found.start(1)
                text = piece[start:]
                if piece[max(start - 1, 0) : start] == "`":
                    text = text.partition("`")[0]
                return text[: _end(text)].strip().removesuffix(".").rstrip()
    return ""


def _end(text: str) -> int:
    """Where the statement at the start of `text` ends: at a semicolon, or at a blank line before what is no SQL."""
    last, blank = "", -1
    for token in tokens(text):
        if token.kind == "space":
            if token.text.count("\n") > 1 and token.depth <= 0:
                blank = token.start
            continue
        if token.kind == "comment":
            continue
        word = token.text.upper()
        if blank >= 0 and token.kind == "word" and word not in _CONTINUES and not (word == "SELECT" and last in _BEFORE_SELECT):
            return blank
        if word == ";":
            return token.start
        last, blank = word, -1
    return len(text)


def check_select(sql: str) -> str | None:
    """None if `sql` is one SELECT, with WITH and set operations or without; else why it is rejected.

    This looks at words, not at grammar: what is misspelt passes, and SQLite itself then says what is wrong with it.
    """
    if len(sql) > MAX_LENGTH:
        return f"{len(sql):,} characters long; at most {MAX_LENGTH:,} are executed"
    if _ONE_SELECT.match(sql):
        return None
    return "contains a NUL character" if "\0" in sql else _other_than_select(sql)


def _other_than_select(sql: str) -> str | None:
    """The part of check_select that looks at every token."""
    first = last = verb = ""
    ended = False
    for token in code(sql):
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


def tells_time(sql: str) -> bool:
    """Whether the result of `sql` depends on when it runs: CURRENT_..., date('now'), date(), strftime('%Y')."""
    calls: list[_Call] = []  # a parenthesis each
    named = 0  # of them, of functions of time
    last = ""
    for token in code(sql):
        word = token.text[1:-1].upper() if token.kind == "quoted" else token.text
        if (token.kind == "word" and word in _CLOCKS) or (named and token.kind == "quoted" and word == "NOW"):
            return True
        if token.text == ")" and calls:
            call = calls.pop()
            named -= call.of_time
            if call.of_time and call.arguments < 1 + (call.name == "STRFTIME"):
                return True
        elif calls:
            calls[-1].arguments = max(1, calls[-1].arguments + (token.text == ","))
        if token.text == "(":
            calls.append(_Call(last, last in _OF_TIME))
            named += calls[-1].of_time
        last = "" if token.text[0] == "'" else word
    return False


@dataclass
class _Call:
    """An open parenthesis behind `name`, and how many arguments it has so far."""

    name: str
    of_time: bool
    arguments: int = 0
