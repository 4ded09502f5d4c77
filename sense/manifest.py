"""What a dataset folder holds: `manifest.json` beside its examples, with counts, coverage, digests, and what it was made from.

The same data made in the same way have the same manifest, byte for byte: it holds no time, no path and no name of a machine.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sense import records
from sense.errors import InputError
from sense.records import HARDNESS, Example, Hardness
from sense.sql.hardness import BANDS, complexity

FILE = "manifest.json"
SQL_SKELETON = "SQL skeleton"
"""What sets on the same databases do not have in common: queries that differ in values alone (`Manifest.held_out_by`)."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class MutantCounts(_Part):
    """How many mutants of golds (wrong SQL near to them) were executed, and how many gave the gold's result everywhere."""

    mutants: int
    survived: int
    rate: float
    """`survived` as a share of `mutants`; 0 where there are none."""


class FalseRight(MutantCounts):
    """How often wrong SQL is taken as right on the databases of a dataset, measured with mutants; in total and by hardness.

    `by_instances` is what it is with so many further databases of a test suite, from 0 on.
    """

    by_hardness: dict[Hardness, MutantCounts]
    by_instances: dict[str, MutantCounts] = {}


class Coverage(_Part):
    """The number of examples of each hardness, band of complexity, domain and source."""

    hardness: dict[str, int]
    complexity: dict[str, int]
    domain: dict[str, int]
    source: dict[str, int]


class Digests(_Part):
    """SHA-256 of `examples.jsonl`, and of the names and contents of all files below `databases`."""

    examples: str
    databases: str


class Manifest(_Part):
    """A dataset folder in numbers. `section` and `seeds` are those of the stage that wrote it, `revision` is that of its code."""

    stage: str
    revision: str
    seeds: dict[str, int]
    section: dict[str, Any]
    examples: int
    databases: int
    further_databases: int
    """Databases of test suites, beside those that the questions name."""
    coverage: Coverage
    digests: Digests
    false_right: FalseRight | None = None
    shared_sql: dict[str, int] | None = None
    """Of an evaluation set: the trivial canonical SQL that it shares with the training data, and on how many examples."""
    held_out_by: str | None = None
    """Of data on one's own databases: what training and evaluation do not have in common, where that is not the database."""


def write_manifest(
    folder: Path,
    *,
    stage: str,
    section: Mapping[str, Any],
    revision: str,
    false_right: FalseRight | None = None,
    shared_sql: Mapping[str, int] | None = None,
    held_out_by: str | None = None,
) -> Manifest:
    """Counts what lies in a finished dataset folder and writes its manifest; returns it.

    `section` is the part of the configuration that the data depend on. Keys that change nothing, such as the number of
    processes, are the caller's to leave out.
    """
    examples = records.read_rows(folder / "examples.jsonl", Example)
    files = list((folder / "databases").glob("*/*.sqlite"))
    databases = sum(file.stem == file.parent.name for file in files)
    manifest = Manifest(
        stage=stage,
        revision=revision,
        seeds=dict(_seeds(section)),
        section=dict(section),
        examples=len(examples),
        databases=databases,
        further_databases=len(files) - databases,
        coverage=coverage(examples),
        digests=dataset_digests(folder),
        false_right=false_right,
        shared_sql=None if shared_sql is None else dict(shared_sql),
        held_out_by=held_out_by,
    )
    records.write_json(folder / FILE, manifest.model_dump(mode="json", exclude_none=True))
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a dataset folder; InputError if there is none, or it is none."""
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file; the stage that wrote {folder} writes it: run that again (dvc repro)")
    try:
        return Manifest.model_validate(records.read_json(path))
    except ValidationError as error:
        raise InputError(f"{path}: not a manifest ({records.first_problem(error)}); run the stage that wrote it again") from None


def false_right(
    counts: Mapping[Hardness, tuple[int, int]], by_instances: Mapping[int, tuple[int, int]] | None = None
) -> FalseRight:
    """The rates of (mutants, survived) by hardness, in total, and by the number of instances."""
    total = tuple(sum(numbers) for numbers in zip(*counts.values(), strict=True)) or (0, 0)
    parts = {level: MutantCounts(**_rate(*counts[level])) for level in HARDNESS if level in counts}
    instances = {str(number): MutantCounts(**_rate(*numbers)) for number, numbers in (by_instances or {}).items()}
    return FalseRight(**_rate(*total), by_hardness=parts, by_instances=instances)


def _rate(mutants: int, survived: int) -> dict[str, Any]:
    return {"mutants": mutants, "survived": survived, "rate": round(survived / mutants, 6) if mutants else 0.0}


def coverage(examples: Iterable[Example]) -> Coverage:
    """The counts of examples by what they cover; levels and bands that do not occur count 0."""
    rows = list(examples)
    levels = Counter(row.hardness for row in rows)
    bands = Counter(_band(row) for row in rows)
    return Coverage(
        hardness={level: levels[level] for level in HARDNESS},
        complexity={band: bands[band] for band in BANDS},
        domain=dict(sorted(Counter(row.domain for row in rows).items())),
        source=dict(sorted(Counter(row.source for row in rows).items())),
    )


def _band(example: Example) -> str:
    """The band of complexity: the example's own field, where its writer has measured it already."""
    return str(getattr(example, "complexity", "")) or complexity(example.sql).band


def dataset_digests(folder: Path) -> Digests:
    """The digests of a dataset folder's examples and databases, computed from its files."""
    return Digests(examples=records.digest(folder / "examples.jsonl"), databases=records.digest(folder / "databases"))


def _seeds(section: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, int]]:
    """Every key `seed` of a section, with the keys that lead to it joined by dots."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _seeds(value, f"{prefix}{key}.")
        elif key == "seed":
            yield f"{prefix}{key}", value
