"""The outermost ORDER BY of a query, read from its words: what it sorts by, and a query that returns these keys as well.

A gold's rows that agree in all sort keys are ties. Keys that are columns of the result need nothing more; the others (hidden
columns, expressions, what a `*` may hold or not) are appended to the result's columns in the text itself, so that SQLite computes
them in the same execution, from the same rows. It needs no tree, so it works for queries that sqlglot cannot parse too.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import NamedTuple

from sense.sql.parse import Token, tokens
from sense.sql.ties import Ordering

_CLAUSES = frozenset(["FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT"])  # what may end a list of columns
_SET_OPERATORS = frozenset(["UNION", "INTERSECT", "EXCEPT"])
# A name after one of these is an operand and no alias.
_OPERATORS = frozenset(
    "AND OR NOT IS IN LIKE GLOB REGEXP MATCH BETWEEN ESCAPE COLLATE OVER FROM CASE WHEN THEN ELSE DISTINCT".split()
)
_NO_ALIASES = frozenset(["END", "NULL", "ISNULL", "NOTNULL"])
_RANDOM = frozenset(["RANDOM", "RANDOMBLOB"])
_INTEGER = re.compile(r" *(-?) *([0-9]{1,18}) *")
_MAX_READINGS = 8  # of the names in expressions that may be a column's or an alias


def read_ordering(sql: str) -> Ordering | None:
    """How the outermost query of `sql` is ordered; None if it has no ORDER BY, so that its rows are a bag.

    >>> read_ordering("SELECT name FROM pet ORDER BY age").queries
    ('SELECT name, (age) FROM pet ORDER BY age',)
    >>> read_ordering("SELECT name, age FROM pet ORDER BY 2 DESC LIMIT 3").keys
    ((1, '', ''),)
    >>> read_ordering("SELECT name FROM (SELECT * FROM pet ORDER BY age)")
    """
    if "order" not in sql.lower():
        return None
    code = _code(sql)
    words = {i: _word(code, i) for i, token in enumerate(code) if token.depth == 0}
    order = next((i for i, word in words.items() if word == "ORDER" and _word(code, i + 1) == "BY"), None)
    if order is None:
        return None
    limit = next((i for i, word in words.items() if i > order and word == "LIMIT"), len(code))
    terms = [_strip_direction(term) for term in _split(code[order + 2 : limit])]
    arms = _arms(code[:order])
    if not arms or not all(terms):
        return Ordering((), (), problem="its ORDER BY cannot be read")
    ordering = _read_compound(sql, arms, terms) if len(arms) > 1 else _read_select(sql, arms[0], terms)
    return _without_limit(ordering, sql, code[limit:])


class _Column(NamedTuple):
    """An entry in a list of result columns: the tokens of its expression, and its alias in lower case or ""."""

    expression: list[Token]
    alias: str

    @property
    def star(self) -> bool:
        """Whether it stands for several columns."""
        return self.expression[-1].text == "*" and (len(self.expression) == 1 or self.expression[-2].text == ".")


class _Arm(NamedTuple):
    """A SELECT of the outermost query: its columns, whether they are DISTINCT, and where in the text their list ends.

    `aliases` has the position of the first column of each alias; `star` is that of the first `*`, or the number of columns.
    """

    columns: list[_Column]
    aliases: dict[str, int]
    star: int
    distinct: bool
    end: int


# --- tokens


def _code(sql: str) -> list[Token]:
    """The tokens that SQLite does not skip; a quote within a quoted name is written twice and does not end it."""
    code: list[Token] = []
    for token in tokens(sql):
        if token.kind in ("space", "comment"):
            continue
        last = code[-1] if code else token
        if last.kind == token.kind == "quoted" and _end(last) == token.start and last.text[0] == token.text[0] != "[":
            code[-1] = last._replace(text=last.text + token.text)
        else:
            code.append(token)
    return code


def _end(token: Token) -> int:
    return token.start + len(token.text)


def _text(sql: str, code: Sequence[Token]) -> str:
    return sql[code[0].start : _end(code[-1])]


def _word(code: Sequence[Token], index: int) -> str:
    """The word at `index` in upper case; "" for anything else."""
    return code[index].text.upper() if 0 <= index < len(code) and code[index].kind == "word" else ""


def _name(token: Token, string: bool = False) -> str:
    """The name that a token is, in lower case; "" if it is none. What is in single quotes is one only where `string` says so."""
    if token.kind == "word" and not token.text[0].isdigit():
        return token.text.lower()
    if token.kind != "quoted" or (token.text[0] == "'" and not string):
        return ""
    quote = token.text[0]
    return token.text[1:-1].replace(2 * quote, quote).lower()


def _split(code: Sequence[Token]) -> Iterator[list[Token]]:
    """The parts between the commas outside parentheses; a part may be empty."""
    part: list[Token] = []
    for token in code:
        if token.text == "," and token.depth == 0:
            yield part
            part = []
        else:
            part.append(token)
    yield part


# --- the parts of the query


def _arms(code: Sequence[Token]) -> list[_Arm]:
    """The SELECTs of a query, read up to its ORDER BY; none if there is something odd among them. VALUES names no columns."""
    outermost = [i for i, token in enumerate(code) if token.depth == 0]
    starts = [i for i in outermost if _word(code, i) in ("SELECT", "VALUES")]
    ends = [i for i in outermost if _ends_columns(code, i)] + [len(code)]
    if len(starts) != 1 + sum(_word(code, i) in _SET_OPERATORS for i in outermost):
        return []
    arms = []
    for start in starts:
        if _word(code, start) == "VALUES":
            arms.append(_Arm([], {}, 0, False, 0))
            continue
        distinct = _word(code, start + 1) == "DISTINCT"
        first = start + 1 + (distinct or _word(code, start + 1) == "ALL")
        end = ends[bisect_right(ends, start)]
        columns = [_read_column(part) for part in _split(code[first:end])]
        if not all(column.expression for column in columns):
            return []
        aliases = {column.alias: i for i, column in reversed(list(enumerate(columns))) if column.alias}
        star = next((i for i, column in enumerate(columns) if column.star), len(columns))
        arms.append(_Arm(columns, aliases, star, distinct, _end(code[end - 1])))
    return arms


def _ends_columns(code: Sequence[Token], index: int) -> bool:
    word = _word(code, index)
    if word == "FROM":
        return _word(code, index - 1) != "DISTINCT"  # IS DISTINCT FROM
    return word in _CLAUSES or word in _SET_OPERATORS


def _read_column(part: list[Token]) -> _Column:
    if len(part) > 2 and _word(part, len(part) - 2) == "AS":
        return _Column(part[:-2], _name(part[-1], string=True))
    if len(part) > 1 and _word(part, len(part) - 1) not in _NO_ALIASES:
        name, before = _name(part[-1], string=True), part[-2]
        operand = before.kind == "word" and before.text.upper() not in _OPERATORS
        ends_expression = before.kind == "quoted" or before.text == ")" or operand
        if name and ends_expression:
            return _Column(part[:-1], name)
    return _Column(part, "")


def _without_limit(ordering: Ordering, sql: str, clause: Sequence[Token]) -> Ordering:
    """The ordering with what its LIMIT says."""
    if not clause or not ordering.queries:
        return ordering
    cut = len(sql) - clause[0].start
    ordering = ordering._replace(
        queries=tuple(query[:-cut] for query in ordering.queries),
        distinct=ordering.distinct[:-cut],
        limit=sql[clause[0].start :],
    )
    words = [token.text.upper() for token in clause[1:]]
    numbers = [_integer(part) for part in " ".join(words).replace("OFFSET", ",").split(",")]
    if None in numbers or not 1 <= len(numbers) <= 2 or words.count("OFFSET") > 1:
        return ordering._replace(readable=False)
    first, second = numbers[0] or 0, numbers[-1] or 0
    count, skipped = (second, first) if "," in words else (first, second if len(numbers) == 2 else 0)
    skipped = max(skipped, 0)
    return ordering._replace(start=skipped, stop=None if count < 0 else skipped + count)


def _integer(text: str) -> int | None:
    match = _INTEGER.fullmatch(text)
    return int(match[1] + match[2]) if match else None


# --- sort keys


def _strip_direction(term: list[Token]) -> list[Token]:
    """A term of ORDER BY without ASC, DESC, NULLS FIRST and NULLS LAST."""
    if _word(term, len(term) - 2) == "NULLS":
        term = term[:-2]
    return term[:-1] if _word(term, len(term) - 1) in ("ASC", "DESC") else term


def _strip_collation(term: list[Token]) -> tuple[list[Token], str]:
    """A term without parentheses around it and without its COLLATE, and the name of the collation or ""."""
    collation = ""
    while len(term) > 2:
        if term[0].text == "(" and term[-1].text == ")" and all(token.depth > term[0].depth for token in term[1:]):
            term = term[1:-1]
        elif _word(term, len(term) - 2) == "COLLATE":
            term, collation = term[:-2], collation or _name(term[-1], string=True)
        else:
            break
    return term, collation


def _position(term: Sequence[Token]) -> int | None:
    """The position, from 0, if the term is a number: SQLite takes 2, +2 and 0x2 for that."""
    digits = "".join(token.text for token in term).lstrip("+")
    try:
        return int(digits, 16 if digits[:2].lower() == "0x" else 10) - 1
    except ValueError:
        return None


def _is_random(code: Sequence[Token]) -> bool:
    return any(_word(code, i) in _RANDOM and code[i + 1].text == "(" for i in range(len(code) - 1))


def _read_select(sql: str, arm: _Arm, terms: Sequence[list[Token]]) -> Ordering:
    """The ordering of a query that is one SELECT. A key that calls random() sorts nothing, nor does what follows it."""
    keys: list[tuple[int | None, str, str]] = []
    appended: list[list[str]] = []
    spellings = {_spelling(column.expression): i for i, column in reversed(list(enumerate(arm.columns[: arm.star])))}
    for term in terms:
        bare, collation = _strip_collation(term)
        name = _name(bare[0]) if len(bare) == 1 else ""
        position, readings = _position(bare), [""]
        if position is None and arm.aliases.get(name, arm.star) < arm.star:
            position = arm.aliases[name]
        elif position is None and name and arm.star < len(arm.columns):
            readings = [
                _text(sql, term),
                "NULL",
            ]  # it is no expression where a column of a star or an alias behind it has the name
        elif position is None:
            position, name = spellings.get(_spelling(bare)), ""
            readings = _readings(sql, term, arm)
        if _is_random(arm.columns[position].expression if position is not None and 0 <= position < arm.star else term):
            break
        if position is None:
            appended.append(readings)
            keys.append((-len(appended), name, collation))
        elif position < 0:
            return Ordering((), (), problem="a number in its ORDER BY is no column's")
        else:
            keys.append((position, "", collation))
    # Appended in reverse, a key is at its place counted from the end, however many others follow.
    queries = tuple(_append(sql, arm.end, texts) for texts in islice(product(*reversed(appended)), _MAX_READINGS))
    return Ordering(queries, tuple(keys), len(appended), arm.star, distinct=sql if arm.distinct and appended else "")


def _append(sql: str, end: int, keys: Sequence[str]) -> str:
    return sql[:end] + "".join(f", ({key})" for key in keys) + sql[end:]


def _readings(sql: str, term: list[Token], arm: _Arm) -> list[str]:
    """The texts of a term where no alias may be used; the likeliest first.

    A name within an expression is a column's if there is such a column, and an alias otherwise. In backquotes it cannot be
    taken for a string, which SQLite does with unknown names in double quotes.
    """
    places = [i for i, token in enumerate(term) if _name(token) in arm.aliases and _stands_alone(term, i)]
    names = list(dict.fromkeys(_name(term[i]) for i in places))
    choices = [(True,) * len(names), (False,) * len(names)] if len(names) > 3 else product((True, False), repeat=len(names))
    texts = []
    for choice in choices:
        of_columns = dict(zip(names, choice, strict=True))
        parts, start = [], term[0].start
        for i in places:
            name = _name(term[i])
            column = "`" + name.replace("`", "``") + "`"
            replacement = column if of_columns[name] else f"({_text(sql, arm.columns[arm.aliases[name]].expression)})"
            parts += [sql[start : term[i].start], replacement]
            start = _end(term[i])
        texts.append("".join([*parts, sql[start : _end(term[-1])]]))
    return texts


def _stands_alone(term: Sequence[Token], index: int) -> bool:
    """Whether a name is neither a table's, nor a table's column's, nor a function's."""
    before = term[index - 1].text if index else ""
    after = term[index + 1].text if index + 1 < len(term) else ""
    return before != "." and after not in (".", "(")


def _read_compound(sql: str, arms: Sequence[_Arm], terms: Sequence[list[Token]]) -> Ordering:
    """The ordering of a set operation, whose keys can only be columns of its result."""
    indices = [_index(arm) for arm in arms]
    keys: list[tuple[int | None, str, str]] = []
    for term in terms:
        bare, collation = _strip_collation(term)
        position = _position(bare)
        if position is None:
            spellings = (_spelling(bare), _spelling(_without_tables(bare)))
            positions = (index.get(spelling) for index in indices for spelling in spellings)
            position = next((position for position in positions if position is not None), None)
        keys.append((position, _name(bare[-1]) if position is None else "", collation))
    return Ordering((sql,), tuple(keys), star=arms[0].star)


def _index(arm: _Arm) -> dict[tuple[str, ...], int]:
    """The position of each column before the first star: by its alias, as it is written, and written without tables."""
    columns = list(enumerate(arm.columns[: arm.star]))
    index: dict[tuple[str, ...], int] = {(column.alias,): i for i, column in reversed(columns) if column.alias}
    for i, column in columns:
        index.setdefault(_spelling(column.expression), i)
    for i, column in columns:
        index.setdefault(_spelling(_without_tables(column.expression)), i)
    return index


def _without_tables(code: Sequence[Token]) -> list[Token]:
    """The tokens without names of tables before names of columns."""
    dots = {i for i, token in enumerate(code) if token.text == "." and i > 0 and _name(code[i - 1])}
    return [token for i, token in enumerate(code) if i not in dots and i + 1 not in dots]


def _spelling(code: Sequence[Token]) -> tuple[str, ...]:
    return tuple(_name(token) or token.text for token in code)
