"""The built-in teacher: databases, questions and SQL from a grammar, in any number, without any model.

Database number n holds the drafts n * per_database and following; its domain is the next of a seeded shuffle of all
domains, over and over, so that every domain has its even share: of the databases for evaluation, or of the others. A draft
begins as a request, drawn on its database; the request becomes SQL and, by itself, a question.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import lru_cache
from random import Random

from sqlglot import exp

from sense.config import GrammarConfig, SplitConfig
from sense.records import Hardness
from sense.sql.hardness import tree_hardness
from sense.teacher import Draft, RejectedDraft
from sense.teacher.grammar import domains
from sense.teacher.grammar.check import is_worth_asking
from sense.teacher.grammar.database import GrammarDatabase
from sense.teacher.grammar.draw import Draw, NoFit
from sense.teacher.grammar.english.sentences import question
from sense.teacher.grammar.meaning import Request
from sense.teacher.grammar.populate import invent_database
from sense.teacher.grammar.requests import draw_request
from sense.teacher.grammar.sql.queries import request_tree
from sense.teacher.grammar.sql.text import sql_text
from sense.teacher.question_rules import problems
from sense.teacher.splits import DomainPlan

TRIES = 300
"""How many requests are drawn for one draft before the database counts as too poor for its level."""
WORDINGS = 4
"""How many questions are written for one request, until one has no problems."""
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
        database = self._database(index // self._config.per_database)
        return write_draft(database, database.db_id, level, Random(f"{self._seed}-q-{index}-{level}"), self._config.spelt)

    def unit(self, number: int, levels: Sequence[Hardness]) -> list[Draft | RejectedDraft]:
        """The drafts on invented database `number`, one for each of `levels`, `per_database` at most."""
        first = number * self._config.per_database
        return [self.draft(first + position, level) for position, level in enumerate(levels)]

    def _invent(self, number: int) -> GrammarDatabase:
        name = self._plan.domain(number)
        rng = Random(f"{self._seed}-db-{number}")
        sizes = (self._config.tables, self._config.rows)
        return invent_database(f"{name}_{number:04d}", domains.load(name), *sizes, rng, self._config.plain_names)


def write_draft(
    database: GrammarDatabase,
    db_id: str,
    level: Hardness,
    rng: Random,
    spelt: float,
    accepts: Callable[[exp.Query], bool] = lambda _: True,
    tries: int = TRIES,
) -> Draft | RejectedDraft:
    """A draft of hardness `level` on `database`, which is called `db_id` in it, whose SQL `accepts` lets pass.

    It is rejected if none of `tries` requests fits.
    """
    draw = Draw(database, rng)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(database.image)
        for _ in range(tries):
            try:
                request = draw_request(draw, level)
            except NoFit:
                continue
            sql = _worthy_sql(request, level, connection, accepts)
            wording = sql and _natural_question(request, sql, rng, spelt)
            if sql and wording:
                text, evidence = wording
                return Draft(db_id, database.domain, database.ddl, database.rows, text, sql, level, evidence)
    detail = f"none of {tries} {level} questions fits database {db_id}; give it more rows or tables"
    return RejectedDraft("no question fits", detail, level)


def planned_heldout_domains(split: SplitConfig, seed: int) -> frozenset[str]:
    """The domains, as drafts name them, whose databases are for heldout alone."""
    return frozenset(domains.load(name).name for name in DomainPlan(domains.names(), split, seed).heldout)


def _worthy_sql(
    request: Request, level: Hardness, connection: sqlite3.Connection, accepts: Callable[[exp.Query], bool]
) -> str | None:
    """The SQL of a request, None if it is of another level, not accepted, or not worth asking on its database."""
    tree = request_tree(request)
    if tree_hardness(tree) != level or not accepts(tree):
        return None
    sql = sql_text(tree)
    return sql if is_worth_asking(connection, tree, sql) else None


def _natural_question(request: Request, sql: str, rng: Random, spelt: float) -> tuple[str, str] | None:
    """A question for a request and its evidence, None if what is written reads badly each time.

    With the probability `spelt` it uses the words in the names of tables and columns.
    """
    in_own_words = spelt > 0 and rng.random() < spelt
    for _ in range(WORDINGS):
        text, evidence = question(request, rng, in_own_words)
        if not problems(text, sql, evidence):
            return text, evidence
    return None
