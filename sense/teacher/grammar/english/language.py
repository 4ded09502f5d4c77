"""English for the questions: plurals, articles, verbs, lists, numbers and dates."""

from collections.abc import Sequence
from datetime import date

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_IRREGULAR_PASTS = frozenset(
    """became began bore bought brought broke built came caught chose cost cut did drew drove fell felt flew fought gave got grew
    had heard held hit kept knew laid led left lent let lost made meant met paid put ran read rose said sang sat saw sent set shot
    slept sold spent spoke stood swam taught took threw told took underwent understood went were won wore wrote""".split()
)
_THIRD_PERSONS = {"are": "is", "have": "has", "do": "does", "were": "was", "go": "goes"}
_PLURALS = {
    "species": "species",
    "aircraft": "aircraft",
    "sheep": "sheep",
    "person": "people",
    "child": "children",
    "man": "men",
    "woman": "women",
    "staff": "staff",
    "series": "series",
}
_SINGULARS = {"feet": "foot", "men": "man", "women": "woman", "degrees Celsius": "degree Celsius"}
_NO_PLURAL = frozenset(
    """accommodation advice attendance cash coverage data downtime equipment evidence experience
    feedback information luggage moisture money news noise pay progress research seeing staff tonnage traffic turnout weather
    work""".split()
)
_AN = ("hour", "honest", "honour", "honor", "heir", "x-ray")
_A = ("uni", "uti", "use", "usa", "eu", "one", "once", "ubi", "u-")


def plural(words: str) -> str:
    """The plural of a noun phrase: of its last word, or of the word before " of ", " per " and the like."""
    for preposition in (" of ", " per ", " in ", " at ", " for ", " above ", " to ", " on "):
        head, middle, rest = words.partition(preposition)
        if middle:
            return plural(head) + middle + rest
    before, space, last = words.rpartition(" ")
    if before in ("year", "date", "time") and (last.endswith("ed") or last in _IRREGULAR_PASTS):  # "year founded"
        return f"{plural(before)} {last}"
    if last in _PLURALS:
        return f"{before}{space}{_PLURALS[last]}"
    if last in _NO_PLURAL or last.endswith("ness"):
        return words
    if last.endswith("man") and last not in ("human", "german", "roman"):
        return f"{before}{space}{last[:-3]}men"
    if last in ("by", "on", "at"):  # "changed by"
        return words
    if last.endswith("sis"):
        return f"{words[:-2]}es"
    if last.endswith(("s", "x", "z", "ch", "sh")):
        return f"{words}es"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return f"{words[:-1]}ies"
    return f"{words}s"


def singular(words: str) -> str:
    """The singular of a unit or of what is counted: of its first word in "hours in the air", else of its last one."""
    for preposition in (" of ", " per ", " in ", " at ", " on "):
        head, middle, rest = words.partition(preposition)
        if middle:
            return singular(head) + middle + rest
    before, space, last = words.rpartition(" ")
    for one, many in _PLURALS.items():
        if last == many:
            return f"{before}{space}{one}"
    if last in _SINGULARS:
        return f"{before}{space}{_SINGULARS[last]}"
    if last.endswith("ies"):
        return f"{words[:-3]}y"
    if last.endswith(("ches", "shes", "sses", "xes")):
        return words[:-2]
    return words.removesuffix("s")


def is_plural(words: str) -> bool:
    """Whether the words for a column are a plural, as in "bedrooms", "hours per week" and "lines added"."""
    head = words
    for preposition in (" of ", " per ", " in ", " at ", " for "):
        head = head.partition(preposition)[0]
    return any(
        word.endswith("s")
        and not word.endswith(("ss", "us", "is", "ics", "as", "'s"))
        and word not in ("gas", "news", "series", "species")
        for word in head.split()
    )


def plural_of_column(words: str) -> str:
    """The words of a column for several rows: "names", "dates of birth", "years opened"; what is a plural already stays."""
    return words if is_plural(words) else plural(words)


def article(words: str) -> str:
    """The words after "a" or "an"; a number in capital letters is read letter by letter."""
    lower = words.lower()
    vowel = (lower[:1] in "aeiou" and not lower.startswith(_A)) or lower.startswith(_AN)
    if words[:2].isupper() and words[:1] in "FHLMNRSX":
        vowel = True
    if words[:1].isdigit():
        vowel = words.startswith(("8", "11", "18")) and not words.startswith(("110", "180", "1100", "1800"))
    return f"an {words}" if vowel else f"a {words}"


def third_person(verb: str) -> str:
    """A verb phrase for a singular subject: "run an apiary" becomes "runs an apiary"; a past tense stays."""
    first, space, rest = verb.partition(" ")
    if first in _THIRD_PERSONS:
        return _THIRD_PERSONS[first] + space + rest
    regular_past = first.endswith("ed") and first not in ("need", "feed", "exceed", "breed", "succeed", "speed")
    if regular_past or first in _IRREGULAR_PASTS:
        return verb
    if first in ("can", "cannot", "must", "may", "will", "should", "never"):
        return verb
    if first.endswith(("s", "x", "z", "ch", "sh", "o")):
        return f"{first}es{space}{rest}"
    if first.endswith("y") and first[-2:-1] not in "aeiou":
        return f"{first[:-1]}ies{space}{rest}"
    return f"{first}s{space}{rest}"


def join_words(words: Sequence[str], conjunction: str = "and") -> str:
    """Words as a list: "name, weight and age"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def capitalized(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def spoken_date(day: date, style: int) -> str:
    """A date as people write it: 2020-03-05, 5 March 2020 or March 5, 2020."""
    match style:
        case 0:
            return day.isoformat()
        case 1:
            return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
        case _:
            return f"{MONTHS[day.month - 1]} {day.day}, {day.year}"


def ordinal(number: int) -> str:
    """first, second, third."""
    return ("first", "second", "third", "fourth", "fifth")[number - 1]


_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def number_word(number: int) -> str:
    """A small number in letters."""
    return _NUMBER_WORDS[number] if 0 <= number < len(_NUMBER_WORDS) else str(number)
