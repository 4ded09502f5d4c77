"""Questions in English, from the pieces a production was drawn from; nothing here reads SQL.

Tables and columns are called by the words in their identifiers, so that a small model can answer by copying; only a
small share of questions uses other words for them. A literal is spelt exactly as in the SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from sense import config
from sense.teacher import CellValue
from sense.teacher.grammar.domains import NUMBERS as QUANTITIES
from sense.teacher.grammar.pieces import Aggregate, Bound, Column, Condition, Hops, Link, Order, Rank, Side, Table
from sense.teacher.grammar.words import (
    BOUNDS,
    EXTREME_TIMES,
    FLAGS,
    FUNCTIONS,
    NUMBERS,
    OTHERS,
    QUOTES,
    SHOW,
    THAN,
    TIMES,
    agreeing,
    article,
    is_many,
    listed,
)

SYNONYM_SHARE = 0.1
"""The share of questions in which tables and columns may be called by other words than those in their identifiers."""


class Spoken:
    """A piece as a template uses it: each attribute is one way to say it, chosen when it is used."""

    def __init__(self, **ways: Callable[[], str]) -> None:
        self._ways = ways

    def __getattr__(self, way: str) -> str:
        return self._ways[way]()

    def __str__(self) -> str:
        return self._ways["plain"]()


class Voice:
    """One question's way of speaking: whether it uses other words, and how it quotes."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.loose = rng.random() < SYNONYM_SHARE
        self.quotes = rng.choice(QUOTES)
        self.columns: dict[tuple[str, tuple[str, ...]], str] = {}
        self.tables: dict[str, tuple[str, str]] = {}

    def words(self, column: Column) -> str:
        """The words of a column, the same throughout a question."""
        words = [column.words] if not self.loose else [column.words, *column.others]
        return self.columns.setdefault((column.name, column.others), self.rng.choice(words))

    def column(self, column: Column) -> Spoken:
        """A column: plain "weight", a "a weight", be "is"."""
        words = self.words(column)
        many = column.kind in QUANTITIES and is_many(words)
        return Spoken(plain=lambda: words, a=lambda: words if many else article(words), be=lambda: "are" if many else "is")

    def nouns(self, table: Table) -> tuple[str, str]:
        """Singular and plural of a table, the same throughout a question."""
        pairs = [(table.one, table.many)] if not self.loose else [(table.one, table.many), *table.others]
        return self.tables.setdefault(table.name, self.rng.choice(pairs))

    def value(self, value: CellValue) -> str:
        """A literal as it is written in the SQL, a text perhaps in quotes."""
        return self.quotes.format(value) if isinstance(value, str) else str(value)

    def table(self, table: Table) -> Spoken:
        """A table: one, many, a."""
        one, many = self.nouns(table)
        return Spoken(one=lambda: one, many=lambda: many, a=lambda: article(one))

    def condition(self, made: Condition) -> Spoken:
        """A condition: clause "weight is above 10", short "weight above 10", noun "a weight above 10"."""
        column = self.column(made.column)
        table: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = OTHERS
        if made.column.kind == "flag":
            table = FLAGS
        elif made.column.kind in ("year", "date") and made.operator in TIMES:
            table = TIMES
        elif (made.operator in NUMBERS and not isinstance(made.values[0], str)) or made.operator == "between":
            table = NUMBERS
        clauses, shorts = table[made.operator]
        values = [self.value(value) for value in made.values]
        nouns = [way for way in shorts if way != "{}"]
        if column.be == "are":
            clauses = tuple(agreeing(way) for way in clauses)
        return Spoken(
            clause=lambda: f"{column} {self.rng.choice(clauses).format(*values)}",
            short=lambda: f"{column} {self.rng.choice(shorts).format(*values)}",
            noun=lambda: f"{column.a} {self.rng.choice(nouns).format(*values)}",
        )

    def aggregate(self, made: Sequence[Aggregate]) -> Spoken:
        """Aggregates of one column: "minimum and maximum weight"."""
        functions = FUNCTIONS | (EXTREME_TIMES if made[0].column.kind in ("year", "date") else {})
        words = f"{listed([self.rng.choice(functions[one.function]) for one in made])} {self.words(made[0].column)}"
        return Spoken(plain=lambda: words, a=lambda: article(words), be=lambda: "are" if len(made) > 1 else "is")

    def order(self, order: Order) -> Spoken:
        """An order: top "highest weight", sorted "in descending order of weight"."""
        name = self.words(order.column)
        times = order.column.kind in ("year", "date")
        high, low = ("latest", "earliest") if times else ("highest", "lowest")
        tops = (high, "most recent" if times else "largest") if order.down else (low, low if times else "smallest")
        ends = (high, low) if order.down else (low, high)
        direction = "descending" if order.down else "ascending"
        ways = (
            f"sorted by {name} in {direction} order",
            f"in {direction} order of {name}",
            f"ordered by {name} from {ends[0]} to {ends[1]}",
        )
        return Spoken(top=lambda: f"{self.rng.choice(tops)} {name}", sorted=lambda: self.rng.choice(ways))

    def rank(self, rank: Rank) -> Spoken:
        """The first or last of groups: common "most common", most "most", top "highest"."""
        common = ("most common", "most frequent") if rank.down else ("least common", "least frequent")
        return Spoken(
            common=lambda: self.rng.choice(common),
            most=lambda: "most" if rank.down else "fewest",
            top=lambda: "highest" if rank.down else "lowest",
        )

    def hops(self, hops: Hops) -> str:
        """A way over two foreign keys: "owners that own a pet with a visit", "visits of a pet of an owner"."""
        (_, many), (second, _), (third, _) = (self.nouns(table) for table in hops.tables)
        one, two = hops.links
        middle = hops.tables[1].name
        first_hop = "of" if one.parent == middle else f"that {one.verb}"
        second_hop = "of" if two.child == middle else "with"
        return f"{many} {first_hop} {article(second)} {second_hop} {article(third)}"

    def bound(self, bound: Bound) -> str:
        """ "more than 3", "at least 3"."""
        return self.rng.choice(BOUNDS[bound.operator]).format(self.value(bound.value))

    def side(self, side: Side) -> Spoken:
        """On which side of a value: plain "above", than "greater than"."""
        word = "above" if side.operator == ">" else "below"
        return Spoken(plain=lambda: word, than=lambda: self.rng.choice(THAN[side.operator]))

    def several(self, pieces: Sequence[Column] | Sequence[Aggregate]) -> Spoken:
        """Several columns, or several aggregates of one."""
        columns = [piece for piece in pieces if isinstance(piece, Column)]
        if not columns:
            return self.aggregate([piece for piece in pieces if isinstance(piece, Aggregate)])
        words = listed([self.words(column) for column in columns])
        one = self.column(columns[0])
        return Spoken(plain=lambda: words, be=lambda: "are" if len(columns) > 1 else one.be)

    def slots(self, pieces: Mapping[str, Any]) -> dict[str, Any]:
        """What the templates may use, from the pieces of a production."""
        ways: dict[type, Callable[[Any], Any]] = {
            Table: self.table,
            Column: self.column,
            Condition: self.condition,
            Order: self.order,
            Rank: self.rank,
            Hops: self.hops,
            Bound: self.bound,
            Side: self.side,
            Link: lambda link: link.verb,
            Aggregate: lambda made: self.aggregate([made]),
            list: self.several,
        }
        show = self.rng.choice(SHOW)
        spoken = {name: ways.get(type(piece), self.value)(piece) for name, piece in pieces.items()}
        return {"show": show, "show_small": show.lower(), **spoken}


@cache
def phrases() -> dict[str, list[str]]:
    """The templates of every production."""
    file = Path(__file__).with_name("phrases.yaml")
    templates: dict[str, list[str]] = config.parse(file.read_text(encoding="utf-8"), file.name)
    return templates


def question(production: str, pieces: Mapping[str, Any], rng: Random) -> str:
    """The question of a production drawn as `pieces`."""
    voice = Voice(rng)
    return rng.choice(phrases()[production]).format_map(voice.slots(pieces))
