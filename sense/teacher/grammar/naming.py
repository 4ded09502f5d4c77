"""The identifiers of one invented database: how words are joined, shortened and made different from each other."""

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Literal

from sense.schema import quote_identifier
from sense.teacher.grammar.domains import shared_lists

ABBREVIATED_SHARE = 0.11
"""The share of databases whose identifiers are abbreviated."""
SHORTENED_LENGTH = 7
"""Words of at least so many letters are shortened by rule where no abbreviation is listed."""

Case = Literal["snake", "camel", "pascal", "title", "upper", "spaced", "spaced title", "hyphens"]
_CASES: dict[Case, int] = {
    "snake": 50,
    "camel": 9,
    "pascal": 14,
    "title": 14,
    "upper": 4,
    "spaced": 2,
    "spaced title": 3,
    "hyphens": 2,
}


@lru_cache(maxsize=10_000)
def needs_quotes(identifier: str) -> bool:
    """True if `identifier` must be quoted in SQL: a reserved word, or anything but letters, digits and underscores."""
    return quote_identifier(identifier) != identifier


@dataclass(frozen=True)
class NamingStyle:
    """How identifiers are written in one database."""

    case: Case
    plural: bool
    long_keys: bool
    long_labels: bool
    short: bool
    keys_last: bool
    abbreviated: bool
    key_word: str
    reference: str

    def identifier(self, words: str, abbreviated: bool | None = None) -> str:
        """The identifier made of `words`."""
        parts = words.split()
        if self.abbreviated if abbreviated is None else abbreviated:
            parts = [_abbreviation(part) for part in parts]
        match self.case:
            case "snake":
                return "_".join(parts)
            case "upper":
                return "_".join(parts).upper()
            case "spaced":
                return " ".join(parts)
            case "hyphens":
                return "-".join(parts)
            case _:
                capitals = [part.capitalize() for part in parts]
                if self.case == "camel":
                    return "".join([parts[0], *capitals[1:]])
                return {"pascal": "", "title": "_", "spaced title": " "}[self.case].join(capitals)

    def new_identifier(self, words: str, taken: set[str], abbreviated: bool | None = None) -> str:
        """An identifier made of `words` that is not yet among `taken`, in whatever case; it is added there."""
        name, number = self.identifier(words, abbreviated), 1
        while name.lower() in taken:
            name = self.identifier(words if number == 1 else f"{words} {number}", abbreviated=False)
            number += 1
        taken.add(name.lower())
        return name

    def key_words(self, noun: str) -> str:
        """The words of the primary key of the table that `noun` names."""
        return f"{noun} {self.key_word}" if self.long_keys else self.key_word

    def reference_words(self, noun: str) -> str:
        """The words of a foreign key to the table, or for the role, that `noun` names."""
        return self.reference.format(noun=noun, key=self.key_word)


def draw_naming(rng: Random) -> NamingStyle:
    """A style of identifiers."""
    key_word = rng.choices(("id", "number", "key"), (92, 4, 4))[0]
    return NamingStyle(
        case=rng.choices(list(_CASES), list(_CASES.values()))[0],
        plural=rng.random() < 0.4,
        long_keys=rng.random() < (0.5 if key_word == "id" else 1),
        long_labels=rng.random() < 0.25,
        short=rng.random() < 0.2,
        keys_last=rng.random() < 0.6,
        abbreviated=rng.random() < ABBREVIATED_SHARE,
        key_word=key_word,
        reference=rng.choices(("{noun} {key}", "{noun}", "{key} {noun}"), (88, 8, 4))[0],
    )


def _abbreviation(word: str) -> str:
    """A listed abbreviation, or the first letters up to a consonant if the word is long."""
    listed = shared_lists().abbreviations.get(word)
    if listed is not None or len(word) < SHORTENED_LENGTH:
        return listed or word
    return word[:4] if word[3] not in "aeiou" else word[:5] if word[4] not in "aeiou" else word[:3]
