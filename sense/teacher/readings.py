"""Two kinds of questions that can be read in two ways, of which the SQL answers one: groups of zero, and a row like itself.

Both look at the question's words, in lower case, and at the tokens of its SQL. Neither knows the schema: what refers to what is
read from the names in the joins.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from sense.sql.parse import Token

_SAYS_AT_LEAST_ONE = re.compile(
    r"\bat least (?:one|1|an?)\b|\b(?:has|have|had|having|with) any\b|\bif any\b"
    r"|\bonly (?:those|the ones|[a-z]+s) (?:with|that|who)\b|\b(?:leav(?:e|ing) out|ignor(?:e|ing)|skip(?:ping)?)\b"
)
_SAYS_SAME = re.compile(r"\bsame\b|\bshar(?:e|es|ing)\b|\bas (?:old|big|large|tall|long|heavy|expensive|many|much)\b")
_SAYS_OTHERS = re.compile(
    r"\b(?:others?|another|else|besides|apart from|except|excluding|including|included|itself|themselves|himself|herself)\b"
)


def drops_groups_of_zero(question: str, code: Sequence[Token]) -> bool:
    """A count for each row of a table over an inner join that drops the rows without any, and the question does not say so.

    >>> from sense.sql.parse import code_tokens
    >>> sql = "SELECT club.name, COUNT(*) FROM club JOIN player ON player.club_id = club.id GROUP BY club.name"
    >>> drops_groups_of_zero("how many players does each club have?", list(code_tokens(sql)))
    True
    >>> drops_groups_of_zero("how many players does each club with at least one have?", list(code_tokens(sql)))
    False
    """
    return _counts_over_inner_join(code) and _SAYS_AT_LEAST_ONE.search(question) is None


def counts_named_row(question: str, code: Sequence[Token]) -> bool:
    """Rows that share a value with a named row, which shares it with itself, and the question does not say `other`.

    >>> from sense.sql.parse import code_tokens
    >>> sql = "SELECT name FROM player WHERE city = (SELECT city FROM player WHERE name = 'Ada')"
    >>> counts_named_row("who lives in the same city as ada?", list(code_tokens(sql)))
    True
    >>> counts_named_row("which other players live in the same city as ada?", list(code_tokens(sql)))
    False
    """
    return _SAYS_SAME.search(question) is not None and _SAYS_OTHERS.search(question) is None and _compares_with_own_row(code)


# -- groups of zero


def _counts_over_inner_join(code: Sequence[Token]) -> bool:
    """SELECT ... COUNT(...) ... JOIN ... GROUP BY, grouped by a table that the joined rows refer to.

    The count is returned, bounded from above, or sorted from the least: elsewhere a group of zero changes nothing.
    """
    outer = [_name(token) for token in code if token.depth == 0]
    if outer[:1] != ["SELECT"] or "JOIN" not in outer or "GROUP" not in outer or "FROM" not in outer:
        return False
    if {"LEFT", "RIGHT", "FULL", "UNION", "EXCEPT", "INTERSECT"} & set(outer):
        return False
    having, order = _clause(outer, "HAVING"), _clause(outer, "ORDER")
    counted_having, counted_order = "COUNT" in having, "COUNT" in order and "LIMIT" in order
    at_most, fewest = counted_having and "<" in having, counted_order and "DESC" not in order
    returned = "COUNT" in outer[: outer.index("FROM")] and not counted_having and not counted_order
    return (returned or at_most or fewest) and not _groups_by_referring_table(outer)


def _clause(outer: list[str], word: str) -> list[str]:
    """The tokens from `word` to the next clause, with LIMIT after ORDER BY."""
    if word not in outer:
        return []
    rest = outer[outer.index(word) :]
    return rest[: rest.index("ORDER")] if word == "HAVING" and "ORDER" in rest else rest


def _groups_by_referring_table(outer: list[str]) -> bool:
    """Whether the group's table holds the foreign key of every join: then no group can be empty."""
    tables = {outer[index + 3]: outer[index + 1] for index in range(len(outer) - 3) if outer[index + 2] == "AS"}
    start = outer.index("GROUP") + 2  # GROUP BY alias . column
    referring = set()
    for index in range(3, len(outer) - 3):
        one, dot, column, equals, other, other_dot, twin = outer[index - 3 : index + 4]
        if equals == "=" and dot == other_dot == ".":
            keys = _looks_like_key(tables.get(one, one), column), _looks_like_key(tables.get(other, other), twin)
            referring.add({(True, False): other, (False, True): one}.get(keys, ""))
    return outer[start + 1 : start + 2] == ["."] and referring == {outer[start]}


def _looks_like_key(table: str, column: str) -> bool:
    """Whether a column is called ID or CODE, or like its table with that."""
    table, column = table.replace("_", ""), column.replace("_", "")
    stem = re.sub(r"(?:ID|CODE|NO)$", "", column)
    return stem != column and stem in (
        "",
        table,
        re.sub(r"IES$", "Y", table),
        re.sub(r"E?S$", "", table),
        re.sub(r"S$", "", table),
    )


# -- the named row itself


def _compares_with_own_row(code: Sequence[Token]) -> bool:
    """... FROM t WHERE column = (SELECT column FROM t WHERE ...), with no condition that leaves the named row out."""
    texts = [_name(token) for token in code]
    if "FROM" not in texts or "NOT" in texts or any(pair in (("<", ">"), ("!", "=")) for pair in pairwise(texts)):
        return False
    table = texts[texts.index("FROM") + 1 :][:1]
    for index in range(len(texts) - 3):
        if texts[index : index + 3] == ["=", "(", "SELECT"]:
            nested = texts[index + 3 :]
            start = nested.index("FROM") if "FROM" in nested else 0
            same_column = start > 0 and nested[start - 1] == texts[index - 1]
            if same_column and nested[start + 1 : start + 2] == table and "WHERE" in nested:
                return True
    return False


def _name(token: Token) -> str:
    """A token's text in upper case, without the quotes of an identifier."""
    return token.text.upper() if token.text[0] == "'" else token.text.strip('"`[]').upper()
