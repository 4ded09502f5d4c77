"""Noun phrases: values, columns, and entities with all their conditions ("French keepers older than 30 that run an apiary").

A condition can be said in several ways, which differ in where they stand: before the noun ("certified keepers"), after it ("in
the north"), as a relative clause ("that run an apiary") or with "whose". `Speaker.phrase` picks one that fits the others.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from sense.teacher import CellValue
from sense.teacher.grammar.database import GrammarColumn, GrammarTable, Link
from sense.teacher.grammar.domains import GROUPS, NAMES, NUMBERS, shared_lists
from sense.teacher.grammar.english.language import (
    MONTHS,
    article,
    is_plural,
    join_words,
    number_word,
    plural,
    plural_of_column,
    spoken_date,
    third_person,
)
from sense.teacher.grammar.filters import parsed_date
from sense.teacher.grammar.meaning import (
    Across,
    AgainstAggregate,
    AgainstNamed,
    AgainstOther,
    AgainstParent,
    Attribute,
    Comparison,
    Either,
    Entity,
    Filter,
    OfCommonest,
    OfParent,
    WithChildren,
)

Position = Literal["before", "after", "that", "whose"]
_ORDER: dict[Position, int] = {"before": 0, "after": 1, "that": 2, "whose": 3}
QUOTES = ("{}", "{}", "{}", "'{}'", '"{}"')

OPERATORS = {
    ">": ("above", "over", "of more than"),
    "<": ("below", "under", "of less than"),
    ">=": ("of at least", "of no less than"),
    "<=": ("of at most", "of no more than"),
    "between": ("between",),
    "=": ("of exactly", "of"),
    "!=": ("other than",),
}
CLAUSES = {
    ">": ("is above", "exceeds", "is greater than", "is over", "is higher than"),
    "<": ("is below", "is less than", "is under", "is lower than"),
    ">=": ("is at least", "is no less than"),
    "<=": ("is at most", "does not exceed"),
    "between": ("is between", "lies between"),
    "=": ("is", "is exactly"),
    "!=": ("is not",),
}
COUNTS = {
    ">": ("more than", "over"),
    "<": ("fewer than", "less than"),
    ">=": ("at least", "no fewer than"),
    "<=": ("at most", "no more than"),
    "=": ("exactly",),
    "!=": ("a number other than",),
}
TIMES = {
    ">": ("after",),
    "<": ("before",),
    ">=": ("since", "from {} on", "in {} or later"),
    "<=": ("up to", "in {} or earlier"),
    "=": ("in",),
    "!=": ("not in",),
}
_PLURAL_VERBS = {"is": "are", "exceeds": "exceed", "lies": "lie", "does": "do", "has": "have", "contains": "contain"}
_MEASURED = frozenset(["old", "tall", "long", "high", "deep", "wide", "thick"])
"""Adjectives that follow a number with its unit: "30 years old"."""
_TRUE = frozenset(["yes", "true", "y", "t", "1"])


@dataclass(frozen=True)
class Phrase:
    """A condition in words: where it stands, and the text.

    `apply` puts the noun into a text that goes round it. A `nested` phrase holds another noun with its own conditions, so nothing
    may follow it that could be taken for one of them.
    """

    position: Position
    text: str
    apply: Callable[[str], str] | None = None
    nested: bool = False


class Speaker:
    """The words of one question: what it calls tables and columns, how it quotes, and the evidence that it needs."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.quotes = rng.choice(QUOTES)
        self.dates = rng.choice((0, 0, 1, 2))
        self.separators = rng.random() < 0.4
        self._evidence: dict[str, str] = {}
        self._phrases: dict[int, tuple[Filter, Phrase]] = {}
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
        return "; ".join(text for text, term in self._evidence.items() if term in (small if term.islower() else question))

    # --- names of tables and columns

    def nouns(self, table: GrammarTable) -> tuple[str, str]:
        """Singular and plural of a table, the same throughout a question."""
        pairs = [(table.singular, table.plural)] * 3 + list(table.synonyms)
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
        phrases = list(column.spec.phrases)
        if column.kind in ("date", "year") and column.words.endswith((" on", " in", " at")):
            return f"{column.kind} {column.words.rpartition(' ')[0]}"
        words = self.rng.choice([column.words] * 3 + list(column.synonyms) + phrases + phrases)
        if column.spec.countable and is_plural(words):
            words = f"number of {words}"
        spelt = re.sub(r"[^a-z]", "", column.name.lower())
        if re.sub(r"[^a-z]", "", words.lower()) != spelt:
            abbreviated = re.sub(r"[^a-z]", "", column.words.lower()) != spelt
            if self.chance(0.6 if abbreviated else 0.06):
                self.explain(words, f"{words} refers to the column {column.name}")
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
        """A column of an entity's row, or of the row it refers to: "name", "apiary name", "manager's name"."""
        words = self.column(attribute.table, attribute.column)
        if attribute.part == "year":
            words = words.removesuffix(" date") + " year" if words.endswith(" date") else f"year of the {words}"
        elif attribute.part == "month":
            words = f"month of the {words}"
        if not attribute.path:
            return words
        role = attribute.path[-1].role
        owner = self.owner(attribute.table, attribute.path)[0]
        if words.startswith(owner) or owner.endswith(f" {words}") or owner == words:
            return words
        if owner.split()[-1] in words.split():
            return f"{words} of the {owner}"
        if attribute.column is attribute.table.label or (" " not in words and self.chance(0.5)):
            return f"{owner}'s {words}" if role or is_person(attribute.table) else f"{owner} {words}"
        return f"{words} of the {owner}"

    def owner(self, table: GrammarTable, path: Sequence[Link]) -> tuple[str, str]:
        """Singular and plural of what the row at the end of `path` is called: its role, or the noun of its table."""
        role = path[-1].role if path else ""
        return (role, plural(role)) if role else self.nouns(table)

    # --- values

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

    # --- entities

    def plural(self, entity: Entity) -> str:
        """The rows of an entity: "French keepers older than 30"."""
        return self._with_conditions(entity, self.nouns(entity.table)[1], False)

    def singular(self, entity: Entity) -> str:
        """One row of an entity, without an article: "French keeper older than 30"."""
        return self._with_conditions(entity, self.nouns(entity.table)[0], True)

    def _with_conditions(self, entity: Entity, noun: str, singular: bool) -> str:
        phrases: list[Phrase] = []
        for one in entity.filters:
            phrases.append(self.phrase(entity.table, one, [phrase.position for phrase in phrases]))
        return assemble(noun, phrases, singular, is_person(entity.table))

    def named_value(self, entity: Entity) -> str | None:
        """The name of the only row that an entity is about, None if it is not about one that is named."""
        match entity.filters:
            case (Comparison(attribute=Attribute(column=column, path=(), part=""), operator="=", values=(value,)),):
                if column is entity.table.label or (entity.table.label and column.name == entity.table.label.name):
                    return self.quotes.format(value)
        return None

    def one(self, entity: Entity) -> str:
        """One row of an entity, with its article or by its name: "an apiary in the north", "the apiary Clover Hill"."""
        name = self.named_value(entity)
        if name is None:
            return article(self.singular(entity))
        bare = entity.table.label is not None and entity.table.label.kind in ("person", "title")
        return name if bare and self.chance(0.55) else f"the {self.nouns(entity.table)[0]} {name}"

    # --- conditions

    def phrase(self, table: GrammarTable, part: Filter, taken: Sequence[Position] = ()) -> Phrase:
        """A condition on a row of `table`, in one of the ways that go with phrases at the positions `taken`.

        A condition is said in the same way throughout a question.
        """
        if id(part) not in self._phrases:
            every = self.phrases(table, part)
            options = [phrase for phrase in every if taken.count(phrase.position) < (1 if phrase.apply else 2)] or every
            short = [phrase for phrase in options if phrase.position != "whose"]
            chosen = self.rng.choice(short) if short and self.chance(0.8) else self.rng.choice(options)
            self._phrases[id(part)] = (part, chosen)
        return self._phrases[id(part)][1]

    def phrases(self, table: GrammarTable, part: Filter) -> list[Phrase]:
        """All ways to say a condition on a row of `table`."""
        match part:
            case Comparison():
                return self._comparison(table, part)
            case Either():
                return [self._either(part)]
            case OfParent():
                return self._of_parent(part)
            case WithChildren():
                return self._with_children(part)
            case Across():
                return self._across(table, part)
            case AgainstAggregate():
                return self._against_aggregate(table, part)
            case AgainstNamed():
                return self._against_named(table, part)
            case OfCommonest():
                words = self.column(table, part.attribute.column)
                most = "most" if part.descending else "least"
                return [Phrase("after", f"with the {most} common {words}"), Phrase("whose", f"{words} is the {most} common one")]
            case AgainstParent():
                return self._against_parent(part)
            case AgainstOther():
                return self._against_other(part)

    def _comparison(self, table: GrammarTable, part: Comparison) -> list[Phrase]:
        column = part.attribute.column
        if part.operator in ("null", "not null"):
            return self._missing(table, part)
        if part.attribute.part == "length":
            return self._length(part)
        if column.kind == "flag":
            return self._flag(part)
        if column.kind in ("year", "date"):
            return self._time(part)
        if part.operator in ("contains", "starts", "ends"):
            return self._part_of_name(part)
        if column.kind in NAMES:
            return self._name(part)
        if column.kind in NUMBERS:
            return self._quantity(part)
        return self._category(part)

    def _category(self, part: Comparison) -> list[Phrase]:
        column = part.attribute.column
        words = self.column(part.attribute.table, column)
        bare = [self.value(column, value) for value in part.values]
        values = [self.quotes.format(value) for value in bare] if self.chance(0.3) else bare
        if part.operator == "!=":
            options = [Phrase("whose", f"{words} is not {values[0]}"), Phrase("whose", f"{words} is anything but {values[0]}")]
            for phrase in self._templates(column, bare[0], part.values[0]):
                if phrase.position == "after" and re.match(r"(?:in|at|from|on) ", phrase.text):
                    options.append(Phrase("that", f"are not {phrase.text}"))
            return options
        if part.operator == "not in":
            return [
                Phrase("whose", f"{words} is neither {join_words(values, 'nor')}"),
                Phrase("whose", f"{words} is not {join_words(values, 'or')}"),
            ]
        if part.operator == "in":
            spoken = join_words(values, "or")
            options = [
                Phrase("whose", f"{words} is {spoken}"),
                Phrase("whose", f"{words} is either {spoken}" if len(values) == 2 else f"{words} is one of {join_words(values)}"),
            ]
            templates = self._templates(column, join_words(bare, "or"), None)
            return options + [phrase for phrase in templates if phrase.position == "after"] * 2
        templates = self._templates(column, bare[0], part.values[0])
        plain = [Phrase("whose", f"{words} is {values[0]}")]
        if column.kind not in ("city", "country"):
            plain.append(Phrase("after", f"with the {words} {values[0]}"))
        elif not templates:
            plain.append(Phrase("after", f"in {bare[0]}"))
        return templates * 3 + plain if templates else plain

    def _templates(self, column: GrammarColumn, spoken: str, value: CellValue) -> list[Phrase]:
        """The noun phrases of a category with a value."""
        if column.spec is None:
            return []
        phrases = []
        for template in column.spec.noun_phrases:
            if "{demonym}" in template:
                demonym = demonyms().get(str(value))
                if demonym is None:
                    continue
                phrases.append(from_template(template.replace("{demonym}", demonym)))
            else:
                phrases.append(from_template(template.replace("{value}", spoken)))
        return phrases

    def _flag(self, part: Comparison) -> list[Phrase]:
        column = part.attribute.column
        value = part.values[0]
        holds = str(value).lower() in _TRUE
        if part.operator == "!=":
            holds = not holds
        coded = isinstance(value, int) or str(value).lower() in ("y", "n", "t", "f")
        if coded and self.chance(0.5):
            self.explain("", f"{column.words} is stored in {column.name} as {value!r} for {'yes' if holds else 'no'}")
        templates = (column.spec.yes if holds else column.spec.no) if column.spec else ()
        words = column.words.removeprefix("is ").removeprefix("has ")
        fallback = Phrase("that", f"are marked as {words}" if holds else f"are not marked as {words}")
        phrases = [from_template(template) for template in templates]
        only_before = all(phrase.position == "before" for phrase in phrases)  # cannot stand beside another after "or"
        return phrases if templates and self.chance(0.9) and not only_before else [*phrases, fallback]

    def _quantity(self, part: Comparison) -> list[Phrase]:
        column, operator = part.attribute.column, part.operator
        words = self.column(part.attribute.table, column)
        spec = column.spec
        spoken = join_words(
            [self.number(column, value, index == len(part.values) - 1) for index, value in enumerate(part.values)]
        )
        if spec is not None and spec.countable:
            things = spec.countable
            spoken = join_words([self.number(column, value, False) for value in part.values])
            if operator == "between":
                return [Phrase("after", f"with between {spoken} {things}")]
            options = [Phrase("after", f"with {way} {spoken} {things}") for way in COUNTS[operator]]
            if operator == "=":
                options.append(Phrase("after", f"with {spoken} {things}"))
            return options
        whose = [Phrase("whose", _agree(words, f"{clause} {spoken}")) for clause in CLAUSES[operator]]
        noun = words if is_plural(words) else article(words)
        after = [Phrase("after", f"with {noun} {way} {spoken}") for way in OPERATORS[operator]]
        options = [self.rng.choice(whose)] if is_plural(words) else [self.rng.choice(whose), self.rng.choice(after)]
        if spec is None:
            return options
        if operator in (">", "<"):
            options += [Phrase("after", f"{more} than {spoken}") for more in (spec.more if operator == ">" else spec.less)] * 2
            options += self._vague(part, spec.how)
        elif operator in (">=", "<=") and spec.unit and spec.how.removeprefix("how ") in _MEASURED:
            way = "at least" if operator == ">=" else "at most"
            options += [Phrase("after", f"{way} {spoken} {spec.how.split()[1]}")] * 2
        return options

    def _vague(self, part: Comparison, how: str) -> list[Phrase]:
        """Old keepers, where the evidence says what old is."""
        adjective = how.removeprefix("how ")
        if part.operator != ">" or not how.startswith("how ") or " " in adjective or not self.chance(0.45):
            return []
        column = part.attribute.column
        spoken = self.number(column, part.values[0])
        self.explain(f"{adjective} ", f"{adjective} means that {self.column(part.attribute.table, column)} is above {spoken}")
        return [Phrase("before", adjective, lambda noun: f"{adjective} {noun}")] * 4

    def _time(self, part: Comparison) -> list[Phrase]:
        column, operator = part.attribute.column, part.operator
        words = self.column(part.attribute.table, column)
        when = column.spec.when if column.spec else ""
        if part.attribute.part == "month":
            spoken = f"in {MONTHS[int(str(part.values[0])) - 1]}"
            if self.chance(0.1):
                spoken += " of any year"
        elif part.attribute.part == "year" or column.kind == "year":
            spoken = self._years(operator, [str(value) for value in part.values])
        else:
            spoken = self._days(operator, column, part.values)
        if column.date_format and self.chance(0.5):
            self.explain("", f"{column.name} is written as {_readable(column.date_format)}")
        clause = _agree(words, f"is {spoken}")
        options = [Phrase("whose", clause)]
        options.append(Phrase("after", f"with {article(words)} {spoken}" if not is_plural(words) else f"with {words} {spoken}"))
        return options + [Phrase("after", f"{when} {spoken}")] * 6 if when else options

    def _years(self, operator: str, years: Sequence[str]) -> str:
        if operator == "between":
            return f"between {years[0]} and {years[1]}"
        if operator in ("in", "not in"):
            return f"{'' if operator == 'in' else 'not '}in {join_words(years, 'or')}"
        way = self.rng.choice(TIMES[operator])
        return way.format(years[0]) if "{}" in way else f"{way} {years[0]}"

    def _days(self, operator: str, column: GrammarColumn, values: Sequence[CellValue]) -> str:
        days = [self.value(column, value) for value in values]
        match operator:
            case "between":
                return f"between {days[0]} and {days[1]}"
            case ">=":
                return self.rng.choice((f"on or after {days[0]}", f"on {days[0]} or later"))
            case "<=":
                return self.rng.choice((f"on or before {days[0]}", f"on {days[0]} or earlier"))
            case ">" | "<":
                return f"{'after' if operator == '>' else 'before'} {days[0]}"
            case _:
                return f"on {days[0]}"

    def _part_of_name(self, part: Comparison) -> list[Phrase]:
        column = part.attribute.column
        words = self.column(part.attribute.table, column)
        text = str(part.values[0])
        spoken = f"'{text}'" if self.quotes == "{}" else self.quotes.format(text)
        if part.operator == "contains":
            options = [f"{words} contains {spoken}", f"{words} includes {spoken}", f"{words} has {spoken} in it"]
        else:
            letters = "the letter " if len(text) == 1 else "the letters " if len(text) <= 3 and text.isalpha() else ""
            verbs = ("starts with", "begins with") if part.operator == "starts" else ("ends with", "ends in")
            options = [f"{words} {verb} {letters}{spoken}" for verb in verbs]
        return [Phrase("whose", option) for option in options]

    def _length(self, part: Comparison) -> list[Phrase]:
        words = self.column(part.attribute.table, part.attribute.column)
        way = self.rng.choice(COUNTS[part.operator])
        longer = "longer" if part.operator == ">" else "shorter"
        return [
            Phrase("whose", f"{words} has {way} {part.values[0]} characters"),
            Phrase("after", f"with {article(words)} {longer} than {part.values[0]} characters"),
        ]

    def _name(self, part: Comparison) -> list[Phrase]:
        column = part.attribute.column
        words = self.column(part.attribute.table, column)
        spoken = self.quotes.format(part.values[0])
        if part.operator == "!=":
            return [Phrase("whose", f"{words} is not {spoken}")]
        if column is part.attribute.table.label and column.kind != "code":
            return [Phrase("after", f"named {spoken}"), Phrase("after", f"called {spoken}")]
        return [Phrase("after", f"with the {words} {spoken}"), Phrase("whose", f"{words} is {spoken}")]

    def _missing(self, table: GrammarTable, part: Comparison) -> list[Phrase]:
        words = self.column(table, part.attribute.column)
        if part.operator == "null":
            options = [
                Phrase("after", f"without {words}" if is_plural(words) else f"without {article(words)}"),
                Phrase("whose", f"{words} {'are' if is_plural(words) else 'is'} missing"),
                Phrase("whose", f"{words} {'are' if is_plural(words) else 'is'} not recorded"),
            ]
        else:
            options = [
                Phrase("whose", f"{words} {'are' if is_plural(words) else 'is'} known"),
                Phrase("whose", f"{words} {'are' if is_plural(words) else 'is'} recorded"),
            ]
        if part.attribute.column.kind == "flag":
            return [Phrase("whose", f"{words} is {'not recorded' if part.operator == 'null' else 'recorded'}")]
        return options

    def _either(self, part: Either) -> Phrase:
        """Two conditions with "or" between them: of one kind ("from France or from Italy"), or as two clauses."""
        sides = [
            [phrase for phrase in self.phrases(one.attribute.table, one) if phrase.position != "before"]
            for one in (part.first, part.second)
        ]
        if not all(sides):
            columns = [one.attribute.column.words for one in (part.first, part.second)]
            raise ValueError(f"no clause for a condition on one of {columns}")
        for having in (True, False) if self.chance(0.7) else ():
            after = [
                [phrase.text for phrase in side if phrase.position == "after" and phrase.text.startswith("with ") == having]
                for side in sides
            ]
            if all(after):
                first, second = (self.rng.choice(side) for side in after)
                return Phrase("after", f"{first} or {second}") if having else Phrase("that", f"are {first} or {second}")
        person = is_person(part.first.attribute.table)
        first, second = (_clause(self.rng.choice(side), False, person) for side in sides)
        return (
            Phrase("whose", f"{first} or {second}".removeprefix("whose "))
            if first.startswith("whose")
            else Phrase("that", f"{first} or {second}".partition(" ")[2])
        )

    def _of_parent(self, part: OfParent) -> list[Phrase]:
        target = self.one(part.parent)
        if part.link.role:
            nested = self.named_value(part.parent) is None
            return [Phrase("whose", f"{part.link.role} is {'not ' if part.negated else ''}{target}", nested=nested)]
        if part.negated:
            return [Phrase("that", f"are not {part.link.by} {target}", nested=True)]
        nested = self.named_value(part.parent) is None
        if nested and self.chance(0.4):
            target = self.plural(part.parent)
        return [Phrase("after", f"{part.link.by} {target}", nested=nested)]

    def _with_children(self, part: WithChildren) -> list[Phrase]:
        verb = verb_of(part.link)
        singular, plural = self.nouns(part.child.table)
        if part.negated:
            if part.child.filters:
                return [Phrase("that", f"{verb} no {self.plural(part.child)}", nested=True)]
            return [
                Phrase("that", f"{verb} no {plural}"),
                Phrase("after", f"without any {plural}"),
                Phrase("that", f"have no {singular}"),
            ]
        if (part.operator, part.count) != (">=", 1):
            number = number_word(part.count) if self.chance(0.5) else str(part.count)
            rows = singular if part.count == 1 else self.plural(part.child)
            return [Phrase("that", f"{verb} {self.rng.choice(COUNTS[part.operator])} {number} {rows}")]
        target = self.one(part.child)
        if target.startswith(("a ", "an ")) and self.chance(0.5):
            target = f"at least one {target.partition(' ')[2]}"
        return [Phrase("that", f"{verb} {target}", nested=bool(part.child.filters))]

    def _across(self, table: GrammarTable, part: Across) -> list[Phrase]:
        verb = part.junction.across.get(table.name) or part.here.verb
        name = self.named_value(part.other)
        if part.negated:
            if name is None:
                return [Phrase("that", f"{verb} no {self.plural(part.other)}", nested=True)]
            return [Phrase("that", negated_verb(verb, self.one(part.other)))]
        target = self.one(part.other)
        if target.startswith(("a ", "an ")) and self.chance(0.5):
            target = f"at least one {target.partition(' ')[2]}"
        return [Phrase("that", f"{verb} {target}", nested=name is None)]

    def _against_aggregate(self, table: GrammarTable, part: AgainstAggregate) -> list[Phrase]:
        column = part.attribute.column
        words = self.column(table, column)
        spec = column.spec
        among = self.plural(part.among)
        nested = bool(part.among.filters)
        if part.operator == "=":
            best = f"with {self.best(table, column, part.function == 'MAX')}"
            return [Phrase("after", f"{best} of all {among}", nested=nested)] + ([] if nested else [Phrase("after", best)])
        more = self.more(column, part.operator)
        if part.function == "AVG":
            options = [Phrase("whose", _agree(words, f"is {more} than the average of all {among}"), nested=nested)]
            if not part.among.filters:
                above = "above" if part.operator == ">" else "below"
                if not is_plural(words):
                    options.append(Phrase("after", f"with {article(f'{above}-average {words}')}"))
                options += [
                    Phrase("whose", _agree(words, f"is {above} average")),
                    Phrase("whose", _agree(words, f"is {above} the average")),
                ]
                adjectives = (spec.more if part.operator == ">" else spec.less) if spec else ()
                options += [Phrase("after", f"{adjective} than average") for adjective in adjectives] * 2
            return options
        every = (part.operator == ">") == (part.function == "MAX")
        other = f"every {self.singular(part.among)}" if every else f"at least one {self.singular(part.among)}"
        return [Phrase("whose", _agree(words, f"is {more} than that of {other}"), nested=nested)]

    def _against_named(self, table: GrammarTable, part: AgainstNamed) -> list[Phrase]:
        column = part.attribute.column
        words = self.column(table, column)
        label = table.label
        name = self.one(Entity(table, (Comparison(Attribute(table, label), "=", (part.label,)),))) if label else str(part.label)
        if part.operator == "=":
            apart = "not counting" if is_person(table) else "apart from"
            return [
                Phrase("after", f"other than {name} with the same {words} as {name}"),
                Phrase("that", f"have the same {words} as {name}, {apart} {name}"),
            ]
        more = self.more(column, part.operator)
        adjectives = (column.spec.more if part.operator == ">" else column.spec.less) if column.spec else ()
        return [Phrase("whose", _agree(words, f"is {more} than that of {name}"))] + [
            Phrase("after", f"{adjective} than {name}") for adjective in adjectives
        ] * 2

    def _against_parent(self, part: AgainstParent) -> list[Phrase]:
        column = part.attribute.column
        words = self.column(part.attribute.table, column)
        more = self.more(column, part.operator)
        adjectives = (column.spec.more if part.operator == ">" else column.spec.less) if column.spec else ()
        return [Phrase("whose", _agree(words, f"is {more} than that of their {part.link.role}"))] + [
            Phrase("after", f"{adjective} than their {part.link.role}") for adjective in adjectives
        ] * 2

    def _against_other(self, part: AgainstOther) -> list[Phrase]:
        column = part.attribute.column
        words = self.column(part.attribute.table, column)
        other = self.column(part.other.table, part.other.column)
        return [Phrase("whose", _agree(words, f"is {self.more(column, part.operator)} than the {other}"))]

    # --- comparatives and superlatives of columns

    def more(self, column: GrammarColumn, operator: str) -> str:
        """The comparative of a column's values: higher, later, fewer."""
        up = operator in (">", ">=")
        if column.kind in ("year", "date"):
            return "later" if up else "earlier"
        return self.rng.choice(("higher", "greater") if up else ("lower",))

    def extreme(self, column: GrammarColumn, highest: bool) -> str:
        """The superlative before a column's words: highest, latest, fewest."""
        if column.kind in ("year", "date"):
            return self.rng.choice(("latest", "most recent") if highest else ("earliest",))
        return self.rng.choice(("highest", "highest", "largest") if highest else ("lowest", "lowest", "smallest"))

    def best(self, table: GrammarTable, column: GrammarColumn, highest: bool, nth: str = "") -> str:
        """What the first row of an order has: "the highest altitude", "the second most frames"."""
        if column.spec is not None and column.spec.countable and self.chance(0.6):
            return f"the {nth}{'most' if highest else 'fewest'} {column.spec.countable}"
        return f"the {nth}{self.extreme(column, highest)} {self.column(table, column)}"


def assemble(noun: str, phrases: Sequence[Phrase], singular: bool, person: bool) -> str:
    """A noun with its phrases: those before it, those after it, relative clauses; those that hold other nouns come last."""
    words = noun
    for phrase in phrases:
        if phrase.position == "before" and phrase.apply:
            words = phrase.apply(words)
    flat = [phrase for phrase in phrases if not phrase.nested]
    nested = [phrase for phrase in phrases if phrase.nested]
    after = [phrase.text for phrase in flat if phrase.position == "after"]
    withs = [text for text in after if text.startswith(("with ", "without "))]
    for text in after:
        if text not in withs:
            words += f" {text}"
    if withs:
        words += f" {' and '.join(withs)}"
    clauses = [_clause(phrase, singular, person) for phrase in flat if phrase.position in ("that", "whose")]
    if nested and not clauses and nested[0].position == "after":
        words += f" {nested[0].text}"
        nested = nested[1:]
    clauses += [_clause(phrase, singular, person) for phrase in nested]
    if clauses:
        words += f" {' and '.join(clauses)}"
    return re.sub(r"\btheir\b", "its", words) if singular and not person else words


def _clause(phrase: Phrase, singular: bool, person: bool) -> str:
    """A phrase as a relative clause."""
    if phrase.position == "whose":
        return f"whose {phrase.text}"
    verb = f"are {phrase.text}" if phrase.position == "after" else phrase.text
    if verb.startswith("are with "):
        verb = f"have {verb.removeprefix('are with ')}"
    if singular:
        verb = re.sub(r"(?:(?<= or that )|(?<= or who ))\w+", lambda match: third_person(match.group()), third_person(verb))
    return f"{'who' if person else 'that'} {verb}"


def from_template(template: str) -> Phrase:
    """A phrase from a template with {table}: before the noun, after it, a relative clause, or round it."""
    before, _, after = template.partition("{table}")
    before, after = before.strip(), after.strip()
    if not before:
        for relative in ("that ", "who ", "which "):
            if after.startswith(relative):
                return Phrase("that", after.removeprefix(relative))
        if after.startswith("whose "):
            return Phrase("whose", after.removeprefix("whose "))
        return Phrase("after", after)
    return Phrase("before", before, lambda noun: f"{before} {noun} {after}".strip())


def verb_of(link: Link) -> str:
    """The verb that leads from the row that `link` refers to, to the rows that hold it."""
    return f"are the {link.role} of" if link.role and link.child != link.parent else link.verb


def negated_verb(verb: str, target: str) -> str:
    """A verb phrase that denies: do not take X, never placed X, are not taught by X."""
    first, _, rest = verb.partition(" ")
    if first in ("are", "were", "have", "had", "is"):
        return f"{first} not {rest} {target}"
    if third_person(verb) == verb:
        return f"never {verb} {target}"
    return f"do not {verb} {target}"


def is_person(table: GrammarTable) -> bool:
    """Whether the rows of a table are people."""
    return table.label is not None and table.label.kind == "person"


def demonyms() -> dict[str, str]:
    """Country -> adjective, as far as the shared lists have them."""
    return dict(getattr(shared_lists(), "demonyms", {}))


def _agree(words: str, clause: str) -> str:
    """A column with a clause about it; a plural takes the plural of the verb."""
    if not is_plural(words):
        return f"{words} {clause}"
    verb, space, rest = clause.partition(" ")
    return f"{words} {_PLURAL_VERBS.get(verb, verb)}{space}{rest}".replace("than that of", "than those of")


def column_list(speaker: Speaker, attributes: Sequence[Attribute], plural: bool) -> str:
    """Columns as a list: "name and country", or "names and countries"."""
    words = [speaker.attribute(attribute) for attribute in attributes]
    return join_words([plural_of_column(word) for word in words] if plural else words)


def _readable(date_format: str) -> str:
    return date_format.replace("%d", "DD").replace("%m", "MM").replace("%Y", "YYYY")
