"""Ingest: reads human-written questions, executes each gold query, drops what fails, and splits the rest by database.

Questions on one's own databases, which are few, are split by the skeletons of their SQL.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import console, ingest, records
from sense.config import IngestConfig
from sense.errors import InputError
from sense.ingest import SeedQuestion, SeedSource, UnusableDatabase, golds
from sense.ingest.golds import DroppedQuestions
from sense.manifest import SQL_SKELETON, write_manifest
from sense.records import HARDNESS, Example
from sense.sql.database_file import sqlite_files
from sense.sql.execute import Executor
from sense.sql.hardness import BANDS, complexity, hardness
from sense.sql.parse import varies_between_runs
from sense.stages import code_dependencies
from sense.stages.holdout import hold_out_databases, hold_out_skeletons
from sense.suite import SuiteCounts, write_suite

Config = IngestConfig

_MAX_NAMES = 10  # of databases that a message lists


@dataclass(frozen=True)
class Inputs:
    """The seeds folder, in the built-in layout, Spider's or BIRD's, or a dataset folder of your own questions."""

    seeds: Path


@dataclass(frozen=True)
class Outputs:
    """Two dataset folders that share no database; those of your own questions share no SQL skeleton and no question."""

    seed: Path
    dev: Path
    metrics: Path


def run(config: IngestConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Writes both datasets; InputError if the seeds are malformed or no question remains for one of the datasets."""
    source = ingest.read_seeds(inputs.seeds)
    staging = outputs.metrics.parent / "databases"
    for leftover in (staging, outputs.seed, outputs.dev):  # of a killed run
        records.remove(leftover)
    dropped = DroppedQuestions()
    unusable = _write_databases(source, staging)
    splits = [_drop_unusable(questions, unusable, dropped) for questions in (_drop_in_dev(source, dropped), source.dev or ())]
    with Executor(config.execution) as executor:
        seed, dev = (list(_drop_failing(questions, staging, executor, dropped)) for questions in splits)
    remaining = len({question.db_id for question in seed})
    if source.held_out_by_skeleton:
        seed, dev = hold_out_skeletons(seed, config.dev_limit, config.seed)
    elif source.dev is None:
        seed, dev = hold_out_databases(seed, config.holdout, config.seed)
    dev = records.draw(dev, config.dev_limit, f"{config.seed}-dev-limit")
    brought = _test_suite_line(staging)
    suite = _build_suites(config, [*seed, *dev], staging) if config.suite and seed and dev else {}
    lines = _unusable_lines(unusable)
    for line in [*dropped.lines(), *lines, brought]:
        if line:
            console.say(line)
    if not seed or not dev:
        if source.held_out_by_skeleton and remaining:
            lines.append("give questions with at least two different queries: one part is for training, one for evaluation")
        elif source.dev is None and remaining:
            lines.append(f"lower ingest.holdout (now {config.holdout}) or bring questions on more databases ({remaining} remain)")
        raise InputError(_nothing_left_message(inputs.seeds, "seed" if not seed else "dev", dropped, lines or ["mend the seeds"]))
    metrics = {
        "seed": _write_dataset(seed, source, "seed", staging, outputs.seed),
        "dev": _write_dataset(dev, source, "dev", staging, outputs.dev),
    }
    held_out_by = SQL_SKELETON if source.held_out_by_skeleton else None
    section = config.model_dump(mode="json", exclude={"execution": {"workers"}})
    revision = code_dependencies.revision("ingest")
    for dataset in (outputs.seed, outputs.dev):
        write_manifest(dataset, stage="ingest", section=section, revision=revision, held_out_by=held_out_by)
    split = {"held_out_by": held_out_by} if held_out_by else {}
    return {"source": source.name, **split, **metrics, **suite, "dropped": dict(sorted(dropped.counts.items()))}


def _description(question: SeedQuestion) -> str:
    return f"{question.db_id}, {question.question!r}"


def _write_databases(source: SeedSource, staging: Path) -> dict[str, UnusableDatabase]:
    """Writes every database that a question names into `staging`; returns by db_id why some cannot be used."""
    unusable: dict[str, UnusableDatabase] = {}
    db_ids = sorted({question.db_id for question in (*source.seed, *(source.dev or ()))})
    for db_id in console.track(db_ids, "databases", len(db_ids)):
        problem = source.write_database(db_id, staging / db_id)
        if problem is not None:
            unusable[db_id] = problem
    return unusable


def _unusable_lines(unusable: Mapping[str, UnusableDatabase]) -> list[str]:
    """For each reason why databases cannot be used: how many, which, the first of them, and the fix."""
    db_ids: dict[str, list[str]] = {}
    for db_id, problem in unusable.items():
        db_ids.setdefault(problem.reason, []).append(db_id)
    lines = []
    for reason, names in sorted(db_ids.items()):
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        first = unusable[names[0]]
        lines.append(f"{reason}: {len(names)} ({', '.join(names[:_MAX_NAMES])}{more}); {first.detail}; {first.fix}")
    return lines


def _test_suite_line(staging: Path) -> str:
    """What further databases lie beside those that the questions name, '' if none: TS is measured on them."""
    further = [file for file in sorted(staging.glob("*/*.sqlite")) if file.stem != file.parent.name]
    if not further:
        return ""
    folders = {file.parent for file in further}
    return (
        f"test suites: {len(further)} further *.sqlite files beside {len(folders)} databases, on which TS is measured; "
        f"first: {further[0].parent.name}/{further[0].name}; move away what is a backup"
    )


def _build_suites(config: IngestConfig, questions: Sequence[SeedQuestion], staging: Path) -> dict[str, Any]:
    """Builds a test suite beside each database in `staging` that a question is on and that has none; returns its metrics."""
    queries: dict[str, list[str]] = {}
    for question in questions:
        queries.setdefault(question.db_id, []).append(question.sql)
    counts, built, refused = SuiteCounts(), 0, list[str]()
    with Executor(config.execution) as executor:
        for db_id, sqls in console.track(queries.items(), "test suites", len(queries)):
            if len(sqlite_files(staging / db_id)) > 1:
                continue
            try:
                counts += write_suite(executor, staging / db_id / f"{db_id}.sqlite", sqls, config.suite, f"{config.seed}-{db_id}")
                built += 1
            except InputError as error:
                refused.append(str(error))
    if refused:
        console.say(f"no test suite for {len(refused)} databases, first: {refused[0]}")
    return {"suite": {"built": built, "refused": len(refused), **vars(counts)}}


def _drop_in_dev(source: SeedSource, dropped: DroppedQuestions) -> Iterator[SeedQuestion]:
    """The seed questions without those on databases of dev, so that dev measures databases that no training has seen."""
    in_dev = {question.db_id for question in source.dev or ()}
    for question in source.seed:
        if question.db_id in in_dev:
            dropped.add("database is in dev", _description(question))
        else:
            yield question


def _drop_unusable(
    questions: Iterable[SeedQuestion], unusable: Mapping[str, UnusableDatabase], dropped: DroppedQuestions
) -> list[SeedQuestion]:
    """The questions whose database can be used and whose gold has the same result tomorrow, each of them once."""
    seen: set[tuple[str, str, str]] = set()
    remaining: list[SeedQuestion] = []
    for question in questions:
        key = (question.db_id, question.question, question.sql)
        if question.db_id in unusable:
            dropped.add(unusable[question.db_id].reason, _description(question))
        elif key in seen:
            dropped.add("duplicate", _description(question))
        elif varies_between_runs(question.sql):
            dropped.add(golds.VARIES, _description(question))
        else:
            remaining.append(question)
        seen.add(key)
    return remaining


def _drop_failing(
    questions: Sequence[SeedQuestion], staging: Path, executor: Executor, dropped: DroppedQuestions
) -> Iterator[SeedQuestion]:
    """The questions whose gold query is a SELECT that returns at least one row."""
    outcomes = executor.map((staging / question.db_id / f"{question.db_id}.sqlite", question.sql) for question in questions)
    for question, outcome in console.track(zip(questions, outcomes, strict=True), "golds", len(questions)):
        fault = golds.fault(outcome)
        if fault is None:
            yield question
        else:
            dropped.add(fault[0], _description(question), fault[1])


def _nothing_left_message(seeds: Path, split: str, dropped: DroppedQuestions, fixes: Sequence[str]) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.counts.most_common()) or "none"
    return ("; " if len(fixes) == 1 else "\n  ").join([f"{seeds}: no question remains for {split} (dropped: {reasons})", *fixes])


def _write_dataset(
    questions: Sequence[SeedQuestion], source: SeedSource, split: str, staging: Path, dataset: Path
) -> dict[str, Any]:
    """Writes one dataset folder with its databases, which lie in `staging`; returns the metrics of the dataset.

    The databases are moved, or copied where the other dataset may have them too.
    """
    examples = [
        Example(
            id=f"{source.name}-{split}-{question.index:05d}",
            db_id=question.db_id,
            question=question.question,
            sql=question.sql,
            source=source.name,
            hardness=hardness(question.sql),
            evidence=question.evidence,
            domain=question.domain,
        )
        for question in console.track(questions, split, len(questions))
    ]
    db_ids = sorted({question.db_id for question in questions})
    for db_id in db_ids:
        target = records.database_path(dataset, db_id).parent
        target.mkdir(parents=True)
        for file in sorted((staging / db_id).glob("*.sqlite")):
            if source.held_out_by_skeleton:
                shutil.copyfile(file, target / file.name)
            else:
                file.replace(target / file.name)
    records.write_jsonl(dataset / "examples.jsonl", examples)
    hardness_counts = Counter(example.hardness for example in examples)
    band_counts = Counter(complexity(example.sql).band for example in examples)
    return {
        "examples": len(examples),
        "databases": len(db_ids),
        "hardness": {level: hardness_counts[level] for level in HARDNESS},
        "complexity": {band: band_counts[band] for band in BANDS},
    }
