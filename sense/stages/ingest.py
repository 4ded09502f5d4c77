"""Seeds in: reads human-written questions, executes every gold, drops what fails (by reason), splits by database."""

import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import console, ingest, records
from sense.config import IngestConfig
from sense.errors import InputError
from sense.ingest import Row, Source
from sense.records import HARDNESS, Example
from sense.sql.execute import Executor
from sense.sql.hardness import BANDS, complexity, hardness
from sense.sql.result import Result

Config = IngestConfig

FAILURES = {"rejected": "gold rejected", "error": "gold fails", "timeout": "gold times out", "too_large": "gold too large"}


@dataclass(frozen=True)
class Inputs:
    """The seeds folder: built-in, Spider's or BIRD's layout."""

    seeds: Path


@dataclass(frozen=True)
class Outputs:
    """Two dataset folders that share no database."""

    seed: Path
    dev: Path
    metrics: Path


class Funnel:
    """Counts the dropped rows by reason and keeps the first of each to show."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def drop(self, reason: str, row: Row, detail: str = "") -> None:
        """Counts `row`; `detail` is for people."""
        self.dropped[reason] += 1
        self.first.setdefault(reason, f"{row.db_id}, {row.question!r}" + (f" ({detail})" if detail else ""))

    def say(self) -> None:
        """One line per reason."""
        for reason, count in sorted(self.dropped.items()):
            console.say(f"dropped {count}: {reason}, first: {self.first[reason]}")


def run(config: IngestConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Writes both datasets; InputError if the seeds are malformed or nothing remains of one side."""
    source = ingest.read(inputs.seeds)
    staging = outputs.metrics.parent / "databases"
    for leftover in (staging, outputs.seed, outputs.dev):  # of a killed try
        records.remove(leftover)
    funnel = Funnel()
    faults = _place(source, staging)
    usable = [_usable(rows, faults, funnel) for rows in (_not_in_dev(source, funnel), source.dev or ())]
    with Executor(config.execution) as executor:
        seed, dev = (list(_executed(rows, staging, executor, funnel)) for rows in usable)
    if source.dev is None:
        seed, dev = hold_out(seed, config.holdout, config.seed)
    dev = thin(dev, config.dev_limit, config.seed)
    funnel.say()
    if not seed or not dev:
        raise InputError(_nothing(inputs.seeds, config, source, "seed" if not seed else "dev", funnel))
    sides = {
        "seed": _write(seed, source.name, "seed", staging, outputs.seed),
        "dev": _write(dev, source.name, "dev", staging, outputs.dev),
    }
    return {"source": source.name, **sides, "dropped": dict(sorted(funnel.dropped.items()))}


def hold_out(rows: Sequence[Row], databases: int, seed: int) -> tuple[list[Row], list[Row]]:
    """Splits `rows` in two, the second those on `databases` databases drawn with `seed`; orders are kept."""
    names = sorted({row.db_id for row in rows})
    random.Random(f"{seed}-holdout").shuffle(names)
    held = set(names[:databases])
    return [row for row in rows if row.db_id not in held], [row for row in rows if row.db_id in held]


def thin(rows: list[Row], limit: int | None, seed: int) -> list[Row]:
    """`limit` of the rows drawn with `seed`, in their order; all of them if there are no more or no limit."""
    if limit is None or len(rows) <= limit:
        return rows
    return [rows[place] for place in sorted(random.Random(f"{seed}-dev-limit").sample(range(len(rows)), limit))]


def _place(source: Source, staging: Path) -> dict[str, str]:
    """Lays every database that a row names into `staging`; returns the reason for each that cannot be used."""
    faults: dict[str, str] = {}
    names = sorted({row.db_id for row in (*source.seed, *(source.dev or ()))})
    for db_id in console.track(names, "databases", len(names)):
        if not source.place(db_id, staging / db_id):
            faults[db_id] = "missing database"
        elif not _opens(staging / db_id / f"{db_id}.sqlite"):
            faults[db_id] = "broken database"
    return faults


def _opens(database: Path) -> bool:
    """Whether SQLite reads the file's schema and finds a table in it."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        try:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()
        except sqlite3.DatabaseError:
            return False
    return bool(tables)


def _not_in_dev(source: Source, funnel: Funnel) -> Iterator[Row]:
    """The seed rows without those on dev's databases: nothing may leak into what dev measures."""
    in_dev = {row.db_id for row in source.dev or ()}
    for row in source.seed:
        if row.db_id in in_dev:
            funnel.drop("database is in dev", row)
        else:
            yield row


def _usable(rows: Iterable[Row], faults: Mapping[str, str], funnel: Funnel) -> list[Row]:
    """The rows whose database can be read, each of them once."""
    seen: set[tuple[str, str, str]] = set()
    kept: list[Row] = []
    for row in rows:
        key = (row.db_id, row.question, row.sql)
        if row.db_id in faults:
            funnel.drop(faults[row.db_id], row)
        elif key in seen:
            funnel.drop("duplicate", row)
        else:
            kept.append(row)
        seen.add(key)
    return kept


def _executed(rows: Sequence[Row], staging: Path, executor: Executor, funnel: Funnel) -> Iterator[Row]:
    """The rows whose gold is a SELECT that returns at least one row."""
    outcomes = executor.map((staging / row.db_id / f"{row.db_id}.sqlite", row.sql) for row in rows)
    for row, outcome in console.track(zip(rows, outcomes, strict=True), "golds", len(rows)):
        if not isinstance(outcome, Result):
            funnel.drop(FAILURES[outcome.verdict], row, outcome.detail)
        elif not outcome.rows:
            funnel.drop("gold returns nothing", row)
        else:
            yield row


def _nothing(seeds: Path, config: IngestConfig, source: Source, side: str, funnel: Funnel) -> str:
    """Why one side is empty, for a person."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in funnel.dropped.most_common()) or "none"
    fix = "mend the seeds"
    if source.dev is None:
        fix = f"lower ingest.holdout (now {config.holdout}) or bring questions on more databases"
    return f"{seeds}: no question remains for {side} (dropped: {reasons}); {fix}"


def _write(rows: Sequence[Row], source: str, split: str, staging: Path, dataset: Path) -> dict[str, Any]:
    """Writes one dataset, moving its databases out of `staging`; returns its metrics."""
    examples = [
        Example(
            id=f"{source}-{split}-{row.index:05d}",
            db_id=row.db_id,
            question=row.question,
            sql=row.sql,
            source=source,
            hardness=hardness(row.sql),
            evidence=row.evidence,
            domain=row.domain,
        )
        for row in console.track(rows, split, len(rows))
    ]
    databases = sorted({row.db_id for row in rows})
    for db_id in databases:
        target = records.database_path(dataset, db_id).parent
        target.mkdir(parents=True)
        for file in sorted((staging / db_id).glob("*.sqlite")):
            file.replace(target / file.name)
    records.write_jsonl(dataset / "examples.jsonl", examples)
    levels = Counter(example.hardness for example in examples)
    bands = Counter(complexity(example.sql).band for example in examples)
    return {
        "examples": len(examples),
        "databases": len(databases),
        "hardness": {level: levels[level] for level in HARDNESS},
        "complexity": {band: bands[band] for band in BANDS},
    }
