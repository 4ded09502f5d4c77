"""The words in names of tables and columns: `OrderItems` and `order_items` are "order items"; abbreviations stay as they are."""

import re

from sense.teacher.grammar.english.language import is_plural, plural, singular

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[\W_]+")
_IRREGULAR = {
    "movies": "movie",
    "cookies": "cookie",
    "calories": "calorie",
    "people": "person",
    "children": "child",
    "men": "man",
}
_IRREGULAR |= {"women": "woman", "data": "data", "staff": "staff", "news": "news", "series": "series", "species": "species"}
_UNITS = {"kg": "kilograms", "lbs": "pounds", "lb": "pounds", "km": "kilometres", "cm": "centimetres", "mm": "millimetres"}
_UNITS |= {"eur": "euros", "usd": "dollars", "gbp": "pounds", "mins": "minutes", "hrs": "hours", "secs": "seconds"}
_UNITS |= {
    word: word for word in ("days", "hours", "minutes", "seconds", "months", "years", "euros", "dollars", "metres", "meters")
}
_PARTICLES = (" on", " in", " at", " by", " since")
KEY_WORDS = frozenset(["id", "key", "no", "number", "code", "fk", "pk", "ref", "uuid", "guid", "name"])
"""Words that end the name of a key and say nothing of what it refers to."""


def split_words(name: str) -> str:
    """The words of an identifier in small letters, with single spaces; the name itself if it has no letter."""
    apart = _BOUNDARY.sub(" ", _SEPARATORS.sub(" ", name)).lower().split()
    return " ".join(apart) or name


def nouns(name: str) -> tuple[str, str]:
    """Singular and plural of a table by its name, which may be either.

    >>> nouns("OrderItems"), nouns("person"), nouns("status")
    (('order item', 'order items'), ('person', 'people'), ('status', 'statuses'))
    """
    words = split_words(name)
    before, space, last = words.rpartition(" ")
    if last in _IRREGULAR:
        one = before + space + _IRREGULAR[last]
        return one, words
    if is_plural(last):
        one = before + space + singular(last)
        return one, words
    return words, plural(words)


def is_short_for(words: str, noun: str) -> bool:
    """Whether words are a noun, its last word, or an abbreviation of it: "customer", "cust" and "dept" of a department.

    >>> is_short_for("dept", "department"), is_short_for("item", "order item"), is_short_for("manager", "employee")
    (True, True, False)
    """
    plain, whole = words.replace(" ", ""), noun.replace(" ", "")
    letters = iter(whole)
    return bool(plain) and (whole.endswith(plain) or (plain[0] == whole[0] and all(letter in letters for letter in plain)))


def without_key_word(words: str) -> str:
    """The words of a key without the ending that makes it one: "customer" for "customer id", "dept" for "dept name"."""
    parts = words.split()
    while parts and parts[-1] in KEY_WORDS:
        parts.pop()
    if not parts:
        return ""
    if len(parts) == 1 and len(parts[0]) > 4 and parts[0].endswith("id") and not parts[0].endswith(("paid", "void", "valid")):
        return parts[0][:-2]
    return " ".join(parts)


def without_unit(words: str) -> tuple[str, str]:
    """The words of a number without a unit at their end, and the unit in plural: ("weight", "kilograms") for "weight kg"."""
    before, _, last = words.rpartition(" ")
    return (before, _UNITS[last]) if before and last in _UNITS else (words, "")


def event_words(words: str) -> str:
    """The words of a date, which say on what day something was: "signed up on" for "signed up"."""
    return f"{words} on" if event_of(words) and not words.endswith(_PARTICLES) else words


def event_of(words: str) -> str:
    """What was done on a date: "signed up" for "signed up on", "created" for "created at"; '' if its words do not begin so."""
    first, *others = words.split()
    if not first.endswith("ed") or len(first) < 4 or others[-1:] in (["date"], ["day"], ["time"]):
        return ""
    return next((words.removesuffix(particle) for particle in _PARTICLES if words.endswith(particle)), words)
