"""Conditions on a column in words: "in the north", "older than 30", "built after 2010", "whose name starts with 'A'"."""

import re
from collections.abc import Sequence

from sense.teacher import CellValue
from sense.teacher.grammar.database import GrammarColumn, GrammarTable
from sense.teacher.grammar.domains import NAMES, NUMBERS, shared_lists
from sense.teacher.grammar.english.language import MONTHS, article, is_plural, join_words, singular
from sense.teacher.grammar.english.speaker import Speaker
from sense.teacher.grammar.english.wording import Phrase
from sense.teacher.grammar.meaning import Comparison

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


def comparison(speaker: Speaker, table: GrammarTable, part: Comparison) -> list[Phrase]:
    """All ways to say a condition on one attribute of a row of `table`."""
    column = part.attribute.column
    if part.operator in ("null", "not null"):
        return _missing(speaker, table, part)
    if part.attribute.part == "length":
        return _length(speaker, part)
    if column.kind == "flag":
        return _flag(speaker, part)
    if column.kind in ("year", "date"):
        return _time(speaker, part)
    if part.operator in ("contains", "starts", "ends"):
        return _part_of_name(speaker, part)
    if column.kind in NAMES:
        return _name(speaker, part)
    if column.kind in NUMBERS:
        return _quantity(speaker, part)
    return _category(speaker, part)


def _category(speaker: Speaker, part: Comparison) -> list[Phrase]:
    column = part.attribute.column
    words = speaker.column(part.attribute.table, column)
    bare = [speaker.value(column, value) for value in part.values]
    values = [speaker.quotes.format(value) for value in bare] if speaker.chance(0.3) else bare
    if part.operator == "!=":
        options = [Phrase("whose", f"{words} is not {values[0]}"), Phrase("whose", f"{words} is anything but {values[0]}")]
        for phrase in _templates(column, bare[0], part.values[0]):
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
        templates = _templates(column, join_words(bare, "or"), None)
        return options + [phrase for phrase in templates if phrase.position == "after"] * 2
    templates = _templates(column, bare[0], part.values[0])
    plain = [Phrase("whose", f"{words} is {values[0]}")]
    if not templates and column.kind not in ("city", "country"):
        plain.append(Phrase("after", f"with the {words} {values[0]}"))
    elif not templates:
        plain.append(Phrase("after", f"in {bare[0]}"))
    return templates * 3 + plain if templates else plain


def _templates(column: GrammarColumn, spoken: str, value: CellValue) -> list[Phrase]:
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


def _flag(speaker: Speaker, part: Comparison) -> list[Phrase]:
    column = part.attribute.column
    value, holds = part.values[0], _holds(part)
    coded = isinstance(value, int) or str(value).lower() in ("y", "n", "t", "f")
    if coded and speaker.chance(0.65):
        speaker.explain("", f"{column.words} is stored in {column.name} as {value!r} for {'yes' if holds else 'no'}")
    templates = (column.spec.yes if holds else column.spec.no) if column.spec else ()
    phrases = [from_template(template) for template in templates]
    return phrases if phrases and speaker.chance(0.95) else [*phrases, marked(part)]


def marked(part: Comparison) -> Phrase:
    """A condition on a flag after any noun: "that are marked as fragile"."""
    column = part.attribute.column
    words = column.words.removeprefix("is ").removeprefix("has ")
    return Phrase("that", f"are marked as {words}" if _holds(part) else f"are not marked as {words}")


def _holds(part: Comparison) -> bool:
    """Whether a condition on a flag asks for the rows where it holds."""
    return (str(part.values[0]).lower() in _TRUE) == (part.operator != "!=")


def _quantity(speaker: Speaker, part: Comparison) -> list[Phrase]:
    column, operator = part.attribute.column, part.operator
    words = speaker.column(part.attribute.table, column)
    spec = column.spec
    spoken = join_words([speaker.number(column, value, index == len(part.values) - 1) for index, value in enumerate(part.values)])
    if spec is not None and spec.countable:
        things = singular(spec.countable) if part.values[0] == 1 and operator != "between" else spec.countable
        spoken = join_words([speaker.number(column, value, False) for value in part.values])
        if operator == "between":
            return [Phrase("after", f"with between {spoken} {things}")]
        options = [Phrase("after", f"with {way} {spoken} {things}") for way in COUNTS[operator]]
        if operator == "=":
            options.append(Phrase("after", f"with {spoken} {things}"))
        return options
    whose = [Phrase("whose", agree(words, f"{clause} {spoken}")) for clause in CLAUSES[operator]]
    noun = words if is_plural(words) else article(words)
    after = [Phrase("after", f"with {noun} {way} {spoken}") for way in OPERATORS[operator]]
    options = [speaker.rng.choice(whose)] if is_plural(words) else [speaker.rng.choice(whose), speaker.rng.choice(after)]
    if spec is None:
        return options
    if operator in (">", "<"):
        options += [Phrase("after", f"{more} than {spoken}") for more in (spec.more if operator == ">" else spec.less)] * 2
        options += _vague(speaker, part, spec.how)
    elif operator in (">=", "<=") and spec.unit and spec.how.removeprefix("how ") in _MEASURED:
        way = "at least" if operator == ">=" else "at most"
        options += [Phrase("after", f"{way} {spoken} {spec.how.split()[1]}")] * 2
    return options


def _vague(speaker: Speaker, part: Comparison, how: str) -> list[Phrase]:
    """Old keepers, where the evidence says what old is."""
    adjective = how.removeprefix("how ")
    if part.operator != ">" or not how.startswith("how ") or " " in adjective or not speaker.chance(0.45):
        return []
    column = part.attribute.column
    spoken = speaker.number(column, part.values[0])
    speaker.explain(f"{adjective} ", f"{adjective} means that {speaker.column(part.attribute.table, column)} is above {spoken}")
    return [Phrase("before", adjective, lambda noun: f"{adjective} {noun}")] * 4


def _time(speaker: Speaker, part: Comparison) -> list[Phrase]:
    column, operator = part.attribute.column, part.operator
    words = speaker.column(part.attribute.table, column)
    when = column.spec.when if column.spec else ""
    if part.attribute.part == "month":
        spoken = f"in {MONTHS[int(str(part.values[0])) - 1]}"
        if speaker.chance(0.1):
            spoken += " of any year"
    elif part.attribute.part == "year" or column.kind == "year":
        spoken = _years(speaker, operator, [str(value) for value in part.values])
    else:
        spoken = _days(speaker, operator, column, part.values)
    if column.date_format and not column.date_format.startswith("%Y-%m-%d") and speaker.chance(0.5):
        speaker.explain("", f"{column.name} is written as {_readable(column.date_format)}")
    then = re.sub(r"^since (.*)", r"in \1 or later", spoken)
    options = [Phrase("whose", agree(words, f"is {then}"))]
    options.append(Phrase("after", f"with {words if is_plural(words) else article(words)} {then}"))
    return options + [Phrase("after", f"{when} {spoken}")] * 6 if when else options


def _years(speaker: Speaker, operator: str, years: Sequence[str]) -> str:
    if operator == "between":
        return f"between {years[0]} and {years[1]}"
    if operator in ("in", "not in"):
        return f"{'' if operator == 'in' else 'not '}in {join_words(years, 'or')}"
    way = speaker.rng.choice(TIMES[operator])
    return way.format(years[0]) if "{}" in way else f"{way} {years[0]}"


def _days(speaker: Speaker, operator: str, column: GrammarColumn, values: Sequence[CellValue]) -> str:
    days = [speaker.value(column, value) for value in values]
    match operator:
        case "between":
            return f"between {days[0]} and {days[1]}"
        case ">=":
            return speaker.rng.choice((f"on or after {days[0]}", f"on {days[0]} or later"))
        case "<=":
            return speaker.rng.choice((f"on or before {days[0]}", f"on {days[0]} or earlier"))
        case ">" | "<":
            return f"{'after' if operator == '>' else 'before'} {days[0]}"
        case _:
            return f"on {days[0]}"


def _part_of_name(speaker: Speaker, part: Comparison) -> list[Phrase]:
    column = part.attribute.column
    words = speaker.column(part.attribute.table, column)
    if column.kind == "person" and "name" not in words:
        words = f"{words}'s name"
    text = str(part.values[0])
    spoken = f"'{text}'" if speaker.quotes == "{}" else speaker.quotes.format(text)
    if part.operator == "contains":
        options = [f"{words} contains {spoken}", f"{words} includes {spoken}", f"{words} has {spoken} in it"]
    else:
        letters = "the letter " if len(text) == 1 else "the letters " if len(text) <= 3 and text.isalpha() else ""
        verbs = ("starts with", "begins with") if part.operator == "starts" else ("ends with", "ends in")
        options = [f"{words} {verb} {letters}{spoken}" for verb in verbs]
    return [Phrase("whose", option) for option in options]


def _length(speaker: Speaker, part: Comparison) -> list[Phrase]:
    words = speaker.column(part.attribute.table, part.attribute.column)
    way = speaker.rng.choice(COUNTS[part.operator])
    longer = "longer" if part.operator == ">" else "shorter"
    return [
        Phrase("whose", f"{words} has {way} {part.values[0]} characters"),
        Phrase("after", f"with {article(words)} {longer} than {part.values[0]} characters"),
    ]


def _name(speaker: Speaker, part: Comparison) -> list[Phrase]:
    column = part.attribute.column
    words = speaker.column(part.attribute.table, column)
    spoken = speaker.quotes.format(part.values[0])
    if part.operator == "!=":
        return [Phrase("whose", f"{words} is not {spoken}")]
    if column is part.attribute.table.label and column.kind != "code":
        return [Phrase("after", f"named {spoken}"), Phrase("after", f"called {spoken}")]
    return [Phrase("after", f"with the {words} {spoken}"), Phrase("whose", f"{words} is {spoken}")]


def _missing(speaker: Speaker, table: GrammarTable, part: Comparison) -> list[Phrase]:
    words = speaker.column(table, part.attribute.column)
    if part.operator == "null":
        options = [
            Phrase("whose", f"{words} {'are' if is_plural(words) else 'is'} missing"),
            Phrase("whose", f"{words} {'are' if is_plural(words) else 'is'} not recorded"),
        ]
        if not words.startswith("number of "):
            options.append(Phrase("after", f"without {words}" if is_plural(words) else f"without {article(words)}"))
    else:
        options = [
            Phrase("whose", f"{words} {'are' if is_plural(words) else 'is'} known"),
            Phrase("whose", f"{words} {'are' if is_plural(words) else 'is'} recorded"),
        ]
    return options


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


def demonyms() -> dict[str, str]:
    """Country -> adjective, as far as the shared lists have them."""
    return dict(getattr(shared_lists(), "demonyms", {}))


def agree(words: str, clause: str) -> str:
    """A column with a clause about it; a plural takes the plural of the verb."""
    if not is_plural(words):
        return f"{words} {clause}"
    verb, space, rest = clause.partition(" ")
    return f"{words} {_PLURAL_VERBS.get(verb, verb)}{space}{rest}".replace("than that of", "than those of")


def _readable(date_format: str) -> str:
    return date_format.replace("%d", "DD").replace("%m", "MM").replace("%Y", "YYYY")
