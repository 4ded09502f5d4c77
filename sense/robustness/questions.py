"""Questions in other words on the same database: keywords of SQL, typing errors, no capitals, other phrasings.

The gold stays. What stands in quotes or in the gold stays in the question too, to the letter; without capitals alone it is small
in the question, where the gold keeps its own spelling: then a model has to find the value in the database.
"""

import re
from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

from sense.records import Example
from sense.robustness.phrasings import rephrase
from sense.robustness.plan import DatabasePlan, Drop
from sense.robustness.protected import lost_values, overlaps, protected_spans
from sense.robustness.words import split_name
from sense.schema import Schema

NO_KEYWORD = Drop("no keyword in the question")
NO_WORD = Drop("no word long enough for a typing error")
UNCHANGED = Drop("the question has no capital")
VALUE_LOST = Drop("a value of the question would change")

_WORDS_PER_ERROR = 8
_MAX_ERRORS = 3
_LETTERS = re.compile(r"(?<![\w'’-])[A-Za-z]{5,}(?![\w'’-])")
_LONG = 6  # letters: an error in a shorter word is likelier to make another word of it
_ROWS_OF_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {letter: row[max(0, i - 1) : i] + row[i + 1 : i + 2] for row in _ROWS_OF_KEYS for i, letter in enumerate(row)}
# words that one letter turns into another one, or that carry the meaning of the whole question
_NO_ERRORS = frozenset(
    """least fewer other first there where which whose these those never under above below after before three seven eight second
    third fourth fifth""".split()
)


class _Keyword(NamedTuple):
    """Words that say what SQL is to do, and other words for them; they have that sense if the gold has the text `gold`."""

    pattern: re.Pattern[str]
    others: tuple[str, ...]
    gold: str = ""


_NUMBER = r"(?=\d|(?:one|two|three|four|five|six|seven|eight|nine|ten)\b)"
_NOT_NEGATED = r"(?<!no )(?<!not )(?<!any )(?<!in )"


def _keyword(pattern: str, *others: str, gold: str = "") -> _Keyword:
    return _Keyword(re.compile(rf"\b{pattern}", re.IGNORECASE), others, gold)


_KEYWORDS = (
    _keyword(r"how many (?!times\b|more\b|fewer\b|and\b)(?=[^.!]*\?)", "what number of ", gold="count("),
    _keyword(r"(?<!count )the (?:total )?number of (?!the\b)", "the count of ", "the quantity of ", gold="count("),
    _keyword(r"(?<!on )average\b(?! mean\b)", "mean", gold="avg("),
    _keyword(r"avg\b", "mean", gold="avg("),
    _keyword(r"(?<!\ba )maximum\b", "highest", "greatest", gold="max("),
    _keyword(r"(?<!\ba )minimum\b", "lowest", "smallest", gold="min("),
    _keyword(r"sum of\b", "total of", gold="sum("),
    _keyword(rf"{_NOT_NEGATED}more than {_NUMBER}", "over ", "in excess of "),
    _keyword(rf"{_NOT_NEGATED}(?:greater|higher|larger) than {_NUMBER}", "above ", "exceeding "),
    _keyword(rf"{_NOT_NEGATED}(?:less|fewer|smaller|lower) than {_NUMBER}", "under ", "below "),
    _keyword(rf"{_NOT_NEGATED}at least {_NUMBER}", "no fewer than ", "a minimum of "),
    _keyword(rf"{_NOT_NEGATED}at most {_NUMBER}", "no more than ", "a maximum of "),
    _keyword(r"different\b(?! (?:from|than|to)\b)", "distinct", "unique", gold="distinct"),
    _keyword(r"distinct\b", "different", "unique", gold="distinct"),
    _keyword(r"unique\b", "different", "distinct", gold="distinct"),
    _keyword(r"(?:sorted|arranged) by\b", "ordered by", gold="order by"),
    _keyword(r"ordered by\b", "sorted by", "arranged by", gold="order by"),
    _keyword(r"descending\b", "decreasing", gold="order by"),
    _keyword(r"ascending\b", "increasing", gold="order by"),
    _keyword(r"in alphabetical order\b", "alphabetically", "from A to Z", gold="order by"),
    _keyword(r"(?:for|of|in) each (?!of\b|other\b)", "per ", gold="count("),
    _keyword(r"most common\b", "most frequent", gold="order by"),
    _keyword(r"most frequent\b", "most common", gold="order by"),
    _keyword(r"starts with\b", "begins with", gold="like"),
    _keyword(r"start with\b", "begin with", gold="like"),
    _keyword(r"begins with\b", "starts with", gold="like"),
    _keyword(r"begin with\b", "start with", gold="like"),
    _keyword(r"do not\b", "don't"),
    _keyword(r"does not\b", "doesn't"),
    _keyword(r"don['’]t\b", "do not"),
    _keyword(r"doesn['’]t\b", "does not"),
    _keyword(r"(?<=for )each (?!of\b|other\b|one\b)", "every "),
    _keyword(r"latest(?= [a-z])", "most recent"),
    _keyword(r"most recent(?= [a-z])", "latest"),
    _keyword(r"along with\b", "together with"),
    _keyword(r"as well as\b", "and also"),
)


def rewrite_keywords(example: Example, _schema: Schema, _plan: DatabasePlan, rng: Random) -> Example | Drop:
    """Every keyword of the question under another word for it: "how many" is "what number of", "average" is "mean"."""
    question = example.question
    spans = protected_spans(example)
    gold = re.sub(r"\s+\(", "(", " ".join(example.sql.lower().split()))
    replaced: list[tuple[int, int, str]] = []
    for keyword in _KEYWORDS:
        for match in keyword.pattern.finditer(question):
            taken = [(start, end) for start, end, _ in replaced]
            if match.start() < match.end() and keyword.gold in gold and not overlaps(*match.span(), [*spans, *taken]):
                replaced.append((*match.span(), _in_case(rng.choice(keyword.others), match[0])))
    return _changed(example, _replaced(question, replaced), NO_KEYWORD)


def rewrite_with_typos(example: Example, schema: Schema, _plan: DatabasePlan, rng: Random) -> Example | Drop:
    """One typing error for each eight words, three at most: letters swapped, left out, doubled or taken for their neighbours."""
    question = example.question
    spans = protected_spans(example)
    free = [match for match in _LETTERS.finditer(question) if not overlaps(*match.span(), spans)]
    free = [match for match in free if match[0].lower() not in _NO_ERRORS]
    words = [match for match in free if len(match[0]) >= _LONG] or free
    if not words:
        return NO_WORD
    names = [name for table in schema.tables for name in (table.name, *(column.name for column in table.columns))]
    other_words = {word for text in (question, *names) for word in split_name(text)}
    count = min(len(words), _MAX_ERRORS, 1 + len(question.split()) // _WORDS_PER_ERROR)
    drawn = sorted(rng.sample(words, count), key=lambda match: match.start())
    replaced = [(*match.span(), _with_typo(match[0], other_words, rng)) for match in drawn]
    return _changed(example, _replaced(question, replaced), NO_WORD)


def rewrite_in_lower_case(example: Example, _schema: Schema, _plan: DatabasePlan, _rng: Random) -> Example | Drop:
    """The question without capitals, those of its values neither; the gold keeps its own."""
    question = example.question.lower()
    return UNCHANGED if question == example.question else example.model_copy(update={"question": question})


def rewrite_rephrased(example: Example, _schema: Schema, _plan: DatabasePlan, rng: Random) -> Example | Drop:
    """The question in another phrasing: a request, an indirect question, or one after a sentence."""
    return _changed(example, rephrase(example.question, rng), VALUE_LOST)


def _changed(example: Example, question: str, unchanged: Drop) -> Example | Drop:
    if question == example.question:
        return unchanged
    return VALUE_LOST if lost_values(example, question) else example.model_copy(update={"question": question})


def _replaced(text: str, pieces: Iterable[tuple[int, int, str]]) -> str:
    for start, end, new in sorted(pieces, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _in_case(new: str, old: str) -> str:
    return new[0].upper() + new[1:] if old[0].isupper() else new


def _with_typo(word: str, other_words: set[str], rng: Random) -> str:
    """The word with an error behind its first letter; it becomes no other word of the question or the schema."""
    errors: list[Callable[[int], str]] = [
        lambda i: word[:i] + word[i + 1] + word[i] + word[i + 2 :],
        lambda i: word[:i] + word[i + 1 :],
        lambda i: word[: i + 1] + word[i:],
        lambda i: word[:i] + rng.choice(_NEIGHBOURS[word[i].lower()]) + word[i + 1 :],
    ]
    attempts = (rng.choice(errors)(rng.randrange(1, len(word) - 1)) for _ in range(20))
    return next((new for new in attempts if new != word and new.lower() not in other_words), word)
