"""Lists of rows in words: which columns, of which rows, in which order; two lists in one; the best row of each group."""

from collections.abc import Sequence

from sense.teacher.grammar.database import GrammarColumn, GrammarTable
from sense.teacher.grammar.domains import NUMBERS
from sense.teacher.grammar.english.language import is_plural, join_words, number_word, ordinal, plural_of_column, third_person
from sense.teacher.grammar.english.nouns import assemble, name_of, one_of, phrase_of, row_of, rows_of
from sense.teacher.grammar.english.numbers import predicate, total
from sense.teacher.grammar.english.speaker import Speaker, column_list, is_person, verb_of
from sense.teacher.grammar.english.wording import Wording
from sense.teacher.grammar.meaning import (
    Attribute,
    BestOfGroup,
    Changed,
    Classed,
    Combining,
    Entity,
    Item,
    Joined,
    Listing,
    OrderKey,
    Ranked,
    Running,
    Total,
    Twins,
)

_QUANTITIES = NUMBERS | {"year", "date"}


def listing(speaker: Speaker, request: Listing) -> Wording:
    """Rows of an entity."""
    entity = request.entity
    if request.limit is not None:
        return _top(speaker, request, request.limit)
    tail = sorted_tail(speaker, request.order, entity.table)
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
    direct = [f"which {rows} are there"] if not entity.filters else [f"which are the {rows}"]
    if len(entity.filters) == 1:
        said = predicate(speaker, entity.table, entity.filters[0])
        direct += [f"which {noun} {said}"] * 3 if said else []
        if said and is_person(entity.table):
            direct += [f"who {third_person(said)}"] * 2
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
    words = plural_of_column(speaker.attribute(attributes[0]))
    direct = (f"which {different} {words} do the {rows} have", f"what {different} {words} are there among the {rows}")
    if speaker.chance(0.2):
        once = speaker.rng.choice((", each only once", " without repeats", ", with no duplicates"))
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
    each = computed or speaker.chance(0.4)
    spoken = items(speaker, request.items, not each)
    if each:
        rows = f"{speaker.rng.choice(('each', 'every'))} {row_of(speaker, entity)}"
    else:
        rows = f"{speaker.rng.choice(('the', 'the', 'all', 'all the'))} {rows_of(speaker, entity)}"
    plural = not each or len(request.items) > 1 or is_plural(spoken)
    if computed:
        return Wording(f"the {spoken} of {rows}", plural, tail=tail)
    be = "are" if plural else "is"
    direct = [f"what {be} the {spoken} of {rows}"] + ([f"for {rows}, what {be} the {spoken}"] if each else [])
    intro, rest = f"the {rows_of(speaker, entity)}", f"what are their {items(speaker, request.items, True)}"
    return Wording(f"the {spoken} of {rows}", plural, tuple(direct), (), intro, rest, tail)


def _about_one(speaker: Speaker, request: Listing) -> Wording:
    """Columns of one row, which is named."""
    entity = request.entity
    who = one_of(speaker, entity)
    spoken = items(speaker, request.items, False)
    plural = len(request.items) > 1 or is_plural(spoken)
    only = request.items[0] if len(request.items) == 1 else None
    direct = _direct_about_one(speaker, entity, only, who, spoken) if isinstance(only, Attribute) else []
    noun = f"the {spoken} of {who}"
    if not plural and " " not in who.strip("'\"") and who[0].isupper() and speaker.chance(0.3):
        noun = f"{who}'s {spoken}"
    return Wording(
        noun,
        plural,
        tuple(direct),
        (),
        who if len(request.items) > 1 else "",
        f"what are {'their' if is_person(entity.table) else 'its'} {spoken}" if len(request.items) > 1 else "",
    )


def _direct_about_one(speaker: Speaker, entity: Entity, only: Attribute, who: str, spoken: str) -> list[str]:
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
        direct.append(f"{'which' if is_plural(spoken) else 'what'} {spoken} does {who} have")
    del entity
    return direct


# --- what is listed of each row


def items(speaker: Speaker, listed: Sequence[Item], plural: bool) -> str:
    """What is listed of each row, without an article; in the plural, columns are "names" and "dates of birth"."""
    spoken = []
    for item in listed:
        words = _item(speaker, item)
        spoken.append(plural_of_column(words) if plural and isinstance(item, Attribute) else words)
    return join_words(list(dict.fromkeys(spoken)))


def _item(speaker: Speaker, item: Item) -> str:
    match item:
        case Attribute():
            return speaker.attribute(item)
        case Total():
            return total(speaker, item)
        case Changed():
            return _changed(speaker, item)
        case Joined():
            first, second = speaker.attribute(item.first), speaker.attribute(item.second)
            return f"{first} and {second} in one text with '{item.separator}' between them"
        case Classed():
            words, column = speaker.attribute(item.attribute), item.attribute.column
            be = "are" if is_plural(words) else "is"
            return (
                f"label '{item.high}' if the {words} {be} above {speaker.number(column, item.bound)} and '{item.low}' otherwise"
            )
        case Ranked():
            within = f" within the same {speaker.attribute(item.within)}" if item.within else ""
            words = speaker.attribute(item.attribute)
            return f"rank by {words}{within} ({direction(speaker, item.attribute.column, item.descending)})"
        case Running():
            return f"running total of the {speaker.attribute(item.attribute)} in the order of the {speaker.attribute(item.by)}"


def _changed(speaker: Speaker, item: Changed) -> str:
    words = speaker.attribute(item.attribute)
    ways = {
        "upper": (f"{words} in capital letters", f"{words} in upper case", f"{words} written in capitals"),
        "lower": (f"{words} in small letters", f"{words} in lower case"),
        "length": (f"number of characters in the {words}", f"length of the {words} in characters"),
        "initial": (f"first letter of the {words}", f"first character of the {words}"),
        "rounded": (f"rounded {words}",),
    }
    return speaker.rng.choice(ways[item.function])


# --- order


def direction(speaker: Speaker, column: GrammarColumn, descending: bool) -> str:
    """The direction of an order: "oldest first", "from highest to lowest"."""
    spec = column.spec
    superlatives = (spec.most if descending else spec.least) if spec else ()
    if superlatives and speaker.chance(0.4) and superlatives[0] not in ("first", "last"):
        return f"{superlatives[0]} first"
    if column.kind in ("year", "date"):
        return "latest first" if descending else "earliest first"
    if column.kind in NUMBERS:
        ways = ("highest first", "from highest to lowest") if descending else ("lowest first", "from lowest to highest")
        return speaker.rng.choice(ways)
    return "in descending order" if descending else "in ascending order"


def sorted_tail(speaker: Speaker, order: Sequence[OrderKey], table: GrammarTable) -> str:
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
        if item.column is table.label and speaker.chance(0.4):
            return f" in {way}"
        return speaker.rng.choice((f" in {way} of {words}", f", {by} {words} in {way}"))
    superlatives = (item.column.spec.most if down else item.column.spec.least) if item.column.spec else ()
    if superlatives and speaker.chance(0.35) and superlatives[0] not in ("first", "last"):
        return f", {superlatives[0]} first"
    if speaker.chance(0.3):
        return f" in {'descending' if down else 'ascending'} order of {words}"
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
        tail = sorted_tail(speaker, request.order, table)
        rows = f"the first{'' if limit == 1 else f' {several}'} of the {rows_of(speaker, entity)}"
        if not request.items:
            return Wording(f"all the information about {rows}", tail=tail, nominal=False)
        return Wording(f"the {items(speaker, request.items, limit > 1)} of {rows}", limit > 1, tail=tail)
    rows, simple = _best_rows(speaker, request, key.item, limit, several)
    if not request.items:
        return Wording(f"all the information about {rows}", nominal=False)
    only = request.items[0] if len(request.items) == 1 else None
    spoken = items(speaker, request.items, limit > 1)
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
    return Wording(f"the {spoken} of {rows}", limit > 1 or len(request.items) > 1 or is_plural(spoken), direct)


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
        noun, verb = speaker.nouns(table)[1], verb_of(request.link)
        others = speaker.nouns(request.second.entity.table)[1]
        nothing = speaker.rng.choice((f"without any {others}", f"{'who' if is_person(table) else 'that'} {verb} no {others}"))
        return Wording(f"the {key} of the {noun} {nothing}", True)
    attributes = [item for item in request.first.items if isinstance(item, Attribute)]
    first, second = (rows_of(speaker, side.entity) for side in (request.first, request.second))
    words = column_list(speaker, attributes, True)
    noun = speaker.nouns(table)[1]
    if any(attribute.column is table.label for attribute in attributes):
        return Wording(_names_combined(speaker, request, words, first, second), True)
    match request.operator:
        case "INTERSECT":
            direct = (f"which {words} do both some {first} and some {second} have",) if len(attributes) == 1 else ()
            nouns = (f"the {words} that {first} and {second} have in common", f"the {words} shared by {first} and {second}")
            return Wording(speaker.rng.choice(nouns), True, direct)
        case "EXCEPT":
            every = first if request.first.entity.filters else noun
            other = row_of(speaker, request.second.entity)
            nouns = (
                f"the {words} of {every} that no {other} has",
                f"the {words} that occur among the {every} but not among the {second}",
            )
            return Wording(speaker.rng.choice(nouns), True)
        case _:
            return Wording(f"the different {words} of the {first} and of the {second}", True)


def _names_combined(speaker: Speaker, request: Combining, words: str, first: str, second: str) -> str:
    table = request.first.entity.table
    match request.operator:
        case "INTERSECT":
            nouns = (
                f"the {words} that occur both among the {first} and among the {second}",
                f"the {words} of the {first} that are also {words} of {second}",
            )
            return speaker.rng.choice(nouns)
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
    each = speaker.rng.choice((f"for each {key}", f"for every {key}", f"per {key}"))
    shown = [item for item in request.items if item.column is not table.label]
    if shown:
        label = speaker.attribute(request.items[0])
        return Wording(
            f"the {label} and the {speaker.attribute(shown[0])} of {best} {each}",
            True,
        )
    who = "who" if is_person(table) else "which"
    if speaker.chance(0.35):
        return Wording(f"the {speaker.attribute(request.items[0])} of {best} {each}", False)
    return Wording(f"{best} {each}", False, (f"for each {key}, {who} is {best}", f"{who} is {best} for each {key}"))


def twins(speaker: Speaker, request: Twins) -> Wording:
    """Pairs of rows with the same value of a column."""
    words = speaker.attribute(request.same)
    label = plural_of_column(speaker.attribute(request.item))
    plural = speaker.nouns(request.entity.table)[1]
    once = speaker.rng.choice((", each pair only once", " without listing a pair twice", ", every pair once"))
    nouns = (f"all pairs of {plural} with the same {words}", f"the {label} of every two {plural} that have the same {words}")
    return Wording(speaker.rng.choice(nouns) + once, True, nominal=False)
