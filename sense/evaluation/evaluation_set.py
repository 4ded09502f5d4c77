"""The sets that models are evaluated on: questions of a dataset folder, the databases behind them, and their digests."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sense import records
from sense.errors import InputError
from sense.records import Example
from sense.sql import modes


@dataclass(frozen=True)
class EvaluationSet:
    """The questions asked of a dataset folder."""

    name: str
    folder: Path
    examples: list[Example]

    @property
    def digest(self) -> str:
        """SHA-256 over the questions and their databases: two EX can be compared only if it is the same."""
        total = hashlib.sha256()
        for example in self.examples:
            total.update(f"{example.id}\0{example.db_id}\0{example.question}\0{example.sql}\n".encode())
        for path in self._main_databases:
            total.update(records.digest(path).encode())
        return total.hexdigest()

    @cached_property
    def further_databases(self) -> list[Path]:
        """The databases beside the main ones, on which TS needs predictions to be right too."""
        return [file for main in self._main_databases for file in modes.databases(modes.STRICT_TS, main)[1:]]

    @property
    def suite_digest(self) -> str:
        """SHA-256 over the further databases: two TS can be compared only if it is the same too."""
        return hashlib.sha256("".join(map(records.digest, self.further_databases)).encode()).hexdigest()

    @property
    def _main_databases(self) -> list[Path]:
        return [records.database_path(self.folder, name) for name in sorted({example.db_id for example in self.examples})]


def read_named(name: str, folder: Path) -> list[Example]:
    """The examples of the set that `evaluate.sets` has under `name`; InputError, with the fix, if it is no dataset folder."""
    key = f"evaluate.sets.{name}"
    if not folder.exists():
        raise InputError(f"{key} = {folder}: no such folder; name a dataset folder, by a path from the project's own folder")
    if not (folder / "examples.jsonl").is_file():
        target = f"build/{name}"
        raise InputError(
            f"{key} = {folder}: no dataset folder, as it has no examples.jsonl; make one of seeds in any layout with\n"
            f"  sense ingest --seeds {folder} --seed {target}/seed --dev {target}/dev --metrics {target}/ingest.json\n"
            f"and set {key} to {target}/dev"
        )
    examples = records.read_dataset(folder)
    if not examples:
        raise InputError(f"{key} = {folder}: its examples.jsonl is empty; name a folder with questions")
    return examples
