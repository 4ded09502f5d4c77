"""The grammar as the teacher of one's own databases: questions and SQL on copies of them, in parts by the skeleton of the SQL.

With one database there are no others to hold out. What is held out is SQL: a query without its values, its skeleton, belongs to
one of strong, unseen and heldout, by a hash that no seed changes. So nothing that a model is evaluated on differs from what it
was trained on in values alone (the "query split" of Finegan-Dollak et al. 2018, arXiv 1806.09029). A unit is a copy of a database
with questions of one part.
"""

import hashlib
import math
from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path
from random import Random

from sqlglot import exp

from sense.config import GrammarConfig, SplitConfig
from sense.errors import InputError, UserError
from sense.records import Hardness
from sense.teacher import Draft, RejectedDraft
from sense.teacher.grammar.database import GrammarDatabase
from sense.teacher.grammar.own.database import read_own_database
from sense.teacher.grammar.sql.text import sql_text
from sense.teacher.grammar.teacher import TRIES, write_draft

_MOST_TRIES = 10 * TRIES


class OwnPlan:
    """Which database and which part each unit is of: every database has its share of every part, at any number of units."""

    def __init__(self, folders: Sequence[Path], split: SplitConfig) -> None:
        """`folders` are dataset folders that `sense own` wrote; InputError if one has no database, or two have one of a name."""
        self._split = split
        self.databases: list[tuple[Path, str]] = []
        for folder in folders:
            names = [path.stem for path in sorted((folder / "databases").glob("*/*.sqlite")) if path.stem == path.parent.name]
            if not names:
                raise InputError(
                    f"{folder}: holds no database (databases/NAME/NAME.sqlite); write it: sense own DATABASE --out {folder}"
                )
            self.databases += [(folder, name) for name in names]
        names = [name for _, name in self.databases]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise UserError(f"synthesize.own: two databases are called {repeated[0]!r}; copy one of them as NAME=...: sense own")

    def unit(self, number: int) -> tuple[Path, str, str]:
        """(dataset folder, name of the database, part) of unit `number`, from 0."""
        turn, index = divmod(number, len(self.databases))
        folder, name = self.databases[index]
        return folder, name, self._part(turn)

    def copy_number(self, index: int, part: str, turn: int) -> int:
        """The number of the unit that is copy `turn`, from 0, of database `index` for `part`, whose share is above 0."""
        turns = (each for each in count() if self._part(each) == part)
        return next(islice(turns, turn, None)) * len(self.databases) + index

    def part(self, db_id: str) -> str:
        """The part of the unit whose database is called `db_id`."""
        return self.unit(int(db_id.rpartition("_")[2]))[2]

    def _part(self, turn: int) -> str:
        heldout, unseen = self._split.heldout, self._split.unseen
        before, now = math.ceil(turn * heldout), math.ceil((turn + 1) * heldout)
        if now > before:
            return "heldout"
        turn -= before
        share = unseen / (1 - heldout)
        return "unseen" if math.ceil((turn + 1) * share) > math.ceil(turn * share) else "strong"

    def part_of(self, tree: exp.Query) -> str:
        """The part to which a query belongs, by its skeleton."""
        digest = hashlib.sha256(skeleton(tree).encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        if place < self._split.heldout:
            return "heldout"
        return "unseen" if place < self._split.heldout + self._split.unseen else "strong"


def skeleton(tree: exp.Query) -> str:
    """The text of a query with ? for each value, and for all values of an IN."""
    masked = tree.copy()
    for node in list(masked.find_all(exp.Literal)):
        node.replace(exp.Placeholder())
    for among in masked.find_all(exp.In):
        if among.expressions:
            among.set("expressions", [exp.Placeholder()])
    return sql_text(masked)


class OwnTeacher:
    """Drafts on copies of one's own databases; they depend on the configuration, the seed and the databases alone."""

    def __init__(self, config: GrammarConfig, seed: int, folders: Sequence[Path], split: SplitConfig) -> None:
        self._config, self._seed = config, seed
        self._plan = OwnPlan(folders, split)
        self._databases: dict[str, GrammarDatabase] = {}

    def unit(self, number: int, levels: Sequence[Hardness]) -> list[Draft | RejectedDraft]:
        """The drafts of unit `number`, one for each of `levels`, on a copy that is called `<name>_<number>`."""
        folder, name, part = self._plan.unit(number)
        if name not in self._databases:
            self._databases[name] = read_own_database(folder, name)
        database = self._databases[name]
        return [
            write_draft(
                database,
                f"{name}_{number:04d}",
                level,
                Random(f"{self._seed}-own-{number}-{position}-{level}"),
                self._config.spelt,
                accepts=lambda tree: self._plan.part_of(tree) == part,
                tries=_MOST_TRIES,
            )
            for position, level in enumerate(levels)
        ]
