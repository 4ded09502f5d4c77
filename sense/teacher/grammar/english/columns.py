"""What is listed of rows in words: their columns, those of the rows that they refer to, and what is computed of them."""

from collections.abc import Sequence

from sense.teacher.grammar.database import GrammarColumn, Link
from sense.teacher.grammar.domains import NUMBERS
from sense.teacher.grammar.english.language import is_plural, join_words, plural_of_column
from sense.teacher.grammar.english.numbers import total
from sense.teacher.grammar.english.speaker import Speaker
from sense.teacher.grammar.meaning import Attribute, Changed, Classed, Item, Joined, Ranked, Running, Total

_CASES = {
    "upper": ("in capital letters", "in upper case", "written in capitals"),
    "lower": ("in small letters", "in lower case"),
}


def of_rows(speaker: Speaker, listed: Sequence[Item], rows: str, plural: bool, person: bool) -> str:
    """What is listed of `rows`: "name of each keeper", "codes of the hives and the names of their apiaries".

    The columns of other rows, and what takes many words, stand behind the rows, so that it is clear what is whose.
    """
    own, beyond, computed = _parts(listed)
    their = "their" if plural or person else "its"
    label = beyond[0] if len(beyond) == 1 and not own else None
    if label is not None and _is_name(label) and not label.path[-1].role and speaker.chance(0.4):
        words = speaker.attribute(label)
        return f"{plural_of_column(words) if plural else words} of {rows}"
    if not own and beyond:
        every = "for" if rows.startswith(("each ", "every ")) else "of"
        text = f"{_columns_beyond(speaker, beyond, plural, 'the').removeprefix('the ')} {every} {rows}"
    elif not own:
        only = computed[0]
        if isinstance(only, Joined):
            return f"{_two(speaker, only)} of {rows}, joined by {only.separator!r}"
        if isinstance(only, Changed):
            return _one_changed(speaker, only, rows)
        return f"{_computed(speaker, only, their).removeprefix('the ')} for {rows}"
    else:
        behind = _columns_beyond(speaker, beyond, plural, their) if beyond else ""
        text = f"{items(speaker, own, plural)} of {rows}"
        if behind:
            short = len(rows.split()) <= 3 and len({attribute.path for attribute in beyond}) == 1
            text += f" and {behind}" if short else f", together with {behind}"
    for item in computed:
        text += f", and {_computed(speaker, item, their)}"
    return text


def are_several(listed: Sequence[Item], noun: str) -> bool:
    """Whether the noun phrase that `of_rows` gives for items is a plural."""
    own, beyond, computed = _parts(listed)
    if not own and not beyond and isinstance(computed[0], Joined):
        return True
    apart = bool(own) and ", together with " in noun
    return is_plural(noun) or len(own) > 1 or (not apart and len(own) + len(beyond) > 1)


def of_them(speaker: Speaker, listed: Sequence[Item], their: str, plural: bool) -> str:
    """What is listed of rows that have been spoken of: "their names and the areas of their greenhouses"."""
    own, beyond, computed = _parts(listed)
    texts = [f"{their} {items(speaker, own, plural)}"] if own else []
    if beyond:
        texts.append(_columns_beyond(speaker, beyond, plural, their))
    texts += [_computed(speaker, item, their) for item in computed]
    return " and ".join(texts)


def stands_behind(item: Item) -> bool:
    """Whether an item is computed in so many words that it stands behind the rows."""
    return isinstance(item, (Changed, Classed, Joined, Ranked, Running))


def _parts(listed: Sequence[Item]) -> tuple[list[Item], list[Attribute], list[Item]]:
    """Columns of the row itself, of rows that it refers to, and what takes many words."""
    beyond = [item for item in listed if isinstance(item, Attribute) and item.path]
    computed: list[Item] = [item for item in listed if stands_behind(item)]
    return [item for item in listed if item not in beyond and item not in computed], beyond, computed


def _is_name(attribute: Attribute) -> bool:
    return attribute.column is attribute.table.label


def _columns_beyond(speaker: Speaker, listed: Sequence[Attribute], plural: bool, their: str) -> str:
    """Columns of rows that are referred to, row by row: "the name and city of its branch"."""
    by_row: dict[tuple[Link, ...], list[Attribute]] = {}
    for attribute in listed:
        by_row.setdefault(attribute.path, []).append(attribute)
    texts = []
    for path, attributes in by_row.items():
        one, many = speaker.owner(attributes[0].table, path)
        words = [speaker.column_beside(attribute, one) for attribute in attributes]
        spoken = join_words([plural_of_column(each) for each in words] if plural else words)
        owner = "the corresponding" if len(path) > 1 and their != "the" else their
        texts.append(f"the {spoken} of {owner} {many if plural else one}")
    return join_words(texts)


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
        case _:
            raise TypeError(f"{item} stands behind the rows")


def _computed(speaker: Speaker, item: Item, their: str) -> str:
    """What is computed of each row and takes many words, with an article."""
    match item:
        case Changed():
            return _changed(speaker, item, their)
        case Joined():
            return f"{their} {_two(speaker, item)} joined by {item.separator!r}"
        case Classed():
            words, column = speaker.attribute(item.attribute), item.attribute.column
            be = "are" if is_plural(words) else "is"
            bound = speaker.number(column, item.bound)
            return f"the label '{item.high}' if {their} {words} {be} above {bound} and '{item.low}' otherwise"
        case Ranked():
            within = f" within the same {speaker.attribute(item.within)}" if item.within else ""
            words = speaker.attribute(item.attribute)
            return f"{their} rank by {words}{within} ({direction(speaker, item.attribute.column, item.descending)})"
        case Running():
            words = speaker.attribute(item.attribute)
            return f"the running total of the {words} in the order of the {speaker.attribute(item.by)}"
        case _:
            raise TypeError(f"{item} stands before the rows")


def _two(speaker: Speaker, item: Joined) -> str:
    return f"{speaker.attribute(item.first)} and {speaker.attribute(item.second)}"


def _changed(speaker: Speaker, item: Changed, their: str) -> str:
    """A text in another form, or a rounded number: "its name in capital letters", "the number of characters in its name"."""
    words = f"{their} {speaker.attribute(item.attribute)}"
    match item.function:
        case "upper" | "lower":
            return f"{words} {speaker.rng.choice(_CASES[item.function])}"
        case "length":
            return speaker.rng.choice((f"the number of characters in {words}", f"the length of {words} in characters"))
        case "initial":
            return speaker.rng.choice((f"the first letter of {words}", f"the first character of {words}"))
        case "rounded":
            return f"{words}, rounded"


def _one_changed(speaker: Speaker, item: Changed, rows: str) -> str:
    """The same as all that is listed: "name of every hive in capital letters"."""
    if item.function not in _CASES:
        return f"{_changed(speaker, item, 'the').removeprefix('the ')} of {rows}"
    words, case = speaker.attribute(item.attribute), speaker.rng.choice(_CASES[item.function])
    return f"{words} of {rows} {case}" if len(rows.split()) <= 4 else f"{words}, {case}, of {rows}"


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
