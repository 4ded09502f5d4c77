"""What is asked for in words, before a style makes a sentence of it."""

from dataclasses import dataclass


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
