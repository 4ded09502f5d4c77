"""Perturbed copies of a dataset folder, one for each kind; every gold is executed before and after, and has to give the same.

A folder appears whole under its name. One that a killed try has left unfinished is begun again: all draws come from the seed, and
so the same folder comes of it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from sense import __version__, console, records
from sense.config import ExecutionConfig
from sense.errors import InputError, UserError
from sense.manifest import dataset_digests, write_manifest
from sense.records import Example
from sense.robustness.database import UnalterableError, write_database
from sense.robustness.kinds import KINDS, Kind
from sense.robustness.plan import AddedTable, DatabasePlan, Drop
from sense.schema import Schema, introspect
from sense.sql.compare import compare
from sense.sql.database_file import sqlite_files
from sense.sql.execute import Executor
from sense.sql.result import Failure, Outcome
from sense.sql.tree import is_ordered, order_columns

FILE = "perturbation.json"

_FAILURES = {"rejected": "gold rejected", "error": "gold fails", "timeout": "gold times out", "too_large": "gold too large"}
_AFTERWARDS = {"error": "gold fails afterwards", "timeout": "gold times out afterwards", "too_large": "gold too large afterwards"}
_OTHER_RESULT = "gold gives another result"
_UNALTERABLE = "database cannot be changed so"


@dataclass
class Perturbation:
    """What came of one kind: `rows` in its folder, `dropped` by reason, and what became of each database."""

    rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, Any]:
        """The numbers, reasons sorted by name."""
        return {"rows": self.rows, "dropped": dict(sorted(self.dropped.items()))}


class _Database(NamedTuple):
    """A database of the folder with its examples: its files, the main one first, and what each gold gives on each of them."""

    db_id: str
    files: tuple[Path, ...]
    schema: Schema
    examples: tuple[Example, ...]
    outcomes: Mapping[tuple[str, str], Outcome]  # by the name of the file and the gold


def perturb(data: Path, kinds: Sequence[str], out: Path, seed: int, execution: ExecutionConfig) -> dict[str, Perturbation]:
    """Writes `out`/KIND for each of the kinds; returns what came of each.

    A kind that can perturb no row has no folder afterwards. Raises InputError if `data` is no dataset folder or a database of it
    cannot be read, UserError if `out` would overwrite it.
    """
    _check_places(data, kinds, out)
    examples = records.read_dataset(data)
    work = out / ".perturb.partial"
    records.remove(work)  # of a killed try
    staged = {kind: work / kind for kind in kinds}
    results = {kind: Perturbation() for kind in kinds}
    rows: dict[str, dict[str, Example]] = {kind: {} for kind in kinds}
    db_ids = sorted({example.db_id for example in examples})
    with Executor(execution) as executor:
        for db_id in console.track(db_ids, "databases", len(db_ids)):
            database = _read_database(data, db_id, [row for row in examples if row.db_id == db_id], executor)
            for kind in kinds:
                rng = Random(f"{seed}-{kind}-{db_id}")
                perturbed = _perturb_database(database, KINDS[kind], rng, f"{seed}-{kind}", staged[kind], executor, results[kind])
                rows[kind] |= {example.id: example for example in perturbed}
    origin = dataset_digests(data).model_dump()
    for kind, result in results.items():
        result.rows = len(rows[kind])
        if not rows[kind]:
            records.remove(out / kind)  # of an earlier run: it would stand for this one
            continue
        records.write_jsonl(staged[kind] / "examples.jsonl", [rows[kind][row.id] for row in examples if row.id in rows[kind]])
        section = {
            "kind": kind,
            "seed": seed,
            "data": origin,
            "execution": execution.model_dump(mode="json", exclude={"workers"}),
        }
        write_manifest(staged[kind], stage="perturb", section=section, revision=_revision())
        records.write_json(staged[kind] / FILE, {"kind": kind, "seed": seed, **result.counts, "databases": result.changes})
        records.deliver(staged[kind], out / kind)
    records.remove(work)
    if not any(rows.values()):
        reasons = sum((result.dropped for result in results.values()), Counter[str]())
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise InputError(f"{data}: no row can be perturbed so (dropped: {counts}); name other kinds, or mend the golds")
    return results


def _check_places(data: Path, kinds: Sequence[str], out: Path) -> None:
    if not (data / "examples.jsonl").is_file():
        raise InputError(f"{data}: no dataset folder: it has no examples.jsonl; name such a folder under --data")
    for kind in kinds:
        place = (out / kind).resolve()
        if place == data.resolve() or place in data.resolve().parents or data.resolve() in place.parents:
            raise UserError(f"{out / kind}: lies in {data} or holds it, which stays as it is; name another folder under --out")


def _read_database(data: Path, db_id: str, examples: Sequence[Example], executor: Executor) -> _Database:
    main = records.database_path(data, db_id)
    files = (main, *(file for file in sqlite_files(main.parent) if file != main))
    golds = list(dict.fromkeys(row.sql for row in examples))
    return _Database(db_id, files, introspect(main), tuple(examples), _execute(executor, files, golds))


def _execute(executor: Executor, files: Sequence[Path], golds: Sequence[str]) -> dict[tuple[str, str], Outcome]:
    """What each gold gives on each file, by the file's name and the gold."""
    statements = [(file, sql) for file in files for sql in golds]
    return {(file.name, sql): outcome for (file, sql), outcome in zip(statements, executor.map(statements), strict=True)}


def _perturb_database(
    database: _Database, kind: Kind, rng: Random, seed: str, dataset: Path, executor: Executor, result: Perturbation
) -> list[Example]:
    """The perturbed examples of one database, which is written with its test suite if there are any; the others are counted."""
    examples = _with_result(database, result)
    plan = kind.plan(examples, database.schema, rng) if examples else DatabasePlan()
    if isinstance(plan, Drop):
        result.dropped[plan.reason] += len(examples)
        return []
    pairs: list[tuple[Example, Example]] = []
    for row in examples:
        perturbed = kind.rewrite(row, database.schema, plan, Random(f"{seed}-{row.id}"))
        if isinstance(perturbed, Drop):
            result.dropped[perturbed.reason] += 1
        else:
            pairs.append((row, perturbed))
    if not pairs:
        return []
    folder = records.database_path(dataset, database.db_id).parent
    try:
        for file in database.files:
            write_database(file, folder / file.name, plan)
    except UnalterableError as error:
        console.say(f"{database.db_id}: {_UNALTERABLE} ({error})")
        result.dropped[_UNALTERABLE] += len(pairs)
        records.remove(folder)
        return []
    if plan == DatabasePlan():  # the same databases and golds
        return [new for _, new in pairs]
    same = _with_same_result(database, pairs, folder, executor, result)
    if not same:
        records.remove(folder)
    elif change := _describe(plan):
        result.changes[database.db_id] = change
    return same


def _with_result(database: _Database, result: Perturbation) -> list[Example]:
    """The examples whose gold runs on the main database."""
    main = database.files[0].name
    examples: list[Example] = []
    for row in database.examples:
        outcome = database.outcomes[main, row.sql]
        if isinstance(outcome, Failure):
            result.dropped[_FAILURES[outcome.verdict]] += 1
        else:
            examples.append(row)
    return examples


def _with_same_result(
    database: _Database, pairs: Sequence[tuple[Example, Example]], folder: Path, executor: Executor, result: Perturbation
) -> list[Example]:
    """The perturbed examples whose gold gives on each new database what it gave on the old one."""
    files = [folder / file.name for file in database.files]
    outcomes = _execute(executor, files, list(dict.fromkeys(new.sql for _, new in pairs)))
    same: list[Example] = []
    for old, new in pairs:
        reasons = (
            _difference(database.outcomes[file.name, old.sql], outcomes[file.name, new.sql], old.sql) for file in database.files
        )
        reason = next(filter(None, reasons), None)
        if reason is None:
            same.append(new)
        else:
            result.dropped[reason] += 1
    return same


def _difference(before: Outcome, after: Outcome, gold: str) -> str | None:
    """Why a gold counts as changed, None if it gives the same: its rows, in its order if it has one, or the same failure."""
    if isinstance(before, Failure):  # on a further database, which then does not count
        return None if isinstance(after, Failure) and after.verdict == before.verdict else _OTHER_RESULT
    if isinstance(after, Failure):
        return _AFTERWARDS.get(after.verdict, _OTHER_RESULT)
    is_sorted = is_ordered(gold)
    return _OTHER_RESULT if compare(after, before, is_sorted, order_columns(gold) if is_sorted else None) else None


def _describe(plan: DatabasePlan) -> dict[str, Any]:
    """What a plan does to a database, for people: the new names, and what was added."""
    change: dict[str, Any] = {}
    if plan.renamed:
        change["renamed"] = dict(plan.renamed)
    if plan.added_tables:
        change["added_tables"] = [_named(table) for table in plan.added_tables]
    if any(plan.added_columns.values()):
        change["added_columns"] = {
            table: [column.name for column in columns] for table, columns in plan.added_columns.items() if columns
        }
    return change


def _named(table: AddedTable) -> str:
    return f"{table.name}({', '.join(column.name for column in table.columns)})"


def _revision() -> str:
    """The version of SENSE with a digest of this package, as manifests have it."""
    return f"{__version__}+{records.digest(Path(__file__).parent)[:12]}"
