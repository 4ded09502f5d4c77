"""Noun phrases: entities with all their conditions ("French keepers older than 30 that run an apiary").

A condition can be said in several ways, which differ in where they stand: before the noun ("certified keepers"), after it ("in
the north"), as a relative clause ("that run an apiary") or with "whose". `phrase_of` picks one that fits the others.
"""

import re
from collections.abc import Sequence

from sense.teacher.grammar.database import GrammarColumn, GrammarTable
from sense.teacher.grammar.english.comparisons import COUNTS, agree, comparison, marked
from sense.teacher.grammar.english.language import article, is_plural, number_word, third_person
from sense.teacher.grammar.english.speaker import Speaker, is_person
from sense.teacher.grammar.english.wording import Phrase, Position
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

_PAST = re.compile(r"(?:\w+ed|made|built|born|held|sold|bought|sent|paid|written|taken|given|begun|run|sewn|due)\b.* \d")
LONG_SUBJECT = 6
"""How many words may stand between "do" and "have"."""


def rows_of(speaker: Speaker, entity: Entity) -> str:
    """The rows of an entity: "French keepers older than 30"."""
    return _with_conditions(speaker, entity, speaker.nouns(entity.table)[1], False)


def row_of(speaker: Speaker, entity: Entity) -> str:
    """One row of an entity, without an article: "French keeper older than 30"."""
    return _with_conditions(speaker, entity, speaker.nouns(entity.table)[0], True)


def _with_conditions(speaker: Speaker, entity: Entity, noun: str, singular: bool) -> str:
    phrases: list[Phrase] = []
    for one in entity.filters:
        phrases.append(phrase_of(speaker, entity.table, one, [phrase.position for phrase in phrases]))
    return assemble(noun, phrases, singular, is_person(entity.table))


def name_of(speaker: Speaker, entity: Entity) -> str | None:
    """The name of the only row that an entity is about, None if it is not about one that is named."""
    match entity.filters:
        case (Comparison(attribute=Attribute(column=column, path=(), part=""), operator="=", values=(value,)),):
            if column is entity.table.label or (entity.table.label and column.name == entity.table.label.name):
                return speaker.quotes.format(value)
    return None


def one_of(speaker: Speaker, entity: Entity) -> str:
    """One row of an entity, with its article or by its name: "an apiary in the north", "the apiary Clover Hill"."""
    name = name_of(speaker, entity)
    if name is None:
        return article(row_of(speaker, entity))
    bare = entity.table.label is not None and entity.table.label.kind in ("person", "title")
    return name if bare and speaker.chance(0.55) else f"the {speaker.nouns(entity.table)[0]} {name}"


def phrase_of(speaker: Speaker, table: GrammarTable, part: Filter, taken: Sequence[Position] = ()) -> Phrase:
    """A condition on a row of `table`, in one of the ways that go with phrases at the positions `taken`.

    A condition is said in the same way throughout a question.
    """
    if id(part) not in speaker.chosen:
        every = phrases_of(speaker, table, part)
        options = [phrase for phrase in every if taken.count(phrase.position) < (1 if phrase.apply else 2)] or every
        short = [phrase for phrase in options if phrase.position != "whose"]
        chosen = speaker.rng.choice(short) if short and speaker.chance(0.8) else speaker.rng.choice(options)
        speaker.chosen[id(part)] = (part, chosen)
    return speaker.chosen[id(part)][1]


def phrases_of(speaker: Speaker, table: GrammarTable, part: Filter) -> list[Phrase]:
    """All ways to say a condition on a row of `table`."""
    match part:
        case Comparison():
            return comparison(speaker, table, part)
        case Either():
            return [_either(speaker, part)]
        case OfParent():
            return _of_parent(speaker, part)
        case WithChildren():
            return _with_children(speaker, part)
        case Across():
            return _across(speaker, table, part)
        case AgainstAggregate():
            return _against_aggregate(speaker, table, part)
        case AgainstNamed():
            return _against_named(speaker, table, part)
        case OfCommonest():
            words = speaker.column(table, part.attribute.column)
            most = "most" if part.descending else "least"
            return [Phrase("after", f"with the {most} common {words}"), Phrase("whose", f"{words} is the {most} common one")]
        case AgainstParent():
            return _against_parent(speaker, part)
        case AgainstOther():
            return _against_other(speaker, part)


def _either(speaker: Speaker, part: Either) -> Phrase:
    """Two conditions with "or" between them: of one kind ("from France or from Italy"), or as two clauses."""
    sides = [
        [phrase for phrase in phrases_of(speaker, one.attribute.table, one) if phrase.position != "before"] or [marked(one)]
        for one in (part.first, part.second)
    ]
    with_both = [[phrase for phrase in side if phrase.text.startswith("with ")] for side in sides]
    if all(with_both) and speaker.chance(0.6):
        first, second = (speaker.rng.choice(side).text.removeprefix("with ") for side in with_both)
        return Phrase("after", f"with either {first} or {second}")
    clauses = [[phrase for phrase in side if phrase.position != "whose"] for side in sides]
    if not all(clauses):
        clauses = [[phrase for phrase in side if phrase.position == "whose"] or side for side in sides]
    one, other = (speaker.rng.choice(side) for side in clauses)
    position: Position = "whose" if one.position == "whose" else "that"
    return Phrase(position, f"{_verb(one)} or {_verb(other)}", nested=True, either=(one, other))


def _of_parent(speaker: Speaker, part: OfParent) -> list[Phrase]:
    target = one_of(speaker, part.parent)
    if part.link.role:
        nested = name_of(speaker, part.parent) is None
        return [Phrase("whose", f"{part.link.role} is {'not ' if part.negated else ''}{target}", nested=nested)]
    if part.negated:
        return [Phrase("that", f"are not {part.link.by} {target}", nested=True)]
    nested = name_of(speaker, part.parent) is None
    if nested and speaker.chance(0.4):
        target = rows_of(speaker, part.parent)
    return [Phrase("after", f"{part.link.by} {target}", nested=nested)]


def _with_children(speaker: Speaker, part: WithChildren) -> list[Phrase]:
    verb = part.link.verb
    singular, plural = speaker.nouns(part.child.table)
    if part.negated:
        if part.child.filters:
            return [Phrase("that", f"{verb} no {rows_of(speaker, part.child)}", nested=True)]
        if part.link.child == part.link.parent or verb.startswith("are the "):
            return [Phrase("that", f"{verb} no {plural}")]
        return [
            Phrase("that", f"{verb} no {plural}"),
            Phrase("after", f"without any {plural}"),
            Phrase("that", f"have no {singular}"),
        ]
    if (part.operator, part.count) != (">=", 1):
        number = number_word(part.count) if speaker.chance(0.5) else str(part.count)
        rows = singular if part.count == 1 else rows_of(speaker, part.child)
        return [Phrase("that", f"{verb} {speaker.rng.choice(COUNTS[part.operator])} {number} {rows}")]
    target = one_of(speaker, part.child)
    if target.startswith(("a ", "an ")) and speaker.chance(0.5):
        target = f"at least one {target.partition(' ')[2]}"
    return [Phrase("that", f"{verb} {target}", nested=bool(part.child.filters))]


def _across(speaker: Speaker, table: GrammarTable, part: Across) -> list[Phrase]:
    verb = part.junction.across.get(table.name) or part.here.verb
    name = name_of(speaker, part.other)
    if part.negated:
        if name is None:
            return [Phrase("that", f"{verb} no {rows_of(speaker, part.other)}", nested=True)]
        return [Phrase("that", negated_verb(verb, one_of(speaker, part.other)))]
    target = one_of(speaker, part.other)
    if target.startswith(("a ", "an ")) and speaker.chance(0.5):
        target = f"at least one {target.partition(' ')[2]}"
    return [Phrase("that", f"{verb} {target}", nested=name is None)]


def _against_aggregate(speaker: Speaker, table: GrammarTable, part: AgainstAggregate) -> list[Phrase]:
    column = part.attribute.column
    words = speaker.column(table, column)
    spec = column.spec
    among = rows_of(speaker, part.among)
    nested = bool(part.among.filters)
    if part.operator == "=":
        best = f"with {speaker.best(table, column, part.function == 'MAX')}"
        return [Phrase("after", f"{best} of all {among}", nested=True) if nested else Phrase("after", best)]
    more = speaker.more(column, part.operator)
    if part.function == "AVG":
        options = [Phrase("whose", agree(words, f"is {more} than the average of all {among}"), nested=nested)]
        if not part.among.filters:
            above = "above" if part.operator == ">" else "below"
            if not is_plural(words):
                options.append(Phrase("after", f"with {article(f'{above}-average {words}')}"))
            options += [
                Phrase("whose", agree(words, f"is {above} average")),
                Phrase("whose", agree(words, f"is {above} the average")),
            ]
            adjectives = (spec.more if part.operator == ">" else spec.less) if spec else ()
            options += [Phrase("after", f"{adjective} than average") for adjective in adjectives] * 2
        return options
    every = (part.operator == ">") == (part.function == "MAX")
    other = f"every {row_of(speaker, part.among)}" if every else f"at least one {row_of(speaker, part.among)}"
    return [Phrase("whose", agree(words, f"is {more} than that of {other}"), nested=nested)]


def _against_named(speaker: Speaker, table: GrammarTable, part: AgainstNamed) -> list[Phrase]:
    column = part.attribute.column
    words = speaker.column(table, column)
    label = table.label
    name = (
        one_of(speaker, Entity(table, (Comparison(Attribute(table, label), "=", (part.label,)),))) if label else str(part.label)
    )
    if part.operator == "=":
        apart = "not counting" if is_person(table) else "apart from"
        return [
            Phrase("after", f"other than {name} with the same {words} as {name}"),
            Phrase("that", f"have the same {words} as {name}, {apart} {name}"),
        ]
    return _than(speaker, column, words, part.operator, name)


def _against_parent(speaker: Speaker, part: AgainstParent) -> list[Phrase]:
    column = part.attribute.column
    words = speaker.column(part.attribute.table, column)
    return _than(speaker, column, words, part.operator, f"their {part.link.role}")


def _than(speaker: Speaker, column: GrammarColumn, words: str, operator: str, other: str) -> list[Phrase]:
    """A quantity compared with that of another row: "older than their mentor", "whose age is higher than that of Ada"."""
    more = speaker.more(column, operator)
    adjectives = (column.spec.more if operator == ">" else column.spec.less) if column.spec else ()
    whose = Phrase("whose", agree(words, f"is {more} than that of {other}"))
    return [whose, *[Phrase("after", f"{adjective} than {other}") for adjective in adjectives] * 2]


def _against_other(speaker: Speaker, part: AgainstOther) -> list[Phrase]:
    column = part.attribute.column
    words = speaker.column(part.attribute.table, column)
    other = speaker.column(part.other.table, part.other.column)
    return [Phrase("whose", agree(words, f"is {speaker.more(column, part.operator)} than the {other}"))]


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
    plain = [text for text in after if text not in withs]
    for index, text in enumerate(plain):
        apart = index and (" than " in text or plain[index - 1].endswith((" later", " earlier")))
        words += f" and {text}" if apart else f" {text}"
    withs.sort(key=lambda text: text.startswith("with either "))
    if withs:
        words += f" {' and '.join(withs)}"
    clauses = [clause(phrase, singular, person) for phrase in flat if phrase.position in ("that", "whose")]
    if singular and not person:
        words, clauses = re.sub(r"\btheir\b", "its", words), [re.sub(r"\btheir\b", "its", text) for text in clauses]
    if nested and not clauses and nested[0].position == "after":
        words += f" {nested[0].text}"
        nested = nested[1:]
    clauses += [clause(phrase, singular, person) for phrase in nested]
    if clauses:
        words += f" {' and '.join(clauses)}"
    return words


def clause(phrase: Phrase, singular: bool, person: bool) -> str:
    """A phrase as a relative clause."""
    if phrase.either is not None:
        first, second = (clause(one, singular, person) for one in phrase.either)
        relative, _, rest = first.partition(" ")
        same = relative != "whose" and second.startswith(f"{relative} ")
        return f"{relative} either {rest} or {second.removeprefix(f'{relative} ')}" if same else f"{first} or {second}"
    if phrase.position == "whose":
        return f"whose {phrase.text}"
    verb = _verb(phrase)
    return f"{'who' if person else 'that'} {third_person(verb) if singular else verb}"


def _verb(phrase: Phrase) -> str:
    """A phrase as the rest of a sentence about several rows: "are older than 30", "have an age above 30"."""
    if phrase.position != "after":
        return phrase.text
    if phrase.text.startswith("with "):
        return f"have {phrase.text.removeprefix('with ')}"
    return f"{be(phrase.text)} {phrase.text}"


def be(text: str) -> str:
    """The verb before a phrase: "were" before "built in 2010", "are" before "older than 30"."""
    return "were" if _PAST.match(text) else "are"


def negated_verb(verb: str, target: str) -> str:
    """A verb phrase that denies: do not take X, never placed X, are not taught by X."""
    first, _, rest = verb.partition(" ")
    if first in ("are", "were", "have", "had", "is"):
        return f"{first} not {rest} {target}"
    if third_person(verb) == verb:
        return f"never {verb} {target}"
    return f"do not {verb} {target}"
