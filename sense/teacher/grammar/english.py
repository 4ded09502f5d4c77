"""English for the questions: wordings of comparisons and aggregates, plurals, articles and lists."""

from collections.abc import Sequence

SHOW = ("Show", "List", "Find", "Return", "Give me", "Show me", "Display", "Tell me")
QUOTES = ("{}", "{}", "'{}'", '"{}"')
FUNCTIONS = {
    "AVG": ("average", "mean"),
    "SUM": ("total", "total"),
    "MIN": ("minimum", "lowest", "smallest"),
    "MAX": ("maximum", "highest", "largest"),
}
EXTREME_TIMES = {"MIN": ("earliest", "earliest"), "MAX": ("latest", "most recent")}
BOUNDS = {
    ">": ("more than {}", "over {}"),
    ">=": ("at least {}", "{} or more"),
    "<": ("less than {}", "under {}"),
    "<=": ("at most {}", "{} or less"),
    "=": ("exactly {}",),
}
THAN = {">": ("greater than", "higher than"), "<": ("less than", "lower than")}
# operator -> (wordings after "whose weight", wordings after "a weight")
NUMBER_COMPARISONS = {
    ">": (
        ("is above {}", "is greater than {}", "is more than {}", "exceeds {}"),
        ("above {}", "greater than {}", "over {}", "of more than {}"),
    ),
    "<": (
        ("is below {}", "is less than {}", "is lower than {}", "is under {}"),
        ("below {}", "less than {}", "under {}", "of less than {}"),
    ),
    ">=": (("is at least {}", "is {} or more"), ("of at least {}", "of {} or more")),
    "<=": (("is at most {}", "is {} or less"), ("of at most {}", "of {} or less")),
    "between": (("is between {} and {}", "lies between {} and {}"), ("between {} and {}",)),
    "=": (("is {}", "is equal to {}", "equals {}"), ("of {}", "equal to {}")),
}
TIME_COMPARISONS = {
    ">": (("is after {}", "is later than {}"), ("after {}", "later than {}")),
    "<": (("is before {}", "is earlier than {}"), ("before {}", "earlier than {}")),
    ">=": (("is {} or later", "is not before {}"), ("of {} or later", "not before {}")),
    "<=": (("is {} or earlier", "is not after {}"), ("of {} or earlier", "not after {}")),
}
FLAG_COMPARISONS = {
    "=": (("is {}", "equals {}", "is set to {}"), ("value of {}", "value equal to {}", "set to {}")),
    "null": (("is missing", "is not known", "is null"), ("value that is missing", "value that is not known")),
    "not null": (("is known", "is not missing", "is not null"), ("value that is known", "value that is not missing")),
}
OTHER_COMPARISONS = {
    "=": (("is {}", "is {}", "equals {}"), ("{}", "of {}", "equal to {}")),
    "!=": (("is not {}", "is different from {}"), ("other than {}", "different from {}", "that is not {}")),
    "contains": (("contains {}", "includes {}"), ("containing {}", "that contains {}")),
    "starts": (("starts with {}", "begins with {}"), ("starting with {}", "that begins with {}")),
    "ends": (("ends with {}", "ends in {}"), ("ending with {}", "that ends in {}")),
    "null": (("is missing", "is not known", "is null"), ("that is missing", "that is not known")),
    "not null": (("is known", "is not missing", "is not null"), ("that is known", "that is not missing")),
}
PLURAL_VERBS = {"is": "are", "exceeds": "exceed", "equals": "equal", "lies": "lie"}


def plural(words: str) -> str:
    """The regular English plural of the last of `words`."""
    if words.endswith(("s", "x", "ch", "sh")):
        return f"{words}es"
    if words.endswith("y") and words[-2:-1] not in "aeiou":
        return f"{words[:-1]}ies"
    return f"{words}s"


def is_plural(words: str) -> bool:
    """Whether the words for a quantity are a plural, as in "bedrooms", "hours per week" and "lines added"."""
    return any(word.endswith("s") and not word.endswith(("ss", "us")) for word in words.split())


def with_plural_verb(clause: str) -> str:
    """The clause with its verb in the plural: "is above 3" becomes "are above 3"."""
    verb, space, rest = clause.partition(" ")
    return PLURAL_VERBS.get(verb, verb) + space + rest


def article(words: str) -> str:
    """The words after "a" or "an"."""
    return f"an {words}" if words[0] in "aeiou" and not words.startswith(("uni", "use", "uti", "eu", "one")) else f"a {words}"


def join_words(words: Sequence[str]) -> str:
    """Words as a list: "name, weight and age"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
