"""Lists of rows in words: which columns, of which rows, in which order; two lists in one; the best row of each group."""

import re
from collections.abc import Sequence

from sense.teacher.grammar.domains import GROUPS, NUMBERS
from sense.teacher.grammar.draw import is_unique
from sense.teacher.grammar.english.columns import are_several, direction, items, of_rows, of_them, stands_behind
from sense.teacher.grammar.english.language import is_plural, number_word, ordinal, plural_of_column, third_person
from sense.teacher.grammar.english.nouns import LONG_SUBJECT, assemble, name_of, one_of, phrase_of, phrases_of, row_of, rows_of
from sense.teacher.grammar.english.numbers import predicate
from sense.teacher.grammar.english.speaker import Speaker, column_list, is_person
from sense.teacher.grammar.english.wording import Wording
from sense.teacher.grammar.meaning import (
    AgainstAggregate,
    Attribute,
    BestOfGroup,
    Combining,
    Entity,
    Listing,
    OrderKey,
    Twins,
)

_ODD_PLURAL = re.compile(
    r"(?:number|size|share|length|part|quantity|amount|height|kind) of |(?:year|date) \w+ed$|(?:year|date) (?:built|sewn|made)$"
)
"""Columns that are asked for of each row: the numbers of pages of the books would be odd."""
_VAGUE = frozenset("first last largest biggest smallest best worst highest lowest longest shortest latest earliest".split())
"""Superlatives that do not say of what."""
_QUANTITIES = NUMBERS | {"year", "date"}


def listing(speaker: Speaker, request: Listing) -> Wording:
    """Rows of an entity."""
    entity = request.entity
    if request.limit is not None:
        return _top(speaker, request, request.limit)
    tail = sorted_tail(speaker, request.order)
    if name_of(speaker, entity) is not None and request.items:
        return _about_one(speaker, request)
    if not request.items:
        rows = rows_of(speaker, entity)
        every = speaker.rng.choice(
            ("all the information about", "all details of", "every detail of", "everything on record about")
        )
        return Wording(f"{every} the {rows}", every == "all details of", tail=tail, nominal=False)
    only = request.items[0] if len(request.items) == 1 else None
    is_label = isinstance(only, Attribute) and only.column is entity.table.label and not only.path and not only.part
    if is_label and not request.distinct and speaker.chance(0.55):
        return _named_rows(speaker, entity, tail)
    if request.distinct:
        return _distinct(speaker, request, tail)
    return _columns_of_rows(speaker, request, tail)


def _named_rows(speaker: Speaker, entity: Entity, tail: str) -> Wording:
    """Rows that are listed by their label, which is not mentioned."""
    rows = rows_of(speaker, entity)
    noun = speaker.nouns(entity.table)[1]
    direct = [f"which {rows} are there"] if not entity.filters else [f"what are the {rows}"]
    if len(entity.filters) == 1:
        rest_of_sentence = predicate(speaker, entity.table, entity.filters[0])
        direct += [f"which {noun} {rest_of_sentence}"] * 3 if rest_of_sentence else []
        if rest_of_sentence and is_person(entity.table):
            direct += [f"who {third_person(rest_of_sentence)}"] * 2
    every = speaker.rng.choice(("the ", "all ", "all the ", "" if entity.filters else "all "))
    return Wording(f"{every}{rows}", True, tuple(direct), tail=tail, nominal=False)


def _distinct(speaker: Speaker, request: Listing, tail: str) -> Wording:
    attributes = [item for item in request.items if isinstance(item, Attribute)]
    rows = rows_of(speaker, request.entity)
    different = speaker.rng.choice(("different", "distinct", "unique"))
    if len(attributes) > 1:
        return Wording(
            f"the {different} combinations of {column_list(speaker, attributes, False)} of the {rows}", True, tail=tail
        )
    if attributes[0].path:
        return Wording(f"the {different} {of_rows(speaker, request.items, f'the {rows}', True, False)}", True, tail=tail)
    words = plural_of_column(speaker.attribute(attributes[0]))
    direct: tuple[str, ...] = (f"what {different} {words} are there among the {rows}",)
    if len(rows.split()) <= LONG_SUBJECT and attributes[0].column.kind in GROUPS:
        direct = (*direct, f"which {different} {words} do the {rows} have")
    if speaker.chance(0.2):
        once = speaker.rng.choice((", each only once", ", with no duplicates"))
        return Wording(f"the {words} of the {rows}{once}", True, tail=tail)
    return Wording(
        speaker.rng.choice((f"the {different} {words} of the {rows}", f"all {different} {words} of the {rows}")),
        True,
        direct,
        tail=tail,
    )


def _columns_of_rows(speaker: Speaker, request: Listing, tail: str) -> Wording:
    entity = request.entity
    computed = not all(isinstance(item, Attribute) for item in request.items)
    few = any(isinstance(one, AgainstAggregate) and one.operator == "=" for one in entity.filters)
    quantities = any(isinstance(item, Attribute) and _ODD_PLURAL.match(speaker.attribute(item)) for item in request.items)
    each = computed or (not few and (quantities or speaker.chance(0.4)))
    if each:
        rows = f"{speaker.rng.choice(('each', 'every'))} {row_of(speaker, entity)}"
    else:
        rows = f"{speaker.rng.choice(('the', 'the', 'all', 'all the'))} {rows_of(speaker, entity)}"
    noun = of_rows(speaker, request.items, rows, not each, is_person(entity.table))
    plural = are_several(request.items, noun)
    if computed:
        alone = len(request.items) == 1 or not any(stands_behind(item) for item in request.items)
        for_each = f"for {rows}, what {'are' if plural else 'is'} {of_them(speaker, request.items, 'the', False)}"
        return Wording(f"the {noun}", plural, () if alone else (for_each,), tail=tail, nominal=alone)
    be = "are" if plural else "is"
    direct = [f"what {be} the {noun}"]
    if each:
        be = "are" if len(request.items) > 1 or is_plural(noun) else "is"
        direct.append(f"for {rows}, what {be} {of_them(speaker, request.items, 'the', False)}")
    if quantities or any(isinstance(item, Attribute) and len(item.path) > 1 for item in request.items):
        return Wording(f"the {noun}", plural, tuple(direct), tail=tail)
    them = of_them(speaker, request.items, "their", True)
    rest = f"what {'are' if len(request.items) > 1 or is_plural(them) else 'is'} {them}"
    return Wording(f"the {noun}", plural, tuple(direct), (), f"the {rows_of(speaker, entity)}", rest, tail)


def _about_one(speaker: Speaker, request: Listing) -> Wording:
    """Columns of one row, which is named."""
    entity = request.entity
    who = one_of(speaker, entity)
    noun = of_rows(speaker, request.items, who, False, is_person(entity.table))
    plural = are_several(request.items, noun)
    only = request.items[0] if len(request.items) == 1 else None
    noun, direct = f"the {noun}", []
    if isinstance(only, Attribute):
        direct = _direct_about_one(speaker, only, who)
        if not plural and not only.path and " " not in who.strip("'\"") and who[0].isupper() and speaker.chance(0.3):
            noun = f"{who}'s {speaker.attribute(only)}"
    if only is not None:
        return Wording(noun, plural, tuple(direct))
    their = "their" if is_person(entity.table) else "its"
    intro = who if who.startswith("the ") else f"the {speaker.nouns(entity.table)[0]} {who}"
    return Wording(noun, plural, (), (), intro, f"what are {of_them(speaker, request.items, their, False)}")


def _direct_about_one(speaker: Speaker, only: Attribute, who: str) -> list[str]:
    spec = only.column.spec
    if only.path:
        link = only.path[-1]
        if only.column is not only.table.label or len(only.path) > 1 or link.role:
            return []
        direct = [f"which {speaker.nouns(only.table)[0]} {third_person(link.verb)} {who}"]
        return direct + ([f"who {third_person(link.verb)} {who}"] if is_person(only.table) else [])
    direct = []
    if spec is not None and spec.how and not only.column.number_as_text:
        direct.append(f"{spec.how} is {who}")
    if spec is not None and spec.when:
        direct.append(f"{'in which year' if only.column.kind == 'year' else 'when'} was {who} {spec.when}")
    if spec is not None and spec.countable:
        direct.append(f"how many {spec.countable} does {who} have")
    if not direct and only.column.kind != "flag":
        spoken = speaker.attribute(only)
        direct.append(f"{'which' if is_plural(spoken) else 'what'} {spoken} does {who} have")
    return direct


# --- order


def sorted_tail(speaker: Speaker, order: Sequence[OrderKey]) -> str:
    """The order of a list, as the end of a sentence."""
    keys = [(key.item, key.descending) for key in order if isinstance(key.item, Attribute)]
    if not keys:
        return ""
    by = speaker.rng.choice(("sorted by", "ordered by", "arranged by"))
    if len(keys) > 1:
        return f", {by} {' and then by '.join(_key(speaker, item, down, True) for item, down in keys)}"
    item, down = keys[0]
    words = speaker.attribute(item)
    if item.column.kind not in _QUANTITIES:
        way = "reverse alphabetical order" if down else "alphabetical order"
        if item.column.kind == "code":
            way = "descending order" if down else "ascending order"
        return speaker.rng.choice((f", in {way} of {words}", f", {by} {words} in {way}"))
    superlatives = (item.column.spec.most if down else item.column.spec.least) if item.column.spec else ()
    if superlatives and speaker.chance(0.35) and superlatives[0] not in _VAGUE:
        return f", {superlatives[0]} first"
    if speaker.chance(0.3):
        return f", in {'descending' if down else 'ascending'} order of {words}"
    return f", {by} {_key(speaker, item, down, False)}"


def _key(speaker: Speaker, item: Attribute, descending: bool, brackets: bool) -> str:
    words = speaker.attribute(item)
    if item.column.kind in _QUANTITIES:
        way = direction(speaker, item.column, descending)
        return f"{words} ({way})" if brackets else f"{words}, {way}"
    return f"{words} in reverse alphabetical order" if descending else words


def _top(speaker: Speaker, request: Listing, limit: int) -> Wording:
    """The first rows of an order: "the oldest keeper", "the 3 apiaries with the highest altitude"."""
    entity, table = request.entity, request.entity.table
    key = request.order[0]
    several = number_word(limit) if speaker.chance(0.5) else str(limit)
    if len(request.order) > 1 or not isinstance(key.item, Attribute):
        tail = sorted_tail(speaker, request.order)
        rows = f"the first {row_of(speaker, entity)}" if limit == 1 else f"the first {several} {rows_of(speaker, entity)}"
        tail = f" when all of them are {tail.removeprefix(', ')}"
        if not request.items:
            return Wording(f"all the information about {rows}", tail=tail, nominal=False)
        noun = of_rows(speaker, request.items, rows, limit > 1, is_person(table))
        return Wording(f"the {noun}", are_several(request.items, noun), tail=tail)
    rows, simple = _best_rows(speaker, request, key.item, limit, several)
    if not request.items:
        return Wording(f"all the information about {rows}", nominal=False)
    only = request.items[0] if len(request.items) == 1 else None
    direct: tuple[str, ...] = ()
    if isinstance(only, Attribute) and only.column is table.label and not only.path:
        be = "is" if limit == 1 else "are"
        direct = (f"which {be} {rows}", *((f"who {be} {rows}",) if is_person(table) else ()))
        if simple and key.item.column.kind in NUMBERS and not entity.filters:
            noun = speaker.nouns(table)[0 if limit == 1 else 1]
            nth = f"{ordinal(request.offset + 1)} " if request.offset else ""
            first = f"{several} " if limit > 1 else ""
            best = speaker.best(table, key.item.column, key.descending, nth)
            direct = (*direct, f"which {first}{noun} {'has' if limit == 1 else 'have'} {best}")
        if speaker.chance(0.4):
            return Wording(rows, limit > 1, direct, nominal=False)
    noun = of_rows(speaker, request.items, rows, limit > 1, is_person(table))
    return Wording(f"the {noun}", are_several(request.items, noun), direct)


def _best_rows(speaker: Speaker, request: Listing, by: Attribute, limit: int, several: str) -> tuple[str, bool]:
    """The rows that an order puts first, and whether their noun stands alone before "with the highest ..."."""
    entity, table = request.entity, request.entity.table
    descending = request.order[0].descending
    words = speaker.attribute(by)
    nth = f"{ordinal(request.offset + 1)} " if request.offset else ""
    if by.column.kind not in _QUANTITIES:
        way = "last" if descending else "first"
        rows = row_of(speaker, entity) if limit == 1 else f"{several} {rows_of(speaker, entity)}"
        return f"the {way} {rows} in alphabetical order of {words}", False
    superlatives = (by.column.spec.most if descending else by.column.spec.least) if by.column.spec else ()
    if superlatives and speaker.chance(0.65):
        best = speaker.rng.choice(superlatives)
        return (
            f"the {nth}{best} {row_of(speaker, entity)}" if limit == 1 else f"the {several} {best} {rows_of(speaker, entity)}",
            False,
        )
    noun = speaker.nouns(table)[0 if limit == 1 else 1]
    first = "" if limit == 1 else f"{several} "
    best = speaker.best(table, by.column, descending, nth)
    return f"the {first}{noun} with {best}{_among(speaker, entity)}", True


def _among(speaker: Speaker, entity: Entity) -> str:
    """ "among those in the north", where an entity has conditions."""
    if not entity.filters:
        return ""
    rows = rows_of(speaker, entity)
    noun = speaker.nouns(entity.table)[1]
    return f" among {rows.replace(noun, 'those', 1)}" if rows.startswith(f"{noun} ") else f" among the {rows}"


# --- two lists in one, the best of each group, pairs


def combining(speaker: Speaker, request: Combining) -> Wording:
    """Two lists of the same columns in one."""
    table = request.first.entity.table
    if request.link is not None:
        key = plural_of_column(items(speaker, request.first.items, False))
        noun, verb = speaker.nouns(table)[1], request.link.verb
        others = speaker.nouns(request.second.entity.table)[1]
        nothing = speaker.rng.choice((f"without any {others}", f"{'who' if is_person(table) else 'that'} {verb} no {others}"))
        return Wording(f"the {key} of the {noun} {nothing}", True)
    attributes = [item for item in request.first.items if isinstance(item, Attribute)]
    first, second = (rows_of(speaker, side.entity) for side in (request.first, request.second))
    words = column_list(speaker, attributes, True)
    noun = speaker.nouns(table)[1]
    if request.second.entity.table is not table and not any(side.entity.filters for side in (request.first, request.second)):
        return _in_two_tables(speaker, request, words)
    if any(attribute.column is table.label for attribute in attributes):
        return Wording(_names_combined(speaker, request, words, first, second), True)
    match request.operator:
        case "INTERSECT":
            direct = (f"which {words} do both some {first} and some {second} have",) if len(attributes) == 1 else ()
            nouns = (f"the {words} that {first} and {second} have in common", f"the {words} shared by {first} and {second}")
            return Wording(speaker.rng.choice(nouns), True, direct)
        case "EXCEPT":
            other = row_of(speaker, request.second.entity)
            if request.first.entity.filters:
                return Wording(f"the {words} of {first} that no {other} has", True)
            direct = (f"which {words} does no {other} have",) if len(other.split()) <= LONG_SUBJECT else ()
            return Wording(f"the {words} that no {other} has", True, direct)
        case _:
            return Wording(f"the different {words} of the {first} and of the {second}", True)


def _in_two_tables(speaker: Speaker, request: Combining, words: str) -> Wording:
    """The values of a column of one kind in two tables: "the cities with both keepers and markets"."""
    first, second = (speaker.nouns(side.entity.table)[1] for side in (request.first, request.second))
    match request.operator:
        case "INTERSECT":
            return Wording(
                f"the {words} with both {first} and {second}", True, (f"which {words} have both {first} and {second}",)
            )
        case "EXCEPT":
            return Wording(f"the {words} with {first} but no {second}", True, (f"which {words} have {first} but no {second}",))
        case _:
            return Wording(f"the different {words} of the {first} and of the {second}", True)


def _names_combined(speaker: Speaker, request: Combining, words: str, first: str, second: str) -> str:
    table = request.first.entity.table
    match request.operator:
        case "INTERSECT":
            label = table.label
            others = request.second.entity.filters
            last = phrase_of(speaker, table, request.first.entity.filters[-1])
            also = predicate(speaker, table, others[0]) if len(others) == 1 else ""
            whose = [phrase.text for phrase in phrases_of(speaker, table, others[0]) if phrase.position == "whose"]
            if also and label is not None and is_unique(label) and not last.nested and last.position != "whose":
                and_ = "and " if last.position == "that" else ""
                verb, _, rest = also.partition(" ")
                also = f"{verb} also {rest}" if verb in ("are", "were") else f"also {also}"
                return f"the {words} of the {first} {and_}{'who' if is_person(table) else 'that'} {also}"
            if len(others) == 1 and whose and label is not None and is_unique(label) and not last.nested:
                return f"the {words} of the {first} {'and ' if last.position in ('that', 'whose') else ''}whose {whose[0]}"
            return f"the {words} that {first} and {second} have in common"
        case "EXCEPT":
            phrases = [phrase_of(speaker, table, one) for one in request.second.entity.filters]
            if all(phrase.position != "before" for phrase in phrases):
                return f"the {words} of the {first} except {assemble('those', phrases, False, is_person(table))}"
            return f"the {words} of the {first} except the {second}"
        case _:
            return f"the different {words} of the {first} as well as of the {second}"


def best_of_group(speaker: Speaker, request: BestOfGroup) -> Wording:
    """For each value of a column, the row with the highest or lowest quantity."""
    table, column = request.entity.table, request.by.column
    key = speaker.attribute(request.key)
    superlatives = (column.spec.most if request.descending else column.spec.least) if column.spec else ()
    if superlatives and speaker.chance(0.6):
        best = f"the {speaker.rng.choice(superlatives)} {row_of(speaker, request.entity)}"
    else:
        best = f"the {speaker.nouns(table)[0]} with {speaker.best(table, column, request.descending)}"
        best += _among(speaker, request.entity)
    each = speaker.rng.choice((f"for each {key}", f"for every {key}"))
    quantities = [item for item in request.items if item.column is not table.label]
    if request.entity.filters:
        columns = " and the ".join(speaker.attribute(item) for item in request.items)
        be = "are" if quantities else "is"
        first = f"the {columns} of {best}, {each}"
        return Wording(
            first,
            len(request.items) > 1,
            (f"{each}, what {be} the {columns} of {best}",),
            nominal=False,
        )
    if quantities:
        label = speaker.attribute(request.items[0])
        return Wording(
            f"the {label} and the {speaker.attribute(quantities[0])} of {best} {each}",
            True,
        )
    who = "who" if is_person(table) else "which"
    if speaker.chance(0.35):
        return Wording(f"the {speaker.attribute(request.items[0])} of {best} {each}", False)
    direct = (f"for each {key}, {who} is {best}", f"{who} is {best} for each {key}")
    return Wording(f"{best} {each}", False, direct, nominal=False)


def twins(speaker: Speaker, request: Twins) -> Wording:
    """Pairs of rows with the same value of a column."""
    words = speaker.attribute(request.same)
    label = plural_of_column(speaker.attribute(request.item))
    plural = speaker.nouns(request.entity.table)[1]
    once = speaker.rng.choice((", each pair only once", " without listing a pair twice", ", every pair once"))
    nouns = (f"all pairs of {plural} with the same {words}", f"the {label} of every two {plural} that have the same {words}")
    return Wording(speaker.rng.choice(nouns) + once, True, nominal=False)
