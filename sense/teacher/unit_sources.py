"""The databases of units: those that an LLM invents with its questions, and one's own, which stand in the prompt."""

import json
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from sense.config import LlmConfig, SplitConfig
from sense.prompts import render_prompt
from sense.records import HARDNESS, Example, Hardness
from sense.sql.tree import parse_query
from sense.teacher import CellValue, TableRows
from sense.teacher.answer_fields import UnusableError
from sense.teacher.answers import WrittenDatabase
from sense.teacher.exchanges import ChatRequest
from sense.teacher.grammar.own.database import read_own_database
from sense.teacher.grammar.own.teacher import OwnPlan
from sense.teacher.llm import OVERREPRESENTED, draw_demonstrations
from sense.teacher.quotas import Wish
from sense.teacher.sql_first import STYLES
from sense.teacher.unit_answers import FORMAT, QUESTIONS_FORMAT, Item, read_items, read_unit

LEVELS: Mapping[Hardness, str] = {
    "easy": "a simple query on one table",
    "medium": "a join of two tables, or aggregates and grouping",
    "hard": "several advanced features together: joins, GROUP BY with HAVING, ORDER BY with LIMIT, or a subquery",
    "extra": "nested and combined: subqueries or set operations together with joins, aggregates, conditions and ordering",
}
"""Level -> what the prompt says of it."""
SHOWN_ROWS = 5
"""Rows of a table of one's own that a prompt shows."""
_MAX_SHOWN_CHARS = 200  # of a text in such a row


class UnitSource(Protocol):
    """Where the databases of units come from. It is thread-safe, and depends on its configuration, its seed and the arguments."""

    def request(self, number: int, wishes: Sequence[Wish], avoid: Sequence[str]) -> ChatRequest:
        """What is asked for unit `number`: these wishes, away from the domains in `avoid`."""
        ...

    def read(self, number: int, wishes: Sequence[Wish], text: str) -> tuple[WrittenDatabase, Mapping[int, Item | UnusableError]]:
        """The database and the questions by their numbers in the answer for unit `number`; UnusableError without a database."""
        ...

    def db_id(self, number: int, database: WrittenDatabase, sql: str) -> str:
        """The name of the database for an example of unit `number` with this SQL."""
        ...

    def shown_rows(self, number: int, database: WrittenDatabase) -> TableRows:
        """The rows that a prompt about single questions of unit `number` shows."""
        ...


class InventedDatabases:
    """Databases that the LLM invents; `demonstrations` are human-written examples, each with its schema as text."""

    def __init__(self, config: LlmConfig, seed: int, demonstrations: Sequence[tuple[Example, str]]) -> None:
        self._count, self._seed, self._demonstrations = config.demonstrations, seed, demonstrations

    def request(self, number: int, wishes: Sequence[Wish], avoid: Sequence[str]) -> ChatRequest:
        """What is asked for unit `number`: a database of another domain than those in `avoid`, and questions."""
        name = f"{self._seed}-unit-{number}"
        user = render_prompt(
            "unit",
            **_wishes(list(enumerate(wishes, start=1))),
            avoid=list(dict.fromkeys([*OVERREPRESENTED, *avoid])),
            demonstrations=draw_demonstrations(self._demonstrations, self._count, f"{name}-demo"),
        )
        return ChatRequest(render_prompt("strong_system"), user, random.Random(name).getrandbits(31), response_format=FORMAT)

    def read(
        self,
        number: int,  # noqa: ARG002
        wishes: Sequence[Wish],  # noqa: ARG002
        text: str,
    ) -> tuple[WrittenDatabase, Mapping[int, Item | UnusableError]]:
        """The database and the questions in an answer; UnusableError without a database."""
        return read_unit(text)

    def db_id(self, number: int, database: WrittenDatabase, sql: str) -> str:  # noqa: ARG002
        """The name of the one database of unit `number`."""
        return f"{database.slug}_{number:06d}"

    def shown_rows(self, number: int, database: WrittenDatabase) -> TableRows:  # noqa: ARG002
        """All rows, as the model has written them."""
        return database.rows


class OwnDatabases:
    """Copies of one's own databases, which take turns; `seeds` are questions, of which those on them are shown.

    As with the grammar, a query belongs to the part of the data that its skeleton has, and each part has copies of its own: the
    questions of a unit that belong to one part are on one copy.
    """

    def __init__(
        self, config: LlmConfig, seed: int, folders: Sequence[Path], split: SplitConfig, seeds: Sequence[Example]
    ) -> None:
        self._count, self._seed, self._seeds = config.demonstrations, seed, seeds
        self._plan = OwnPlan(folders, split)
        self._database = lru_cache(maxsize=None)(self._read_database)

    def request(self, number: int, wishes: Sequence[Wish], avoid: Sequence[str]) -> ChatRequest:  # noqa: ARG002
        """What is asked for unit `number`: questions on the next of the databases."""
        database = self._of(number)
        name = f"{self._seed}-own-unit-{number}"
        user = on_database_prompt(
            database.ddl,
            self.shown_rows(number, database),
            list(enumerate(wishes, start=1)),
            sample=True,
            demonstrations=self._demonstrations(number, name),
        )
        return ChatRequest(
            render_prompt("strong_system"), user, random.Random(name).getrandbits(31), response_format=QUESTIONS_FORMAT
        )

    def read(self, number: int, wishes: Sequence[Wish], text: str) -> tuple[WrittenDatabase, Mapping[int, Item | UnusableError]]:
        """The database of unit `number`, and the questions in the answer; where it cannot be read, each says why."""
        try:
            items: Mapping[int, Item | UnusableError] = read_items(text)
        except UnusableError as error:
            items = dict.fromkeys(range(1, len(wishes) + 1), error)
        return self._of(number), items

    def db_id(self, number: int, database: WrittenDatabase, sql: str) -> str:
        """The copy of the part that the query belongs to."""
        tree = parse_query(sql)
        turn, index = divmod(number, len(self._plan.databases))
        part = self._plan.part_of(tree) if tree is not None else "strong"
        return f"{database.slug}_{self._plan.copy_number(index, part, turn):04d}"

    def shown_rows(self, number: int, database: WrittenDatabase) -> TableRows:
        """A few rows of each table, drawn anew for each unit."""
        rng = random.Random(f"{self._seed}-own-rows-{number}")
        return tuple((table, _sample(rows, rng)) for table, rows in database.rows)

    def _of(self, number: int) -> WrittenDatabase:
        return self._database(number % len(self._plan.databases))

    def _read_database(self, index: int) -> WrittenDatabase:
        folder, name = self._plan.databases[index]
        database = read_own_database(folder, name)
        return WrittenDatabase(database.domain, name, database.ddl, database.rows)

    def _demonstrations(self, number: int, seed: str) -> list[Example]:
        name = self._plan.databases[number % len(self._plan.databases)][1]
        examples = [example for example in self._seeds if example.db_id == name]
        return random.Random(f"{seed}-demo").sample(examples, min(self._count, len(examples)))


def on_database_prompt(
    ddl: Sequence[str],
    rows: TableRows,
    wishes: Sequence[tuple[int, Wish]],
    faults: Sequence[Mapping[str, object]] = (),
    sample: bool = False,
    demonstrations: Sequence[Example] = (),
) -> str:
    """The user's message that asks for questions, by their numbers, on a database that is there.

    `faults` are to be mended. With `sample` the rows are some of many. `demonstrations` are questions on this database.
    """
    lines = [json.dumps({"t": table, "r": values}, ensure_ascii=False, separators=(",", ":")) for table, values in rows]
    return render_prompt(
        "unit_on_database",
        schema=ddl,
        rows=lines,
        faults=faults,
        sample=sample,
        demonstrations=demonstrations,
        **_wishes(wishes),
    )


def _wishes(wishes: Sequence[tuple[int, Wish]]) -> dict[str, Any]:
    """What the prompts' part about wishes shows."""
    levels, styles = {wish.level for _, wish in wishes}, {wish.style for _, wish in wishes}
    return {
        "wishes": wishes,
        "levels": [(level, LEVELS[level]) for level in HARDNESS if level in levels],
        "styles": [(style, meaning) for style, meaning in STYLES.items() if style in styles],
        "evidence": "with evidence" in styles,
    }


def _sample(rows: Sequence[tuple[CellValue, ...]], rng: random.Random) -> tuple[tuple[CellValue, ...], ...]:
    numbers = sorted(rng.sample(range(len(rows)), min(SHOWN_ROWS, len(rows))))
    return tuple(tuple(_shown(value) for value in rows[number]) for number in numbers)


def _shown(value: CellValue) -> CellValue:
    return value if not isinstance(value, str) or len(value) <= _MAX_SHOWN_CHARS else value[:_MAX_SHOWN_CHARS] + "..."
