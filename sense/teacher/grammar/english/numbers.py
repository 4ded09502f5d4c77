"""Numbers about all rows of an entity in words: how many, averages, percentages, differences."""

from collections.abc import Sequence

from sense.teacher.grammar.database import GrammarTable
from sense.teacher.grammar.english.language import is_plural, join_words, plural_of_column
from sense.teacher.grammar.english.nouns import LONG_SUBJECT, be, clause, phrases_of, row_of, rows_of
from sense.teacher.grammar.english.speaker import Speaker, extremes, is_person
from sense.teacher.grammar.english.wording import Wording
from sense.teacher.grammar.meaning import (
    Aggregate,
    Attribute,
    Comparison,
    Contrast,
    Count,
    CountIf,
    Filter,
    Measure,
    Measuring,
    Spread,
    Total,
)

_PAIRS = {"lowest": "highest", "minimum": "maximum", "smallest": "largest", "shortest": "longest"}


def measure(speaker: Speaker, one: Measure, rows: str) -> str:
    """A number about `rows` (a plural noun phrase; empty for none), without an article: "average weight of the pets"."""
    of = f" of {rows}" if rows else ""
    match one:
        case Count(distinct=None):
            return f"number{of}"
        case Count():
            words = plural_of_column(speaker.attribute(one.distinct)) if one.distinct else ""
            return f"number of {speaker.rng.choice(('different', 'distinct'))} {words}{of}"
        case Aggregate():
            words = total(speaker, one.of) if isinstance(one.of, Total) else speaker.attribute(one.of)
            if " of " in words and len(rows.split()) == 1:
                of = ""
            return f"{aggregate_name(speaker, one)} {words}{of}"
        case Spread():
            words = speaker.attribute(one.attribute)
            low, high = speaker.rng.choice((("lowest", "highest"), ("smallest", "largest"), ("minimum", "maximum")))
            return f"difference between the {high} and the {low} {words}{of}"
        case CountIf():
            predicate = condition_clause(speaker, one.condition)
            kind = "percentage" if one.percent else "number"
            return f"{kind}{of or ' of those'} {predicate}"


def total(speaker: Speaker, computed: Total) -> str:
    """A number computed from two columns: "difference between price and cost", "value"."""
    first, second = speaker.attribute(computed.first), speaker.attribute(computed.second)
    match computed.operator:
        case "-":
            return speaker.rng.choice((f"difference between {first} and {second}", f"{first} minus the {second}"))
        case "+":
            return f"sum of {first} and {second}"
        case _:
            if speaker.chance(0.5):
                speaker.explain("value", f"value means {first} times {second}")
                return "value"
            return f"product of {first} and {second}"


def aggregate_name(speaker: Speaker, one: Aggregate) -> str:
    """Average, total, lowest, latest."""
    time = isinstance(one.of, Attribute) and one.of.column.kind in ("year", "date")
    names = {
        "AVG": ("average", "average", "mean"),
        "SUM": ("total", "total", "combined"),
        "MIN": ("earliest",) if time else (extremes(_spoken(speaker, one.of))[1], "minimum"),
        "MAX": ("latest", "most recent") if time else (extremes(_spoken(speaker, one.of))[0], "maximum"),
    }
    return speaker.rng.choice(names[one.function])


def _spoken(speaker: Speaker, of: Attribute | Total) -> str:
    return speaker.attribute(of) if isinstance(of, Attribute) else ""


def matching(names: Sequence[str]) -> list[str]:
    """Superlatives that go together: "lowest and highest", not "lowest and maximum"."""
    low = next((name for name in names if name in _PAIRS), None)
    return [_PAIRS[low] if low and name in _PAIRS.values() else name for name in names]


def condition_clause(speaker: Speaker, condition: Comparison) -> str:
    """A condition after a noun: "that are certified", "with a weight above 5"."""
    table = condition.attribute.table
    phrases = [phrase for phrase in phrases_of(speaker, table, condition) if phrase.position != "before"]
    if not phrases:
        words = speaker.column(table, condition.attribute.column)
        return f"whose {words} is {speaker.value(condition.attribute.column, condition.values[0])}"
    return clause(speaker.rng.choice(phrases), False, is_person(table))


def predicate(speaker: Speaker, table: GrammarTable, one: Filter) -> str:
    """A condition as the rest of a sentence after "which keepers": "are older than 30"; empty if there is no way to say it so."""
    phrases = [phrase for phrase in phrases_of(speaker, table, one) if phrase.position in ("after", "that")]
    if not phrases:
        return ""
    phrase = speaker.rng.choice(phrases)
    text = phrase.text
    if phrase.position == "that":
        return text
    if text.startswith("with "):
        return f"have {text.removeprefix('with ')}"
    if text.startswith("without "):
        return f"have no {text.removeprefix('without ').removeprefix('any ').removeprefix('a ').removeprefix('an ')}"
    first = text.split()[0]
    if first in ("other", "named", "called", "to", "of", "for", "with", "about", "against", "into"):
        return ""
    return f"{be(text)} {text}"


def measuring(speaker: Speaker, request: Measuring) -> Wording:
    """Numbers about all rows of an entity."""
    entity = request.entity
    rows = rows_of(speaker, entity)
    only = request.measures[0] if len(request.measures) == 1 else None
    if isinstance(only, Count) and (only.distinct is None or only.distinct.column is entity.table.key):
        return _how_many(speaker, request, rows)
    if isinstance(only, CountIf):
        rest_of_sentence = predicate(speaker, entity.table, only.condition)
        first = f"what percentage of the {rows}" if only.percent else f"how many of the {rows}"
        direct = (f"{first} {rest_of_sentence}",) if rest_of_sentence else ()
        if len(rows.split()) > LONG_SUBJECT:
            kind = "percentage" if only.percent else "number"
            return Wording(
                f"the {kind}, among the {rows}, of those {condition_clause(speaker, only.condition)}", False, direct, direct
            )
        return Wording(f"the {measure(speaker, only, f'the {rows}')}", False, direct, direct)
    if isinstance(only, Count) and only.distinct is not None:
        words = f"{speaker.rng.choice(('different', 'distinct'))} {plural_of_column(speaker.attribute(only.distinct))}"
        questions: tuple[str, ...] = (f"how many {words} are there among the {rows}",)
        if len(rows.split()) <= LONG_SUBJECT:
            questions = (*questions, f"how many {words} do the {rows} have")
        indirect = (f"how many {words} there are among the {rows}",)
        return Wording(
            f"the number of {words} of the {rows}",
            False,
            questions,
            indirect,
            f"the {rows}",
            f"how many {words} are there among them",
        )
    if all(isinstance(one, Aggregate) and isinstance(one.of, Attribute) for one in request.measures):
        return _aggregates(speaker, request, rows)
    if isinstance(request.measures[0], Count) and len(request.measures) > 1:
        others = join_words([measure(speaker, one, "") for one in request.measures[1:]])
        rest = f"how many are there, and what is their {others}"
        return Wording(f"the number and the {others} of the {rows}", True, (), (), f"the {rows}", rest)
    return Wording(f"the {measure(speaker, request.measures[0], f'the {rows}')}")


def _how_many(speaker: Speaker, request: Measuring, rows: str) -> Wording:
    entity = request.entity
    noun = speaker.nouns(entity.table)[1]
    short = len(rows.split()) <= 2 * LONG_SUBJECT
    direct = [f"how many {rows} are there"] if short else []
    indirect = [f"how many {rows} there are"] if short else []
    if len(entity.filters) == 1:
        rest_of_sentence = predicate(speaker, entity.table, entity.filters[0])
        if rest_of_sentence:
            direct += [f"how many {noun} {rest_of_sentence}"] * 2
            indirect.append(direct[-1])
    return Wording(
        speaker.rng.choice((f"the number of {rows}", f"the total number of {rows}", f"the count of {rows}")),
        False,
        tuple(direct),
        tuple(indirect),
        f"the {rows}" if entity.filters else "",
        "how many are there" if entity.filters else "",
    )


def _aggregates(speaker: Speaker, request: Measuring, rows: str) -> Wording:
    aggregates = [one for one in request.measures if isinstance(one, Aggregate)]
    attributes = [one.of for one in aggregates if isinstance(one.of, Attribute)]
    names = matching([aggregate_name(speaker, one) for one in aggregates])
    words = [speaker.attribute(attribute) for attribute in attributes]
    if len(set(words)) == 1:
        spoken = f"{join_words(names)} {words[0]}"
    else:
        spoken = join_words([f"{name} {word}" for name, word in zip(names, words, strict=True)])
    plural = len(aggregates) > 1 or is_plural(words[0])
    direct = []
    column = attributes[0].column
    spec = column.spec
    if len(aggregates) == 1 and spec is not None and aggregates[0].function in ("MIN", "MAX") and spec.how:
        superlatives = spec.most if aggregates[0].function == "MAX" else spec.least
        direct += [f"{spec.how} is the {best} {row_of(speaker, request.entity)}" for best in superlatives[:1]] * 2
    if len(aggregates) == 1 and spec is not None and spec.countable and aggregates[0].function == "SUM":
        direct += [f"how many {spec.countable} do the {rows} have in total"] * 2
    noun = f"the {spoken} {_of_all(speaker, rows)}"
    direct.append(f"what {'are' if plural else 'is'} {noun}")
    rest = f"what {'are' if plural else 'is'} their {spoken}"
    tail = ", with the decimals cut off" if aggregates[0].rounded else ""
    return Wording(noun, plural, tuple(direct), (), f"the {rows}", rest, tail)


def _of_all(speaker: Speaker, rows: str) -> str:
    return speaker.rng.choice((f"of the {rows}", f"of all {rows}", f"of {rows}", f"across all {rows}", f"for the {rows}"))


def contrast(speaker: Speaker, request: Contrast) -> Wording:
    """The difference between one number about two kinds of rows."""
    first, second = rows_of(speaker, request.first), rows_of(speaker, request.second)
    if isinstance(request.measure, Count):
        direct = f"what do you get when you subtract the number of {second} from the number of {first}"
        return Wording(f"the number of {first} minus the number of {second}", False, (direct,))
    words = measure(speaker, request.measure, "")
    nouns = (
        f"the {words} of {first} minus that of {second}",
        f"the difference between the {words} of {first} and that of {second} (the first minus the second)",
    )
    return Wording(speaker.rng.choice(nouns))
