"""The words of a name (`pet_age`, `PetAge`, `Pet Age`), and a name made of other words in the same style."""

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

_WORD = re.compile(r"[A-Za-z]*[^\W\d_A-Za-z][^\W\d_]*|[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_VOWELS = "aeiou"
_SYLLABLE = re.compile(rf"[^{_VOWELS}]*[{_VOWELS}]+[^{_VOWELS}]*")
_SHORT, _MIDDLE = 3, 5  # letters: words up to the first stay, those up to the second lose their vowels


@cache
def synonyms() -> dict[str, tuple[str, ...]]:
    """Other words for a word of a name, or for a whole name of several, all in lower case and with blanks between words."""
    text = resources.files("sense.robustness").joinpath("synonyms.txt").read_text(encoding="utf-8")
    lines = [line.partition(":") for line in text.splitlines() if line and not line.startswith("#")]
    return {word.strip(): tuple(other.strip() for other in others.split(",")) for word, _, others in lines}


def split_name(name: str) -> list[str]:
    """The words of a name, in lower case.

    >>> split_name("HomeCity_2nd")
    ['home', 'city', 'nd']
    """
    return [match[0].lower() for match in _WORD.finditer(name)]


def replace_words(name: str, new: Sequence[str]) -> str:
    """The name with its words replaced, in the style of the name: its case, and what stands between its words.

    >>> replace_words("HomeCity", ["home", "town"]), replace_words("pet_age", ["own animal", "age"])
    ('HomeTown', 'own_animal_age')
    """
    others = iter(new)
    return _WORD.sub(lambda match: _in_style(next(others), match[0], name), name)


def name_of_words(words: str, like: str) -> str:
    """A name of these words in the style of another.

    >>> name_of_words("given name", like="first_name"), name_of_words("surname", like="LastName")
    ('given_name', 'Surname')
    """
    first = next(_WORD.finditer(like))[0]
    return _in_style(words, first, like)


def _in_style(new: str, old: str, name: str) -> str:
    """A new word, or two, in the case of the old word."""
    if new == old.lower():
        return old
    words = new.split()
    if old.isupper() and len(old) > 1:
        words = [word.upper() for word in words]
    elif old[0].isupper():
        words = [word.capitalize() for word in words]
    is_camel = old[0].isupper() and not old.isupper() and "_" not in name and " " not in name
    between = "" if is_camel else " " if " " in name else "_"
    return between.join(words)


def abbreviate(word: str) -> str:
    """A word, in lower case, as programmers shorten it: its first syllable, or its consonants if it has but few letters.

    >>> [abbreviate(word) for word in ("customer", "name", "address", "date", "department", "age")]
    ['cust', 'nm', 'addr', 'dt', 'dep', 'age']
    """
    if len(word) <= _SHORT or not word.isascii():
        return word
    if len(word) <= _MIDDLE:
        return word[0] + "".join(letter for letter in word[1:] if letter not in _VOWELS)
    syllable = _SYLLABLE.match(word)
    return word[: min(4, max(3, len(syllable[0])))] if syllable else word
