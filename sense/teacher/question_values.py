"""Whether a question that a model wrote for a SQL query names what the query compares with, and says nothing in SQL.

A value is named in any usual spelling: a number in digits, with commas or as a word, a date in ISO form or with the month's
name, a month by its name, a text without regard to case. What only the form of the SQL asks for is no value: LIMIT 1, the 0 or 1
of a flag, the format of a date.
"""

import re
from collections.abc import Iterator

from sqlglot import exp

from sense.sql.tree import parse_query
from sense.teacher.grammar.english.language import MONTHS

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In, exp.Like, exp.Glob, exp.Limit, exp.Offset)
_FLAGS = frozenset(["0", "1", "y", "n", "t", "f", "yes", "no", "true", "false"])
_WORDS = (
    *"zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen".split(),
    *("eighteen", "nineteen", "twenty"),
)
_SPECIAL = {2: ("twice", "both", "second", "pair"), 3: ("third",), 4: ("fourth",), 5: ("fifth",), 12: ("dozen",)}
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_MONTH = re.compile(r"0[1-9]|1[0-2]")
_SQL = re.compile(
    r"\b(?:SELECT|FROM|WHERE|GROUP BY|ORDER BY|HAVING|(?:LEFT |INNER |CROSS )?JOIN|DISTINCT|LIMIT|UNION|INTERSECT|EXCEPT|ASC|DESC"
    r"|BETWEEN|IN \(|IS NULL|NOT NULL|IS NOT NULL|COUNT\(|SUM\(|AVG\(|MIN\(|MAX\(|STRFTIME)(?:\b|(?<=\())"
    r"|(?i:\bselect\b[^?.]*\bfrom\b[^?.]*\bwhere\b)|\bcount\(|\b[Tt]\d+\.\w|[!<>]=|<>|`|\|\||;\s*$"
)
_MAX_VALUES = 40  # of a query, as many as no question names


def sql_in_words(question: str) -> str | None:
    """The first piece of a question that is SQL and no English; None if there is none.

    >>> sql_in_words("Which singers are older than 30?")
    >>> sql_in_words("Which singers have age >= 30?")
    '>='
    """
    match = _SQL.search(question)
    return match[0] if match else None


def missing_values(sql: str, text: str) -> list[str]:
    """The values with which a query compares that `text`, a question with its evidence, does not name.

    >>> missing_values("SELECT name FROM singer WHERE born > '1990-05-01' AND city = 'Rome' LIMIT 3", "Three after May 1, 1990?")
    ['Rome']
    """
    read = " ".join(text.lower().split())
    numbers = {number.replace(",", "").rstrip(".") for number in re.findall(r"\d[\d,]*(?:\.\d+)?", read)}
    return [value for value in _values(sql) if not _is_named(value, read, numbers)]


def _values(sql: str) -> Iterator[str]:
    """The values that a query compares with, each once, without the signs of a pattern."""
    tree = parse_query(sql)
    values: dict[str, None] = {}
    for literal in tree.find_all(exp.Literal, bfs=False) if tree is not None else ():
        parent = literal.parent
        sign = ""
        if isinstance(parent, exp.Neg):
            parent, sign = parent.parent, "-"
        if not isinstance(parent, _COMPARISONS):
            continue
        value = literal.name.strip("%*") if isinstance(parent, (exp.Like, exp.Glob)) else literal.name
        plain = value.lower() in _FLAGS and (literal.is_string or not isinstance(parent, exp.Limit))
        if value.strip() and not plain and not (isinstance(parent, exp.Limit) and value == "1"):
            values[sign + value] = None
    return iter(list(values)[:_MAX_VALUES])


def _is_named(value: str, text: str, numbers: set[str]) -> bool:
    number = value.lstrip("-")
    if re.fullmatch(r"\d+(?:\.\d+)?", number):
        return _is_number_named(number, text, numbers)
    date = _DATE.match(value)
    if date and date[0] in text:
        return True
    if date and 1 <= int(date[2]) <= 12:
        month = MONTHS[int(date[2]) - 1].lower()
        named = month in text or re.search(rf"\b{month[:3]}\b", text) is not None
        return (named and date[1] in text and str(int(date[3])) in numbers) or _numeric_date(date) & set(
            re.findall(r"[\d/.-]+", text)
        ) != set()
    return " ".join(value.lower().split()) in text


def _numeric_date(date: re.Match[str]) -> set[str]:
    year, month, day = date[1], int(date[2]), int(date[3])
    return {
        form.format(year=year, month=month, day=day)
        for form in ("{month:02}/{day:02}/{year}", "{month}/{day}/{year}", "{day:02}.{month:02}.{year}", "{day}.{month}.{year}")
    }


def _is_number_named(number: str, text: str, numbers: set[str]) -> bool:
    if number in numbers or (_MONTH.fullmatch(number) and MONTHS[int(number) - 1].lower() in text):
        return True
    amount = float(number)
    if any(float(other) == amount for other in numbers if other.count(".") <= 1 and re.fullmatch(r"\d+(?:\.\d+)?", other)):
        return True
    if amount < 1 and f"{amount * 100:g}" in numbers:  # 0.2 as 20 percent
        return True
    if amount != int(amount) or amount >= len(_WORDS):
        return False
    names = (_WORDS[int(amount)], *_SPECIAL.get(int(amount), ()))
    return any(re.search(rf"\b{name}\b", text) for name in names)
