"""The SQL in what a model wrote: past its thoughts, out of its fences, tags and JSON, without the prose around it.

Where a statement ends is decided by grammar, not by words: SQLite parses the text up to a place, and says whether it is a whole
statement, the beginning of one, or neither. Wrong SQL stays wrong: nothing is cut off that might belong to the statement, because
what is left would run and answer another question.

Everything here reads hostile text: it never raises on any string, and its time grows about linearly with the length.
"""

import atexit
import functools
import html
import itertools
import json
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from sense.sql.parse import MAX_LENGTH, tokens

# --- Thoughts

_THOUGHT = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|scratchpad|reflection|inner_?monologue)"
_THOUGHT_BEGIN = re.compile(
    rf"<{_THOUGHT}>|(?-i:\[THINK\])|\u25c1{_THOUGHT}\u25b7|<\|(?:begin_of_thought|start_thinking|begin_of_thinking)\|>"
    r"|(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*(?:analysis|commentary)\b",
    re.IGNORECASE,
)
_THOUGHT_END = re.compile(
    rf"</{_THOUGHT}>|\[/THINK\]|\u25c1/{_THOUGHT}\u25b7|<\|(?:end_of_thought|end_thinking|end_of_thinking)\|>"
    # OpenAI's harmony format, and what is left of it where special tokens are not decoded
    r"|<\|channel\|>\s*final\b[^<\n]*<\|message\|>|assistantfinal(?=\s*+(?:(?-i:[^a-z])|select\b|with\b))",
    re.IGNORECASE,
)

# --- Containers. Possessive (*+) where what follows may match the same: else a text of one sign takes the square of its length.

_ANSWER_TAG = re.compile(
    r"<(?P<tag>(?:final_?)?answer|response|output)\b[^<>]*>(?P<sql>.*?)(?:</(?P=tag)>|\Z)", re.IGNORECASE | re.DOTALL
)
_SQL_TAG = re.compile(
    r"<(?P<tag>(?:final_?)?sql(?:_?query)?|query|code)\b[^<>]*>(?P<sql>.*?)(?:</(?P=tag)>|\Z)|\[SQL\](?P<bracket>.*?)(?:\[/SQL\]|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_JSON_TEXT = re.compile(
    r"""["'](?:\w*sql\w*|\w*query|statement|\w*answer|response|result|output|code|arguments)["']\s*+:\s*+(?:
    (?P<long>\"{3}|'{3})(?P<raw>.*?)(?:(?P=long)|\Z)
    |"(?P<double>(?:[^"\\]|\\.)*+)(?:"\s*+[],}]|"?\Z)
    |'(?P<single>(?:[^'\\]|\\.)*+)(?:'\s*+[],}]|'?\Z))""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_FENCE = re.compile(r"(?P<fence>`{3,}+|~{3,}+)(?P<label>[ \t]*+[\w+-]*+)(?P<sql>.*?)(?:(?P=fence)|\Z)", re.DOTALL)
_SQL_LABELS = frozenset(["sql", "sqlite", "sqlite3", "postgresql", "postgres", "mysql", "tsql", "ansi"])
# What introduces the last of several tries, directly before it.
_FINAL = re.compile(
    r"\b(?:final|correct(?:ed)?|revised|fixed|improved)\s+(?:sql|query|answer|version|statement)(?:\s+(?:sql|query|is))*[\s:*_]*+"
    r"(?=[`~<{\"'(]|SELECT\b|WITH\b)",
    re.IGNORECASE,
)
# What a model that writes XML or HTML puts in the place of signs, or around a text.
_MARKUP = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#x?[0-9a-f]{1,6});|<!\[CDATA\[|\]\]>", re.IGNORECASE)
# What introduces another way to say the same or the answer to another question, after the answer.
_ASIDE = re.compile(
    r"\b(?:alternativ\w*|equivalent\w*|another way|other way|also|if you|optional\w*|for example)\b|^\W*or\b", re.IGNORECASE
)

# --- Statements

_GAP = r"(?:\s|--[^\n]*+\n|/\*(?:[^*]|\*(?!/))*+\*/)"
_NAME = r"(?:\w+|\"[^\"\n]*\"|`[^`\n]*`|\[[^\[\]\n]*\])"
_BEGIN = (
    rf"(?:SELECT\b|WITH{_GAP}++(?:RECURSIVE{_GAP}++)?{_NAME}{_GAP}*+(?:\([^()]*\){_GAP}*+)?"
    rf"\w{{0,3}}{_GAP}*+(?:NOT{_GAP}++)?(?:MATERIALIZED{_GAP}*+)?\()"  # AS, or what was to be AS
)
_WHOLE = re.compile(rf"[\s;\ufeff]*+({_GAP}*+{_BEGIN})", re.IGNORECASE)  # comments in front of a statement belong to it
# Where a statement begins within other text, the likeliest first: a line or what follows a colon, then capitals, then anywhere.
_LINE = (
    r"(?:^[ \t>*#\d.()\[\"'_\u201c\u2022-]*+|[:`][ \t*_\"'(]*+|\w>[ \t]*+|\{[ \t]*+|\((?=WITH)"
    r"|^[ \t*_#]*+sql\w*+[ \t>:*_]*+)"
)
_ANYWHERE = re.compile(rf"\b({_BEGIN})", re.IGNORECASE)
_STARTS = (
    re.compile(rf"{_LINE}({_BEGIN})", re.MULTILINE | re.IGNORECASE),
    re.compile(rf"\b({_BEGIN})"),
    _ANYWHERE,
)
# In front of a SELECT that is part of a statement.
_SKIPPED = r"\s*(?:--[^\n]*\n\s*|/\*[^*]*\*/\s*)*"
_INSIDE = re.compile(
    r"(?:\b(?:UNION|ALL|INTERSECT|EXCEPT)|(?:[=<>,(+*/|-]|\b(?:IN|EXISTS|FROM|JOIN|AS|NOT|SELECT|DISTINCT|WHERE|AND|OR|ON|HAVING|BY|THEN|ELSE|"
    r"WHEN|LIMIT|BETWEEN|LIKE|IS|ANY|SOME|MATERIALIZED))"
    rf"{_SKIPPED}\(){_SKIPPED}\Z",
    re.IGNORECASE,
)
_CLOSERS = {
    "`": "`",
    '"': '"',
    "'": "'",
    "(": ")",
    "[": "]",
    "{": "}",
    "*": "*",
    "_": "_",
    "\u201c": "\u201d",
    "\u2018": "\u2019",
}
_END_MARK = re.compile(
    r"`{3}|~{3}|</?s>|<\|[^|<>\n]{1,40}\|>|<\uff5c[^\uff5c\n]{1,40}\uff5c>|</?(?:end|start)_of_turn>|<eo[st]>"
    r"|</?[a-z_]*(?:sql|query|answer|code)>|\[/?(?:SQL|INST|ANSWER|END|EOS|PAD)\]|^###"
    r"|^[ \t]*+(?:question|user|human|assistant|explanation|note|output|result)s?\s*+:",
    re.IGNORECASE | re.MULTILINE,
)
_BLANK_LINE = re.compile(r"\n[ \t\r]*+\n\s*+")
_NEW_LINE = re.compile(r"\n\s*+")
_SENTENCE = re.compile(r"\w++(?:,?[ \t]++(?!FROM\b)\w[\w'\u2019-]*+){2,}+[.:!?]")
_SENTENCE_END = re.compile(r"[.!?:](?:\s++(?=[A-Z][a-z'\u2019]*+(?:,?[ \t]++[a-z][\w'\u2019-]*+){2})|\s*+\Z)")
_STATEMENT = re.compile(
    r"(?:SELECT|WITH|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|PRAGMA|EXPLAIN|REPLACE|VALUES|BEGIN)\b", re.IGNORECASE
)
_OTHER_STATEMENT = re.compile(r"(?:INSERT\s+INTO|DELETE\s+FROM|CREATE|DROP|ALTER|PRAGMA|EXPLAIN)\s", re.IGNORECASE)
# What a line of words for people begins with. Wrong SQL must not match: it would be cut off, and what is left would run.
_PROSE = re.compile(
    r"""[|#\u2022]|\*\*|>[ \t]*+[A-Za-z]|[-+*][ \t]|\d++[.)][ \t]  # a table, a heading, a list, a quotation
    |[^\W\d_A-Za-z]|[^\w\s'"(\[`.,;=<>+/*%&|!~-]  # another script, an emoji
    |[A-Za-z][\w'\u2019 ]*+:                 # Note: ...
    |[A-Z][a-z'\u2019]*+(?:,?[ \t]++\w[\w'\u2019-]*+){2}
    |[A-Za-z][^\n]*?[.!?:]["')\]*_]*+\s*+$""",
    re.VERBOSE | re.MULTILINE,
)
_PROSE_AFTER_BLANK = re.compile(rf"{_PROSE.pattern}|[a-z][\w'\u2019-]*+(?:,?[ \t]++\w[\w'\u2019-]*+){{3}}", _PROSE.flags)
_IMPLICIT_ALIAS = re.compile(r"\n[ \t\r]*+\n\s*+([A-Za-z]\w*+)\Z")
_MAX_STATEMENTS, _MAX_ENDS = 20, 60  # that are tried in one text; those that people and models write have a few

Parsed = Literal["whole", "begun", "wrong"]


class _Statement(NamedTuple):
    """A statement as it was written, whether SQLite can parse it, and where in the text it ends."""

    sql: str
    whole: bool
    end: int


def extract(completion: str) -> str:
    """The SELECT that a completion answers with; '' if there is none.

    A completion that begins with SQL answers with its first statement: a model that was trained to write SQL and went on. Of
    several statements in a chatty one, in fences, tags or JSON, the last is the answer, unless the text calls it another way
    to ask. What cannot be parsed is returned as far as it may be SQL, so that it fails where it is executed.

    >>> extract("Sure! The query is: SELECT name FROM pet; It lists all pets.")
    'SELECT name FROM pet'
    >>> extract("SELECT count(*)\\n\\nAS pets\\n\\nFROM pet\\n\\nThis counts them.")
    'SELECT count(*)\\n\\nAS pets\\n\\nFROM pet'
    >>> extract("I cannot answer that.")
    ''
    """
    if _WHOLE.match(completion) and _parse(completion) == "whole" and not _END_MARK.search(completion):
        return _tidy(completion)
    text = without_thoughts(completion)
    text = _MARKUP.sub(lambda match: html.unescape(match[0]) if match[0][0] == "&" else "", text)
    if answers := [match["sql"] for match in _ANSWER_TAG.finditer(text) if _ANYWHERE.search(match["sql"])]:
        text = answers[-1]
    if finals := [match.end() for match in _FINAL.finditer(text)]:
        text = text[finals[-1] :]
    return next((statement.sql for statement in _candidates(text)), "")


def without_thoughts(text: str) -> str:
    """`text` without what a reasoning model thought before its answer, also where the tag that opens or closes it is missing.

    >>> without_thoughts("<think>Perhaps 1?</think>SELECT 2"), without_thoughts("Perhaps 1?</think>SELECT 2")
    ('SELECT 2', 'SELECT 2')
    >>> without_thoughts("<reasoning>It never ends")
    ''
    """
    end = 0
    for match in _THOUGHT_END.finditer(text):
        end = match.end()
    begin = _THOUGHT_BEGIN.search(text, end)
    return text[end : begin.start() if begin else len(text)]


# --- Where statements may stand


def _candidates(text: str) -> Iterator[_Statement]:
    """The statements that may be the answer, the likeliest first."""
    if (begin := _WHOLE.match(text)) and not _is_sentence(text, begin.start(1)):
        yield _statement(text, begin.start(1), "")
    yield from _last(match["sql"] or match["bracket"] or "" for match in _SQL_TAG.finditer(text))
    yield from _last(_json_texts(text))
    yield from _last(_fences(text))
    yield from _statements(text)


def _last(pieces: Iterable[str]) -> Iterator[_Statement]:
    """The last statement in the pieces."""
    for piece in reversed(list(pieces)):
        if statements := list(_statements(piece)):
            yield statements[-1]
            return


def _json_texts(text: str) -> list[str]:
    """The texts in JSON objects (or in Python's) that may be SQL by their keys, those that begin with SQL last.

    The JSON around them may be broken.
    """
    texts = []
    for match in _JSON_TEXT.finditer(text):
        if match["raw"] is not None:
            texts.append(match["raw"])
        elif match["double"] is not None:
            texts.append(_unescape(match["double"]))
        else:
            texts.append(_unescape(match["single"].replace("\\'", "'").replace('"', '\\"')))
    texts += [inner for text in texts if text.startswith("{") for inner in _json_texts(text)]  # the arguments of a tool
    return sorted(texts, key=lambda text: _WHOLE.match(text) is not None)


def _unescape(body: str) -> str:
    try:
        return str(json.loads(f'"{body}"', strict=False))
    except ValueError:
        return body


def _fences(text: str) -> list[str]:
    """What stands in fences, the likeliest last: those of another language, asides, those without a language, those of SQL."""
    fences = []
    end = 0
    for number, match in enumerate(_FENCE.finditer(text)):
        label = match["label"].strip().lower()
        piece = match["label"] + match["sql"] if _ANYWHERE.match(label) else match["sql"]
        aside = number > 0 and _ASIDE.search(text, max(end, match.start() - 300), match.start()) is not None
        rank = 0 if label and label not in _SQL_LABELS and piece == match["sql"] else 1 if aside else 2
        fences.append((rank, number, piece))
        end = match.end()
    return [piece for _, _, piece in sorted(fences)]


def _statements(text: str) -> Iterator[_Statement]:
    """The statements that begin within `text`, one behind the other."""
    begin = _WHOLE.match(text)
    pattern = _STARTS[0] if begin else next((pattern for pattern in _STARTS if _start(pattern, text, 0) is not None), _ANYWHERE)
    start = begin.start(1) if begin else _start(pattern, text, 0)
    for _ in range(_MAX_STATEMENTS):
        if start is None:
            return
        if _is_sentence(text, start):
            start = _start(pattern, text, start + 1)
            continue
        statement = _statement(text, start, text[max(start - 1, 0) : start])
        yield statement
        start = _start(pattern, text, max(statement.end, start + 1))


def _start(pattern: re.Pattern[str], text: str, position: int) -> int | None:
    """The offset of the first statement from `position` on that is not part of another."""
    for match in itertools.islice(pattern.finditer(text, position), _MAX_STATEMENTS):
        if not _INSIDE.search(text, max(0, match.start(1) - 200), match.start(1)):
            return match.start(1)
    return None


def _is_sentence(text: str, start: int) -> bool:
    """Whether the line that begins with SELECT is a sentence: `Select the names of all pets:`."""
    line = text[start:].partition("\n")[0].strip()
    return _SENTENCE.fullmatch(line) is not None and _parse(line[:-1]) != "whole"


# --- Where a statement ends


def _statement(text: str, start: int, before: str) -> _Statement:
    """The statement that begins at `start`, behind the character `before`."""
    body = text[start : start + MAX_LENGTH + 1]
    closer = _CLOSERS.get(before, "")
    if closer and closer in body:
        closers = (match.start() for match in re.finditer(re.escape(closer), body))
        if whole_end := _last_whole(body, ((end, False) for end in itertools.islice(closers, _MAX_ENDS))):
            return _Statement(_tidy(body[:whole_end]), True, start + whole_end)
    stop = next((token.start for token in tokens(body) if token.text == ";"), len(body))
    body = body[:stop]
    if _parse(body) == "whole" and not _END_MARK.search(body):
        return _Statement(_tidy(body), True, start + stop)
    if whole_end := _last_whole(body, _ends(body)):
        return _Statement(_tidy(body[:whole_end]), True, start + whole_end)
    if _parse(body) == "whole":
        return _Statement(_tidy(body), True, start + stop)
    prose = next(
        (match.start() for match in _BLANK_LINE.finditer(body) if _is_prose(body[match.end() : match.end() + 1000], True)),
        len(body),
    )
    return _Statement(body[:prose].strip(), False, start + stop)


def _last_whole(body: str, ends: Iterable[tuple[int, bool]]) -> int:
    """The last of `ends` up to which `body` is a whole statement, 0 if there is none; an end that is certain is the last."""
    whole_end = 0
    for end, certain in ends:
        parsed = _parse(body[:end])
        if parsed == "whole":
            whole_end = end
        if parsed == "wrong" or (certain and whole_end):
            break
    return whole_end


def _ends(body: str) -> Iterator[tuple[int, bool]]:
    """Where the statement may end, from the first to the last, and whether what follows there is certainly no SQL."""
    ends: dict[int, bool] = {}
    for match in itertools.islice(_END_MARK.finditer(body), _MAX_ENDS):
        ends[match.start()] = True
    for match in _NEW_LINE.finditer(body):
        if len(ends) >= _MAX_ENDS:
            break
        blank = match.group().count("\n") > 1
        tail = body[match.end() : match.end() + 1000]
        if not tail.strip() or _is_prose(tail, blank) or (_STATEMENT if blank else _OTHER_STATEMENT).match(tail):
            ends.setdefault(match.start(), False)
    for match in itertools.islice(_SENTENCE_END.finditer(body), _MAX_ENDS):
        ends.setdefault(match.start(), False)
    comments = [(token.start, token.start + len(token.text)) for token in tokens(body) if token.kind == "comment"]
    return iter(
        sorted((end, certain) for end, certain in ends.items() if not any(start < end < stop for start, stop in comments))
    )


def _is_prose(text: str, after_blank: bool) -> bool:
    """Whether a text that begins at the start of a line reads like words for people rather than like SQL gone wrong."""
    return (_PROSE_AFTER_BLANK if after_blank else _PROSE).match(text) is not None


def _tidy(sql: str) -> str:
    """A whole statement without blanks and semicolons around it, and without a lone word after a blank line that nothing uses.

    Such a word, the heading of what came next, is the alias of the last table or column to SQLite.
    """
    sql = sql.strip("\ufeff \t\r\n;").strip().removesuffix(".").rstrip()  # a full stop behind a number is no decimal point
    alias = _IMPLICIT_ALIAS.search(sql)
    if not alias or len(re.findall(rf"\b{alias[1]}\b", sql, re.IGNORECASE)) > 1:
        return sql
    rest = sql[: alias.start()].strip()
    return rest if _parse(rest) == _parse(f"{rest} AS {alias[1]}") == "whole" else sql


# --- SQLite's grammar

_lock = threading.Lock()  # one connection for all threads: one each would be left open where a thread ends
_OPEN_QUOTE = re.compile(r"""unrecognized token: "['"`\[]""")


def _parse(sql: str) -> Parsed:
    """Whether SQLite's grammar takes `sql` as a whole SELECT, as the beginning of one, or neither.

    A view is parsed whole but not resolved: no table has to exist, and no nested CTE is expanded. Nothing is executed.
    """
    if len(sql) > MAX_LENGTH:
        return "wrong"
    try:
        with _lock:
            _connection().execute(f"EXPLAIN CREATE TEMP VIEW statement AS {sql}").close()
    except sqlite3.Error as error:
        message = str(error)
        if message == "incomplete input":
            return "begun"
        # What follows an open quote may close it; and what follows this ORDER BY belongs to it, and must not be cut off.
        if _OPEN_QUOTE.match(message) or "clause should come" in message:
            return "begun"
        return "whole" if message.startswith("parameters are not allowed") else "wrong"
    except (ValueError, UnicodeEncodeError):  # a NUL, half a surrogate pair
        return "wrong"
    return "whole"


@functools.cache
def _connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    atexit.register(connection.close)
    return connection
