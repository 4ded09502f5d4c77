"""What the values of a column mean, guessed from its name and the values: a price, a date, a category, a name.

What is guessed decides which questions make sense. A column of which nothing can be told with some certainty has no kind, and
nobody asks about it.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime

from sense.teacher import CellValue
from sense.teacher.grammar.domains import ColumnKind

OwnKind = ColumnKind | None
"""A kind of the grammar; None if nothing is asked about the column."""

ISO_DATE = "%Y-%m-%d"
_DATE_FORMATS = (
    *("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S%z"),
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y%m%d"),
)
_FLAGS = (frozenset(["yes", "no"]), frozenset(["true", "false"]), frozenset(["y", "n"]), frozenset(["t", "f"]))
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_FULL_NAME = re.compile(r"[^\W\d_][\w'’.-]*(?: [^\W\d_][\w'’.-]*){1,3}")

_PRICES = frozenset(
    """amount balance bonus budget charge cost deposit donation earnings expense fare fee fine gross income margin msrp pay
    payment price profit revenue salary sales spend subtotal tax tip total turnover usd eur wage worth""".split()
)
_RATINGS = frozenset("rating ratings score stars grade".split())
_NO_SUMS = frozenset(
    """age altitude average avg bearing depth discount elevation factor grade height humidity index latitude level longitude lat
    lng lon long max min percent percentage pct position pressure price rank rate ratio rating score share size speed temperature
    version width x y year""".split()
)
_CODES = frozenset("code zip zipcode postcode postal sku isbn ean barcode iban vin plate ref reference serial".split())
_EMAILS = frozenset(["email", "mail"])
_PHONES = frozenset("phone telephone tel mobile fax cell".split())
_NAMES = frozenset("name title label caption headline subject".split())
_PERSONS = frozenset(
    """actor agent applicant artist athlete author borrower buyer client coach consultant contact customer director doctor donor
    driver employee engineer guest instructor judge lawyer lecturer manager member musician nurse owner passenger patient person
    physician pilot player politician professor resident scientist seller singer speaker staff student subscriber teacher tenant
    trainer user visitor volunteer voter worker writer""".split()
)
_LONG = 60  # characters: a longer text is no name and no category
_MOST_CATEGORIES = 40


def guess_kind(words: str, values: Sequence[CellValue], table: str) -> OwnKind:
    """The kind of a column with these words in its name; `values` are those of its rows, without NULLs, `table` its noun."""
    last, named = words.rsplit(maxsplit=1)[-1], set(words.split())
    if len(set(values)) < 2:
        return None
    if is_flag(values):
        return "flag"
    if all(isinstance(value, (int, float)) for value in values):
        return _of_numbers(last, named, values)
    if not all(isinstance(value, str) for value in values):
        return None
    texts = [str(value) for value in values]
    if date_format(texts) is not None:
        return "date"
    if any(sign in text for text in texts for sign in "\n\r\t"):
        return None
    if named & _PHONES:
        return "phone"
    if named & _EMAILS:
        return "email"
    if all(map(_EMAIL.fullmatch, texts)):
        return "email"
    if are_numbers(texts) and not named & _CODES and last not in ("id", "no", "number"):
        return _of_numbers(last, named, [float(text) for text in texts])
    return _of_texts(last, named, texts, table)


def is_flag(values: Sequence[CellValue]) -> bool:
    """Whether values say yes or no: two of them, in one of the usual spellings."""
    if all(isinstance(value, int) for value in values):
        return set(values) == {0, 1}
    return {str(value).lower() for value in values} in _FLAGS and len(set(values)) == 2


def are_numbers(texts: Sequence[str]) -> bool:
    """Whether all texts are numbers as SQLite casts them without loss."""
    return all(map(_NUMBER.fullmatch, texts))


def date_format(texts: Sequence[str]) -> str | None:
    """How dates are written: '' if as ISO dates without a time, else the only format (strftime) that all of them fit; or None."""
    if not texts:
        return None
    if all(re.fullmatch(r"\d{4}-\d\d-\d\d", text) and _parses(text, ISO_DATE) for text in texts):
        return ""
    fitting = [form for form in _DATE_FORMATS if all(_parses(text, form) for text in texts)]
    return fitting[0] if len(fitting) == 1 else None


def _parses(text: str, form: str) -> bool:
    try:
        day = datetime.strptime(text, form)
    except ValueError:
        return False
    return day.strftime(form) == text or "%f" in form or "%z" in form


def _of_numbers(last: str, named: set[str], values: Sequence[CellValue]) -> OwnKind:
    whole = all(float(str(value)).is_integer() for value in values)
    if whole and (named & _CODES or last in ("id", "key", "number", "no")):
        return None
    if whole and ("year" in named or last == "yr") and all(1000 <= float(str(value)) <= 2200 for value in values):
        return "year"
    if named & _RATINGS:
        return "rating"
    if named & _PRICES:
        return "price"
    return "integer" if whole else "measure"


def _of_texts(last: str, named: set[str], texts: Sequence[str], table: str) -> OwnKind:
    different = len(set(texts))
    longest = max(map(len, texts))
    if longest > _LONG:
        return None
    repeats = different <= max(2, len(texts) // 2) and different <= _MOST_CATEGORIES
    if last in ("city", "town"):
        return "city"
    if last in ("country", "nation", "nationality"):
        return "country"
    noun = table.rsplit(maxsplit=1)[-1]
    if (named & _NAMES or last == noun) and not repeats:
        full = sum(bool(_FULL_NAME.fullmatch(text)) for text in texts) >= 0.8 * len(texts)
        return "person" if full and (_PERSONS & {noun, *named}) else "title"
    if named & _CODES or (last in ("id", "key", "number", "no") and not repeats):
        return "code"
    if repeats:
        return "category"
    if different >= 0.9 * len(texts) and longest <= _LONG // 2 and all(" " not in text for text in texts):
        return "code"
    return None


def can_be_summed(words: str) -> bool:
    """Whether a total of a column with these words makes sense."""
    return not _NO_SUMS & set(words.split())


CHECKS: dict[str, Callable[[Sequence[CellValue]], bool]] = {
    **dict.fromkeys(
        ("integer", "measure", "price", "rating", "year"),
        lambda values: all(isinstance(v, (int, float)) for v in values) or are_numbers([str(v) for v in values]),
    ),
    "date": lambda values: date_format([str(value) for value in values]) is not None,
    "flag": is_flag,
}
"""Kind -> whether values can be of it; of a kind that is not listed, all can."""
