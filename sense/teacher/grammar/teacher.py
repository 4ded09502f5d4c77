"""The built-in teacher: databases, questions and SQL from a grammar, in any number, without any model.

Database number n holds the drafts n * per_database and following; its domain is the next of a seeded shuffle of all
domains, over and over, so that every domain has its even share: of the databases for evaluation, or of the others.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from random import Random

from sense.config import GrammarConfig, SplitConfig
from sense.records import Hardness
from sense.teacher import Draft, RejectedDraft
from sense.teacher.grammar import domains
from sense.teacher.grammar.check import is_worth_asking
from sense.teacher.grammar.draw import Draw, NoFit
from sense.teacher.grammar.pieces import GrammarDatabase
from sense.teacher.grammar.populate import invent_database
from sense.teacher.grammar.productions import PRODUCTIONS, Production
from sense.teacher.grammar.tree import sql_text
from sense.teacher.grammar.verbalise import question
from sense.teacher.splits import DomainPlan

TRIES = 6
"""How often a production is drawn on a database before another one is tried."""
CACHED_DATABASES = 32
"""How many databases a teacher keeps in memory; drafts are usually requested in the order of their index."""


class GrammarTeacher:
    """Drafts from the grammar; `draft` is a pure function of the configuration, the seed and its arguments.

    With `split`, some domains are for its heldout set alone.
    """

    def __init__(self, config: GrammarConfig, seed: int, split: SplitConfig | None = None) -> None:
        self._config, self._seed = config, seed
        self._plan = DomainPlan(domains.names(), split, seed)
        self._database = lru_cache(maxsize=CACHED_DATABASES)(self._invent)

    def draft(self, index: int, level: Hardness, avoid: Sequence[str] = ()) -> Draft | RejectedDraft:  # noqa: ARG002
        """Writes draft number `index` at hardness `level`; `avoid` is not used, because all domains come equally often."""
        number, position = divmod(index, self._config.per_database)
        database = self._database(number)
        productions = list(PRODUCTIONS[level])
        # One shuffle for each database and level, so that all productions are used before one is used again.
        Random(f"{self._seed}-order-{number}-{level}").shuffle(productions)
        rng = Random(f"{self._seed}-q-{index}-{level}")
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(database.image)
            for turn in range(len(productions)):
                production = productions[(position + turn) % len(productions)]
                question_and_sql = _realise(production, Draw(database, rng), connection)
                if question_and_sql is not None:
                    return Draft(database.db_id, database.domain, database.ddl, database.rows, *question_and_sql, level)
        detail = f"none of the {len(productions)} {level} productions fits database {database.db_id}; give it more rows or tables"
        return RejectedDraft("no production fits", detail, level)

    def unit(self, number: int, levels: Sequence[Hardness]) -> list[Draft | RejectedDraft]:
        """The drafts on invented database `number`, one for each of `levels`, `per_database` at most."""
        first = number * self._config.per_database
        return [self.draft(first + position, level) for position, level in enumerate(levels)]

    def _invent(self, number: int) -> GrammarDatabase:
        name = self._plan.domain(number)
        rng = Random(f"{self._seed}-db-{number}")
        return _askable(invent_database(f"{name}_{number:04d}", domains.load(name), self._config.tables, self._config.rows, rng))


def _askable(database: GrammarDatabase) -> GrammarDatabase:
    """The database without what no production can ask about: numbers as text, dates that are not ISO, foreign keys with roles."""
    tables = {
        name: replace(
            table,
            columns=tuple(
                replace(column, distractor=True) if column.number_as_text or column.date_format else column
                for column in table.columns
            ),
        )
        for name, table in database.tables.items()
    }
    return replace(database, tables=tables, links=tuple(link for link in database.links if not link.role))


def planned_heldout_domains(split: SplitConfig, seed: int) -> frozenset[str]:
    """The domains, as drafts name them, whose databases are for heldout alone."""
    return frozenset(domains.load(name).name for name in DomainPlan(domains.names(), split, seed).heldout)


def _realise(production: Production, draw: Draw, connection: sqlite3.Connection) -> tuple[str, str] | None:
    """(question, sql) of a production, or None if the database offers no example of it that is worth asking."""
    for _ in range(TRIES):
        try:
            tree, pieces = production(draw)
        except NoFit:
            continue
        sql = sql_text(tree)
        if is_worth_asking(connection, tree, sql):
            return question(production.__name__.rstrip("_"), pieces, draw.rng), sql
    return None
