"""Conditions and what is asked for in words, before a style makes a sentence of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Position = Literal["before", "after", "that", "whose"]


@dataclass(frozen=True)
class Phrase:
    """A condition in words: where it stands, and the text.

    `apply` puts the noun into a text that goes round it. A `nested` phrase holds another noun with its own conditions, so nothing
    may follow it that could be taken for one of them. One of two, `either`, are such a phrase.
    """

    position: Position
    text: str
    apply: Callable[[str], str] | None = None
    nested: bool = False
    either: "tuple[Phrase, Phrase] | None" = None


@dataclass(frozen=True)
class Wording:
    """What is asked for.

    `noun` is a noun phrase with its article ("the names of the French keepers") and `plural` its number; if `nominal`, "what are"
    may stand before it. `direct` are whole questions without their mark ("how many keepers are there"), `indirect` the same as
    part of a sentence ("how many keepers there are"). `intro` and `rest` are for two sentences: "the French keepers", "what are
    their names". `tail` follows at the end (", oldest first").
    """

    noun: str
    plural: bool = False
    direct: tuple[str, ...] = ()
    indirect: tuple[str, ...] = ()
    intro: str = ""
    rest: str = ""
    tail: str = ""
    nominal: bool = True
