"""Writes questions in English from the pieces of a production; the SQL is not needed for it.

Tables and columns are called by the words in their identifiers, so that a small model can answer by copying; only a
small share of the questions uses synonyms for them. A literal is spelt exactly as in the SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from sense import config
from sense.teacher import CellValue
from sense.teacher.grammar.domains import NUMBERS
from sense.teacher.grammar.english import (
    BOUNDS,
    EXTREME_TIMES,
    FLAG_COMPARISONS,
    FUNCTIONS,
    NUMBER_COMPARISONS,
    OTHER_COMPARISONS,
    QUOTES,
    SHOW,
    THAN,
    TIME_COMPARISONS,
    article,
    is_plural,
    join_words,
    with_plural_verb,
)
from sense.teacher.grammar.pieces import Aggregate, Bound, Condition, GrammarColumn, GrammarTable, Hops, Link, Order, Rank, Side

SYNONYM_SHARE = 0.1
"""The share of questions in which synonyms may stand for the words in the identifiers of tables and columns."""


class Wording:
    """The wordings of a piece, which a template uses as attributes, as in {where.clause}; each is chosen when it is used."""

    def __init__(self, **wordings: Callable[[], str]) -> None:
        self._wordings = wordings

    def __getattr__(self, name: str) -> str:
        return self._wordings[name]()

    def __str__(self) -> str:
        return self._wordings["plain"]()


class Verbaliser:
    """Puts the pieces of one question into words; all of them share its choice of synonyms and of quotation marks."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.uses_synonyms = rng.random() < SYNONYM_SHARE
        self.quotes = rng.choice(QUOTES)
        self.columns: dict[tuple[str, tuple[str, ...]], str] = {}
        self.tables: dict[str, tuple[str, str]] = {}

    def words(self, column: GrammarColumn) -> str:
        """The words of a column, the same throughout a question."""
        words = [column.words] if not self.uses_synonyms else [column.words, *column.synonyms]
        return self.columns.setdefault((column.name, column.synonyms), self.rng.choice(words))

    def column(self, column: GrammarColumn) -> Wording:
        """A column: plain "weight", a "a weight", be "is"."""
        words = self.words(column)
        plural = column.kind in NUMBERS and is_plural(words)
        return Wording(plain=lambda: words, a=lambda: words if plural else article(words), be=lambda: "are" if plural else "is")

    def nouns(self, table: GrammarTable) -> tuple[str, str]:
        """Singular and plural of a table, the same throughout a question."""
        pairs = [(table.singular, table.plural)] if not self.uses_synonyms else [(table.singular, table.plural), *table.synonyms]
        return self.tables.setdefault(table.name, self.rng.choice(pairs))

    def value(self, value: CellValue) -> str:
        """A literal as it is written in the SQL, a text perhaps in quotes."""
        return self.quotes.format(value) if isinstance(value, str) else str(value)

    def table(self, table: GrammarTable) -> Wording:
        """A table: one, many, a."""
        singular, plural = self.nouns(table)
        return Wording(one=lambda: singular, many=lambda: plural, a=lambda: article(singular))

    def condition(self, condition: Condition) -> Wording:
        """A condition: clause "weight is above 10", short "weight above 10", noun "a weight above 10"."""
        column = self.column(condition.column)
        wordings: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = OTHER_COMPARISONS
        if condition.column.kind == "flag":
            wordings = FLAG_COMPARISONS
        elif condition.column.kind in ("year", "date") and condition.operator in TIME_COMPARISONS:
            wordings = TIME_COMPARISONS
        elif (
            condition.operator in NUMBER_COMPARISONS and not isinstance(condition.values[0], str)
        ) or condition.operator == "between":
            wordings = NUMBER_COMPARISONS
        clauses, shorts = wordings[condition.operator]
        values = [self.value(value) for value in condition.values]
        nouns = [way for way in shorts if way != "{}"]
        if column.be == "are":
            clauses = tuple(with_plural_verb(way) for way in clauses)
        return Wording(
            clause=lambda: f"{column} {self.rng.choice(clauses).format(*values)}",
            short=lambda: f"{column} {self.rng.choice(shorts).format(*values)}",
            noun=lambda: f"{column.a} {self.rng.choice(nouns).format(*values)}",
        )

    def aggregates(self, aggregates: Sequence[Aggregate]) -> Wording:
        """Aggregates of one column: "minimum and maximum weight"."""
        functions = FUNCTIONS | (EXTREME_TIMES if aggregates[0].column.kind in ("year", "date") else {})
        names = join_words([self.rng.choice(functions[aggregate.function]) for aggregate in aggregates])
        words = f"{names} {self.words(aggregates[0].column)}"
        return Wording(plain=lambda: words, a=lambda: article(words), be=lambda: "are" if len(aggregates) > 1 else "is")

    def order(self, order: Order) -> Wording:
        """An order: top "highest weight", sorted "in descending order of weight"."""
        name = self.words(order.column)
        times = order.column.kind in ("year", "date")
        high, low = ("latest", "earliest") if times else ("highest", "lowest")
        tops = (high, "most recent" if times else "largest") if order.descending else (low, low if times else "smallest")
        ends = (high, low) if order.descending else (low, high)
        direction = "descending" if order.descending else "ascending"
        ways = (
            f"sorted by {name} in {direction} order",
            f"in {direction} order of {name}",
            f"ordered by {name} from {ends[0]} to {ends[1]}",
        )
        return Wording(top=lambda: f"{self.rng.choice(tops)} {name}", sorted=lambda: self.rng.choice(ways))

    def rank(self, rank: Rank) -> Wording:
        """The first or last of groups: common "most common", most "most", top "highest"."""
        common = ("most common", "most frequent") if rank.descending else ("least common", "least frequent")
        return Wording(
            common=lambda: self.rng.choice(common),
            most=lambda: "most" if rank.descending else "fewest",
            top=lambda: "highest" if rank.descending else "lowest",
        )

    def hops(self, hops: Hops) -> str:
        """Tables over two foreign keys: "owners that own a pet with a visit", "visits of a pet of an owner"."""
        (_, first), (second, _), (third, _) = (self.nouns(table) for table in hops.tables)
        first_link, second_link = hops.links
        middle = hops.tables[1].name
        first_hop = "of" if first_link.parent == middle else f"that {first_link.verb}"
        second_hop = "of" if second_link.child == middle else "with"
        return f"{first} {first_hop} {article(second)} {second_hop} {article(third)}"

    def bound(self, bound: Bound) -> str:
        """ "more than 3", "at least 3"."""
        return self.rng.choice(BOUNDS[bound.operator]).format(self.value(bound.value))

    def side(self, side: Side) -> Wording:
        """A side of a value: plain "above", than "greater than"."""
        word = "above" if side.operator == ">" else "below"
        return Wording(plain=lambda: word, than=lambda: self.rng.choice(THAN[side.operator]))

    def several(self, pieces: Sequence[GrammarColumn] | Sequence[Aggregate]) -> Wording:
        """Several columns, or several aggregates of one."""
        columns = [piece for piece in pieces if isinstance(piece, GrammarColumn)]
        if not columns:
            return self.aggregates([piece for piece in pieces if isinstance(piece, Aggregate)])
        words = join_words([self.words(column) for column in columns])
        one = self.column(columns[0])
        return Wording(plain=lambda: words, be=lambda: "are" if len(columns) > 1 else one.be)

    def slots(self, pieces: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the templates' fields for the pieces of a production."""
        methods: dict[type, Callable[[Any], Any]] = {
            GrammarTable: self.table,
            GrammarColumn: self.column,
            Condition: self.condition,
            Order: self.order,
            Rank: self.rank,
            Hops: self.hops,
            Bound: self.bound,
            Side: self.side,
            Link: lambda link: link.verb,
            Aggregate: lambda aggregate: self.aggregates([aggregate]),
            list: self.several,
        }
        show = self.rng.choice(SHOW)
        wordings = {name: methods.get(type(piece), self.value)(piece) for name, piece in pieces.items()}
        return {"show": show, "show_small": show.lower(), **wordings}


@cache
def phrases() -> dict[str, list[str]]:
    """The templates of every production."""
    file = Path(__file__).with_name("phrases.yaml")
    templates: dict[str, list[str]] = config.parse(file.read_text(encoding="utf-8"), file.name)
    return templates


def question(production: str, pieces: Mapping[str, Any], rng: Random) -> str:
    """A question for the query that `production` has drawn as `pieces`."""
    verbaliser = Verbaliser(rng)
    return rng.choice(phrases()[production]).format_map(verbaliser.slots(pieces))
