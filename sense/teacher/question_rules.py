"""Whether a question reads as a person would ask it and has one reading, by rules on its words and on its SQL.

A teacher drops or words again what has problems. The rules are meant for questions that programs and models write: what
people write breaks them too, 7% of Spider's questions (`benchmarks/RESULTS.md`), mostly the rules on letters and marks.
The values of the SQL are masked first, so that no rule reads them.
"""

import re
from collections.abc import Callable, Iterator

from sense.sql.parse import Token, code_tokens, tokens
from sense.teacher import readings

ZERO_GROUPS = "two readings: groups of zero"
NAMED_ROW = "two readings: the named row itself"
TWO_READINGS = (ZERO_GROUPS, NAMED_ROW)
"""The classes in which a question can be read in two ways, one of which its SQL does not answer."""

_VALUE = "§"  # stands for a value; no letter, so that no rule takes it for a word
_CLASSES: dict[str, Callable[["_Question"], bool]] = {}

_PLURALS = frozenset(
    "alumni children criteria cattle data feet geese media men mice people personnel police staff teeth women".split()
)
_SINGULAR_OR_PLURAL = frozenset("aircraft fish headquarters means sheep series species".split())
_SINGULARS = frozenset(
    """address alias analysis apparatus atlas axis basis bias bonus bus campus canvas census chaos chess cosmos crisis diagnosis
    diabetes emphasis excess focus gas genius gps hypothesis iris is its lens less logistics mathematics news nucleus oasis opus
    physics plus radius sales status success surplus tennis this thus us virus was yes across as has does overseas always perhaps
    besides ours hers previous specimen regimen""".split()
)
_ADJECTIVES = """absent active anonymous approved arrested available cancelled certified contaminated delayed domestic elected
    endangered fragile free full hazardous incumbent insured organic overdue paid pregnant protected refrigerated resolved
    reusable sold solved successful translated urgent vaccinated valid vegan vegetarian"""
_UNITS = """acres celsius cm days euros feet grams hectares hours kg kilograms kilometers kilometres kilos km kmh knots kw litres
    liters meters metres miles minutes mm mw percent pounds seconds tonnes tons volts watts"""
_QUANTITIES = """alcohol altitude area capacity cost depth diameter discount distance duration elevation height humidity length
    level mass output power price rainfall runtime size speed temperature time volume voltage wage weight width wind"""
_PREPOSITIONS = "of in on at by for from with to than over under above below before after between among into per"
_SUPERLATIVES = {
    "lowest": "highest",
    "smallest": "largest biggest greatest",
    "minimum": "maximum",
    "minimal": "maximal",
    "earliest": "latest",
    "shortest": "longest tallest",
    "oldest": "newest youngest recent",
    "cheapest": "dearest expensive",
    "least": "most greatest",
    "fewest": "most",
    "slowest": "fastest",
    "lightest": "heaviest",
    "first": "last latest",
}


def problems(question: str, sql: str, evidence: str = "") -> list[str]:
    """The classes of problems that `question` has, in the order of `class_names`; none if it passes.

    `evidence` may explain the name of a column, which the question then may spell as the column is spelt.

    >>> problems("Which singers are older than 30?", "SELECT name FROM singer WHERE age > 30")
    []
    >>> problems("Show the name of singers with city of Paris.", "SELECT name FROM singer WHERE city = 'Paris'")
    ['with city of X']
    """
    read = _Question(question, sql, evidence)
    return [name for name, applies in _CLASSES.items() if applies(read)]


def class_names() -> tuple[str, ...]:
    """All classes of problems, those of two readings last."""
    return tuple(_CLASSES)


class _Question:
    """A question beside its SQL: `masked` is the question with a sign for each value, `words` the same in lower case."""

    def __init__(self, question: str, sql: str, evidence: str) -> None:
        self.question, self.sql, self.evidence = question, sql, evidence
        self.code = list(code_tokens(sql))
        self.masked = _mask_values(question, sql)
        self.words = self.masked.lower()

    def has(self, pattern: re.Pattern[str]) -> bool:
        return pattern.search(self.words) is not None


def _problem(name: str) -> Callable[[Callable[[_Question], bool]], Callable[[_Question], bool]]:
    def add(applies: Callable[[_Question], bool]) -> Callable[[_Question], bool]:
        _CLASSES[name] = applies
        return applies

    return add


def _mask_values(question: str, sql: str) -> str:
    """The question with a sign in place of every text that the SQL holds, or that stands in quotes."""
    values = {
        token.text[1:-1].strip("%").replace("''", "'")
        for token in tokens(sql)
        if token.kind == "quoted" and token.text[0] in "'\""
    }
    masked = question
    for value in sorted(values, key=lambda value: (-len(value), value)):
        if len(value) > 1:
            masked = re.sub(rf"(?<!\w)['\"‘“]?{re.escape(value)}['\"’”]?(?!\w)", _VALUE, masked, flags=re.IGNORECASE)
    return re.sub(r"\"[^\"]*\"|“[^”]*”|(?<!\w)['‘][^'’]*['’](?!\w)", _VALUE, masked)


def _any(words: str) -> str:
    return f"(?:{'|'.join(words.split())})"


def _is_plural(word: str) -> bool:
    """Whether an English word looks like a plural noun; of those that may be either it says no."""
    if word in _PLURALS or word in _SINGULARS or word in _SINGULAR_OR_PLURAL:
        return word in _PLURALS
    return word.endswith("men") or (len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "us", "'s")))


# -- wordings that no person uses

_WITH_OF = re.compile(
    rf"\b(?:with|having) (?!an? |the |at |{_any(_PREPOSITIONS)} )[a-z_]+(?: [a-z_]+){{0,2}}? "
    rf"of (?:{_VALUE}|\d|(?:less|more) than|at (?:least|most)|over \d|under \d)"
)


@_problem("with city of X")
def _with_of(read: _Question) -> bool:
    return read.has(_WITH_OF)


_EQUAL = re.compile(r"\b(?:equals?(?: to)?|set to) (?!(?:or|the|that|those|their|its|each|opportunity|rights|number|amounts?)\b)")


@_problem("equal to X")
def _equal_to(read: _Question) -> bool:
    return read.has(_EQUAL)


_VALUES = re.compile(
    r"\b(?!(?:all|the|these|different|distinct|same|missing|null|possible|unique|which|what|with|of|and|or)\b)[a-z_]+ values\b"
    r"|\bvalue (?:of|equal|that)\b"
)


@_problem("city values")
def _column_values(read: _Question) -> bool:
    return read.has(_VALUES) and not any("VALUE" in token.text.upper() for token in read.code)


_DIFFERENT = re.compile(
    r"\b(?:different|distinct|unique) ((?:[a-z_]+ ){0,2}?[a-z_]+) (?:of|for|among|that|which|who|in|from|shared|have|whose)\b"
)
_NO_NOUN = frozenset(
    "information equipment software from than to each for in of number one kind are is do there available".split()
)


@_problem("the different name of")
def _different_singular(read: _Question) -> bool:
    """A singular after `different`, unless it is no noun or an article stands before."""
    for match in _DIFFERENT.finditer(read.words):
        last = match[1].split()[-1]
        if "and" not in match[1].split() and last not in _NO_NOUN | _SINGULAR_OR_PLURAL and not _is_plural(last):
            return not re.search(r"(?:each|every|an?) $", read.words[: match.start()])
    return False


_UNIT_NOUN = re.compile(rf"\b{_any(_QUANTITIES)} {_any(_UNITS)}\b")
_FLAG_NOUN = re.compile(
    rf"\b(?:what (?:is|are) the|(?:show|list|find|return|give|display|tell)(?: me)? the|whose) {_any(_ADJECTIVES)}"
    r"(?=[?.,]| (?:and|of|for|is|equals?|set|in|from)\b)"
)


@_problem("a unit or a flag as a noun")
def _unit_or_flag(read: _Question) -> bool:
    return read.has(_UNIT_NOUN) or read.has(_FLAG_NOUN)


_SAME_NOUN = re.compile(
    r"\b(?:whose|with(?: an?| the)?) ([a-z_]+(?: [a-z_]+)?) .*\bwhat (?:is|are) (?:the|their|its) \1s?(?=[?.,]| of\b)"
)


@_problem("tautology")
def _tautology(read: _Question) -> bool:
    """What is asked for is what the question says already: the only column is the one that a condition fixes."""
    return read.has(_SAME_NOUN) or _asks_for_fixed_column(read.code)


def _asks_for_fixed_column(code: list[Token]) -> bool:
    """SELECT column FROM ... WHERE column = value, with no other clause or condition."""
    texts = [token.text if token.text[0] == "'" else token.text.strip('"`[]').upper() for token in code]
    if texts[:1] != ["SELECT"] or "FROM" not in texts or "WHERE" not in texts:
        return False
    column = texts[1 : texts.index("FROM")]
    column = column[1:] if column[:1] == ["DISTINCT"] else column
    condition = texts[texts.index("WHERE") + 1 :]
    is_column = len(column) == 1 or (len(column) == 3 and column[1] == ".")
    return is_column and condition[:-1] == [*column, "="]


_WHAT_IS_IT = re.compile(
    r"\band what (?:is|are|was) (?:it|they|(?:that|those) (?:average|mean|total|sum|minimum|maximum|number|count))\b"
    r"|\band how (?:many|much) [a-z ]+? (?:is|are) (?:it|they) for each\b"
)
_CLAUSE_NOUN = re.compile(
    rf"\b(?:with|have|has|having) (?:an? )?[a-z_]+(?: [a-z_]+)? that (?:is|are) (?:not )?(?:missing|known|null|{_VALUE}|\d)"
)


@_problem("and what is it?")
def _what_is_it(read: _Question) -> bool:
    return read.has(_WHAT_IS_IT)


@_problem("with a city that is missing")
def _that_is_missing(read: _Question) -> bool:
    return read.has(_CLAUSE_NOUN)


_LIST_OF_TWO = re.compile(r"\b([a-z]+)(?:,? (?:and|or)(?: the)? (?:most )?|, (?:[a-z]+,? and )?)([a-z]+)\b")
_LOWS = {high: low for low, highs in _SUPERLATIVES.items() for high in highs.split()}


@_problem("lowest and maximum")
def _mixed_superlatives(read: _Question) -> bool:
    """Two ends of a scale in words of different scales, side by side in a list."""
    for match in _LIST_OF_TWO.finditer(read.words):
        low, high = match[1], match[2]
        if low in _LOWS:
            low, high = high, low
        if low in _SUPERLATIVES and high in _LOWS and high not in _SUPERLATIVES[low].split():
            return True
    return False


_MOST_WORDS = 34


@_problem("more words than a person writes")
def _too_long(read: _Question) -> bool:
    """Of Spider's questions 6 in 10,000 are longer."""
    return len(read.masked.split()) > _MOST_WORDS


# -- grammar

_ENDS_NOUN = f"{_PREPOSITIONS} that which with whose equal is was has and or greater higher lower less more"
_ARTICLE = re.compile(rf"(?<![\w'-])an? (?:(?:above|below)-average )?([\w'-]+)(?=[.,?;]|$| {_any(_ENDS_NOUN)}\b)")
_VOWEL_SOUND = re.compile(r"hour|honest|honou?r|heir", re.IGNORECASE)
_CONSONANT_SOUND = re.compile(
    r"uni(?!n|m)|unanim|us[aeiu]|util|ut[eo]|eu|ewe|one\b|once\b|ub[ei]|uk[er]?|ura|uri|[bcdfgjklmnpqrstvwxyz]", re.IGNORECASE
)


@_problem("article before a plural")
def _article_before_plural(read: _Question) -> bool:
    return any(_is_plural(match[1]) for match in _ARTICLE.finditer(read.words))


_COUNTRY = re.compile(
    r"\b(?:from|in|of|for|to|not) "
    r"(?:Netherlands|Philippines|United (?:States|Kingdom|Arab Emirates)|Czech Republic|Bahamas|USA|UK)\b"
)


@_problem("country without its article")
def _country_without_article(read: _Question) -> bool:
    return _COUNTRY.search(read.question) is not None


@_problem("a for an")
def _wrong_article(read: _Question) -> bool:
    """`a hourly fee`, `an university`; words in capitals may be spelt letter by letter, so they may have either."""
    for match in re.finditer(r"(?<![\w'-])(an?) ([A-Za-z][a-z][\w'-]*)", read.masked):
        consonant = _CONSONANT_SOUND.match(match[2]) or (match[2][0] in "hH" and not _VOWEL_SOUND.match(match[2]))
        if match[1] == ("an" if consonant else "a"):
            return True
    return False


_ONE = re.compile(
    r"(?<![\w.,-])(?:exactly|only|least|most|just|than|over) (?:one|1) (?:[a-z]+ )??([a-z]+)"
    r"(?= (?:for|by|per|of|in|that|who)\b|[.,?;]|$)"
)
_IS = re.compile(rf"^(?:what|which) is the ([a-z]+)(?=\?| {_any('of for in from')}\b)")
_HOW_MANY = re.compile(r"\bhow many ([a-z]+) (?:are|is|have|has|do|does|did|were|was)\b")
_MANY_AND_MANY = frozenset("of people more times".split())


_MANY_OF_ONE = re.compile(
    r"^what are the [a-z ,]+ of (?:the|every|each) ([a-z]+ )?([a-z]+) (?:with|that have|who have) "
    r"(?:more than|at least|fewer than|no fewer than|over|at most) (?:\d+|two|three|four|five|six) "
)


@_problem("one with a plural, many with a singular")
def _number(read: _Question) -> bool:
    plurals = any(_is_plural(match[1]) for pattern in (_ONE, _IS) for match in pattern.finditer(read.words))
    of_one = _MANY_OF_ONE.match(read.words)
    plurals = plurals or (of_one is not None and not _is_plural(of_one[2]) and of_one[2] not in _SINGULAR_OR_PLURAL)
    singulars = (match[1] for match in _HOW_MANY.finditer(read.words))
    return plurals or any(
        not _is_plural(word) and word not in _SINGULAR_OR_PLURAL and word not in _MANY_AND_MANY for word in singulars
    )


_DOUBLED = re.compile(r"\b(?!(?:that|had|is)\b)([a-z]+) \1\b")
_DOUBLED_FUNCTION = re.compile(
    r"\b(?:of|with|in|by|whose|the|an?) (?:of|whose|is|are|equal)\b|\bthe (?:the|an?|each|every|all)\b|\ban? (?:the|an?)\b"
    r"|\bthan (?:above|below|over|under|of)\b|\b(?:is|are) (?:is|are|has|have)\b"
)


@_problem("doubled words")
def _doubled_words(read: _Question) -> bool:
    return read.has(_DOUBLED) or read.has(_DOUBLED_FUNCTION)


_VERB = re.compile(r"\b(?:cannots|haves|dos|ares|weres|wills|mays|shoulds|gots)\b")


@_problem("wrong form of a verb")
def _verb_form(read: _Question) -> bool:
    return read.has(_VERB)


# -- letters and marks

_OPENINGS = r"""show list(?!\sof) find return give display tell count(?!\sof) compute calculate sort please what which who whose
    whom where when how for among are is do does did can could"""
_SENTENCE = re.compile(rf"{_any(_OPENINGS)}\b", re.IGNORECASE)
_ASKS = re.compile(r"(?:what|which|who|whose|whom|where|when|how|are|is|do|does|did|can|could)\b", re.IGNORECASE)


@_problem("template braces")
def _braces(read: _Question) -> bool:
    return re.search(r"[{}]|<\w+>|\bNone\b|\bnan\b", read.masked) is not None


@_problem("spaces")
def _spaces(read: _Question) -> bool:
    return re.search(r"^\s|\s$|\s{2}| [,.?;](?:\s|$)|[,;][,;.?]|\?\?|\.\.|\( | \)", read.question) is not None


@_problem("column spelt as in SQL")
def _identifier(read: _Question) -> bool:
    """A word with an underscore, or one of the SQL's names that is no plain word (`ShipName`), unless the evidence has it."""
    names = {token.text for token in tokens(read.sql) if token.kind == "word"}
    return any(
        word not in read.evidence and ("_" in word or (re.search(r"[a-z][A-Z]", word) is not None and word in names))
        for word in re.findall(r"\w+", read.masked)
    )


def _sentences(text: str) -> Iterator[str]:
    for sentence in re.split(r"(?<=[.?!]) +(?=[A-Z])", text.strip()):
        yield sentence.strip()


@_problem("final punctuation")
def _final_punctuation(read: _Question) -> bool:
    """A sentence that ends in no mark, or a question or a command that ends in the other's; keywords need none."""
    for sentence in _sentences(read.masked):
        if not sentence[:1].isupper() or not _SENTENCE.match(sentence):
            continue
        end = sentence.rstrip("\"'”’)")[-1:]
        if end not in (".", "?", "!"):
            return True
        if end == "." and _ASKS.match(sentence):
            return True
    return False


@_problem("lower-case start")
def _lower_case_start(read: _Question) -> bool:
    return any(
        sentence[:1].islower() and _SENTENCE.match(sentence) is not None and sentence.endswith((".", "?", "!"))
        for sentence in _sentences(read.masked)
    )


# -- two readings


@_problem(ZERO_GROUPS)
def _zero_groups(read: _Question) -> bool:
    return readings.drops_groups_of_zero(read.words, read.code)


@_problem(NAMED_ROW)
def _named_row(read: _Question) -> bool:
    return readings.counts_named_row(read.words, read.code)
