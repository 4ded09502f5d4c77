"""Rows one after another, of which those are kept that are new: unlike all kept before them, and unlike the evaluation sets."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

from sense.decontamination.compared_sets import ComparedRow, ComparedSet
from sense.decontamination.comparison import Comparison, Overlap
from sense.decontamination.near_duplicates import NearDuplicates, sketch
from sense.schema import Schema, introspect


class Screen:
    """Compares rows with evaluation sets and with the questions of the rows kept before; `overlaps` lists what it has refused.

    Near-duplicates among the kept rows are none, so that they can be split in any way and no split has a question of another.
    """

    def __init__(
        self,
        name: str,
        against: Sequence[ComparedSet],
        database: Callable[[str], Path],
        same_databases: bool = False,
        held_out: Sequence[ComparedSet] = (),
    ) -> None:
        """`name` is what the rows are called in the list of overlaps, `database` gives the file of a db_id; the others are those
        of `Comparison`.
        """
        self._name, self._database = name, database
        self._comparison = Comparison(against, same_databases, held_out)
        self._questions = NearDuplicates()
        self._schemas: dict[str, Schema] = {}
        self.overlaps: list[Overlap] = []

    def copy(self) -> "Screen":
        """A screen that has kept the same rows; what either keeps from now on is nothing to the other."""
        other = copy.copy(self)
        other._questions, other._schemas, other.overlaps = copy.deepcopy(self._questions), dict(self._schemas), [*self.overlaps]
        return other

    def refuse(self, row: ComparedRow) -> str | None:
        """Why the row is not kept; None if it is kept from now on."""
        question = sketch(row.question)
        match = self._questions.nearest(question)
        if match is not None:
            return "duplicate question" if match.similarity == 1 else "near-duplicate question"
        if row.db_id not in self._schemas:
            self._schemas[row.db_id] = introspect(self._database(row.db_id))
        overlap = self._comparison.overlap(row, self._schemas[row.db_id], self._name, question)
        if overlap is not None:
            self.overlaps.append(overlap)
            return f"in {overlap.against}: {overlap.reason}"
        self._questions.add(question)
        return None
