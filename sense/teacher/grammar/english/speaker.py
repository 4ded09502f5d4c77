"""What one question calls tables, columns and values, and the evidence that it needs."""

import re
from collections.abc import Sequence
from random import Random

from sense.teacher import CellValue
from sense.teacher.grammar.database import GrammarColumn, GrammarTable, Link
from sense.teacher.grammar.domains import GROUPS, general
from sense.teacher.grammar.english.language import is_plural, join_words, plural, plural_of_column, singular, spoken_date
from sense.teacher.grammar.english.wording import Phrase
from sense.teacher.grammar.filters import parsed_date
from sense.teacher.grammar.meaning import Attribute, Filter

_PARTICLES = (" on", " in", " at", " by", " since")
_PREPOSITION = re.compile(r" (?:of|in|at|for|on|to|per|from|above) ")
_SIZES = frozenset("width area size space volume capacity aperture amount quantity population extent".split())
_LENGTHS = frozenset("length distance duration time period term stay way".split())
QUOTES = ("{}", "{}", "{}", "'{}'", '"{}"')


class Speaker:
    """The words of one question: what it calls tables and columns, how it quotes, and the evidence that it needs.

    With `spelt` it calls tables and columns by the words in their names.
    """

    def __init__(self, rng: Random, spelt: bool = False) -> None:
        self.rng = rng
        self._spelt = spelt
        self.quotes = rng.choice(QUOTES)
        self.dates = rng.choice((0, 0, 1, 2))
        self.separators = rng.random() < 0.4
        self._evidence: dict[str, str] = {}
        self.chosen: dict[int, tuple[Filter, Phrase]] = {}
        self._columns: dict[tuple[str, str], str] = {}
        self._nouns: dict[str, tuple[str, str]] = {}

    def chance(self, share: float) -> bool:
        """True with probability `share`."""
        return self.rng.random() < share

    def explain(self, term: str, text: str) -> None:
        """Adds a piece of evidence, which a question needs that contains `term`."""
        self._evidence[text] = term

    def evidence(self, question: str) -> str:
        """What one must know besides `question`; empty if nothing."""
        small = question.lower()
        plain = re.sub(r"\b(?:more|less|most|least) \w+", "", small)
        return "; ".join(
            text
            for text, term in self._evidence.items()
            if term in (plain if term.endswith(" ") else small if term.islower() else question)
        )

    def nouns(self, table: GrammarTable) -> tuple[str, str]:
        """Singular and plural of a table, the same throughout a question."""
        pairs = [(table.singular, table.plural)] * 3 + ([] if self._spelt else list(table.synonyms))
        return self._nouns.setdefault(table.name, self.rng.choice(pairs))

    def column(self, table: GrammarTable, column: GrammarColumn) -> str:
        """The words of a column, the same throughout a question."""
        key = (table.name, column.name)
        if key not in self._columns:
            self._columns[key] = self._choose_words(table, column)
        return self._columns[key]

    def _choose_words(self, table: GrammarTable, column: GrammarColumn) -> str:
        if column.spec is None:
            return self._key_words(table, column)
        if column.kind == "flag":
            return f"{column.words.removeprefix('is ').removeprefix('has ')} status"
        phrases = [] if self._spelt else list(column.spec.phrases)
        synonyms = () if self._spelt else column.synonyms
        nouns = [words for words in (*[column.words] * 3, *synonyms) if not words.endswith(_PARTICLES)]
        if phrases and column.words in general().reserved:  # "order" says little
            nouns = []
        if column.kind in ("date", "year") and not nouns:
            return f"{column.kind} {column.words.rpartition(' ')[0]}"
        words = self.rng.choice([*nouns, *phrases, *phrases] or [column.words])
        if column.spec.countable and is_plural(words):
            words = f"number of {words}"
        spelt = re.sub(r"[^a-z]", "", column.name.lower())
        if re.sub(r"[^a-z]", "", words.lower()) != spelt:
            abbreviated = re.sub(r"[^a-z]", "", column.words.lower()) != spelt
            apart = not set(words.split()) & set(column.words.split())
            if self.chance(0.7 if abbreviated else 0.13 if apart else 0.04):
                taken = any(text.startswith(f"{words} refers to ") for text in self._evidence)
                of = f" of the {self.nouns(table)[0]}" if taken else ""
                self.explain(words, f"{words}{of} refers to the column {column.name}")
        return words

    def _key_words(self, table: GrammarTable, column: GrammarColumn) -> str:
        words = column.words
        if words.endswith(" id"):
            return words[:-2] + self.rng.choice(("ID", "id", "number")) if table.label is None else words[:-2] + "ID"
        return (
            f"{self.nouns(table)[0]} ID"
            if words == "id" and self.chance(0.5)
            else words.replace("id", "ID")
            if words == "id"
            else words
        )

    def attribute(self, attribute: Attribute) -> str:
        """A column of an entity's row, or of the row it refers to: "name", "apiary name", "price of the apiary's honey"."""
        words = self.column(attribute.table, attribute.column)
        if attribute.part in ("year", "month"):
            words = _part_of_date(words, attribute.part)
        if not attribute.path:
            return words
        role = attribute.path[-1].role
        owner = self.owner(attribute.table, attribute.path)[0]
        plain = attribute.column.words
        if _PREPOSITION.search(words) and not _PREPOSITION.search(plain) and not plain.endswith(_PARTICLES):
            words = plain
        if words.startswith(owner) or owner.endswith(f" {words}") or owner == words:
            return words
        if owner.split()[-1] in words.split() or _PREPOSITION.search(words) or role:
            return f"{words} of the {owner}"
        if attribute.column is attribute.table.label and is_person(attribute.table):
            return f"{owner}'s {words}"
        return f"{owner} {self._without_noun(words, attribute.table, owner)}"

    def column_beside(self, attribute: Attribute, owner: str) -> str:
        """A column beside the noun of its row, which is not said twice: "name" for the studio name of a studio."""
        words = self.attribute(Attribute(attribute.table, attribute.column, (), attribute.part))
        return self._without_noun(words, attribute.table, owner)

    def _without_noun(self, words: str, table: GrammarTable, owner: str) -> str:
        """The words of a column without the noun of their table: "name" for "studio name"."""
        for noun in (owner, table.singular, *(one for one, _ in table.synonyms)):
            words = words.removeprefix(f"{noun} ").removeprefix(f"{noun.rsplit(maxsplit=1)[-1]} ")
        return words

    def owner(self, table: GrammarTable, path: Sequence[Link]) -> tuple[str, str]:
        """Singular and plural of what the row at the end of `path` is called: its role, or the noun of its table."""
        role = path[-1].role if path else ""
        return (role, plural(role)) if role else self.nouns(table)

    def value(self, column: GrammarColumn, value: CellValue, unit: bool = True) -> str:
        """A value as a question spells it, with its unit if there is one."""
        if value in column.meanings:
            meaning = column.meanings[value]
            self.explain(meaning, f"{meaning} is stored as {value!r} in {column.name}")
            return meaning
        if column.kind == "date" and isinstance(value, str):
            return spoken_date(parsed_date(column, value), self.dates)
        if isinstance(value, str):
            return self._text(column, value)
        return self.number(column, value, unit)

    def number(self, column: GrammarColumn, value: CellValue, unit: bool = True) -> str:
        """A number, perhaps with a separator of thousands, with its unit."""
        text = str(value)
        if isinstance(value, (int, float)) and abs(value) >= 10_000 and column.kind != "year" and self.separators:
            text = f"{value:,}"
        units = column.spec.unit if column.spec and unit else ""
        if value == 1:
            units = singular(units)
        return f"{text} {units}" if units else text

    def _text(self, column: GrammarColumn, value: str) -> str:
        if column.kind in ("city", "country"):
            return value
        if column.kind in GROUPS:
            spelt = value
            if self.chance(0.04) and value.isascii() and value.islower():
                spelt = value.capitalize() if len(value.split()) == 1 else value.title()
                self.explain(spelt, f"{spelt} is stored as {value!r} in {column.name}")
            return spelt
        return self.quotes.format(value)

    def more(self, column: GrammarColumn, operator: str) -> str:
        """The comparative of a column's values: higher, later, fewer."""
        up = operator in (">", ">=")
        if column.kind in ("year", "date"):
            return "later" if up else "earlier"
        return self.rng.choice(("higher", "greater") if up else ("lower",))

    def extreme(self, table: GrammarTable, column: GrammarColumn, highest: bool) -> str:
        """The superlative before a column's words: highest, latest, fewest."""
        if column.kind in ("year", "date"):
            return self.rng.choice(("latest", "most recent") if highest else ("earliest",))
        return extremes(self.column(table, column))[0 if highest else 1]

    def best(self, table: GrammarTable, column: GrammarColumn, highest: bool, nth: str = "") -> str:
        """What the first row of an order has: "the highest altitude", "the second most frames"."""
        if column.spec is not None and column.spec.countable and self.chance(0.6):
            return f"the {nth}{'most' if highest else 'fewest'} {column.spec.countable}"
        return f"the {nth}{self.extreme(table, column, highest)} {self.column(table, column)}"


def _part_of_date(words: str, part: str) -> str:
    """The year or month of a date: "opening year", "year of issue" """
    if words in ("date", "day"):
        return part
    if words.startswith(("date of ", "day of ")):
        return f"{part} of {words.partition(' of ')[2]}"
    return f"{words.removesuffix(' date')} {part}" if words.endswith(" date") else f"{part} of the {words}"


def extremes(words: str) -> tuple[str, str]:
    """The superlatives of a quantity: the largest and the smallest area, the longest and the shortest time."""
    head = _PREPOSITION.split(words)[0].rsplit(maxsplit=1)[-1] if words else ""
    if head in _SIZES:
        return "largest", "smallest"
    return ("longest", "shortest") if head in _LENGTHS else ("highest", "lowest")


def is_person(table: GrammarTable) -> bool:
    """Whether the rows of a table are people."""
    return table.label is not None and table.label.kind == "person"


def column_list(speaker: Speaker, attributes: Sequence[Attribute], plural: bool) -> str:
    """Columns as a list: "name and country", or "names and countries"."""
    words = [speaker.attribute(attribute) for attribute in attributes]
    return join_words([plural_of_column(word) for word in words] if plural else words)
