"""The text of CREATE TABLE, as SQLite keeps it, taken apart into definitions of columns and constraints, and put together again.

Reads words and parentheses alone, by SQLite's lexical rules: types, defaults, checks and collations stay to the letter.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sense.sql.parse import CLOSING_QUOTES, Token, tokens

_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")
_WITHOUT_ROWID = re.compile(r"WITHOUT\s+ROWID", re.IGNORECASE)


class UnreadableTableError(Exception):
    """The text is no CREATE TABLE with a list of columns."""


@dataclass(frozen=True)
class ColumnDefinition:
    """A column: its name, and its text with the name, its type and its constraints."""

    name: str
    text: str


@dataclass(frozen=True)
class TableDefinition:
    """A table: `head` is the text up to the parenthesis, `tail` that behind it, such as WITHOUT ROWID."""

    head: str
    columns: tuple[ColumnDefinition, ...]
    constraints: tuple[str, ...]
    tail: str

    @property
    def sql(self) -> str:
        """The statement that creates the table."""
        definitions = [*(column.text for column in self.columns), *self.constraints]
        return f"{self.head} (\n  " + ",\n  ".join(definitions) + f"\n){self.tail}"


def read_table(sql: str) -> TableDefinition:
    """The parts of a CREATE TABLE, without its comments; UnreadableTableError if it is none.

    >>> read_table("CREATE TABLE pet(id INT, name TEXT DEFAULT 'x, y', UNIQUE (name)) STRICT").columns[1].text
    "name TEXT DEFAULT 'x, y'"
    """
    code = _without_comments(sql)
    start = next((i for i, token in enumerate(code) if token.text == "("), None)
    if start is None:
        raise UnreadableTableError(sql)
    end = next((i for i, token in enumerate(code[start:], start) if token.text == ")" and token.depth == 1), None)
    if end is None:
        raise UnreadableTableError(sql)
    columns: list[ColumnDefinition] = []
    constraints: list[str] = []
    for definition in _split(code[start + 1 : end]):
        if not _code(definition):
            raise UnreadableTableError(sql)
        if constraints or _code(definition)[0].text.upper() in _CONSTRAINTS:
            constraints += map(_text, _split_constraints(definition))
        else:
            columns.append(ColumnDefinition(_name(definition), _text(definition)))
    tail = _text(code[end + 1 :])
    return TableDefinition(_text(code[:start]), tuple(columns), tuple(constraints), f" {tail}" if tail else "")


def without_keys(table: TableDefinition) -> TableDefinition:
    """The table without primary and foreign keys, and with rowids; every other constraint stays.

    >>> without_keys(read_table("CREATE TABLE a(b INT PRIMARY KEY NOT NULL, FOREIGN KEY (b) REFERENCES c) WITHOUT ROWID")).sql
    'CREATE TABLE a (\\n  b INT NOT NULL\\n)'
    """
    columns = tuple(ColumnDefinition(column.name, _without_key_clauses(column.text)) for column in table.columns)
    constraints = tuple(text for text in table.constraints if not _is_key(text))
    options = [part.strip() for part in table.tail.split(",")]
    tail = ", ".join(part for part in options if part and not _WITHOUT_ROWID.fullmatch(part))
    return replace(table, columns=columns, constraints=constraints, tail=f" {tail}" if tail else "")


def _without_comments(sql: str) -> list[Token]:
    """The tokens, each run of blanks and comments as one blank."""
    code: list[Token] = []
    for token in tokens(sql):
        is_blank = token.kind in ("comment", "space")
        if not is_blank:
            code.append(token)
        elif code and code[-1].text != " ":
            code.append(token._replace(text=" "))
    return code


def _code(definition: Sequence[Token]) -> list[Token]:
    return [token for token in definition if token.text != " "]


def _text(definition: Sequence[Token]) -> str:
    return "".join(token.text for token in definition).strip(" ")


def _split(definitions: Sequence[Token]) -> list[list[Token]]:
    """The definitions in the parentheses of CREATE TABLE, cut at its own commas."""
    parts: list[list[Token]] = [[]]
    for token in definitions:
        if token.text == "," and token.depth == 1:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _split_constraints(definition: Sequence[Token]) -> list[list[Token]]:
    """The table constraints in a definition: SQLite does without commas between them."""
    parts: list[list[Token]] = [[]]
    for token in definition:
        begins = token.kind == "word" and token.depth == 1 and token.text.upper() in _CONSTRAINTS
        written = _code(parts[-1])
        is_named = bool(written) and written[0].text.upper() == "CONSTRAINT" and len(written) <= 2
        if begins and written and not is_named:
            parts.append([])
        parts[-1].append(token)
    return parts


def _name(definition: Sequence[Token]) -> str:
    """The name at the start of a definition, without its quotes; a quote within it is written twice, which makes two tokens."""
    code = definition[1:] if definition[0].text == " " else definition
    text = code[0].text
    for token in code[1:]:
        if token.kind != "quoted" or code[0].kind != "quoted":
            break
        text += token.text
    closing = CLOSING_QUOTES.get(text[0])
    return text[1:-1].replace(closing * 2, closing) if closing else text


def _is_key(constraint: str) -> bool:
    code = _code(_without_comments(constraint))
    if code[0].text.upper() == "CONSTRAINT":
        code = code[2:]
    return bool(code) and code[0].text.upper() in ("PRIMARY", "FOREIGN")


def _without_key_clauses(definition: str) -> str:
    """A column's definition without PRIMARY KEY and REFERENCES, and all that belongs to them."""
    code = _without_comments(definition)
    positions = [i for i, token in enumerate(code) if token.text != " "]
    upper = [code[i].text.upper() if code[i].kind == "word" and code[i].depth == 0 else code[i].text for i in positions]
    removed: set[int] = set()
    number = 1  # behind the name
    while number < len(upper):
        end = _end_of_key_clause(upper, number)
        if end == number:
            number += 1
            continue
        is_named = number >= 3 and upper[number - 2] == "CONSTRAINT"
        first = number - 2 if is_named else number
        removed |= set(range(positions[first], positions[end - 1] + 1))
        number = end
    texts = [token.text for i, token in enumerate(code) if i not in removed]
    pairs = zip(texts, [*texts[1:], ""], strict=True)
    return "".join(text for text, following in pairs if (text, following) != (" ", " ")).strip(" ")


def _end_of_key_clause(code: Sequence[str], start: int) -> int:
    """Where the clause of a key that begins at `start` ends; `start` itself if none begins there."""
    if tuple(code[start : start + 2]) == ("PRIMARY", "KEY"):
        end = _skip(code, start + 2, ("ASC",), ("DESC",))
        if tuple(code[end : end + 2]) == ("ON", "CONFLICT"):
            end += 3
        return _skip(code, end, ("AUTOINCREMENT",))
    if code[start] != "REFERENCES":
        return start
    end = start + 2
    while end < len(code) and code[end][0] in CLOSING_QUOTES and code[end - 1][-1] == CLOSING_QUOTES[code[end][0]]:
        end += 1  # a quote in the name, written twice
    if end < len(code) and code[end] == "(":
        end = code.index(")", end) + 1
    last = -1
    while end != last:
        last = end
        for event in ("DELETE", "UPDATE"):
            actions = (("SET", "NULL"), ("SET", "DEFAULT"), ("CASCADE",), ("RESTRICT",), ("NO", "ACTION"))
            end = _skip(code, end, *(("ON", event, *action) for action in actions))
        if end < len(code) and code[end] == "MATCH":
            end += 2
        end = _skip(code, end, ("NOT", "DEFERRABLE"), ("DEFERRABLE",))
        end = _skip(code, end, ("INITIALLY", "DEFERRED"), ("INITIALLY", "IMMEDIATE"))
    return end


def _skip(code: Sequence[str], start: int, *phrases: tuple[str, ...]) -> int:
    """Where a phrase ends that stands at `start`; `start` if none of them does."""
    return next((start + len(phrase) for phrase in phrases if tuple(code[start : start + len(phrase)]) == phrase), start)
