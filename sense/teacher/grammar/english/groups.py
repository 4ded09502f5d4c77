"""Numbers group by group in words: for each value of a column, for each row of a table that is referred to."""

from collections.abc import Sequence

from sense.teacher.grammar.english.comparisons import COUNTS, OPERATORS
from sense.teacher.grammar.english.language import article, is_plural, join_words, number_word, plural_of_column, third_person
from sense.teacher.grammar.english.nouns import row_of, rows_of
from sense.teacher.grammar.english.numbers import aggregate_name, matching, measure
from sense.teacher.grammar.english.speaker import Speaker, is_person
from sense.teacher.grammar.english.wording import Wording
from sense.teacher.grammar.meaning import AboveMeanGroups, Aggregate, Attribute, Count, CountIf, Entity, Grouping, Having, Measure


def grouping(speaker: Speaker, request: Grouping) -> Wording:
    """Numbers group by group, or the groups alone."""
    rows = rows_of(speaker, request.entity)
    if request.outer is not None:
        return _with_zero(speaker, request, rows)
    if request.identity:
        return _rows_by_number(speaker, request, rows) if not request.measures else _per_row(speaker, request, rows)
    keys = [speaker.attribute(key) for key in request.keys]
    return _groups_by_number(speaker, request, rows, keys) if not request.measures else _per_value(speaker, request, rows, keys)


# --- for each value of a column


def _per_value(speaker: Speaker, request: Grouping, rows: str, keys: Sequence[str]) -> Wording:
    key = join_words(list(keys))
    measures = _measures(speaker, request, rows)
    if request.limit is not None:
        return _first_groups_with_number(speaker, request, rows, keys)
    tail = _tail(speaker, request, plural_of_column(keys[0]) if len(keys) == 1 else "combinations")
    if len(keys) > 1:
        each = speaker.rng.choice((f"for each combination of {key}", f"for each {key}"))
        return Wording(f"the {measures} {each}", len(request.measures) > 1, tail=tail)
    each = speaker.rng.choice((f"for each {key}", f"for every {key}", f"per {key}", f"by {key}"))
    if is_plural(key):
        each = f"for each number of {key}"
    counted = any(isinstance(one, (Count, CountIf)) or _what(one) == "total" for one in request.measures)
    if request.keys[0].path and counted:  # groups without any row are not in the result
        each = f"for each {key} with at least one"
        if not request.entity.filters:
            each += f" {speaker.nouns(request.entity.table)[0]}"
    elif request.keys[0].path:
        each = f"for each {key}"
    direct: list[str] = []
    indirect: list[str] = []
    only = request.measures[0] if len(request.measures) == 1 else None
    every = each if each.startswith("for") else f"for each {key}"
    if isinstance(only, Count) and only.distinct is None:
        direct.append(f"how many {rows} are there {every}")
        indirect.append(f"how many {rows} there are {every}")
        if not is_plural(key) and not request.keys[0].path:
            direct.append(f"how many {rows} does each {key} have")
    else:
        direct.append(f"what {'are' if len(request.measures) > 1 else 'is'} the {measures} {every}")
    nouns = [f"the {measures} {each}"]
    if not is_plural(key) and not request.keys[0].path:
        nouns.append(f"each {key} {speaker.rng.choice(('together with', 'along with', 'and'))} the {measures}")
    noun = speaker.rng.choice(nouns)
    return Wording(noun, len(request.measures) > 1, tuple(direct), tuple(indirect), tail=tail, nominal=noun.startswith("the"))


def _measures(speaker: Speaker, request: Grouping, rows: str) -> str:
    aggregates = [one for one in request.measures if isinstance(one, Aggregate) and isinstance(one.of, Attribute)]
    if len(aggregates) == len(request.measures) > 1 and len({one.of for one in aggregates}) == 1:
        named = join_words(matching([aggregate_name(speaker, one) for one in aggregates]))
        return f"{named} {measure(speaker, aggregates[0], f'the {rows}').partition(' ')[2]}"
    spoken = [
        measure(speaker, one, "" if number else rows if isinstance(one, Count) and one.distinct is None else f"the {rows}")
        for number, one in enumerate(request.measures)
    ]
    names = matching([one.split()[0] for one in spoken])
    spoken = [" ".join([name, *one.split()[1:]]) for name, one in zip(names, spoken, strict=True)]
    return join_words([spoken[0], *(f"the {one}" for one in spoken[1:])])


def _what(one: Measure) -> str:
    """A measure that has been named already: "that number", "that average"."""
    if isinstance(one, CountIf) and one.percent:
        return "percentage"
    if isinstance(one, Aggregate):
        return {"AVG": "average", "SUM": "total", "MIN": "minimum", "MAX": "maximum"}[one.function]
    return "number"


def _bound(speaker: Speaker, having: Having, entity: Entity) -> str:
    """The bound of a group after "with": "at least 3 hives", "an average weight above 5"."""
    value = str(having.value)
    if isinstance(having.measure, Aggregate) and isinstance(having.measure.of, Attribute):
        words = f"{aggregate_name(speaker, having.measure)} {speaker.attribute(having.measure.of)}"
        way = speaker.rng.choice(OPERATORS[having.operator][:2])
        number = speaker.number(having.measure.of.column, having.value)
        return f"{article(words)} {way} {number}"
    count = int(value)
    number = number_word(count) if speaker.chance(0.5) else value
    rows = row_of(speaker, entity) if count == 1 else rows_of(speaker, entity)
    return f"{speaker.rng.choice(COUNTS[having.operator])} {number} {rows}"


def _tail(speaker: Speaker, request: Grouping, groups: str) -> str:
    """Which groups, and in what order."""
    if request.having is not None:
        with_rows = _bound(speaker, request.having, request.entity)
        return speaker.rng.choice((f", but only for {groups} with {with_rows}", f", for the {groups} with {with_rows} only"))
    if not request.order:
        return ""
    last = request.order[0]
    if isinstance(last.item, Attribute):
        return ""
    way = "from highest to lowest" if last.descending else "from lowest to highest"
    what = f"that {_what(last.item)}" if len(request.measures) == 1 else f"the {_what(last.item)}"
    return speaker.rng.choice((f", sorted by {what} {way}", f", ordered by {what} {way}"))


def _first_groups_with_number(speaker: Speaker, request: Grouping, rows: str, keys: Sequence[str]) -> Wording:
    """The groups that an order puts first, with their numbers."""
    wording = _groups_by_number(speaker, request, rows, keys)
    last = request.order[0].item
    what = _what(last) if not isinstance(last, Attribute) else "number"
    if len(request.measures) > 1:
        return Wording(f"{wording.noun}, together with {_own_numbers(speaker, request)}", wording.plural, nominal=False)
    also = speaker.rng.choice((f", together with that {what}", f", along with that {what}"))
    if isinstance(last, Count) and last.distinct is None:
        rows = speaker.nouns(request.entity.table)[1]
        also = f", together with {f'its number of {rows}' if request.limit == 1 else f'the number of {rows} of each'}"
    return Wording(wording.noun + also, True, nominal=False)


def _own_numbers(speaker: Speaker, request: Grouping) -> str:
    rows = speaker.nouns(request.entity.table)[1]
    return join_words([f"the {measure(speaker, one, rows if isinstance(one, Count) else '')}" for one in request.measures])


def _groups_by_number(speaker: Speaker, request: Grouping, rows: str, keys: Sequence[str]) -> Wording:
    """Groups chosen by a bound, or as the first of an order."""
    together = join_words(list(keys))
    key = keys[0] if len(keys) == 1 else f"combination of {together}"
    groups = plural_of_column(keys[0]) if len(keys) == 1 else f"combinations of {together}"
    if request.having is not None:
        bound = _bound(speaker, request.having, request.entity)
        if isinstance(request.having.measure, Count):
            return Wording(f"the {groups} with {bound}", True, (f"which {groups} have {bound}",))
        return Wording(f"the {groups} whose {rows} have {bound}", True, (f"which {groups} have {rows} with {bound}",))
    last = request.order[-1]
    spoken = measure(speaker, last.item, rows) if not isinstance(last.item, Attribute) else ""
    plain = isinstance(last.item, Count) and last.item.distinct is None
    if request.limit is None:
        if plain:
            common = "the most common" if last.descending else "the least common"
            return Wording(f"the {groups} of the {rows}, {common} first", True)
        way = "from highest to lowest" if last.descending else "from lowest to highest"
        return Wording(f"the {groups}, sorted by the {spoken} {way}", True)
    many = request.limit > 1
    first = f"{number_word(request.limit)} " if many else ""
    chosen = groups if many else key
    if plain:
        most = "most" if last.descending else "fewest"
        common = "most" if last.descending else "least"
        nouns = (f"the {first}{common} common {chosen} of the {rows}", f"the {first}{chosen} with the {most} {rows}")
        return Wording(speaker.rng.choice(nouns), many, (f"which {first}{chosen} {'have' if many else 'has'} the {most} {rows}",))
    top = "highest" if last.descending else "lowest"
    direct = (f"which {first}{chosen} {'have' if many else 'has'} the {top} {spoken}",)
    return Wording(f"the {first}{chosen} with the {top} {spoken}", many, direct)


# --- for each row of a table that is referred to


def _columns(speaker: Speaker, request: Grouping, plural: bool) -> list[str]:
    words = [speaker.column(key.table, key.column) for key in request.keys]
    return [plural_of_column(one) for one in words] if plural else words


def _per_row(speaker: Speaker, request: Grouping, rows: str) -> Wording:
    owner = request.keys[0].table
    noun, plural = speaker.owner(owner, request.keys[0].path)
    if request.limit is not None:
        chosen = _rows_by_number(speaker, request, rows)
        return Wording(f"{chosen.noun}, together with {_own_numbers(speaker, request)}", True, nominal=False)
    measures = _measures(speaker, request, rows)
    columns = _columns(speaker, request, False)
    having = f" {'who has' if is_person(owner) else 'that has'} at least one" if speaker.chance(0.5) else " with at least one"
    counted = any(isinstance(one, (Count, CountIf)) or _what(one) == "total" for one in request.measures)
    each = f"each {noun}{having}" if counted and not request.having else f"each {noun}"
    named = len(columns) > 1 or (not columns[0].startswith("number") and speaker.chance(0.6))
    if named and not counted:
        own = f"the {join_words(columns)} of each {noun}"
        return Wording(f"{own} and the {measures}", True, tail=_tail(speaker, request, plural))
    parts = join_words([*columns, measures]) if named else measures
    return Wording(
        f"the {parts} for {each}",
        parts != measures or len(request.measures) > 1,
        tail=_tail(speaker, request, plural),
    )


def _with_zero(speaker: Speaker, request: Grouping, rows: str) -> Wording:
    """All rows of the table that is referred to, those without any row of the entity too."""
    noun, plural = speaker.nouns(request.keys[0].table)
    columns = _columns(speaker, request, False)
    zero = speaker.rng.choice(
        (", including those without any", ", with 0 for those that have none", f", also for {plural} without any")
    )
    if request.order:
        zero += ", the highest number first"
    each = speaker.rng.choice(("each", "every"))
    nouns = (
        f"the {join_words(columns)} of {each} {noun} and the number of {rows}",
        f"the {join_words([*columns, f'number of {rows}'])} for {each} {noun}",
    )
    direct = (f"how many {rows} does {each} {noun} have",) if len(columns) == 1 else ()
    return Wording(speaker.rng.choice(nouns), True, direct, tail=zero)


def _rows_by_number(speaker: Speaker, request: Grouping, rows: str) -> Wording:
    """Rows of the table that is referred to, chosen by a number about those that refer to them."""
    key = request.keys[0]
    owner = key.table
    noun, plural = speaker.nouns(owner) if len(key.path) == 1 else speaker.owner(owner, key.path)
    relative = "who" if is_person(owner) else "that"
    verb = key.path[-1].verb if len(key.path) == 1 else "have"
    with_columns = len(request.keys) > 1 or bool(request.measures) or speaker.chance(0.35)
    if request.having is not None:
        bound = _bound(speaker, request.having, request.entity)
        of = f"the {join_words(_columns(speaker, request, True))} of " if with_columns else ""
        if isinstance(request.having.measure, Count):
            direct = () if with_columns else (f"which {plural} {verb} {bound}",)
            return Wording(f"{of}the {plural} {relative} {verb} {bound}", True, direct, nominal=with_columns)
        return Wording(f"{of}the {plural} whose {rows} have {bound}", True, nominal=with_columns)
    last = request.order[-1]
    spoken = measure(speaker, last.item, rows) if not isinstance(last.item, Attribute) else ""
    if request.limit is None:
        way = "from highest to lowest" if last.descending else "from lowest to highest"
        of = f"the {join_words(_columns(speaker, request, True))} of " if with_columns else ""
        return Wording(f"{of}the {plural} with at least one of them, sorted by the {spoken} {way}", True, nominal=with_columns)
    many = request.limit > 1
    of = f"the {join_words(_columns(speaker, request, many))} of " if with_columns else ""
    first = f"{number_word(request.limit)} " if many else ""
    chosen = plural if many else noun
    plural_answer = many or len(request.keys) > 1
    if isinstance(last.item, Count) and last.item.distinct is None:
        rest = f"{verb if many else third_person(verb)} the {'most' if last.descending else 'fewest'} {rows}"
        rest += "" if last.descending else ", but at least one"
        direct = (
            ()
            if with_columns
            else (f"which {first}{chosen} {rest}", *((f"who {rest}",) if is_person(owner) and not many else ()))
        )
        return Wording(f"{of}the {first}{chosen} {relative} {rest}", plural_answer, direct, nominal=with_columns)
    top = "highest" if last.descending else "lowest"
    direct = () if with_columns else (f"which {first}{chosen} {'have' if many else 'has'} the {top} {spoken}",)
    return Wording(f"{of}the {first}{chosen} with the {top} {spoken}", plural_answer, direct, nominal=with_columns)


def above_mean_groups(speaker: Speaker, request: AboveMeanGroups) -> Wording:
    """Groups whose number is above the mean of all groups."""
    key = speaker.attribute(request.key)
    rows = rows_of(speaker, request.entity)
    groups = plural_of_column(key)
    above = "above" if request.operator == ">" else "below"
    if isinstance(request.measure, Count):
        more = "more" if request.operator == ">" else "fewer"
        noun = f"the {groups} with {more} {rows} than the average {key}"
        direct: tuple[str, ...] = (f"which {groups} have {more} {rows} than the average {key}",)
    else:
        spoken = measure(speaker, request.measure, f"the {rows}")
        noun = f"the {groups} where the {spoken} is {above} the average over all {groups}"
        direct = (f"in which {groups} is the {spoken} {above} the average over all {groups}",)
    if request.with_measure:
        if isinstance(request.measure, Count):
            return Wording(f"{noun}, and how many {rows} each of them has", True, nominal=False)
        return Wording(f"{noun}, together with the {_what(request.measure)} of each", True, nominal=False)
    return Wording(noun, True, direct)
