"""Answers of the stand-in to requests for several questions on one database: that it invents, or that stands in the prompt."""

import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, cast, get_args

from sqlglot.errors import SqlglotError

from sense.config import GrammarConfig, SqlFeature
from sense.errors import InputError
from sense.records import HARDNESS, Hardness
from sense.sql.features import features
from sense.sql.tree import parse_query, parse_statements
from sense.stand_in.planted_faults import plant
from sense.teacher import Draft, database_bytes
from sense.teacher.grammar.own.database import read_own_database
from sense.teacher.grammar.teacher import GrammarTeacher, write_draft

BROKEN_ITEM = "broken-item"
_WISH = re.compile(rf"^ *(\d+): ({'|'.join(HARDNESS)}); ([^;\n]+); [^;\n]+$", re.MULTILINE)
_DATABASE = re.compile(r"\ASchema:\n(?P<schema>.*?)^Rows[^\n]*:\n(?P<rows>(?:\{.*\}\n)*)", re.MULTILINE | re.DOTALL)
_MARK = "cannot be used"  # stands in every repair
_DB_ID = "database"
_PER_DATABASE = 400
_TRIES = 5  # databases, until one fits all levels
_DRAFTS = 8  # for one wish, until one has its feature


class StandInWish(NamedTuple):
    """A question that a prompt asks for; any feature will do without one."""

    number: int
    level: Hardness
    feature: SqlFeature | None


def read_wishes(prompt: str) -> list[StandInWish]:
    """What a prompt asks for; empty if it is for something else."""
    return [
        StandInWish(int(number), cast(Hardness, level), cast(SqlFeature, feature) if feature in get_args(SqlFeature) else None)
        for number, level, feature in _WISH.findall(prompt)
    ]


def is_repair(prompt: str) -> bool:
    """Whether a prompt asks for questions in the place of others."""
    return _MARK in prompt


class UnitAuthor:
    """Writes units with the grammar; they depend on its configuration, its seed and the arguments alone."""

    def __init__(self, grammar: GrammarConfig, seed: int) -> None:
        self._teacher = GrammarTeacher(grammar.model_copy(update={"per_database": _PER_DATABASE}), seed)

    def drafts(self, wishes: Sequence[StandInWish], rng: Random) -> dict[int, Draft]:
        """The drafts by their numbers, all on one database; where it has none of a level, that is left out."""
        best: dict[int, Draft] = {}
        for _ in range(_TRIES):
            database = rng.randrange(10**6)
            drafts = {wish.number: self._draft(database, place, wish) for place, wish in enumerate(wishes)}
            written = {number: draft for number, draft in drafts.items() if draft is not None}
            if len(written) == len(wishes):
                return written
            best = max(best, written, key=len)
        return best

    def drafts_on(self, prompt: str, wishes: Sequence[StandInWish], rng: Random) -> dict[int, Draft] | None:
        """The drafts on the database in a prompt, by their numbers; None if there is none that can be read."""
        part = _DATABASE.match(prompt)
        if part is None:
            return None
        try:
            statements = [statement.sql("sqlite") for statement in parse_statements(part["schema"])]
            rows = tuple((value["t"], tuple(map(tuple, value["r"]))) for value in map(json.loads, part["rows"].splitlines()))
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "databases" / _DB_ID / f"{_DB_ID}.sqlite"
                file.parent.mkdir(parents=True)
                file.write_bytes(database_bytes(_DB_ID, statements, rows))
                database = read_own_database(Path(folder), _DB_ID)
        except (InputError, SqlglotError, ValueError, KeyError):
            return None
        drafts = {wish.number: write_draft(database, _DB_ID, wish.level, rng, 0.0) for wish in wishes}
        return {number: draft for number, draft in drafts.items() if isinstance(draft, Draft)}

    def _draft(self, database: int, place: int, wish: StandInWish) -> Draft | None:
        """A draft at the level of the wish, with its feature if one of a few has it."""
        first = None
        for number in range(_DRAFTS if wish.feature else 1):
            draft = self._teacher.draft(database * _PER_DATABASE + place * _DRAFTS + number, wish.level)
            if not isinstance(draft, Draft):
                return first
            first = first or draft
            tree = parse_query(draft.sql)
            if tree is not None and (wish.feature is None or wish.feature in features(tree)):
                return draft
        return first


def unit_text(drafts: Mapping[int, Draft], fault: str, fault_of: Callable[[], str], rng: Random) -> str:
    """The answer with the database and the drafts by their numbers; `fault` is that of the database, '' for none.

    `fault_of` draws that of a question, '' for none.
    """
    database = next(iter(drafts.values()))
    if fault:
        database = plant(database, fault, rng)
    unit = {
        "domain": database.domain,
        "schema": [*database.ddl],
        "rows": [{"t": table, "r": rows} for table, rows in database.rows if rows],
        "questions": _items(drafts, fault_of, rng),
    }
    return json.dumps(unit, ensure_ascii=False, separators=(",", ":"))


def items_text(drafts: Mapping[int, Draft], fault_of: Callable[[], str], rng: Random) -> str:
    """The answer with the questions alone."""
    return json.dumps({"questions": _items(drafts, fault_of, rng)}, ensure_ascii=False, separators=(",", ":"))


def _items(drafts: Mapping[int, Draft], fault_of: Callable[[], str], rng: Random) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for number, original in drafts.items():
        fault = fault_of()
        draft = original if fault in ("", BROKEN_ITEM) else replace(original, sql=plant(original, fault, rng).sql)
        item = {"n": number, "q": draft.question, "s": draft.sql} | ({"e": draft.evidence} if draft.evidence else {})
        if fault == BROKEN_ITEM:
            del item["s"]
        items.append(item)
    return items
